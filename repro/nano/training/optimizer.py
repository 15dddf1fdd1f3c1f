"""AdamW, warm-up and cosine decay of the learning rate, and clipping of the gradient's norm."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.balance import Balance
from repro.nano.numerics.recipes import PrecisionRecipe
from repro.nano.param_shapes import iter_leaves
from repro.validate import check_integer, check_number


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults beside steps and learning rate are DeepSeek-V3's.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 4.2.
    """

    steps: int
    peak_lr: float = 3e-3
    warmup_steps: int = 10  #: of linear growth to peak_lr
    final_lr_share: float = 0.1  #: of peak_lr at the last step
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.1  #: of matrices; gains and biases do not decay
    clip_norm: float = 1.0  #: largest norm of all gradients together
    mtp_weight: float = 0.3  #: λ of the modules' losses
    precision: PrecisionRecipe | None = None  #: None computes and keeps everything in the model's own type
    balance: Balance | None = None  #: of the experts' load; None leaves it alone

    def __post_init__(self) -> None:
        check_integer("steps", self.steps)
        check_integer("warmup_steps", self.warmup_steps, least=0)
        if self.warmup_steps > self.steps:
            raise InputError(f"warmup_steps = {self.warmup_steps}: must be at most steps = {self.steps}")
        for name in ("peak_lr", "weight_decay", "mtp_weight"):
            check_number(name, getattr(self, name))
        for name in ("beta1", "beta2"):
            check_number(name, getattr(self, name), below=1)
        check_number("final_lr_share", self.final_lr_share, below=math.nextafter(1, 2))
        check_number("clip_norm", self.clip_norm, above=0)
        if not isinstance(self.precision, PrecisionRecipe | None):
            raise InputError(f"precision = {self.precision!r}: must be a PrecisionRecipe, such as v3_recipe(), or None")
        if not isinstance(self.balance, Balance | None):
            raise InputError(f"balance = {self.balance!r}: must be a Balance, such as loss_free(), or None")

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: up in a line, then down half a cosine.

        Source: Loshchilov and Hutter (arXiv 1608.03983), equation 5.
        """
        if step < self.warmup_steps:
            return self.peak_lr * (step + 1) / self.warmup_steps
        decay_steps = self.steps - 1 - self.warmup_steps
        done = (step - self.warmup_steps) / decay_steps if decay_steps > 0 else self.warmup_steps > 0
        cosine = (1 + math.cos(math.pi * min(done, 1))) / 2
        return self.peak_lr * (self.final_lr_share + (1 - self.final_lr_share) * cosine)


@dataclass
class AdamW:
    """Moments of every parameter, by its path, and the step that updates the parameters in place.

    Source: Loshchilov and Hutter (arXiv 1711.05101), algorithm 2.
    """

    recipe: Recipe
    eps: float = 1e-8
    count: int = 0
    moments: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    def step(self, parameters: dict[str, Any], gradients: dict[str, Any]) -> None:
        """Update in place each parameter that has a gradient; gradients are nested as the parameters are."""
        recipe, learning_rate = self.recipe, self.recipe.learning_rate(self.count)
        self.count += 1
        # Both corrections of the moments' early bias, taken together.
        step_size = learning_rate * math.sqrt(1 - recipe.beta2**self.count) / (1 - recipe.beta1**self.count)
        eps = self.eps * math.sqrt(1 - recipe.beta2**self.count)
        parameter_by_path = dict(iter_leaves(parameters))
        for path, gradient in iter_leaves(gradients):
            if path not in self.moments:
                dtype = recipe.precision.moments if recipe.precision else gradient.dtype
                self.moments[path] = np.zeros(gradient.shape, dtype), np.zeros(gradient.shape, dtype)
            first, second = (stored.astype(gradient.dtype, copy=False) for stored in self.moments[path])
            first *= recipe.beta1
            first += (1 - recipe.beta1) * gradient
            second *= recipe.beta2
            second += (1 - recipe.beta2) * gradient * gradient
            for stored, moment in zip(self.moments[path], (first, second), strict=True):
                if stored is not moment:
                    stored[...] = moment
            parameter = parameter_by_path[path]
            if parameter.ndim > 1:
                parameter *= 1 - learning_rate * recipe.weight_decay
            parameter -= first / (np.sqrt(second) + eps) * step_size


def clip_grad_norm(gradients: dict[str, Any], max_norm: float) -> float:
    """Scale all gradients in place so that their norm together is at most `max_norm`; return the norm before.

    Source: Pascanu et al. (arXiv 1211.5063), algorithm 1.
    """
    arrays = [gradient for _, gradient in iter_leaves(gradients)]
    norm = math.sqrt(sum(float(np.vdot(gradient, gradient)) for gradient in arrays))
    if norm > max_norm:
        for gradient in arrays:
            gradient *= max_norm / norm
    return norm
