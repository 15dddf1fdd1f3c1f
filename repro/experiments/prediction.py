"""The study of multi-token prediction: models trained with and without a module, and what it drafts afterwards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.calc import flops
from repro.experiments.record import Study
from repro.experiments.texts import SEEDS, held_out_texts, training_texts
from repro.experiments.watch import Trace, follow
from repro.models.architecture import Architecture
from repro.nano import Model, Recipe, init_model, small_config, train
from repro.nano.balance import loss_free
from repro.nano.ops import cross_entropy
from repro.nano.serving.speculative import SpeculativeResult, speculative_decode
from repro.nano.training.toy_data import DOMAINS, sample_text

HELD_OUT_SEED = 3_000_000
PROMPT, COUNT = 16, 48  # tokens given, and tokens to add
PROMPTS = 8  # of each domain
TEMPERATURES = {"greedy": 0.0, "sampled": 1.0}


@dataclass(frozen=True)
class PredictionRun:
    """One training run: λ of the module's loss, without a module where it is 0; seed of weights and texts; steps."""

    mtp_weight: float = 0.3
    seed: int = 0
    steps: int = 800


def train_run(run: PredictionRun, trace: Trace) -> Model:
    """Return the trained model, of MLA and experts balanced as V3 balances them, in float64.

    Raises: Diverged where the run cannot go on.
    """
    learner = init_model(small_config(n_mtp_modules=int(run.mtp_weight > 0)), seed=run.seed, dtype=np.float64)
    recipe = Recipe(run.steps, mtp_weight=run.mtp_weight, balance=loss_free())
    follow(train(learner, training_texts(run.seed), recipe), trace)
    return learner


def measure(run: PredictionRun, trace: Trace) -> dict[str, Any]:
    """Train, then measure the loss on held-out texts, and of a model with a module what becomes of its drafts."""
    learner = train_run(run, trace)
    held = np.concatenate(held_out_texts(HELD_OUT_SEED))
    inputs, targets = held[:, :-1], held[:, 1:]
    found = {"loss": cross_entropy(learner.forward(inputs), targets)[0]}
    if run.mtp_weight:
        (logits,) = learner.mtp_logits(inputs)
        found["module_loss"] = cross_entropy(logits, targets[:, 1:])[0]
        found["acceptance"] = {name: acceptances(drafts(learner, t)) for name, t in TEMPERATURES.items()}
    return found


def drafts(learner: Model, temperature: float, *, prompts: int = PROMPTS) -> dict[str, list[SpeculativeResult]]:
    """Return what decoding after prompts of each domain finds, the prompts the same for every model."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    return {
        domain: [
            speculative_decode(learner, sample_text(domain, PROMPT, rng), COUNT, temperature=temperature, seed=number)
            for number in range(prompts)
        ]
        for domain in DOMAINS
    }


def acceptances(found: Mapping[str, list[SpeculativeResult]]) -> dict[str, float]:
    """Return the share of drafts kept, by domain and over all, the tokens of a main step, and the chance beforehand.

    Args: found: by domain.
    Returns: a share per domain; "all"; "tokens_per_step"; "expected", the mean chance that a draft would be kept.
    """
    every = [one for listed in found.values() for one in listed]
    by_domain = {domain: _kept(listed) for domain, listed in found.items()}
    tokens, steps = sum(len(one.tokens) for one in every), sum(one.steps for one in every)
    expected = float(np.concatenate([one.acceptance_probs for one in every]).mean())
    return {**by_domain, "all": _kept(every), "tokens_per_step": tokens / steps, "expected": expected}


def _kept(listed: list[SpeculativeResult]) -> float:
    return sum(one.n_accepted for one in listed) / sum(one.n_drafts for one in listed)


def draft_cost(arch: Architecture) -> float:
    """Return the parameters that a draft multiplies, as a share of those that a token of the main model does."""
    main = flops.matmul_parameters(arch, mtp_counted=False)
    return flops.matmul_parameters(arch, mtp_counted=True) / main - 1


def all_runs() -> Iterator[PredictionRun]:
    """Yield every run of the study."""
    for seed in SEEDS:
        for weight in (0.0, 0.1, 0.3, 1.0):
            yield PredictionRun(weight, seed)


STUDY = Study("prediction", tuple(all_runs()), measure)
