"""The study of multi-token prediction: models trained with and without a module, and what it drafts afterwards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.calc import compute
from repro.calc.architecture import Architecture
from repro.experiments.record import Study
from repro.experiments.texts import SEEDS, held_out, training
from repro.experiments.watch import Trace, follow
from repro.nano import Model, Recipe, initialised, small, train
from repro.nano.balance import loss_free
from repro.nano.corpus import DOMAINS, sample
from repro.nano.ops import cross_entropy
from repro.nano.speculative import Decoded, decode

HELD_OUT_SEED = 3_000_000
PROMPT, COUNT = 16, 48  # tokens given, and tokens to add
PROMPTS = 8  # of each domain
TEMPERATURES = {"greedy": 0.0, "sampled": 1.0}


@dataclass(frozen=True)
class Run:
    """One training run: λ of the module's loss, without a module where it is 0; seed of weights and texts; steps."""

    mtp_weight: float = 0.3
    seed: int = 0
    steps: int = 800


def trained(run: Run, trace: Trace) -> Model:
    """Return the trained model, of MLA and experts balanced as V3 balances them, in float64.

    Raises: Diverged where the run cannot go on.
    """
    learner = initialised(small(n_mtp=int(run.mtp_weight > 0)), seed=run.seed, dtype=np.float64)
    recipe = Recipe(run.steps, mtp_weight=run.mtp_weight, balance=loss_free())
    follow(train(learner, training(run.seed), recipe), trace)
    return learner


def measure(run: Run, trace: Trace) -> dict[str, Any]:
    """Train, then measure the loss on held-out texts, and of a model with a module what becomes of its drafts."""
    learner = trained(run, trace)
    held = np.concatenate(held_out(HELD_OUT_SEED))
    inputs, targets = held[:, :-1], held[:, 1:]
    found = {"loss": cross_entropy(learner.forward(inputs), targets)[0]}
    if run.mtp_weight:
        (logits,) = learner.mtp_logits(inputs)
        found["module_loss"] = cross_entropy(logits, targets[:, 1:])[0]
        found["acceptance"] = {name: acceptances(drafts(learner, t)) for name, t in TEMPERATURES.items()}
    return found


def drafts(learner: Model, temperature: float, *, prompts: int = PROMPTS) -> dict[str, list[Decoded]]:
    """Return what decoding after prompts of each domain finds, the prompts the same for every model."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    return {
        domain: [
            decode(learner, sample(domain, PROMPT, rng), COUNT, temperature=temperature, seed=number)
            for number in range(prompts)
        ]
        for domain in DOMAINS
    }


def acceptances(found: Mapping[str, list[Decoded]]) -> dict[str, float]:
    """Return the share of drafts kept, by domain and over all, the tokens of a main step, and the chance beforehand.

    Args: found: by domain.
    Returns: a share per domain; "all"; "tokens_per_step"; "expected", the mean chance that a draft would be kept.
    """
    every = [one for listed in found.values() for one in listed]
    by_domain = {domain: _kept(listed) for domain, listed in found.items()}
    tokens, steps = sum(len(one.tokens) for one in every), sum(one.steps for one in every)
    expected = float(np.concatenate([one.chances for one in every]).mean())
    return {**by_domain, "all": _kept(every), "tokens_per_step": tokens / steps, "expected": expected}


def _kept(listed: list[Decoded]) -> float:
    return sum(one.accepted for one in listed) / sum(one.proposed for one in listed)


def draft_cost(shape: Architecture) -> float:
    """Return the parameters that a draft multiplies, as a share of those that a token of the main model does."""
    main = compute.multiplied_parameters(shape, mtp_counted=False)
    return compute.multiplied_parameters(shape, mtp_counted=True) / main - 1


def runs() -> Iterator[Run]:
    """Yield every run of the study."""
    for seed in SEEDS:
        for weight in (0.0, 0.1, 0.3, 1.0):
            yield Run(weight, seed)


STUDY = Study("prediction", tuple(runs()), measure)
