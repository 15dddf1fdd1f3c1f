"""Weights whose three matrix products run in the numbers of a precision recipe.

Fprop and Dgrad read the same cast weight; activations and gradients are cast as they arrive. Wgrad sums over tokens,
so what it reads is cast again with scales along that axis. Outputs leave in BF16, Wgrad in full. Only matrices of
linear layers are cast: embedding, gate, norms and biases stay precise, and so do the master weights that are trained.
"""

from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from repro.arrays import Array
from repro.nano.model import Model
from repro.nano.numerics import Format, Quantized, block_scaled_matmul, quantize
from repro.nano.numerics.recipes import BF16, PrecisionRecipe, bf16_recipe
from repro.nano.numerics.scaling import Tile
from repro.nano.ops import WeightBackend

Operand: TypeAlias = Quantized | Array  # the latter in BF16


class Role(StrEnum):
    """Where a weight stands, as far as a recipe tells places apart."""

    LINEAR = "any linear layer"
    AFTER_ATTENTION = "the projection of attention's output"
    EXPERT_UP = "gate and up projection of routed experts"
    EXPERT_DOWN = "down projection of routed experts"


PRECISE = ("gate", "embed_tokens")  # keys of parameters that are not cast
ROLES = {("o_proj", 2): Role.AFTER_ATTENTION, ("gate_up_proj", 3): Role.EXPERT_UP, ("down_proj", 3): Role.EXPERT_DOWN}


def quantize_operand(x: Array, form: Format | None, tile: Tile, *, power_of_two: bool = False) -> Operand:
    """Cast a matrix to what a product reads, BF16 where no format is given."""
    return x.astype(BF16) if form is None else quantize(x, form, tile, power_of_two=power_of_two)


class QuantizedWeight(WeightBackend):
    """A weight, or a stack of weights, [..., d_out, d_in], that multiplies in the numbers of a recipe."""

    def __init__(self, stored: Operand, values: Array, precision: PrecisionRecipe, role: Role = Role.LINEAR) -> None:
        """Take an operand, as `cast` makes it, and its values, decoded once for all products, as a GPU does not."""
        self.stored, self.values, self.precision, self.role = stored, values, precision, role
        self.shape = stored.shape

    @classmethod
    def cast(cls, weight: Array, precision: PrecisionRecipe, role: Role = Role.LINEAR) -> "QuantizedWeight":
        """Cast a precise weight, [..., d_out, d_in]."""
        stored = quantize_operand(weight, precision.weight, precision.block_tile())
        return cls(stored, np.asarray(stored, weight.dtype), precision, role)

    def __getitem__(self, index: Any) -> "QuantizedWeight":
        return QuantizedWeight(self.stored[index], self.values[index], self.precision, self.role)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return self.values if dtype is None else self.values.astype(dtype, copy=False)

    def product(self, rows: Array) -> Array:
        """Return Fprop, [N, d_in] -> [N, d_out], in BF16's numbers."""
        return _round_to_bf16(self._multiply(self._activation(rows), self._weight, rows.dtype))

    def product_backward(self, d_rows: Array, kept: Operand, out: Array | None) -> tuple[Array, Array]:
        """Return Dgrad, [N, d_in], in BF16's numbers, and Wgrad, [d_out, d_in], in full."""
        dtype, recipe = d_rows.dtype, self.precision
        d_y = self._gradient(d_rows, recipe.block_tile() if recipe.square_gradients else recipe.row_tile())
        # Wgrad adds up over tokens: scales lie along them, and what was kept with scales along features is cast again.
        d_y_t = self._gradient(d_rows.T, recipe.row_tile())  # [d_out, N]
        x_t = self._activation(np.asarray(kept, dtype).T)  # [d_in, N]
        d_weight = self._multiply(d_y_t, x_t, dtype)  # [d_out, d_in]
        if out is not None:
            out[...] = d_weight
            d_weight = out
        return _round_to_bf16(self._multiply(d_y, self._weight.T, dtype)), d_weight

    def save_for_backward(self, rows: Array) -> Operand:
        """Return an input, [N, d_in], as it is stored for Wgrad."""
        form = self.precision.attention_output
        if self.role == Role.AFTER_ATTENTION and form is not None:
            return quantize(rows, form, self.precision.row_tile(), power_of_two=self.precision.powers_of_two)
        return self._activation(rows)

    @property
    def _weight(self) -> Operand:
        """The operand of a product: decoded already where sums are exact."""
        return self.values if self.precision.accumulation is None else self.stored

    def _multiply(self, a: Operand, b: Operand, dtype: np.dtype[Any]) -> Array:
        """Return A Bᵀ with the recipe's sums: [M, K] and [N, K] -> [M, N]."""
        accumulation = self.precision.accumulation
        if accumulation is not None and isinstance(a, Quantized) and isinstance(b, Quantized):
            return block_scaled_matmul(a, b, accumulation).astype(dtype)
        return np.asarray(a, dtype) @ np.asarray(b, dtype).T

    def _activation(self, x: Array) -> Operand:
        power_of_two = self.precision.powers_of_two and self.role in (Role.AFTER_ATTENTION, Role.EXPERT_UP)
        return quantize_operand(x, self.precision.activation, self.precision.row_tile(), power_of_two=power_of_two)

    def _gradient(self, d_y: Array, tile: Tile) -> Operand:
        power_of_two = self.precision.powers_of_two and self.role == Role.EXPERT_DOWN
        return quantize_operand(d_y, self.precision.gradient, tile, power_of_two=power_of_two)


def _round_to_bf16(x: Array) -> Array:
    return x.astype(BF16).astype(x.dtype)


def cast_model(model: Model, precision: PrecisionRecipe) -> Model:
    """Return a model that computes in a recipe's numbers; gradients of its loss belong to the precise parameters.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.3.1; for eh_proj: DeepSeek-V3 repository, weights.
    """
    return Model(model.config, _cast(model.params, precision), model.workers)


def _cast(tree: Any, precision: PrecisionRecipe, name: str = "") -> Any:
    """Cast the matrices of nested parameters; `name` is the last key on the way to an array."""
    if isinstance(tree, list):
        return [_cast(part, precision) for part in tree]
    if isinstance(tree, dict):
        return {key: part if key in PRECISE else _cast(part, precision, key) for key, part in tree.items()}
    if tree.ndim < 2:
        return tree
    if name in ("lm_head", "eh_proj"):  # in BF16; the latter projects in a module for multi-token prediction
        return QuantizedWeight.cast(tree, bf16_recipe())
    return QuantizedWeight.cast(tree, precision, ROLES.get((name, tree.ndim), Role.LINEAR))
