"""The study of balancing: one small model, trained with each way of keeping experts evenly loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.experiments.record import Study
from repro.experiments.texts import BATCH, HELD_OUT_BATCHES, SEEDS, held_out_texts, training_texts
from repro.experiments.watch import Trace, follow
from repro.nano import Model, Recipe, init_model, small_config, train
from repro.nano.balance import (
    Balance,
    count_choices,
    group_load,
    idle_fraction,
    loss_free,
    max_violation,
    specialisation_bits,
    v2_losses,
)
from repro.nano.gate import Routing
from repro.nano.ops import cross_entropy
from repro.nano.training.toy_data import DOMAINS

N_GROUPS, TOP_GROUPS = 4, 2  # devices of four experts each, of which a token reaches at most two
HELD_OUT_SEED = 1_000_000
CAPACITY = 1.0  # that V2 drops at

METHODS = {
    "none": lambda _: None,
    "V2's three losses": v2_losses,
    "sequence-wise loss": lambda weight: Balance(expert=weight),
    "batch-wise loss": lambda weight: Balance(expert=weight, scope="batch"),
    "loss-free": lambda speed: loss_free(speed),
    "biases alone": lambda speed: Balance(bias_speed=speed),
}


@dataclass(frozen=True)
class BalancingRun:
    """One training run.

    method: a key of METHODS. strength: what V2's weights are multiplied by, the weight of a loss, or the speed of
    biases. seed: of weights and texts. steps: of training. dropping: whether groups drop what exceeds their capacity
    while training. keep_loads: whether the trace holds tokens per expert.
    """

    method: str
    strength: float = 0.0
    seed: int = 0
    steps: int = 500
    dropping: bool = False
    keep_loads: bool = False


def model(run: BalancingRun) -> Model:
    """Return the untrained model: MLA, a dense layer and two of 16 experts in four groups, V3's gate, in float64.

    Raises: InputError for an unknown method.
    """
    if run.method not in METHODS:
        raise InputError(f"method = {run.method!r}: must be one of: {', '.join(METHODS)}")
    config = small_config(n_layers=3)
    capacity = CAPACITY if run.dropping else None
    gate = replace(config.gate, n_group=N_GROUPS, topk_group=TOP_GROUPS, capacity_factor=capacity)
    return init_model(replace(config, gate=gate), seed=run.seed, dtype=np.float64)


def train_run(run: BalancingRun, trace: Trace) -> Model:
    """Return the model after training, its trace filled.

    Raises: Diverged where the run cannot go on.
    """
    learner = model(run)
    recipe = Recipe(run.steps, balance=METHODS[run.method](run.strength))
    follow(train(learner, training_texts(run.seed), recipe), trace)
    return learner


def measure(run: BalancingRun, trace: Trace) -> dict[str, Any]:
    """Train, then measure loss, imbalance and specialisation on texts that were not trained on."""
    return observe(train_run(run, trace))


def with_capacity(learner: Model, capacity_factor: float | None) -> Model:
    """Return the same weights behind a gate that drops at a capacity, or at none."""
    gate = replace(learner.config.gate, capacity_factor=capacity_factor)
    return replace(learner, config=replace(learner.config, gate=gate))


def observe(learner: Model, n_batches: int = HELD_OUT_BATCHES) -> dict[str, Any]:
    """Return what a trained model does on held-out texts: plain numbers, lists by gate.

    Returns: "loss" in nats, and "loss_dropping" where groups drop at capacity 1; "dropped", the share of pairs that
        would be; MaxVio "global", over a "batch", over a "sequence", of "device", means over gates; "max_violation_of",
        MaxVio on each domain alone; "idle" experts as a share; "specialisation_bits"; "loads" [gates, domains, E].
    """
    texts = held_out_texts(HELD_OUT_SEED, n_batches)
    free, limited = with_capacity(learner, None), with_capacity(learner, CAPACITY)
    routed = [free.routings(one[:, :-1]) for one in texts]  # [batches][gates]
    gates = range(len(routed[0]))
    by_sequence = np.array([[_by_sequence(one[g]) for one in routed] for g in gates])  # [gates, batches, B, E]
    by_domain = by_sequence.reshape(len(gates), -1, len(DOMAINS), by_sequence.shape[-1]).sum(axis=1)
    whole = by_domain.sum(axis=1)  # [gates, E]
    kept = [one.kept for text in texts for one in limited.routings(text[:, :-1])]
    return {
        "loss": mean_loss(free, texts),
        "loss_dropping": mean_loss(limited, texts),
        "dropped": float(1 - np.mean([np.mean(one) if one is not None else 1.0 for one in kept])),
        "global": float(max_violation(whole).mean()),
        "batch": float(max_violation(by_sequence.sum(axis=2)).mean()),
        "sequence": float(max_violation(by_sequence).mean()),
        "device": float(max_violation(group_load(whole, N_GROUPS)).mean()),
        "max_violation_of": dict(zip(DOMAINS, max_violation(by_domain).mean(axis=0).tolist(), strict=True)),
        "idle": float(idle_fraction(whole).mean()),
        "specialisation_bits": float(np.mean([specialisation_bits(one) for one in by_domain])),
        "loads": by_domain.tolist(),
    }


def mean_loss(learner: Model, texts: list[Array]) -> float:
    """Return the mean cross-entropy over batches, each through the model on its own as dropping needs it, in nats."""
    return float(np.mean([cross_entropy(learner.forward(one[:, :-1]), one[:, 1:])[0] for one in texts]))


def _by_sequence(routing: Routing) -> Array:
    """Return the tokens that chose each expert, by sequence: [BATCH, E]."""
    return count_choices(routing.experts, routing.scores.shape[1], BATCH)


def all_runs() -> Iterator[BalancingRun]:
    """Yield every run of the study; those of the first seed keep their loads over time."""
    strengths = {
        "none": [0.0],
        "V2's three losses": [1.0, 10.0, 100.0],
        "sequence-wise loss": [1e-3, 1e-2, 1e-1, 1.0, 10.0],
        "batch-wise loss": [1e-3, 1e-2, 1e-1, 1.0, 10.0],
        "loss-free": [1e-4, 1e-3, 1e-2, 1e-1],
        "biases alone": [1e-3],
    }
    settings = [(method, strength, False) for method, listed in strengths.items() for strength in listed]
    settings += [("none", 0.0, True), ("V2's three losses", 1.0, True)]
    for seed in SEEDS:
        for method, strength, dropping in settings:
            yield BalancingRun(method, strength, seed, dropping=dropping, keep_loads=seed == 0)


STUDY = Study("balancing", tuple(all_runs()), measure)
