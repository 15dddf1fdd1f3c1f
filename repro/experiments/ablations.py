"""The study of ablations: models of equal FLOPs per token that differ in one part, experts or attention."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.calc import flops, param_count
from repro.errors import InputError
from repro.experiments.record import Study
from repro.experiments.texts import LENGTH, SEEDS, held_out_texts, training_texts
from repro.experiments.watch import Trace, follow
from repro.models.architecture import Architecture, GatedFeedForward
from repro.nano import Config, Model, Recipe, init_model, small_config, train
from repro.nano.balance import loss_free, max_violation
from repro.nano.ops import cross_entropy
from repro.nano.training.toy_data import DOMAINS

HELD_OUT_SEED = 2_000_000

# Width of experts that a token passes: 128 in all, of 512; a quarter of it shared where there is a shared expert.
BASE = {"n_routed_experts": 15, "n_shared_experts": 1, "top_k": 3, "d_expert": 32, "d_ff": 128}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "MLA, 3 of 15 experts and a shared one": ("MLA", BASE),
    "dense": ("MLA", {"gate": None, "d_ff": 128}),
    "no shared: 4 of 16": ("MLA", BASE | {"n_routed_experts": 16, "n_shared_experts": 0, "top_k": 4}),
    "no shared, coarse: 2 of 8": (
        "MLA",
        BASE | {"n_routed_experts": 8, "n_shared_experts": 0, "top_k": 2, "d_expert": 64},
    ),
    "no shared, fine: 8 of 32": (
        "MLA",
        BASE | {"n_routed_experts": 32, "n_shared_experts": 0, "top_k": 8, "d_expert": 16},
    ),
    "no shared, finer: 16 of 64": (
        "MLA",
        BASE | {"n_routed_experts": 64, "n_shared_experts": 0, "top_k": 16, "d_expert": 8},
    ),
    "MHA": ("MHA", BASE),
    "GQA, 2 groups": ("GQA", BASE),
    "MQA": ("MQA", BASE),
}
FIRST = next(iter(VARIANTS))


@dataclass(frozen=True)
class AblationRun:
    """One training run: a key of VARIANTS, the seed of weights and texts, and steps of training."""

    variant: str
    seed: int = 0
    steps: int = 800


def flop_per_token(arch: Architecture) -> float:
    """Return the FLOP of a token's forward pass: matrix products with parameters, and causal attention over 64."""
    return flops.counted_flop_per_token(
        arch, LENGTH - 1, causal=True, mtp_counted=False, flop_per_parameter_per_token=2
    )


def config(variant: str) -> Config:
    """Return a variant's configuration, its dense feed-forward as wide as makes its FLOPs nearest to the first one's.

    Raises: InputError for an unknown variant.
    """
    if variant not in VARIANTS:
        raise InputError(f"variant = {variant!r}: must be one of: {'; '.join(VARIANTS)}")
    attention, sizes = VARIANTS[variant]
    found, target = small_config(attention, **sizes), flop_per_token(small_config("MLA", **BASE).arch)
    per_unit = flop_per_token(_widened(found, 1).arch) - flop_per_token(found.arch)
    return _widened(found, round((target - flop_per_token(found.arch)) / per_unit))


def _widened(one: Config, units: int) -> Config:
    arch = one.arch
    return replace(one, arch=replace(arch, dense=GatedFeedForward(arch.dense.d_ff + units)))


def train_run(run: AblationRun, trace: Trace) -> Model:
    """Return the trained model, its experts balanced as V3 balances them.

    Raises: Diverged where the run cannot go on.
    """
    own = config(run.variant)
    learner = init_model(own, seed=run.seed, dtype=np.float64)
    balance = loss_free() if own.arch.experts else None
    follow(train(learner, training_texts(run.seed), Recipe(run.steps, balance=balance)), trace)
    return learner


def measure(run: AblationRun, trace: Trace) -> dict[str, Any]:
    """Train, then measure the loss on held-out texts; sizes and the cache are read off the model itself."""
    learner = train_run(run, trace)
    return {**sizes(learner), **losses(learner, np.concatenate(held_out_texts(HELD_OUT_SEED)))}


def sizes(learner: Model) -> dict[str, float]:
    """Return what a model costs: parameters, FLOP per token, elements and bytes of cache per token, measured."""
    arch, caches = learner.config.arch, learner.new_caches(1, LENGTH)
    cache_bytes = sum(one.bytes_per_token for one in caches)
    return {
        "parameters": param_count.total_parameters(arch),
        "flop_per_token": flop_per_token(arch),
        "cache_bytes_per_token": cache_bytes,
        "cache_elements_per_token": cache_bytes / learner.dtype.itemsize,
    }


def losses(learner: Model, held: Array) -> dict[str, Any]:
    """Return the loss on texts [B, T + 1], in all and by domain, in nats, and the imbalance of experts."""
    inputs, targets = held[:, :-1], held[:, 1:]
    routed = learner.routings(inputs)
    logits = learner.forward(inputs)
    domain = np.arange(len(held)) % len(DOMAINS)
    return {
        "loss": cross_entropy(logits, targets)[0],
        "loss_by_domain": [cross_entropy(logits[domain == d], targets[domain == d])[0] for d in range(len(DOMAINS))],
        "max_violation": float(np.mean([max_violation(one.load) for one in routed])) if routed else 0.0,
    }


def all_runs() -> Iterator[AblationRun]:
    """Yield every run of the study."""
    for seed in SEEDS:
        for variant in VARIANTS:
            yield AblationRun(variant, seed)


STUDY = Study("ablations", tuple(all_runs()), measure)
