"""The study of associative recall: at equal cache, which kind of attention learns to look values up in two layers?

A model reads keys, each with its value behind it, then keys alone in another order, and is to give each one's value
(multi-query associative recall, Arora et al., arXiv 2312.04927). Nothing tells it which token belongs to which. So one
layer must first bring each key to the token behind it, and the next must search by that key: the two steps of
induction, which runs find early, late or never. In `recall` keys and values stand in one position, and one layer is
enough.
Kinds of attention cache the same number of elements per token and layer, rotary key included. A guess among the values
that have been read is right 1 time in 8.
"""

from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from repro.arrays import IntArray
from repro.errors import InputError
from repro.experiments.power import Plan
from repro.experiments.recall_layer import GROUPS, KINDS, Kind
from repro.experiments.record import Study
from repro.experiments.watch import Trace
from repro.models.architecture import (
    Architecture,
    Attention,
    GatedFeedForward,
    GroupedQueryAttention,
    MultiHeadLatentAttention,
)
from repro.nano import Config, Model, Recipe, init_model, train
from repro.nano.balance import Balance
from repro.nano.model import Loss
from repro.nano.ops import Params

N_PAIRS, FEWEST_PAIRS = 8, 2  # of a sequence that is measured, and the fewest of one that is trained on
N_KEYS, N_VALUES = 16, 16  # in the vocabulary, keys first
CHANCE = 1 / N_PAIRS  # each value occurs once: one that is named blindly is right this often
D_MODEL, N_HEADS, N_LAYERS = 32, 4, 2
HEAD_DIM, ROTARY_DIM = 8, 4  # of MLA: what its latent is expanded to, and the rotary key that counts as cached
BATCH, CHECK_EVERY = 16, 100  # sequences of a step; steps between two looks at what is learned
GOAL, CONVERGED = 0.9, 0.99  # shares of right values: of a run that counts as having learned, and at which it stops
HELD_OUT_SEED, HELD_OUT = 5_000_000, 200  # of sequences that no run trains on, and how many
CACHE_ELEMENTS = (16, 32)


@dataclass(frozen=True)
class AssociativeRun:
    """One training run: kind of attention and cached elements per token and layer; the rest is alike."""

    kind: Kind
    cache_elements: int
    seed: int = 0
    n_pairs: int = N_PAIRS  #: at most, of the sequences it trains on, and of all that it is measured on
    steps: int = 5000  #: the last step, if it has not converged before
    peak_lr: float = 1e-3  #: all kinds learn with it at 32 elements, by one pilot seed; at 3e-3 only MHA

    @property
    def attention(self) -> Attention:
        """Its attention, with four query heads.

        Raises:
            InputError: the kind is unknown, or cannot cache so many elements.
        """
        if self.kind not in KINDS:
            raise InputError(f"kind = {self.kind!r}: must be one of: {', '.join(KINDS)}")
        c, parts = self.cache_elements, 4 * GROUPS.get(self.kind, 1)  # RoPE turns pairs, of keys as wide as values
        if c <= ROTARY_DIM or c % parts:
            raise InputError(f"cache_elements = {c}: must be a multiple of {parts} above {ROTARY_DIM} for {self.kind}")
        if self.kind == "MLA":
            return MultiHeadLatentAttention(N_HEADS, None, c - ROTARY_DIM, HEAD_DIM, ROTARY_DIM, HEAD_DIM)
        return GroupedQueryAttention(N_HEADS, GROUPS[self.kind], c // (2 * GROUPS[self.kind]))


class RecallModel(Model):
    """A model whose loss counts the answers alone, since keys and values in a random order cannot be predicted."""

    def loss_and_gradients(
        self, tokens: IntArray, *, mtp_weight: float = 0.0, balance: Balance | None = None, targets: Any = None
    ) -> tuple[Loss, Params]:
        """Return the loss of the answers and its gradients; the queries' last token is read as well."""
        padded = np.pad(tokens, ((0, 0), (0, 1)))  # [B, T + 1]: the model reads all but the last
        return super().loss_and_gradients(padded, balance=balance, targets=[answers(tokens)])


def draw_sequences(rng: np.random.Generator, batch: int, n_pairs: int = N_PAIRS) -> IntArray:
    """Draw sequences of pairs and queries, [batch, 3 · n_pairs]: a key, its value, …, then all keys in any order."""
    keys = rng.random((batch, N_KEYS)).argsort(axis=1)[:, :n_pairs]  # [B, n_pairs], no two alike
    values = N_KEYS + rng.random((batch, N_VALUES)).argsort(axis=1)[:, :n_pairs]  # [B, n_pairs]
    pairs = np.stack([keys, values], axis=-1).reshape(batch, -1)  # [B, 2 · n_pairs]
    return np.concatenate([pairs, rng.permuted(keys, axis=1)], axis=1)


def answers(tokens: IntArray) -> IntArray:
    """Return what each token asks for, [B, 3 · n_pairs]: -1 but at queries, where it is the key's value."""
    n_pairs = tokens.shape[1] // 3
    pairs, queries = tokens[:, : 2 * n_pairs], tokens[:, 2 * n_pairs :]  # [B, 2 · n_pairs], [B, n_pairs]
    at = (queries[:, :, None] == pairs[:, None, ::2]).argmax(axis=-1)  # [B, n_pairs]: the pair with the same key
    return np.concatenate([np.full_like(pairs, -1), np.take_along_axis(pairs[:, 1::2], at, axis=1)], axis=1)


def accuracy(model: Model, tokens: IntArray) -> float:
    """Return the share of queries whose value is the likeliest next token."""
    wanted = answers(tokens)  # [B, T]
    return float((model.forward(tokens).argmax(axis=-1) == wanted)[wanted >= 0].mean())


def build_model(run: AssociativeRun) -> RecallModel:
    """Return the model of a run before training."""
    arch = Architecture(
        d_model=D_MODEL, vocab_size=N_KEYS + N_VALUES, n_dense_layers=N_LAYERS, n_moe_layers=0,
        attention=run.attention, dense=GatedFeedForward(2 * D_MODEL),
    )  # fmt: skip
    config = Config(arch)
    return RecallModel(config, init_model(config, seed=run.seed, std=0.1, dtype=np.float64).params)


def train_run(run: AssociativeRun, trace: Trace) -> tuple[RecallModel, list[float]]:
    """Train until all but 1% of held-out answers are right, or to the last step; runs of a seed read the same.

    Sequences get from 2 pairs to all, each step another number: with all from the beginning, fewer runs learn at all.

    Returns:
        The model, and the share of right answers at each check, on sequences with all pairs.
    """
    model, rng = build_model(run), np.random.default_rng(run.seed)
    held_out = draw_sequences(np.random.default_rng(HELD_OUT_SEED), HELD_OUT, run.n_pairs)
    sizes = (int(rng.integers(FEWEST_PAIRS, run.n_pairs + 1)) for _ in repeat(None))
    recipe = Recipe(run.steps, run.peak_lr, min(50, run.steps), final_lr_share=1.0, weight_decay=0.0)
    checks: list[float] = []
    for step in train(model, (draw_sequences(rng, BATCH, size) for size in sizes), recipe):
        trace.add(step)
        if trace.steps_done % CHECK_EVERY == 0:
            checks.append(accuracy(model, held_out))
            if checks[-1] >= CONVERGED:
                break
    return model, checks


def measure(run: AssociativeRun, trace: Trace) -> dict[str, Any]:
    """Train a run; return its share of right answers at the end and the step at which it had learned, or the last."""
    checks = train_run(run, trace)[1]
    learned = next((i for i, share in enumerate(checks, start=1) if share >= GOAL), None)
    return {
        "accuracy": checks[-1], "learned": learned is not None,
        "steps": CHECK_EVERY * learned if learned else run.steps, "checks": checks,
    }  # fmt: skip


# What is compared: MLA with each other kind at both sizes of cache, six intervals together. Half of the answers, or
# twice the steps, would change what we write. Pilot seeds, 1000 to 1002, learned at 32 elements after 1,000 to 2,900
# steps; at 16 one seed of GQA stood in the middle of learning, at 0.7, when it was stopped. Runs that have not learned
# count as learned at their last step, so that differences of ln(steps) are too small where there are such.
N_SEEDS = 8
ACCURACY = Plan("accuracy", "share", 0.5, pilot_sd=0.3, seeds=N_SEEDS, comparisons=6)
STEPS = Plan("steps", "ln(steps)", float(np.log(2)), pilot_sd=0.45, seeds=N_SEEDS, comparisons=6)
RUNS = tuple(AssociativeRun(kind, c, seed) for seed in range(N_SEEDS) for c in CACHE_ELEMENTS for kind in KINDS)
STUDY = Study("associative_recall", RUNS, measure, plans=(ACCURACY, STEPS))
