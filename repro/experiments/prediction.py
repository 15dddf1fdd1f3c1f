"""The study of multi-token prediction: does a module that predicts one token more lower the main loss, and draft well?

Design: one small model, trained without a module and with one at three weights λ of its loss, over five seeds; then
the module drafts for speculative decoding, greedily and by sampling, after the same prompts of each domain.
Measured: loss of model and module on held-out texts, the share of drafts accepted, tokens per step of the main model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from repro.calc import flops
from repro.experiments.record import Study
from repro.experiments.texts import SEEDS, held_out_texts, training_texts
from repro.experiments.watch import Trace, follow
from repro.models.architecture import Architecture
from repro.nano import Model, Recipe, evaluate, init_model, small_config, train
from repro.nano.balance import loss_free
from repro.nano.ops import cross_entropy
from repro.nano.serving.speculative import SpeculativeResult, speculative_decode
from repro.nano.training.toy_data import DOMAINS, sample_text

HELD_OUT_SEED = 3_000_000
PROMPT, COUNT = 16, 48  # tokens of a prompt, and tokens to add
PROMPTS = 8  # of each domain
TEMPERATURES = {"greedy": 0.0, "sampled": 1.0}


@dataclass(frozen=True)
class PredictionRun:
    """One training run: λ of the module's loss, 0 for no module; seed of weights and texts; steps of training."""

    mtp_weight: float = 0.3
    seed: int = 0
    steps: int = 800


def train_run(run: PredictionRun, trace: Trace) -> Model:
    """Return the trained model, MLA and experts balanced as V3 balances them, in float64."""
    model = init_model(small_config(n_mtp_modules=int(run.mtp_weight > 0)), seed=run.seed, dtype=np.float64)
    recipe = Recipe(run.steps, mtp_weight=run.mtp_weight, balance=loss_free())
    follow(train(model, training_texts(run.seed), recipe), trace)
    return model


def measure(run: PredictionRun, trace: Trace) -> dict[str, Any]:
    """Train, then measure the loss on held-out texts and, with a module, its loss and what becomes of its drafts."""
    model = train_run(run, trace)
    texts = np.concatenate(held_out_texts(HELD_OUT_SEED))  # [B, T + 1]
    results: dict[str, Any] = {"loss": evaluate(model, texts)}
    if run.mtp_weight:
        (logits,) = model.mtp_logits(texts[:, :-1])  # [B, T - 1, V]
        results["module_loss"] = cross_entropy(logits, texts[:, 2:])[0]
        results["acceptance"] = {name: acceptances(drafts(model, t)) for name, t in TEMPERATURES.items()}
    return results


def drafts(model: Model, temperature: float, *, prompts: int = PROMPTS) -> dict[str, list[SpeculativeResult]]:
    """Decode speculatively after prompts of each domain, the same for every model; return the results by domain."""
    rng, decode = np.random.default_rng(HELD_OUT_SEED), partial(speculative_decode, model, temperature=temperature)
    return {
        domain: [decode(sample_text(domain, PROMPT, rng), COUNT, seed=number) for number in range(prompts)]
        for domain in DOMAINS
    }


def acceptances(by_domain: Mapping[str, list[SpeculativeResult]]) -> dict[str, float]:
    """Return the share of drafts accepted, by domain and of "all", "expected", and "tokens_per_step" of the model."""
    results = [result for listed in by_domain.values() for result in listed]
    tokens, steps = sum(len(result.tokens) for result in results), sum(result.steps for result in results)
    # What was to be accepted on average, before each draft was judged.
    expected = float(np.concatenate([result.acceptance_probs for result in results]).mean())
    shares = {domain: _accepted_share(listed) for domain, listed in by_domain.items()}
    return {**shares, "all": _accepted_share(results), "tokens_per_step": tokens / steps, "expected": expected}


def _accepted_share(results: list[SpeculativeResult]) -> float:
    return sum(result.n_accepted for result in results) / sum(result.n_drafts for result in results)


def draft_cost(arch: Architecture) -> float:
    """Return the parameters that a draft multiplies over those that a token of the main model does."""
    return flops.matmul_parameters(arch, mtp_counted=True) / flops.matmul_parameters(arch, mtp_counted=False) - 1


RUNS = tuple(PredictionRun(weight, seed) for seed in SEEDS for weight in (0.0, 0.1, 0.3, 1.0))
STUDY = Study("prediction", RUNS, measure)
