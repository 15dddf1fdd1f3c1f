"""Tiles that share a scale: a tensor, a row's 128 elements, or a square block, stored as codes and scales."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.numerics.formats import E4M3, Format, decode, encode

LEAST_SCALE = 2.0**-126  # the smallest normal number of FP32
WHOLE_TENSOR = (None, None)
Tile = tuple[int | None, int | None]


@dataclass(frozen=True)
class Quantized:
    """Matrices in a small format with a scale per tile.

    codes: uint8, [..., rows, bytes of a row]. scales: float32, [..., tiles down, tiles across]. form: of the codes.
    tile: rows and columns that share a scale, None for all. columns: of a matrix.
    """

    codes: Array
    scales: Array
    form: Format
    tile: Tile
    columns: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return (*self.codes.shape[:-1], self.columns)

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + self.scales.nbytes

    @property
    def values(self) -> Array:
        """The numbers that codes and scales stand for, [..., rows, columns] in float32."""
        return self.grid * _spread(self.scales, self.shape, self.tile)

    @property
    def grid(self) -> Array:
        """The numbers of the format, not yet scaled: [..., rows, columns] in float32."""
        return decode(self.codes, self.form, self.columns)

    @property
    def T(self) -> "Quantized":
        """The transposed matrix, its scales with it; codes of eight bits only."""
        if self.form.bits != 8:
            raise InputError(f"{self.form.name}: codes of {self.form.bits} bits cannot be transposed")
        codes, scales = self.codes.swapaxes(-1, -2), self.scales.swapaxes(-1, -2)
        return Quantized(codes, scales, self.form, self.tile[::-1], self.codes.shape[-2])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the values in float32, or in the type that is asked for."""
        return self.values if dtype is None else self.values.astype(dtype, copy=False)

    def __getitem__(self, rows: Any) -> "Quantized":
        """Return some rows of a matrix whose rows share no scale, still quantised, or one of a stack of matrices."""
        if self.codes.ndim == 2 and self.tile[0] != 1 and self.tile != WHOLE_TENSOR:
            raise InputError(f"tile = {self.tile}: rows share scales and cannot be taken apart")
        scales = self.scales if self.codes.ndim == 2 and self.tile == WHOLE_TENSOR else self.scales[rows]
        return Quantized(self.codes[rows], scales, self.form, self.tile, self.columns)


def quantize(x: Array, form: Format = E4M3, tile: Tile = (1, 128), *, power_of_two: bool = False) -> Quantized:
    """Return matrices rounded to a format, each tile's largest magnitude at the format's largest number.

    A tile of zeros has the scale 1. A tile with an infinity or with what is no number has a scale that is none, and so
    all of it decodes to none: an overflow shows. Tiles at the edges may be smaller; no rows or columns give no scales.

    Args: x: [..., rows, columns]; taken to float32 first. form: to round to. tile: rows and columns that share a
        scale, None for all: (None, None) is per tensor, (1, 128) DeepSeek's for activations, (128, 128) for weights.
        power_of_two: whether scales are rounded up to the next one.
    Raises: InputError for fewer than two axes or a tile of less than one.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.2 and 3.3.3.
    """
    x = np.asarray(x, np.float32)
    if x.ndim < 2:
        raise InputError(f"x of shape {x.shape}: must be matrices, [..., rows, columns]")
    if any(size is not None and size < 1 for size in tile):
        raise InputError(f"tile = {tile}: must be rows and columns of at least 1, or None for all")
    scales = _scales(_largest(np.abs(x), tile), form, power_of_two=power_of_two)
    return Quantized(encode(x / _spread(scales, x.shape, tile), form), scales, form, tile, x.shape[-1])


def _largest(magnitudes: Array, tile: Tile) -> Array:
    """Return the largest of each tile: [..., rows, columns] -> [..., tiles down, tiles across]."""
    for axis, size in ((-2, tile[0]), (-1, tile[1])):
        length = magnitudes.shape[axis]
        if size != 1 and length:
            magnitudes = np.maximum.reduceat(magnitudes, np.arange(0, length, size or length), axis=axis)
    return magnitudes


def _scales(largest: Array, form: Format, *, power_of_two: bool) -> Array:
    scales = np.maximum(largest / np.float32(form.largest), np.float32(LEAST_SCALE))
    if power_of_two:
        mantissa, exponent = np.frexp(scales)  # m in [1/2, 1)
        scales = np.ldexp(np.float32(1), exponent - (mantissa == 0.5))
    return np.where(np.isfinite(largest), np.where(largest > 0, scales, 1), np.nan).astype(np.float32)


def _spread(scales: Array, shape: tuple[int, ...], tile: Tile) -> Array:
    """Return scales that broadcast over their matrices."""
    for axis, size in ((-2, tile[0]), (-1, tile[1])):
        if size not in (None, 1):
            scales = scales.take(np.arange(shape[axis]) // size, axis=axis)
    return scales
