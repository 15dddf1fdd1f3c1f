"""Weights that multiply by a scheme: Fprop, Dgrad and Wgrad with operands rounded to its numbers."""

from typing import Any

import numpy as np

from repro.nano.fp8.accumulate import scaled_product
from repro.nano.fp8.formats import Array, Format
from repro.nano.fp8.scaling import Quantised, Tile, quantise
from repro.nano.fp8.scheme import BF16, Scheme, bf16
from repro.nano.model import Model
from repro.nano.ops import Matrix

Operand = Quantised | Array  # the latter in BF16


def operand(x: Array, form: Format | None, tile: Tile) -> Operand:
    """Return a matrix in the numbers that a product reads, BF16 where no format is given."""
    return x.astype(BF16) if form is None else quantise(x, form, tile)


class SchemeMatrix(Matrix):
    """A weight, or a stack of weights, in the numbers of a scheme: [..., d_out, d_in].

    stored: the operand of both products that read it. values: the same, decoded. scheme: of the products.
    after_attention: whether it projects attention's output, which may be kept in a format of its own.
    """

    def __init__(self, stored: Operand, values: Array, scheme: Scheme, *, after_attention: bool = False) -> None:
        """Take a weight that is cast already."""
        self.stored, self.values, self.scheme, self.after_attention = stored, values, scheme, after_attention
        self.shape = stored.shape

    @classmethod
    def cast(cls, weight: Array, scheme: Scheme, *, after_attention: bool = False) -> "SchemeMatrix":
        """Return a precise weight, [..., d_out, d_in], in the numbers of a scheme."""
        stored = operand(weight, scheme.weight, scheme.block_tile())
        return cls(stored, np.asarray(stored, weight.dtype), scheme, after_attention=after_attention)

    def __getitem__(self, place: Any) -> "SchemeMatrix":
        """Return one of a stack."""
        return SchemeMatrix(self.stored[place], self.values[place], self.scheme, after_attention=self.after_attention)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the values, decoded."""
        return self.values if dtype is None else self.values.astype(dtype, copy=False)

    def product(self, rows: Array) -> Array:
        """Return Fprop, [N, d_in] -> [N, d_out], in BF16's numbers."""
        x = self._row_operand(rows, self.scheme.activation)
        how = self.scheme.accumulation
        y = np.asarray(x, rows.dtype) @ self.values.T if how is None else scaled_product(x, self.stored, how)
        return _bf16(y.astype(rows.dtype, copy=False))

    def product_backward(self, d_rows: Array, kept: Operand, out: Array | None) -> tuple[Array, Array]:
        """Return Dgrad, [N, d_in], in BF16's numbers, and Wgrad, [d_out, d_in], in full."""
        dtype, scheme = d_rows.dtype, self.scheme
        tile = scheme.block_tile() if scheme.square_gradients else scheme.row_tile()
        d_y = operand(d_rows, scheme.gradient, tile)
        # Wgrad adds up over tokens: scales lie along them, and what was kept with others is cast once more.
        d_y_t = self._row_operand(d_rows.T, scheme.gradient)
        x_t = self._row_operand(np.asarray(kept, dtype).T, scheme.activation)
        how = scheme.accumulation
        if how is None:
            d_x = np.asarray(d_y, dtype) @ self.values
            d_weight = np.matmul(np.asarray(d_y_t, dtype), np.asarray(x_t, dtype).T, out=out)
        else:
            d_x = scaled_product(d_y, self.stored.T, how).astype(dtype)
            d_weight = scaled_product(d_y_t, x_t, how)
            if out is not None:
                out[...] = d_weight
                d_weight = out
        return _bf16(d_x), d_weight

    def keep(self, rows: Array) -> Operand:
        """Return an input as it is stored for Wgrad, [N, d_in]."""
        form = self.scheme.attention_output
        if self.after_attention and form is not None:
            return quantise(rows, form, self.scheme.row_tile(), power_of_two=True)
        return self._row_operand(rows, self.scheme.activation)

    def _row_operand(self, x: Array, form: Format | None) -> Operand:
        return operand(x, form, self.scheme.row_tile())


def _bf16(x: Array) -> Array:
    return x.astype(BF16).astype(x.dtype)


def computing(model: Model, scheme: Scheme) -> Model:
    """Return a model that computes in a scheme, with another's parameters as they are now.

    Every matrix of a linear layer is cast. Embedding, gate, norms and biases stay as they are; the head and the
    projection of a module for multi-token prediction multiply in BF16.

    Args: model: with the precise parameters, float32 or float64; not changed. scheme: to compute in.
    Returns: a model for `loss_and_gradients`, whose gradients belong to the precise parameters.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.3.1; the projection: DeepSeek-V3 repository, weights.
    """
    return Model(model.config, _cast(model.parameters, scheme), model.workers)


def _cast(tree: Any, scheme: Scheme, name: str = "") -> Any:
    if isinstance(tree, list):
        return [_cast(one, scheme) for one in tree]
    if isinstance(tree, dict):
        alone = ("gate", "embedding")
        return {key: one if key in alone else _cast(one, scheme, key) for key, one in tree.items()}
    if tree.ndim < 2:
        return tree
    if name in ("head", "projection"):
        return SchemeMatrix.cast(tree, bf16())
    return SchemeMatrix.cast(tree, scheme, after_attention=name == "output")
