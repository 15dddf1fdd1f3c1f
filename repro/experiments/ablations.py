"""The study of ablations: what do fine-grained experts, a shared expert and latent attention each change?

Design: models with equal FLOPs per token that differ in one part, experts or attention; a dense feed-forward layer
takes up what is left of the FLOPs. All train alike, on the same texts, over five seeds.
Measured: loss on held-out texts, in all and by domain; imbalance of experts; parameters and cache per token.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from repro.arrays import IntArray
from repro.calc import param_count
from repro.calc.flops import counted_flop_per_token
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


class Variant(NamedTuple):
    """Attention and experts of a model; a token passes experts of width 128 in all, of 512, a quarter of it shared."""

    attention: Literal["MLA", "MHA", "GQA", "MQA"] = "MLA"
    n_routed_experts: int = 15
    n_shared_experts: int = 1
    top_k: int = 3
    d_expert: int = 32
    gate: Literal["V3"] | None = "V3"  #: without a gate the model is dense


VARIANTS = {
    "MLA, 3 of 15 experts and a shared one": Variant(),
    "dense": Variant(gate=None),
    "no shared: 4 of 16": Variant("MLA", 16, 0, 4, 32),
    "no shared, coarse: 2 of 8": Variant("MLA", 8, 0, 2, 64),
    "no shared, fine: 8 of 32": Variant("MLA", 32, 0, 8, 16),
    "no shared, finer: 16 of 64": Variant("MLA", 64, 0, 16, 8),
    "MHA": Variant("MHA"),
    "GQA, 2 groups": Variant("GQA"),
    "MQA": Variant("MQA"),
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
    return counted_flop_per_token(arch, LENGTH - 1, causal=True, mtp_counted=False, flop_per_parameter_per_token=2)


def config(variant: str) -> Config:
    """Return a variant's configuration, dense layers as wide as brings its FLOPs nearest to the first variant's."""
    if variant not in VARIANTS:
        raise InputError(f"variant = {variant!r}: must be one of: {'; '.join(VARIANTS)}")
    unfitted, target = (small_config(**VARIANTS[name]._asdict(), d_ff=128) for name in (variant, FIRST))
    flop, target_flop = flop_per_token(unfitted.arch), flop_per_token(target.arch)
    flop_per_unit = flop_per_token(_widened(unfitted, 1).arch) - flop
    return _widened(unfitted, round((target_flop - flop) / flop_per_unit))


def _widened(config: Config, units: int) -> Config:
    return replace(config, arch=replace(config.arch, dense=GatedFeedForward(config.arch.dense.d_ff + units)))


def train_run(run: AblationRun, trace: Trace) -> Model:
    """Return the trained model, its experts balanced as V3 balances them."""
    model = init_model(config(run.variant), seed=run.seed, dtype=np.float64)
    balance = loss_free() if model.config.arch.experts else None
    follow(train(model, training_texts(run.seed), Recipe(run.steps, balance=balance)), trace)
    return model


def measure(run: AblationRun, trace: Trace) -> dict[str, Any]:
    """Train, then measure sizes, and losses on held-out texts."""
    model = train_run(run, trace)
    return {**sizes(model), **losses(model, np.concatenate(held_out_texts(HELD_OUT_SEED)))}


def sizes(model: Model) -> dict[str, float]:
    """Return what a model costs: parameters, FLOP per token, and the cache per token, read off a real cache."""
    arch = model.config.arch
    cache_bytes = sum(cache.bytes_per_token for cache in model.new_caches(1, LENGTH))
    return {
        "parameters": param_count.total_parameters(arch),
        "flop_per_token": flop_per_token(arch),
        "cache_bytes_per_token": cache_bytes,
        "cache_elements_per_token": cache_bytes / model.dtype.itemsize,
    }


def losses(model: Model, texts: IntArray) -> dict[str, Any]:
    """Return the loss on texts [B, T + 1], in all and by domain, in nats, and the imbalance of experts."""
    inputs, targets = texts[:, :-1], texts[:, 1:]  # [B, T]
    routings, logits = model.routings(inputs), model.forward(inputs)  # logits [B, T, V]
    domain = np.arange(len(texts)) % len(DOMAINS)  # [B]
    return {
        "loss": cross_entropy(logits, targets)[0],
        "loss_by_domain": [cross_entropy(logits[domain == d], targets[domain == d])[0] for d in range(len(DOMAINS))],
        "max_violation": float(np.mean([max_violation(routing.load) for routing in routings])) if routings else 0.0,
    }


RUNS = tuple(AblationRun(variant, seed) for seed in SEEDS for variant in VARIANTS)
STUDY = Study("ablations", RUNS, measure)
