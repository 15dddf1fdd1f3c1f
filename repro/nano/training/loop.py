"""The training loop: batches in, losses out, the model changed in place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.balance import update_biases
from repro.nano.model import Loss, Model
from repro.nano.ops import cross_entropy
from repro.nano.training.mixed_precision import cast_model
from repro.nano.training.optimizer import AdamW, Recipe, clip


class TrainingDiverged(InputError):
    """A run that cannot go on; `step` counts from 0."""

    def __init__(self, step: int, why: str) -> None:
        """Say at which step and why, and what would help."""
        super().__init__(f"step {step}: {why}: try a lower peak_rate")
        self.step = step


@dataclass(frozen=True)
class TrainStep:
    """What one step reports: its number from 0, the loss before it, the gradient's norm before clipping."""

    number: int
    loss: Loss
    gradient_norm: float


def train(model: Model, batches: Iterable[Array], recipe: Recipe) -> Iterator[TrainStep]:
    """Train step by step, as the caller asks for the next.

    Args: model: float32 or float64, changed in place. batches: at least recipe.steps arrays [B, T + 1] of tokens.
        recipe: how.
    Yields: one report per step.
    Raises: Diverged where a loss or gradient is no number any more; InputError where batches end early.
    """
    optimizer = AdamW(recipe)
    rest = iter(batches)
    for number in range(recipe.steps):
        batch = next(rest, None)
        if batch is None:
            raise InputError(f"batches: end after {number} of {recipe.steps} steps")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of it is checked next
            cast = cast_model(model, recipe.scheme) if recipe.scheme else model
            loss, gradients = cast.loss_and_gradients(batch, mtp_weight=recipe.mtp_weight, balance=recipe.balance)
            norm = clip(gradients, recipe.clip_norm)
            if not np.isfinite([loss.total, norm]).all():
                raise TrainingDiverged(number, f"loss {loss.total}, gradient norm {norm}")
            optimizer.step(model.params, gradients)
            if recipe.balance and recipe.balance.bias_speed:
                update_biases(model.params, loss.loads, recipe.balance.bias_speed)
        yield TrainStep(number, loss, norm)


def evaluate(model: Model, batch: Array) -> float:
    """Return the mean cross-entropy of the next token, in nats, on tokens [B, T + 1], all in the vocabulary."""
    batch = model.check_tokens(batch)
    return cross_entropy(model.forward(batch[:, :-1]), batch[:, 1:])[0]
