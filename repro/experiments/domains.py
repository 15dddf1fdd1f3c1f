"""The task of the studies of experts: a teacher with domains, and one MoE layer that learns from it.

The teacher is a set of small random networks, one per domain, which all read the same kind of input. A sequence
belongs to one domain, and each token tells it by an embedding. Whoever looks at inputs alone cannot tell domains apart;
an expert that serves one domain has a small problem, an expert that serves all of them a large one. So specialising by
domain pays, and whatever keeps a gate from it costs error. A part of the teacher can be common to all domains.

Shapes: S sequences, L tokens of each, N = S · L; D domains, E routed experts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from repro.arrays import Array, IntArray
from repro.errors import InputError
from repro.models.architecture import MixtureOfExperts
from repro.nano.balance import (
    auxiliary_loss,
    count_choices,
    idle_fraction,
    max_violation,
    specialisation_bits,
    update_biases,
)
from repro.nano.gate import Gate
from repro.nano.model import Loss
from repro.nano.moe import moe, moe_backward
from repro.nano.ops import Params
from repro.nano.training.loop import TrainingDiverged, TrainStep
from repro.nano.training.optimizer import AdamW, Recipe
from repro.validate import check_integer, check_number

GATE_SCALE = 0.1  # standard deviation of the gate's weights at the start
SCALE_TOKENS = 4096  # from which the variance of a teacher's network is estimated
HELD_OUT_BATCHES = 8
HELD_OUT_SEED = 1_000_000  # [seed, this] draws what is measured on, [seed, 2] what is trained on


@dataclass(frozen=True)
class Task:
    """How many domains there are, what they and their tokens share, how often each occurs, and the size of a batch."""

    n_domains: int = 8
    d_teacher: int = 12  #: hidden width of each network of the teacher
    common_share: float = 0.0  #: share of the teacher's variance that one network common to all domains gives
    popularity: float = 0.0  #: exponent a: domain k, from 1, occurs in proportion to 1 / kᵃ; 0 for equally often
    offset: float = 0.0  #: added to every number of all embeddings: what all tokens have in common
    n_sequences: int = 32  #: in a batch
    length: int = 32  #: tokens of a sequence
    d_input: int = 16  #: width of inputs and outputs
    d_domain: int = 8  #: width of a domain's embedding

    def __post_init__(self) -> None:
        for name in ("n_domains", "d_teacher", "n_sequences", "length", "d_input", "d_domain"):
            check_integer(name, getattr(self, name))
        check_number("popularity", self.popularity)
        check_number("offset", self.offset)
        check_number("common_share", self.common_share)
        if self.common_share > 1:
            raise InputError(f"common_share = {self.common_share:g}: must be from 0 to 1")

    @property
    def d_model(self) -> int:
        """Width of what a layer reads: the input, then the domain's embedding."""
        return self.d_input + self.d_domain

    @property
    def frequencies(self) -> Array:
        """The share of sequences that belong to each domain: [D]."""
        weights = 1 / np.arange(1, self.n_domains + 1) ** self.popularity  # [D]
        return weights / weights.sum()


class Batch(NamedTuple):
    """Tokens, sequence after sequence, with what the teacher says of them."""

    x: Array  #: [N, d_model]
    y: Array  #: [N, d_input]
    domains: IntArray  #: [S], of each sequence


class Network(NamedTuple):
    """One network of the teacher, or a stack of them: down tanh(up x), with outputs of mean 0 and variance 1."""

    up: Array  #: [..., d_teacher, d_input]
    down: Array  #: [..., d_input, d_teacher]

    def outputs(self, x: Array) -> Array:
        """Return what it makes of inputs: [..., L, d_input] -> [..., L, d_input]."""
        return np.tanh(x @ self.up.swapaxes(-1, -2)) @ self.down.swapaxes(-1, -2)


@dataclass(frozen=True)
class Teacher:
    """The networks of all domains, the common one, and the embeddings that name domains."""

    task: Task
    networks: Network  #: stacked: [D, d_teacher, d_input] and [D, d_input, d_teacher]
    common: Network
    embeddings: Array  #: [D, d_domain]

    def batch(self, rng: np.random.Generator) -> Batch:
        """Return a batch whose domains have their shares of the sequences, to within one sequence."""
        task = self.task
        places = (np.arange(task.n_sequences) + rng.random()) / task.n_sequences  # [S], evenly spaced in [0, 1)
        domains = np.searchsorted(np.cumsum(task.frequencies)[:-1], places, side="right")  # [S]
        inputs = rng.standard_normal((task.n_sequences, task.length, task.d_input))  # [S, L, d_input]
        embeddings = np.repeat(self.embeddings[domains][:, None], task.length, axis=1)  # [S, L, d_domain]
        x = np.concatenate([inputs, embeddings], axis=2).reshape(-1, task.d_model)  # [N, d_model]
        return Batch(x, self.outputs(inputs, domains).reshape(-1, task.d_input), domains)

    def outputs(self, inputs: Array, domains: IntArray) -> Array:
        """Return what it says: inputs [S, L, d_input] and domains [S] -> [S, L, d_input], of variance 1."""
        own = Network(self.networks.up[domains], self.networks.down[domains]).outputs(inputs)  # [S, L, d_input]
        if not self.task.common_share:
            return own
        share = self.task.common_share
        return np.sqrt(1 - share) * own + np.sqrt(share) * self.common.outputs(inputs)


def draw_teacher(task: Task, seed: int) -> Teacher:
    """Return a random teacher; its networks do not depend on `common_share`, `popularity` or `offset`."""
    rng = np.random.default_rng([seed, 0])
    common, *networks = (_draw_network(task, rng) for _ in range(1 + task.n_domains))
    embeddings = task.offset + rng.standard_normal((task.n_domains, task.d_domain))  # [D, d_domain]
    return Teacher(task, Network(*map(np.stack, zip(*networks, strict=True))), common, embeddings)


def _draw_network(task: Task, rng: np.random.Generator) -> Network:
    up = rng.standard_normal((task.d_teacher, task.d_input)) * 1.5 / np.sqrt(task.d_input)
    down = rng.standard_normal((task.d_input, task.d_teacher))
    outputs = Network(up, down).outputs(rng.standard_normal((SCALE_TOKENS, task.d_input)))
    return Network(up, down / outputs.std())


@dataclass(frozen=True)
class Layer:
    """One MoE layer of repro.nano, which learns from a teacher."""

    experts: MixtureOfExperts
    gate: Gate
    params: Params  #: of `moe`, changed in place by training
    gate_columns: Array = field(repr=False)  #: [d_model], 1 where the gate reads the token, 0 where it does not

    @property
    def model(self) -> Params:
        """The parameters as those of a model with this one layer, which balancing and optimiser expect."""
        return {"layers": [{"mlp": self.params}], "mtp": []}


Sees = Literal["all", "input", "domain"]


def init_layer(task: Task, experts: MixtureOfExperts, gate: Gate, seed: int, *, gate_sees: Sees = "all") -> Layer:
    """Return an untrained layer, in float64.

    Args:
        task: sets the width of tokens.
        experts: numbers and widths; with `correction_bias` for a gate whose biases are to move.
        gate: how experts are chosen and weighed.
        seed: of the weights.
        gate_sees: what of a token the gate may read: all of it, its input without the domain, or the domain alone.
    """
    if gate_sees not in ("all", "input", "domain"):
        raise InputError(f"gate_sees = {gate_sees!r}: must be all, input or domain")
    gate.check(experts.n_routed_experts, experts.top_k)
    rng, d = np.random.default_rng([seed, 1]), task.d_model
    columns = np.repeat([float(gate_sees != "domain"), float(gate_sees != "input")], [task.d_input, task.d_domain])
    p: Params = {"gate": {"weight": rng.standard_normal((experts.n_routed_experts, d)) * GATE_SCALE * columns}}
    if experts.correction_bias:
        p["gate"]["e_score_correction_bias"] = np.zeros(experts.n_routed_experts)
    p["experts"] = _draw_experts(rng, (experts.n_routed_experts,), experts.d_expert, d)
    if experts.n_shared_experts:
        p["shared_experts"] = _draw_experts(rng, (), experts.n_shared_experts * experts.d_expert, d)
    return Layer(experts, gate, p, columns)


def _draw_experts(rng: np.random.Generator, count: tuple[int, ...], width: int, d_model: int) -> Params:
    return {
        "gate_up_proj": rng.standard_normal((*count, 2 * width, d_model)) / np.sqrt(d_model),
        "down_proj": rng.standard_normal((*count, d_model, width)) / np.sqrt(width),
    }


def gradients(layer: Layer, batch: Batch, recipe: Recipe) -> tuple[Loss, Params]:
    """Return the mean squared error with the balancing loss, and the gradients of the layer's parameters."""
    y, saved = moe(batch.x, layer.params, layer.experts, layer.gate)  # [N, d_model]
    width = batch.y.shape[1]
    error = y[:, :width] - batch.y  # [N, d_input]; what the layer says beyond the teacher's width is not used
    d_y = np.zeros_like(y)  # [N, d_model]
    d_y[:, :width] = 2 * error / error.size
    added, d_scores = 0.0, None
    if recipe.balance is not None and recipe.balance.has_loss:
        added, d_scores = auxiliary_loss(saved.routing, recipe.balance, layer.gate, len(batch.domains))
    _, found = moe_backward(d_y, layer.params, layer.gate, saved, d_scores=d_scores)
    found["gate"]["weight"] *= layer.gate_columns
    return Loss(float(np.mean(error**2)), balance=added, loads=(saved.routing.load,)), found


def train(layer: Layer, teacher: Teacher, recipe: Recipe, seed: int) -> Iterator[TrainStep]:
    """Train a layer in place, one step whenever the caller asks for the next report.

    The loss is the mean squared error, which is 1 for an output of 0 since the teacher's variance is 1. Of the recipe
    it uses steps, learning rates, Adam's numbers and balance.

    Raises:
        TrainingDiverged: if the loss is NaN or infinite; parameters are then those before the step.
    """
    rng, optimizer = np.random.default_rng([seed, 2]), AdamW(recipe)
    for number in range(recipe.steps):
        loss, found = gradients(layer, teacher.batch(rng), recipe)
        if not np.isfinite(loss.total):
            raise TrainingDiverged(number, f"loss {loss.total}")
        optimizer.step(layer.params, found)
        if recipe.balance is not None and recipe.balance.bias_speed:
            update_biases(layer.model, loss.loads, recipe.balance.bias_speed)
        yield TrainStep(number, loss, float("nan"))


def measure(layer: Layer, teacher: Teacher, seed: int, n_batches: int = HELD_OUT_BATCHES) -> dict[str, Any]:
    """Return what a layer does on held-out tokens, in plain numbers.

    Errors are mean squares of what is wrong relative to the variance of what is right; MaxVio is over all tokens, and
    the mean of that of each batch and sequence; `loads` are tokens by domain and expert, [D, E].
    """
    rng, task = np.random.default_rng([seed, HELD_OUT_SEED]), teacher.task
    wrong, right, of_sequence, of_domain, kept = [], [], [], [], []
    for batch in (teacher.batch(rng) for _ in range(n_batches)):
        y, saved = moe(batch.x, layer.params, layer.experts, layer.gate, save=False)
        wrong.append(_by_sequence((y[:, : task.d_input] - batch.y) ** 2, task))
        right.append(_by_sequence(batch.y**2, task))
        of_sequence.append(count_choices(saved.routing.experts, layer.experts.n_routed_experts, task.n_sequences))
        of_domain.append(batch.domains)
        kept.append(1.0 if saved.routing.kept is None else float(np.mean(saved.routing.kept)))
    loads = np.array(of_sequence)  # [batches, S, E]
    domains = [np.array(of_domain) == domain for domain in range(task.n_domains)]  # of each: [batches, S]
    by_domain = np.array([loads[own].sum(axis=0) for own in domains])  # [D, E]
    load = by_domain.sum(axis=0)  # [E]
    return {
        "error": float(np.sum(wrong) / np.sum(right)),
        "error_by_domain": [float(np.array(wrong)[own].sum() / np.array(right)[own].sum()) for own in domains],
        "global": float(max_violation(load)),
        "batch": float(max_violation(loads.sum(axis=1)).mean()),
        "sequence": float(max_violation(loads).mean()),
        "idle": float(idle_fraction(load)),
        "dropped": float(1 - np.mean(kept)),
        "specialisation_bits": specialisation_bits(by_domain),
        "loads": by_domain.tolist(),
    }


def _by_sequence(values: Array, task: Task) -> Array:
    """Return the sums over each sequence: [N, d_input] -> [S]."""
    return values.reshape(task.n_sequences, -1).sum(axis=1)
