"""Recipes of mixed precision: which numbers the matrix products of a training step read, and what they leave behind.

A linear layer multiplies three times: Fprop (outputs), Dgrad (gradients of inputs) and Wgrad (gradients of weights).
A recipe sets the format and scales of their operands: activations, weights and gradients. Embedding, gate, norms and
attention itself stay in full precision, and so do the master weights that the optimizer updates.
"""

from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from repro.errors import InputError
from repro.nano.numerics import E4M3, E5M2, E5M6, WHOLE_TENSOR, Accumulation, Format
from repro.nano.numerics.scaling import Tile
from repro.validate import check_integer

BF16 = np.dtype(ml_dtypes.bfloat16)
FP32 = np.dtype(np.float32)


@dataclass(frozen=True)
class PrecisionRecipe:
    """The numbers of a linear layer's three products; a format of None is BF16.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.3 and figure 6.
    """

    name: str
    activation: Format | None = None
    weight: Format | None = None
    gradient: Format | None = None
    group: int | None = None  #: elements of a row, or side of a weight's block, that share a scale; None: the tensor
    powers_of_two: bool = False  # scales of what is cast along rows and along tokens, so that the second cast is exact:
    # inputs of attention's output projection and of routed experts, and gradients of experts' outputs
    square_gradients: bool = False  #: whether gradients have square blocks, as weights do
    attention_output: Format | None = None  #: in which attention's output is kept for Wgrad; None as other inputs are
    accumulation: Accumulation | None = None  #: of the products; None is FP32 or better
    moments: np.dtype[Any] = BF16  #: of the optimizer

    def __post_init__(self) -> None:
        if self.group is not None:
            check_integer("group", self.group)
        if self.accumulation is None:
            return
        if None in (self.activation, self.weight, self.gradient):
            raise InputError("accumulation: is of eight-bit products; give activation, weight and gradient")
        every = self.accumulation.promote_every
        if self.group is not None and (every is None or self.group % every):
            raise InputError(f"promote_every = {every}: must divide the {self.group} elements that share a scale")

    def row_tile(self) -> Tile:
        """Return the tile of an activation or gradient, whose rows lie along the product's sums."""
        return WHOLE_TENSOR if self.group is None else (1, self.group)

    def block_tile(self) -> Tile:
        """Return the tile of a weight."""
        return WHOLE_TENSOR if self.group is None else (self.group, self.group)


def bf16_recipe() -> PrecisionRecipe:
    """Return BF16 mixed precision: operands and outputs of products in BF16, sums in FP32."""
    return PrecisionRecipe("BF16", moments=FP32)


def v3_recipe(group: int = 128) -> PrecisionRecipe:
    """Return DeepSeek-V3's recipe: E4M3 throughout, a scale per 128 elements or fewer, moments in BF16.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.1 to 3.3.3.
    """
    return PrecisionRecipe("V3's FP8", E4M3, E4M3, E4M3, group, powers_of_two=True, attention_output=E5M6)


def per_tensor_recipe() -> PrecisionRecipe:
    """Return the recipe before V3's: E4M3 forward, E5M2 for gradients, one scale for each tensor.

    Source: Micikevicius et al. (arXiv 2209.05433), section 3.1; DeepSeek-V3 report (arXiv 2412.19437), section 3.3.2.
    """
    return PrecisionRecipe("per-tensor FP8", E4M3, E4M3, E5M2, moments=FP32)


def square_gradients_recipe(group: int = 128) -> PrecisionRecipe:
    """Return V3's recipe with gradients in square blocks, as weights have them, which diverged at 16B parameters.

    Source: DeepSeek-V3 report (arXiv 2412.19437), appendix B.2.
    """
    return replace(v3_recipe(group), name="V3's FP8, square gradients", square_gradients=True)
