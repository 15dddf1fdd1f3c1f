"""The study of star graphs: does predicting one token more make a model plan?

A star has arms that meet at its centre; given its edges in any order, the centre and the end of one arm, a model is to
say the path between them. Only the first step is hard: to know which arm to enter, one must follow it back from its
end. But trained on true paths, a model reads the first step when it predicts the second, so that the edges alone give
all the rest, and nothing is left to teach it the first (the "Clever Hans cheat" of Bachmann and Nagarajan, arXiv
2403.06963). DeepSeek's module reads the true next token too, so it can cheat as well. The control is the path told from
its end, which must be learned, or the failure says nothing. Beside it stands Bachmann and Nagarajan's remedy, training
that hides the path from the model ("teacherless"), whatever it does here.
"""

from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from repro.arrays import BoolArray, IntArray
from repro.errors import InputError
from repro.experiments.copying import dense_config, hide_next_token
from repro.experiments.power import Plan
from repro.experiments.record import Study
from repro.experiments.watch import Trace
from repro.nano import Model, Recipe, init_model, train
from repro.nano.balance import Balance
from repro.nano.model import Loss
from repro.nano.ops import Params

DEGREE, ARM = 2, 3  # arms, and edges of each
NODES = 1 + DEGREE * ARM
BAR, HIDDEN = NODES, NODES + 1  # tokens after each edge, and in the place of a path's own where they are hidden
BATCH, CHECK_EVERY = 32, 100
HELD_OUT_SEED, HELD_OUT = 4_000_000, 500  # a stream of its own; a run trains on about 1 in 100 by chance
PILOT_SD = 0.04  # of differences of accuracy by seed, from seeds 1000 and up
N_SEEDS = 4
Training: TypeAlias = Literal["next token", "chained", "parallel", "teacherless", "reversed"]


@dataclass(frozen=True)
class StarRun:
    """One training run: the next token alone, with a module as in `copying`, the path hidden, or the path reversed."""

    training: Training = "next token"
    seed: int = 0
    steps: int = 1000
    mtp_weight: float = 1.0  #: λ, if there is a module: as much as the main loss, to give it every chance


class PathModel(Model):
    """A model whose loss counts the path alone, since edges in a random order cannot be predicted."""

    def loss_and_gradients(
        self, tokens: IntArray, *, mtp_weight: float = 0.3, balance: Balance | None = None, targets: Any = None
    ) -> tuple[Loss, Params]:
        """Return the loss of the path and its gradients."""
        targets = path_targets(tokens, 1 + self.config.arch.n_mtp_modules)
        return super().loss_and_gradients(tokens, mtp_weight=mtp_weight, balance=balance, targets=targets)


class TeacherlessModel(Model):
    """A model that is to say the path at once: it reads a token of no meaning in place of each of the path's."""

    def loss_and_gradients(
        self, tokens: IntArray, *, mtp_weight: float = 0.3, balance: Balance | None = None, targets: Any = None
    ) -> tuple[Loss, Params]:
        """Return the loss of the path and its gradients, from tokens of which the path's are hidden."""
        targets = path_targets(tokens, 1)
        return super().loss_and_gradients(hide_path(tokens), mtp_weight=mtp_weight, balance=balance, targets=targets)


def path_targets(tokens: IntArray, depths: int) -> list[IntArray]:
    """Return what each depth k is to predict, [B, T - k] for tokens [B, T + 1]: -1 but where the path is."""
    columns = np.arange(tokens.shape[1])
    path = np.where(columns >= len(columns) - ARM, tokens, -1)  # [B, T + 1]
    return [path[:, depth + 1 :] for depth in range(depths)]


def hide_path(tokens: IntArray) -> IntArray:
    """Return tokens, [B, T + 1], with those of the path exchanged for the one of no meaning."""
    columns = np.arange(tokens.shape[1])
    return np.where(columns >= len(columns) - ARM, HIDDEN, tokens)


def draw_graphs(rng: np.random.Generator, batch: int = BATCH, *, is_reversed: bool = False) -> IntArray:
    """Draw stars as tokens, [batch, 3 · edges + 2 + ARM]: edges in any order, a query, and the path that answers it.

    Nodes are named at random, an edge is two nodes and a bar. The query is an arm's end and the centre, and the path
    goes on from there to the end; or, reversed, the centre and an arm's end, and the path goes back to the centre.
    """
    nodes = rng.random((batch, NODES)).argsort(axis=1)  # [B, NODES], a random name of each
    centre = nodes[:, :1]  # [B, 1]
    arms = nodes[:, 1:].reshape(batch, DEGREE, ARM)  # [B, DEGREE, ARM]
    starts = np.concatenate([np.repeat(centre[:, None], DEGREE, axis=1), arms[:, :, :-1]], axis=2)  # [B, DEGREE, ARM]
    bars = np.full_like(starts, BAR)
    edges = np.stack([starts, arms, bars], axis=-1).reshape(batch, -1, 3)  # [B, edges, 3]: from the centre outwards
    order = rng.random(edges.shape[:2]).argsort(axis=1)  # [B, edges]
    edges = np.take_along_axis(edges, order[..., None], axis=1)  # [B, edges, 3]
    path = np.concatenate([centre, arms[:, 0]], axis=1)  # [B, 1 + ARM]: names and order being random, any arm will do
    path = path[:, ::-1] if is_reversed else path
    return np.concatenate([edges.reshape(batch, -1), path[:, -1:], path], axis=1)


def build_model(run: StarRun) -> Model:
    """Return the model of a run before training; those of a seed have the same weights but for the module's."""
    if run.training not in get_args(Training):
        raise InputError(f"training = {run.training!r}: must be one of: {', '.join(get_args(Training))}")
    config = dense_config(HIDDEN + 1, n_layers=3, n_mtp_modules=int(run.training in ("chained", "parallel")))
    params = init_model(config, seed=run.seed, std=0.1, dtype=np.float64).params
    model = TeacherlessModel(config, params) if run.training == "teacherless" else PathModel(config, params)
    if run.training == "parallel":
        hide_next_token(model)
    return model


def right_steps(model: Model, graphs: IntArray) -> BoolArray:
    """Return whether each step of each path is the likeliest after the true ones before it, [B, ARM].

    Where all are, the model finds the path by itself, since it then says the true steps. A teacherless model reads
    none of the path, here as in training.
    """
    tokens = hide_path(graphs) if isinstance(model, TeacherlessModel) else graphs
    likeliest = model.forward(tokens[:, :-1]).argmax(axis=-1)[:, -ARM:]  # [B, ARM]
    return likeliest == graphs[:, -ARM:]


def train_run(run: StarRun, trace: Trace) -> tuple[Model, list[list[float]]]:
    """Train a model; return it and, at each check, the shares of paths found and of each step right, [1 + ARM]."""
    is_reversed = run.training == "reversed"
    held_out = draw_graphs(np.random.default_rng(HELD_OUT_SEED), HELD_OUT, is_reversed=is_reversed)
    model, rng, checks = build_model(run), np.random.default_rng(run.seed), []
    graphs = (draw_graphs(rng, is_reversed=is_reversed) for _ in repeat(None))
    recipe = Recipe(run.steps, final_lr_share=1.0, weight_decay=0.0, mtp_weight=run.mtp_weight)
    for step in train(model, graphs, recipe):
        trace.add(step)
        if run.training == "parallel":
            hide_next_token(model)
        if trace.steps_done % CHECK_EVERY == 0:
            right = right_steps(model, held_out)  # [B, ARM]
            checks.append([float(right.all(axis=1).mean()), *right.mean(axis=0).tolist()])
    return model, checks


def measure(run: StarRun, trace: Trace) -> dict[str, Any]:
    """Train a run and return the share of paths found and of right first and second steps, and all checks."""
    checks = train_run(run, trace)[1]
    found, first, second = checks[-1][:3]
    return {"found": found, "first": first, "second": second, "checks": checks}


RUNS = tuple(StarRun(training, seed) for seed in range(N_SEEDS) for training in get_args(Training))
# Each way of training against the next token alone.
PLAN = Plan("found", "share of graphs", 0.15, PILOT_SD, N_SEEDS, comparisons=len(get_args(Training)) - 1)
STUDY = Study("star_graphs", RUNS, measure, plans=(PLAN,))
