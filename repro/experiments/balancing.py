"""The study of balancing: what does each way of loading experts evenly cost in loss, and in specialisation?

Design: one small model behind V3's gate, trained without balancing, with V2's three losses, a sequence-wise or a
batch-wise loss, and V3's biases; each at several strengths, over five seeds; two of them with V2's token dropping too.
Measured: loss on held-out texts, MaxVio over several scopes, idle experts, how far experts specialise by domain.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from repro.arrays import IntArray
from repro.errors import InputError
from repro.experiments.record import Study
from repro.experiments.texts import BATCH, HELD_OUT_BATCHES, SEEDS, held_out_texts, training_texts
from repro.experiments.watch import Trace, follow
from repro.nano import Config, Model, Recipe, balance, evaluate, init_model, small_config, train
from repro.nano.balance import Balance, max_violation
from repro.nano.gate import Routing
from repro.nano.training.toy_data import DOMAINS

N_GROUPS, TOPK_GROUP = 4, 2  # devices of four experts each, of which a token reaches at most two
HELD_OUT_SEED = 1_000_000
CAPACITY = 1.0  # V2's, in even shares

METHODS: dict[str, Callable[[float], Balance | None]] = {
    "none": lambda _: None,
    "V2's three losses": balance.v2_losses,
    "sequence-wise loss": lambda weight: Balance(expert=weight),
    "batch-wise loss": lambda weight: Balance(expert=weight, scope="batch"),
    "loss-free": balance.loss_free,
    "biases alone": lambda speed: Balance(bias_speed=speed),
}


@dataclass(frozen=True)
class BalancingRun:
    """One training run."""

    method: str  #: a key of METHODS
    strength: float = 0.0  #: factor of V2's weights, weight of a loss, or speed of biases
    seed: int = 0  #: of weights and texts
    steps: int = 500
    dropping: bool = False  #: whether groups drop what exceeds their capacity while training
    keep_loads: bool = False  #: whether the trace holds tokens per expert


def build_model(run: BalancingRun) -> Model:
    """Return the untrained model, in float64."""
    if run.method not in METHODS:
        raise InputError(f"method = {run.method!r}: must be one of: {', '.join(METHODS)}")
    capacity = CAPACITY if run.dropping else None
    config = _with_gate(small_config(n_layers=3), n_group=N_GROUPS, topk_group=TOPK_GROUP, capacity_factor=capacity)
    return init_model(config, seed=run.seed, dtype=np.float64)


def train_run(run: BalancingRun, trace: Trace) -> Model:
    """Return the model after training, its trace filled."""
    model, recipe = build_model(run), Recipe(run.steps, balance=METHODS[run.method](run.strength))
    follow(train(model, training_texts(run.seed), recipe), trace)
    return model


def measure(run: BalancingRun, trace: Trace) -> dict[str, Any]:
    """Train, then measure loss, imbalance and specialisation on held-out texts."""
    return observe(train_run(run, trace))


def with_capacity(model: Model, capacity_factor: float | None) -> Model:
    """Return the same weights behind a gate that drops above a capacity, or drops nothing."""
    return replace(model, config=_with_gate(model.config, capacity_factor=capacity_factor))


def _with_gate(config: Config, **changes: Any) -> Config:
    assert config.gate is not None
    return replace(config, gate=replace(config.gate, **changes))


def observe(model: Model, n_batches: int = HELD_OUT_BATCHES) -> dict[str, Any]:
    """Return what a trained model does on held-out texts, in plain numbers, those of experts as means over gates."""
    texts = held_out_texts(HELD_OUT_SEED, n_batches)
    free, limited = with_capacity(model, None), with_capacity(model, CAPACITY)
    loads = np.stack([_by_sequence(free.routings(text[:, :-1])) for text in texts], axis=1)  # [gates, batches, B, E]
    by_domain = loads.reshape(len(loads), -1, len(DOMAINS), loads.shape[-1]).sum(axis=1)  # [gates, domains, E]
    load = by_domain.sum(axis=1)  # [gates, E]
    kept = [routing.kept for text in texts for routing in limited.routings(text[:, :-1])]
    return {
        "loss": mean_loss(free, texts),
        "loss_dropping": mean_loss(limited, texts),  # if groups drop at capacity 1, and the share of pairs dropped then
        "dropped": float(1 - np.mean([1.0 if mask is None else np.mean(mask) for mask in kept])),
        "global": float(max_violation(load).mean()),  # MaxVio over all texts; then of a batch, a sequence, a device
        "batch": float(max_violation(loads.sum(axis=2)).mean()),
        "sequence": float(max_violation(loads).mean()),
        "device": float(max_violation(balance.group_load(load, N_GROUPS)).mean()),
        "max_violation_of": dict(zip(DOMAINS, max_violation(by_domain).mean(axis=0).tolist(), strict=True)),
        "idle": float(balance.idle_fraction(load).mean()),  # share of experts
        "specialisation_bits": float(np.mean([balance.specialisation_bits(gate) for gate in by_domain])),
        "loads": by_domain.tolist(),  # [gates, domains, E]
    }


def mean_loss(model: Model, texts: list[IntArray]) -> float:
    """Return the mean cross-entropy in nats over batches, each on its own since dropping depends on the batch."""
    return float(np.mean([evaluate(model, text) for text in texts]))


def _by_sequence(gates: list[Routing]) -> IntArray:
    """Return the tokens that chose each expert, by gate and sequence: [gates, BATCH, E]."""
    return np.array([balance.count_choices(gate.experts, gate.scores.shape[1], BATCH) for gate in gates])


STRENGTHS = {
    "none": [0.0],
    "V2's three losses": [1.0, 10.0, 100.0],
    "sequence-wise loss": [1e-3, 1e-2, 1e-1, 1.0, 10.0],
    "batch-wise loss": [1e-3, 1e-2, 1e-1, 1.0, 10.0],
    "loss-free": [1e-4, 1e-3, 1e-2, 1e-1],
    "biases alone": [1e-3],
}
SETTINGS = [(method, strength, False) for method, strengths in STRENGTHS.items() for strength in strengths]
SETTINGS += [("none", 0.0, True), ("V2's three losses", 1.0, True)]
RUNS = tuple(
    BalancingRun(method, strength, seed, dropping=dropping, keep_loads=seed == 0)
    for seed in SEEDS
    for method, strength, dropping in SETTINGS
)
STUDY = Study("balancing", RUNS, measure)
