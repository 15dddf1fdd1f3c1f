"""The study of long sums: does training need the promotion of partial sums every 128 products?

The gradient of a weight is a sum over tokens. While a document that pulls one way is added up, the running sum grows;
the next document pulls it back. A tensor core aligns every product with the running sum and keeps 14 bits, so that
near the peak a quiet product is smaller than the last bit and is cut off, although many like it would count. Promotion
starts a new sum every 128 products, and the last bit stays fine.

Here logistic units read features of one sign. Half of the tokens are one loud token, which a document labels at random
and the next document the other way round: its pulls cancel, and its loss stays at ln 2. The others are contexts with
fixed labels, whose loss counts `quiet_weight` as much; they must be learned with the same weights.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from repro.arrays import Array, BoolArray, IntArray
from repro.errors import InputError, unknown_name
from repro.experiments.power import Plan
from repro.experiments.record import Study, list_by_result
from repro.experiments.watch import Trace
from repro.nano.numerics import Accumulation
from repro.nano.numerics.recipes import FP32, PrecisionRecipe, bf16_recipe, v3_recipe
from repro.nano.ops import sigmoid
from repro.nano.training.mixed_precision import QuantizedWeight
from repro.nano.training.optimizer import AdamW, Recipe

TOKENS, UNITS, FEATURES, CONTEXTS = 4096, 8, 16, 8  # tokens of a batch: the length of a sum for a weight's gradient
LOUD_SIZE = 0.1  # of the loud token's features, which are spread by a factor of three around it
PEAK_LR, STEPS, EPS = 0.1, 60, 1e-30  # of 0.01, 0.03 and 0.1 the rate with which BF16 learns best
BITS, EVERY = 14, 128


def _summed(recipe: PrecisionRecipe, promote_every: int) -> PrecisionRecipe:
    return replace(recipe, accumulation=Accumulation(BITS, promote_every=promote_every))


# Scales of 128 elements force promotion, since each partial sum must be multiplied by its own. A scale for each row of
# all 4,096 tokens leaves the choice, and the last two schemes differ in nothing else.
SCHEMES: dict[str, PrecisionRecipe] = {
    name: replace(recipe, moments=FP32)
    for name, recipe in {
        "BF16": bf16_recipe(),
        "rows of 128, promoted (V3)": _summed(v3_recipe(), EVERY),
        "rows of 4,096, exact sums": v3_recipe(TOKENS),
        "rows of 4,096, promoted": _summed(v3_recipe(TOKENS), EVERY),
        "rows of 4,096, never promoted": _summed(v3_recipe(TOKENS), TOKENS),
    }.items()
}
Order = Literal["documents", "shuffled"]


@dataclass(frozen=True)
class SumsRun:
    """Training runs that differ only by seed."""

    scheme: str  #: a key of SCHEMES
    quiet_weight: float  #: of a context's loss; the loud token's counts 1
    order: Order = "documents"  #: "shuffled" mixes the tokens of both documents
    seeds: tuple[int, ...] = tuple(range(10))
    steps: int = STEPS


class Task(NamedTuple):
    """What a seed fixes; entry 0 is the loud token, whose label is not used."""

    features: Array  #: 0 or above, [1 + CONTEXTS, FEATURES]
    labels: IntArray  #: 0 or 1, [1 + CONTEXTS, UNITS]
    weight: Array  #: [UNITS, FEATURES], before training


class Batch(NamedTuple):
    """Two documents, one after the other, or shuffled."""

    contexts: IntArray  #: [TOKENS]
    targets: IntArray  #: 0 or 1, [TOKENS, UNITS]


def draw_task(rng: np.random.Generator) -> Task:
    """Draw features after ReLU, labels and weights."""
    features = np.maximum(rng.standard_normal((1 + CONTEXTS, FEATURES)), 0)
    features[0] = LOUD_SIZE * rng.uniform(0.5, 1.5, FEATURES)
    labels = rng.integers(0, 2, (1 + CONTEXTS, UNITS))
    return Task(features, labels, 1e-3 * rng.standard_normal((UNITS, FEATURES)))


def draw_batch(task: Task, rng: np.random.Generator, order: Order = "documents") -> Batch:
    """Draw two documents of equal length; half of the tokens of each are the loud one."""
    half = TOKENS // 2
    loud = np.concatenate([rng.permutation(half) % 2 == 0 for _ in range(2)])  # [TOKENS]
    contexts = np.where(loud, 0, rng.integers(1, 1 + CONTEXTS, TOKENS))
    kind = rng.integers(0, 2, UNITS)  # the first document's label of the loud token; the second has the other
    of_document = np.where(np.arange(TOKENS)[:, None] < half, kind, 1 - kind)  # [TOKENS, UNITS]
    targets = np.where(loud[:, None], of_document, task.labels[contexts])
    tokens = rng.permutation(TOKENS) if order == "shuffled" else np.arange(TOKENS)
    return Batch(contexts[tokens], targets[tokens])


def output_gradient(logits: Array, batch: Batch, quiet_weight: float) -> Array:
    """Return the gradient of the mean weighted loss by the logits: [TOKENS, UNITS] -> the same."""
    weights = np.where(batch.contexts == 0, 1.0, quiet_weight)[:, None]
    return (sigmoid(logits) - batch.targets) * weights / TOKENS


def weight_gradient(weight: QuantizedWeight, x: Array, d_logits: Array) -> Array:
    """Return the gradient of the weight, [UNITS, FEATURES], by the recipe's casts and sums."""
    return weight.product_backward(d_logits, weight.save_for_backward(x), None)[1]


def kept_share(weight: QuantizedWeight, x: Array, d_logits: Array, quiet: BoolArray) -> float:
    """Return how much of the quiet tokens' exact pull is in the recipe's sum: 1 is all of it, 0 is nothing.

    It is what the sum changes by when the quiet tokens are added, projected on their exact sum.
    """
    pull = (d_logits * quiet[:, None]).T @ x  # [UNITS, FEATURES]
    without = weight_gradient(weight, x, d_logits * ~quiet[:, None])
    change = weight_gradient(weight, x, d_logits) - without
    return float(np.vdot(change, pull) / np.vdot(pull, pull))


def first_products(seed: int, quiet_weight: float) -> tuple[Array, BoolArray]:
    """Return what each token adds to each weight's gradient in the first step, [TOKENS, weights], and who is quiet."""
    rng = np.random.default_rng(seed)
    task = draw_task(rng)
    batch = draw_batch(task, rng)
    x = task.features[batch.contexts]  # [TOKENS, FEATURES]
    d_logits = output_gradient(x @ task.weight.T, batch, quiet_weight)  # [TOKENS, UNITS]
    return (d_logits[:, :, None] * x[:, None]).reshape(TOKENS, -1), batch.contexts > 0


def predicted_kept_share(products: Array, quiet: BoolArray, promote_every: int, bits: int = BITS) -> float:
    """Return what `kept_share` measures, from exact running sums: each product keeps bits beside the sum it meets.

    Args:
        products: of each weight's gradient, in the order of the tokens, [N, weights].
        quiet: which tokens are quiet, [N].
        promote_every: products after which the running sum starts anew.
        bits: kept below the running sum's exponent.
    """
    parts = products.reshape(-1, promote_every, products.shape[-1])  # [sums, promote_every, weights]
    before = np.cumsum(parts, axis=1) - parts  # the running sum that each product meets
    largest = np.maximum(np.abs(before), np.abs(parts)).reshape(products.shape)  # [N, weights]
    last_bit = np.ldexp(1.0, np.frexp(largest)[1] - bits)
    kept = np.sum((np.trunc(products / last_bit) * last_bit)[quiet], axis=0)  # [weights]
    pull = np.sum(products[quiet], axis=0)
    return float(np.vdot(kept, pull) / np.vdot(pull, pull))


def measure_seed(run: SumsRun, seed: int) -> dict[str, float]:
    """Train one seed; return the losses of contexts and loud token, and what the first sum kept of the quiet pull."""
    if run.scheme not in SCHEMES:
        raise unknown_name("scheme", run.scheme, SCHEMES)
    recipe, rng, kept = SCHEMES[run.scheme], np.random.default_rng(seed), 0.0
    task = draw_task(rng)
    params = {"weight": task.weight}
    optimizer = AdamW(Recipe(run.steps, PEAK_LR, weight_decay=0, precision=recipe), eps=EPS)
    for step in range(run.steps):
        weight = QuantizedWeight.cast(params["weight"], recipe)
        batch = draw_batch(task, rng, run.order)
        x = task.features[batch.contexts]  # [TOKENS, FEATURES]
        d_logits = output_gradient(weight.product(x), batch, run.quiet_weight)
        if step == 0:
            kept = kept_share(weight, x, d_logits, batch.contexts > 0)
        optimizer.step(params, {"weight": weight_gradient(weight, x, d_logits)})
    logits = QuantizedWeight.cast(params["weight"], recipe).product(task.features)  # [1 + CONTEXTS, UNITS]
    return {**held_out_losses(logits, task), "kept_first": kept}


def held_out_losses(logits: Array, task: Task) -> dict[str, float]:
    """Return the mean loss in nats of all contexts, and the loud token's, whose label is a fair coin."""
    losses = np.logaddexp(0, np.where(task.labels == 1, -logits, logits))  # [1 + CONTEXTS, UNITS]
    coin = (np.logaddexp(0, logits[0]) + np.logaddexp(0, -logits[0])) / 2
    return {"quiet_loss": float(losses[1:].mean()), "loud_loss": float(coin.mean())}


def measure(run: SumsRun, trace: Trace) -> dict[str, Any]:
    """Train each seed and return the results of `measure_seed` as lists, in the seeds' order."""
    if run.order not in ("documents", "shuffled"):
        raise InputError(f"order = {run.order!r}: must be documents or shuffled")
    trace.steps_done = run.steps
    return list_by_result(measure_seed(run, seed) for seed in run.seeds)


WEIGHTS, SHUFFLED_WEIGHT = (1e-2, 1e-3, 1e-4), 1e-3
RUNS = (
    *(SumsRun(scheme, weight) for weight in WEIGHTS for scheme in SCHEMES),
    *(SumsRun(scheme, SHUFFLED_WEIGHT, order="shuffled") for scheme in SCHEMES),
)
# At three weights, and once shuffled: never promoted minus promoted, promoted minus exact, exact minus BF16, V3 minus
# BF16. The smallest effect is a tenth of chance, ln 2; the spread is the largest between pilot seeds at weights from
# 1e-4 to 1e-2.
PLANS = (Plan("quiet_loss", "nats", smallest_effect=0.07, pilot_sd=0.036, seeds=10, comparisons=16),)
STUDY = Study("long_sums", RUNS, measure, PLANS)
