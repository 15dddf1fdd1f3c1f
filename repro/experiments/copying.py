"""The study of copying: does a module that predicts one token more let a small model learn to copy in fewer steps?

To copy a random word, a model must find the letter that it has just said in the word before, and say what followed it
there: induction, which takes two layers of attention and comes at once, after a time in which hardly anything is
learned. So runs are compared by the step at which 90% of copied letters are right; runs that never get there count as
"later than the last step" (survival analysis), not as a mean loss. All runs of a seed begin with the same weights and
read the same texts. The controls: no module; a module of the same work that is trained on another text's tokens; one
that learns but cannot teach, because its gradient ends where it reads the main model; and, so that something is sure to
win, no module but four times the texts in each step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from repro.arrays import Array, BoolArray, IntArray
from repro.errors import InputError
from repro.experiments.power import Plan
from repro.experiments.record import Study
from repro.experiments.watch import Trace
from repro.models.architecture import Architecture, GatedFeedForward, GroupedQueryAttention
from repro.nano import Config, Model, Recipe, init_model, train
from repro.nano.balance import Balance
from repro.nano.model import Loss
from repro.nano.ops import Params
from repro.nano.serving.speculative import distribution, expected_acceptance, speculative_decode

LETTERS, SHORTEST, LONGEST = 12, 3, 6  # of the alphabet, and of a word, whose letters all differ
COLON, NEWLINE = LETTERS, LETTERS + 1  # tokens after the letters
ALPHABET = "ABCDEFGHIJKL:/"  # how tokens are printed, a newline as a slash
BATCH, LENGTH = 16, 25  # sequences, and tokens of each: 24 to read, 24 to predict
GOAL, CHECK_EVERY = 0.9, 10  # share of copied letters; steps between two looks at it
HELD_OUT_SEED, HELD_OUT = 3_000_000, 64  # of texts that no run trains on, and how many
DRAFT_STEPS = 100  # a chained module trains on for so long before it drafts
PROMPTS = 40  # texts to go on with, up to the length trained on
TEMPERATURES = {"greedy": 0.0, "sampled": 1.0}
PLACES = ("copied", "random")  # letters of the copy but the first, and letters of the word
Module: TypeAlias = Literal["none", "chained", "parallel", "uninformed", "detached"]
PILOT_SD = 0.3  # of differences of ln(steps) by seed, seeds 1000 to 1005, one of them slow without a module
N_SEEDS = 28


@dataclass(frozen=True)
class CopyingRun:
    """One training run.

    The module is DeepSeek's ("chained", reads the next token), one that reads the hidden state alone ("parallel"),
    DeepSeek's trained on the tokens of another text ("uninformed"), DeepSeek's without a gradient to the main model
    ("detached"), or there is "none", with a weight of 0.
    """

    module: Module = "chained"
    mtp_weight: float = 0.3
    seed: int = 0
    steps: int = 1500  #: the last step, at which a run that has not learned is censored
    batch: int = BATCH  #: sequences of a step


class Texts(NamedTuple):
    """Sequences of words and their copies, and which letters can be known from what stands before."""

    tokens: IntArray  #: [B, T]
    places: IntArray  #: [B, T], index in PLACES, -1 for all other tokens


class UninformedModel(Model):
    """A model whose module is to predict the tokens of another sequence, of which its own tells nothing."""

    def loss_and_gradients(
        self, tokens: IntArray, *, mtp_weight: float = 0.3, balance: Balance | None = None, targets: Any = None
    ) -> tuple[Loss, Params]:
        """Return the loss and its gradients, as the model does, with the module's targets exchanged."""
        targets = [tokens[:, 1:], np.roll(tokens, 1, axis=0)[:, 2:]]  # [B, T], [B, T - 1]
        return super().loss_and_gradients(tokens, mtp_weight=mtp_weight, balance=balance, targets=targets)


class DetachedModel(Model):
    """A model whose module learns without teaching: its loss has no gradient in the main model's parameters."""

    def loss_and_gradients(
        self, tokens: IntArray, *, mtp_weight: float = 0.3, balance: Balance | None = None, targets: Any = None
    ) -> tuple[Loss, Params]:
        """Return the loss, and gradients that are the module's for its own parameters and without it for the rest."""
        loss, both = super().loss_and_gradients(tokens, mtp_weight=mtp_weight, balance=balance, targets=targets)
        _, alone = super().loss_and_gradients(tokens, mtp_weight=0.0, balance=balance, targets=targets)
        return loss, alone | {"mtp": both["mtp"]}


def dense_config(vocab_size: int, *, n_layers: int, n_mtp_modules: int = 0) -> Config:
    """Return a model without experts, of width 32 with two heads, small enough for some hundred steps a second."""
    arch = Architecture(
        d_model=32, vocab_size=vocab_size, n_dense_layers=n_layers, n_moe_layers=0,
        attention=GroupedQueryAttention(n_heads=2, n_kv_heads=2, head_dim=16), dense=GatedFeedForward(64),
        n_mtp_modules=n_mtp_modules,
    )  # fmt: skip
    return Config(arch)


def hide_next_token(model: Model) -> None:
    """Set to zero the half of each module's projection that reads the next token's embedding, which comes first."""
    for module in model.params["mtp"]:
        module["eh_proj"][:, : model.config.arch.d_model] = 0


def draw_texts(rng: np.random.Generator, batch: int = BATCH, length: int = LENGTH) -> Texts:
    """Draw sequences of random words, each with a colon, its copy and a newline, cut at the length."""
    rows = [_draw_row(rng, length) for _ in range(batch)]
    return Texts(*(np.array(column) for column in zip(*rows, strict=True)))


def _draw_row(rng: np.random.Generator, length: int) -> tuple[list[int], list[int]]:
    tokens: list[int] = []
    places: list[int] = []
    while len(tokens) < length:
        size = int(rng.integers(SHORTEST, LONGEST + 1))
        word = rng.permutation(LETTERS)[:size].tolist()
        tokens += [*word, COLON, *word, NEWLINE]
        places += [1] * size + [-1, -1] + [0] * (size - 1) + [-1]  # the first copied letter takes another rule
    return tokens[:length], places[:length]


def build_model(run: CopyingRun) -> Model:
    """Return the model of a run before training; those of a seed have the same weights but for the module's."""
    if run.module not in get_args(Module):
        raise InputError(f"module = {run.module!r}: must be one of: {', '.join(get_args(Module))}")
    config = dense_config(NEWLINE + 1, n_layers=2, n_mtp_modules=int(run.module != "none"))
    model = init_model(config, seed=run.seed, std=0.1, dtype=np.float64)
    if run.module == "parallel":
        hide_next_token(model)
    kinds: dict[Module, type[Model]] = {"uninformed": UninformedModel, "detached": DetachedModel}
    return kinds.get(run.module, Model)(config, model.params)


def copy_accuracy(model: Model, texts: Texts) -> float:
    """Return the share of copied letters, without each first, that the main model finds likeliest."""
    likeliest = model.forward(texts.tokens[:, :-1]).argmax(axis=-1)  # [B, T - 1]
    copied = texts.places[:, 1:] == 0
    return float(np.mean((likeliest == texts.tokens[:, 1:])[copied]))


def decode_letters(tokens: IntArray) -> str:
    """Return tokens, [T], as letters."""
    return "".join(ALPHABET[token] for token in tokens)


def held_out_texts() -> Texts:
    """Return the texts that every run is measured on."""
    return draw_texts(np.random.default_rng(HELD_OUT_SEED), HELD_OUT)


def train_run(run: CopyingRun, trace: Trace, *, after: int = 0) -> tuple[Model, int | None, list[float]]:
    """Train until copying is learned and `after` steps more, or until the last step.

    Returns:
        The model, the step at which it had learned to copy, None if it had not by the last, and the accuracy at each
        check until then.
    """
    model, held_out, rng = build_model(run), held_out_texts(), np.random.default_rng(run.seed)
    recipe = Recipe(run.steps + after, final_lr_share=1.0, weight_decay=0.0, mtp_weight=run.mtp_weight)
    learned: int | None = None
    accuracies: list[float] = []
    for step in train(model, (draw_texts(rng, run.batch).tokens for _ in repeat(None)), recipe):
        trace.add(step)
        if run.module == "parallel":
            hide_next_token(model)
        done = step.number + 1
        if learned is None and done % CHECK_EVERY == 0:
            accuracies.append(copy_accuracy(model, held_out))
            learned = done if accuracies[-1] >= GOAL else None
        if done >= (run.steps if learned is None else learned + after):
            break
    return model, learned, accuracies


def measure(run: CopyingRun, trace: Trace) -> dict[str, Any]:
    """Train a run and return when it learned; of a chained module that did, also what becomes of its drafts."""
    chained = run.module == "chained"
    model, learned, accuracies = train_run(run, trace, after=DRAFT_STEPS if chained else 0)
    results: dict[str, Any] = {
        "steps": learned or run.steps, "learned": learned is not None, "best_accuracy": max(accuracies)
    }  # fmt: skip
    if chained and learned is not None:
        drafts = {name: decoded_acceptance(model, temperature) for name, temperature in TEMPERATURES.items()}
        results |= {"drafts": drafts, "everywhere": agreement(model, held_out_texts())}
    return results


def agreement(model: Model, texts: Texts) -> dict[str, dict[str, float]]:
    """Compare module and main model at every place of texts, by kind of letter.

    Returns:
        By kind: the share of letters that module and main model get right, of places where their likeliest tokens
        agree, and the chance that a drawn draft is kept.
    """
    tokens, places = texts.tokens, texts.places[:, 2:]  # [B, T], [B, T - 2]
    p = distribution(model.forward(tokens[:, :-1])[:, 1:], 1.0)  # [B, T - 2, V]
    q = distribution(model.mtp_logits(tokens[:, :-1])[0], 1.0)  # [B, T - 2, V]
    main, module = p.argmax(axis=-1), q.argmax(axis=-1)  # [B, T - 2]
    columns: dict[str, Array | BoolArray] = {
        "module_right": module == tokens[:, 2:], "main_right": main == tokens[:, 2:], "agree": main == module,
        "kept_if_drawn": expected_acceptance(p, q),
    }  # fmt: skip
    return {
        place: {name: float(np.mean(column[places == i])) for name, column in columns.items()}
        for i, place in enumerate(PLACES)
    }


def decoded_acceptance(model: Model, temperature: float, *, prompts: int = PROMPTS) -> dict[str, float]:
    """Return the share of drafts accepted in speculative decoding after a word and a colon, by kind and of "all"."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    accepted, kinds = [], []
    for number in range(prompts):
        tokens = draw_texts(rng, 1).tokens[0]  # [LENGTH]
        prompt = tokens[: np.flatnonzero(tokens == COLON)[0] + 1]  # [T]
        result = speculative_decode(model, prompt, LENGTH - 1 - len(prompt), temperature=temperature, seed=number)
        places = places_in([*prompt.tolist(), *result.tokens.tolist()])  # [LENGTH - 1]
        accepted.append(result.is_accepted)
        kinds.append(places[len(prompt) + result.positions])
    kept, kind = np.concatenate(accepted), np.concatenate(kinds)  # [n_drafts] each
    shares = {place: float(kept[kind == i].mean()) for i, place in enumerate(PLACES)}
    return {**shares, "all": float(kept.mean())}


def places_in(tokens: Sequence[int]) -> IntArray:
    """Return the kind of each token of any text, [T], index in PLACES or -1; what follows a colon is a copy."""
    places = []
    since_colon: int | None = None  # tokens since the colon, None before the next
    for token in tokens:
        is_letter = token < LETTERS and since_colon != 0  # the first copied one is of neither kind
        places.append((1 if since_colon is None else 0) if is_letter else -1)
        if token == COLON:
            since_colon = 0
        elif token == NEWLINE:
            since_colon = None
        elif since_colon is not None:
            since_colon += 1
    return np.array(places)


SETTINGS: tuple[tuple[Module, float, int], ...] = (
    ("none", 0.0, BATCH), ("chained", 0.1, BATCH), ("chained", 0.3, BATCH), ("parallel", 0.3, BATCH),
    ("uninformed", 0.3, BATCH), ("detached", 0.3, BATCH), ("none", 0.0, 4 * BATCH),
)  # fmt: skip
RUNS = tuple(
    CopyingRun(module, weight, seed, batch=batch) for seed in range(N_SEEDS) for module, weight, batch in SETTINGS
)
# Every setting against none, and the chained one of 0.3 against the uninformed and the detached one of 0.3.
PLAN = Plan("steps", "ln(steps)", float(-np.log(0.8)), PILOT_SD, N_SEEDS, comparisons=len(SETTINGS) + 1)
STUDY = Study("copying", RUNS, measure, plans=(PLAN,))
