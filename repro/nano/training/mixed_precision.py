"""Weights that multiply by a scheme: Fprop, Dgrad and Wgrad with operands rounded to its numbers."""

from enum import StrEnum
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.nano.model import Model
from repro.nano.numerics.accumulation import block_scaled_matmul
from repro.nano.numerics.formats import Format
from repro.nano.numerics.recipes import BF16, PrecisionRecipe, bf16_recipe
from repro.nano.numerics.scaling import Quantized, Tile, quantize
from repro.nano.ops import WeightBackend

Operand = Quantized | Array  # the latter in BF16


class Role(StrEnum):
    """Where a weight stands, as far as a scheme tells places apart."""

    LINEAR = "any linear layer"
    AFTER_ATTENTION = "the projection of attention's output"
    EXPERT_UP = "gate and up projection of routed experts"
    EXPERT_DOWN = "down projection of routed experts"


def quantize_operand(x: Array, form: Format | None, tile: Tile, *, power_of_two: bool = False) -> Operand:
    """Return a matrix in the numbers that a product reads, BF16 where no format is given."""
    return x.astype(BF16) if form is None else quantize(x, form, tile, power_of_two=power_of_two)


class QuantizedWeight(WeightBackend):
    """A weight, or a stack of weights, in the numbers of a scheme: [..., d_out, d_in].

    stored: the operand of both products that read it. values: the same, decoded once for all products, as a GPU does
    not. scheme: of the products. role: where it stands.
    """

    def __init__(self, stored: Operand, values: Array, scheme: PrecisionRecipe, role: Role = Role.LINEAR) -> None:
        """Take a weight that is cast already."""
        self.stored, self.values, self.scheme, self.role = stored, values, scheme, role
        self.shape = stored.shape

    @classmethod
    def cast(cls, weight: Array, scheme: PrecisionRecipe, role: Role = Role.LINEAR) -> "QuantizedWeight":
        """Return a precise weight, [..., d_out, d_in], in the numbers of a scheme."""
        stored = quantize_operand(weight, scheme.weight, scheme.block_tile())
        return cls(stored, np.asarray(stored, weight.dtype), scheme, role)

    def __getitem__(self, place: Any) -> "QuantizedWeight":
        """Return one of a stack."""
        return QuantizedWeight(self.stored[place], self.values[place], self.scheme, self.role)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the values, decoded."""
        return self.values if dtype is None else self.values.astype(dtype, copy=False)

    def product(self, rows: Array) -> Array:
        """Return Fprop, [N, d_in] -> [N, d_out], in BF16's numbers."""
        return _bf16(self._multiply(self._activation(rows), self._weight, rows.dtype))

    def product_backward(self, d_rows: Array, kept: Operand, out: Array | None) -> tuple[Array, Array]:
        """Return Dgrad, [N, d_in], in BF16's numbers, and Wgrad, [d_out, d_in], in full."""
        dtype, scheme = d_rows.dtype, self.scheme
        d_y = self._gradient(d_rows, scheme.block_tile() if scheme.square_gradients else scheme.row_tile())
        # Wgrad adds up over tokens: scales lie along them, and what was kept with others is cast once more.
        d_y_t, x_t = self._gradient(d_rows.T, scheme.row_tile()), self._activation(np.asarray(kept, dtype).T)
        d_weight = self._multiply(d_y_t, x_t, dtype)
        if out is not None:
            out[...] = d_weight
            d_weight = out
        return _bf16(self._multiply(d_y, self._weight.T, dtype)), d_weight

    def save_for_backward(self, rows: Array) -> Operand:
        """Return an input as it is stored for Wgrad, [N, d_in]."""
        form = self.scheme.attention_output
        if self.role == Role.AFTER_ATTENTION and form is not None:
            return quantize(rows, form, self.scheme.row_tile(), power_of_two=self.scheme.powers_of_two)
        return self._activation(rows)

    @property
    def _weight(self) -> Operand:
        """The operand of a product: decoded already where sums are exact."""
        return self.values if self.scheme.accumulation is None else self.stored

    def _multiply(self, a: Operand, b: Operand, dtype: np.dtype) -> Array:
        """Return A Bᵀ with the scheme's sums: [M, K] and [N, K] -> [M, N]."""
        if self.scheme.accumulation is None:
            return np.asarray(a, dtype) @ np.asarray(b, dtype).T
        return block_scaled_matmul(a, b, self.scheme.accumulation).astype(dtype)

    def _activation(self, x: Array) -> Operand:
        power_of_two = self.scheme.powers_of_two and self.role in (Role.AFTER_ATTENTION, Role.EXPERT_UP)
        return quantize_operand(x, self.scheme.activation, self.scheme.row_tile(), power_of_two=power_of_two)

    def _gradient(self, d_y: Array, tile: Tile) -> Operand:
        power_of_two = self.scheme.powers_of_two and self.role == Role.EXPERT_DOWN
        return quantize_operand(d_y, self.scheme.gradient, tile, power_of_two=power_of_two)


def _bf16(x: Array) -> Array:
    return x.astype(BF16).astype(x.dtype)


def cast_model(model: Model, scheme: PrecisionRecipe) -> Model:
    """Return a model that computes in a scheme, with another's parameters as they are now.

    Every matrix of a linear layer is cast. Embedding, gate, norms and biases stay as they are; the head and the
    projection of a module for multi-token prediction multiply in BF16.

    Args: model: with the precise parameters, float32 or float64; not changed. scheme: to compute in.
    Returns: a model for `loss_and_gradients`, whose gradients belong to the precise parameters.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.3.1; the projection: DeepSeek-V3 repository, weights.
    """
    return Model(model.config, _cast(model.params, scheme), model.workers)


def _cast(tree: Any, scheme: PrecisionRecipe, name: str = "") -> Any:
    if isinstance(tree, list):
        return [_cast(one, scheme) for one in tree]
    if isinstance(tree, dict):
        alone = ("gate", "embed_tokens")
        return {key: one if key in alone else _cast(one, scheme, key) for key, one in tree.items()}
    if tree.ndim < 2:
        return tree
    if name in ("lm_head", "eh_proj"):
        return QuantizedWeight.cast(tree, bf16_recipe())
    return QuantizedWeight.cast(tree, scheme, _role(name, routed=tree.ndim == 3))


def _role(name: str, *, routed: bool) -> Role:
    if name == "o_proj":
        return Role.AFTER_ATTENTION
    return {"gate_up_proj": Role.EXPERT_UP, "down_proj": Role.EXPERT_DOWN}[name] if routed else Role.LINEAR
