"""AdamW, warm-up and cosine decay of the learning rate, and clipping of the gradient's norm."""

import math
from dataclasses import dataclass, field

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.balance import Balance
from repro.nano.numerics.recipes import PrecisionRecipe
from repro.nano.param_shapes import iter_leaves
from repro.validate import check_integer, check_number


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults beside steps and rate are DeepSeek-V3's.

    steps: of the optimiser. peak_rate: the highest learning rate. warmup_steps: of linear growth to it. final_share:
    of the peak at the last step. beta_1, beta_2: of the moments. weight_decay: of matrices, gains and biases not
    counted. clip_norm: largest norm of all gradients together. mtp_weight: λ of the modules' losses. scheme: of mixed
    precision; None computes and keeps everything in the model's own type. balance: of the experts; None leaves them.
    Raises: InputError for steps that do not fit, or a number out of its bounds.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 4.2.
    """

    steps: int
    peak_rate: float = 3e-3
    warmup_steps: int = 10
    final_share: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.95
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    mtp_weight: float = 0.3
    scheme: PrecisionRecipe | None = None
    balance: Balance | None = None

    def __post_init__(self) -> None:
        """Raise InputError for what cannot be trained by."""
        check_integer("steps", self.steps)
        check_integer("warmup_steps", self.warmup_steps, least=0)
        if self.warmup_steps > self.steps:
            raise InputError(f"warmup_steps = {self.warmup_steps}: must be at most steps = {self.steps}")
        for name in ("peak_rate", "weight_decay", "mtp_weight"):
            check_number(name, getattr(self, name))
        for name in ("beta_1", "beta_2"):
            check_number(name, getattr(self, name), below=1)
        check_number("final_share", self.final_share, below=math.nextafter(1, 2))
        check_number("clip_norm", self.clip_norm, above=0)
        if not isinstance(self.scheme, PrecisionRecipe | None):
            raise InputError(f"scheme = {self.scheme!r}: must be a Scheme, such as v3(), or None")
        if not isinstance(self.balance, Balance | None):
            raise InputError(f"balance = {self.balance!r}: must be a Balance, such as loss_free(), or None")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0: up in a line, then down half a cosine.

        Source: Loshchilov and Hutter (arXiv 1608.03983), equation 5.
        """
        if step < self.warmup_steps:
            return self.peak_rate * (step + 1) / self.warmup_steps
        decaying = self.steps - 1 - self.warmup_steps
        done = (step - self.warmup_steps) / decaying if decaying > 0 else self.warmup_steps > 0
        cosine = (1 + math.cos(math.pi * min(done, 1))) / 2
        return self.peak_rate * (self.final_share + (1 - self.final_share) * cosine)


@dataclass
class AdamW:
    """Moments of every parameter, by its path, and the step that updates the parameters in place.

    Source: Loshchilov and Hutter (arXiv 1711.05101), algorithm 2.
    """

    recipe: Recipe
    eps: float = 1e-8
    count: int = 0
    moments: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    def step(self, parameters: dict, gradients: dict) -> None:
        """Update each parameter that has a gradient.

        Args: parameters: of a model, nested; changed in place. gradients: nested alike, selection biases left out.
        """
        recipe, rate = self.recipe, self.recipe.rate(self.count)
        self.count += 1
        # Both corrections of the moments' early bias, taken together.
        size = rate * math.sqrt(1 - recipe.beta_2**self.count) / (1 - recipe.beta_1**self.count)
        eps = self.eps * math.sqrt(1 - recipe.beta_2**self.count)
        where = dict(iter_leaves(parameters))
        for path, gradient in iter_leaves(gradients):
            if path not in self.moments:
                kind = recipe.scheme.moments if recipe.scheme else gradient.dtype
                self.moments[path] = np.zeros(gradient.shape, kind), np.zeros(gradient.shape, kind)
            first, second = (kept.astype(gradient.dtype, copy=False) for kept in self.moments[path])
            first *= recipe.beta_1
            first += (1 - recipe.beta_1) * gradient
            second *= recipe.beta_2
            second += (1 - recipe.beta_2) * gradient * gradient
            for kept, moment in zip(self.moments[path], (first, second), strict=True):
                if kept is not moment:
                    kept[...] = moment
            parameter = where[path]
            if parameter.ndim > 1:
                parameter *= 1 - rate * recipe.weight_decay
            change = np.sqrt(second)
            change += eps
            np.divide(first, change, out=change)
            change *= size
            parameter -= change


def clip(gradients: dict, largest: float) -> float:
    """Scale all gradients in place so that their norm together is at most `largest`; return the norm before.

    Source: Pascanu et al. (arXiv 1211.5063), algorithm 1.
    """
    arrays = [one for _, one in iter_leaves(gradients)]
    norm = math.sqrt(sum(float(np.vdot(one, one)) for one in arrays))
    if norm > largest:
        for one in arrays:
            one *= largest / norm
    return norm
