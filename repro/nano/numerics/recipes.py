"""Schemes of mixed precision: which numbers each matrix product of a training step reads, and what it leaves behind."""

from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

from repro.errors import InputError
from repro.nano.numerics.accumulation import Accumulation
from repro.nano.numerics.formats import E4M3, E5M2, E5M6, Format
from repro.nano.numerics.scaling import WHOLE_TENSOR, Tile
from repro.validate import check_integer

BF16 = np.dtype(ml_dtypes.bfloat16)
FP32 = np.dtype(np.float32)


@dataclass(frozen=True)
class PrecisionRecipe:
    """Numbers of the three products of a linear layer, Fprop, Dgrad and Wgrad; norms and attention are left alone.

    activation, weight, gradient: formats of the products' operands; None for BF16. group: elements that share a scale,
    along a row of activations and gradients and along both sides of a weight's block; None for all of a tensor.
    powers_of_two: whether scales are, of the inputs of attention's output projection and of routed experts, and of the
    gradients of experts' outputs, so that casting along tokens adds no error of its own.
    square_gradients: whether gradients have square blocks too. attention_output: format in which the input of the
    projection after attention is kept for the backward pass; None as others are.
    accumulation: of the products; None is FP32 or better. moments: type of the optimiser's.
    Raises: InputError for a group that is none, or an accumulation that fits neither formats nor group.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.3 and figure 6.
    """

    name: str
    activation: Format | None = None
    weight: Format | None = None
    gradient: Format | None = None
    group: int | None = None
    powers_of_two: bool = False
    square_gradients: bool = False
    attention_output: Format | None = None
    accumulation: Accumulation | None = None
    moments: np.dtype = BF16

    def __post_init__(self) -> None:
        """Raise InputError where parts contradict."""
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
        """Return the tile of an activation or gradient, rows along the sum of the product."""
        return WHOLE_TENSOR if self.group is None else (1, self.group)

    def block_tile(self) -> Tile:
        """Return the tile of a weight."""
        return WHOLE_TENSOR if self.group is None else (self.group, self.group)


def bf16_recipe() -> PrecisionRecipe:
    """Return BF16 mixed precision: operands and outputs of products in BF16, sums in FP32."""
    return PrecisionRecipe("BF16", moments=FP32)


def v3_recipe(group: int = 128) -> PrecisionRecipe:
    """Return DeepSeek-V3's recipe: E4M3 throughout, fine-grained scales, moments in BF16.

    Args: group: 128 there; smaller for models narrower than that.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.1 to 3.3.3.
    """
    return PrecisionRecipe("V3's FP8", E4M3, E4M3, E4M3, group, powers_of_two=True, attention_output=E5M6)


def per_tensor_recipe() -> PrecisionRecipe:
    """Return the recipe before it: E4M3 forward, E5M2 for gradients, one scale for each tensor.

    Source: Micikevicius et al. (arXiv 2209.05433), section 3.1; DeepSeek-V3 report (arXiv 2412.19437), section 3.3.2.
    """
    return PrecisionRecipe("per-tensor FP8", E4M3, E4M3, E5M2, moments=FP32)


def square_gradients_recipe(group: int = 128) -> PrecisionRecipe:
    """Return V3's recipe with gradients in square blocks, as weights have them, which diverged at 16B parameters.

    Source: DeepSeek-V3 report (arXiv 2412.19437), appendix B.2.
    """
    return replace(v3_recipe(group), name="V3's FP8, square gradients", square_gradients=True)
