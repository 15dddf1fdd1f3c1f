"""The training loop: batches in, losses out, the model changed in place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from repro.arrays import IntArray
from repro.errors import InputError
from repro.nano.balance import update_biases
from repro.nano.model import Loss, Model
from repro.nano.ops import cross_entropy
from repro.nano.training.mixed_precision import cast_model
from repro.nano.training.optimizer import AdamW, Recipe, clip_grad_norm


class TrainingDiverged(ArithmeticError):
    """A run whose numbers cannot go on, which is no mistake of the user's; `step` counts from 0."""

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(f"step {step}: {reason}: try a lower peak_lr")
        self.step = step


@dataclass(frozen=True)
class TrainStep:
    """What one step reports; `number` counts from 0."""

    number: int
    loss: Loss  #: before the step
    gradient_norm: float  #: before clipping


def train(model: Model, batches: Iterable[IntArray], recipe: Recipe) -> Iterator[TrainStep]:
    """Train a model in place, one step whenever the caller asks for the next report.

    Args:
        model: changed in place.
        batches: token ids, [B, T + 1] each, at least one per step.
        recipe: steps, learning rates, balancing and numbers of the products.

    Raises:
        InputError: the batches end early.
        TrainingDiverged: a loss or gradient is not finite.
    """
    optimizer, rest = AdamW(recipe), iter(batches)
    for number in range(recipe.steps):
        batch = next(rest, None)
        if batch is None:
            raise InputError(f"batches: end after {number} of {recipe.steps} steps")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of it is checked next
            cast = cast_model(model, recipe.precision) if recipe.precision else model
            loss, gradients = cast.loss_and_gradients(batch, mtp_weight=recipe.mtp_weight, balance=recipe.balance)
            norm = clip_grad_norm(gradients, recipe.clip_norm)
            if not np.isfinite([loss.total, norm]).all():
                raise TrainingDiverged(number, f"loss {loss.total}, gradient norm {norm}")
            optimizer.step(model.params, gradients)
            if recipe.balance and recipe.balance.bias_speed:
                update_biases(model.params, loss.loads, recipe.balance.bias_speed)
        yield TrainStep(number, loss, norm)


def evaluate(model: Model, batch: IntArray) -> float:
    """Return the mean cross-entropy of the next token, in nats, on tokens [B, T + 1]."""
    batch = model.check_tokens(batch)
    return cross_entropy(model.forward(batch[:, :-1]), batch[:, 1:])[0]
