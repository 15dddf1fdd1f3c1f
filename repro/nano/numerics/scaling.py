"""Tiles that share a scale, so that a format of narrow range can hold a tensor of wide range.

Each tile is divided by its largest magnitude over the format's largest value, rounded, and stored beside that scale.
One scale per tensor lets a single outlier push all other elements towards zero. DeepSeek-V3 therefore scales
activations by 1 x 128 elements of a token's row and weights by blocks of 128 x 128.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.numerics.formats import E4M3, Format, decode, encode

AT_ONCE = 2**15  # elements cast together, so that what lies between stays in a core's cache
LEAST_SCALE = 2.0**-126  # the smallest normal number of FP32
Tile = tuple[int | None, int | None]  # rows and columns that share a scale; None for all
WHOLE_TENSOR: Tile = (None, None)


@dataclass(frozen=True)
class Quantized:
    """Matrices in a small format with a scale per tile; numpy takes them for their values."""

    codes: NDArray[np.uint8]  #: [..., rows, bytes of a row]
    scales: Array  #: [..., tiles down, tiles across], float32
    form: Format
    tile: Tile
    columns: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return (*self.codes.shape[:-1], self.columns)

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + self.scales.nbytes

    @property
    def values(self) -> Array:
        """The numbers that codes and scales stand for, [..., rows, columns] in float32."""
        values = self.grid
        values *= _expand_scales(self.scales, self.shape, self.tile)
        return values

    @property
    def grid(self) -> Array:
        """The format's numbers before scaling, [..., rows, columns] in float32."""
        return decode(self.codes, self.form, self.columns)

    @property
    def T(self) -> "Quantized":
        """The transposed matrix and its scales; for codes of eight bits only."""
        if self.form.bits != 8:
            raise InputError(f"{self.form.name}: codes of {self.form.bits} bits cannot be transposed")
        codes, scales = self.codes.swapaxes(-1, -2), self.scales.swapaxes(-1, -2)
        return Quantized(codes, scales, self.form, self.tile[::-1], self.codes.shape[-2])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return self.values if dtype is None else self.values.astype(dtype, copy=False)

    def __getitem__(self, rows: Any) -> "Quantized":
        """Return one of a stack of matrices, or some rows of a matrix whose rows share no scale."""
        if self.codes.ndim == 2 and self.tile[0] != 1 and self.tile != WHOLE_TENSOR:
            raise InputError(f"tile = {self.tile}: rows share scales and cannot be taken apart")
        scales = self.scales if self.codes.ndim == 2 and self.tile == WHOLE_TENSOR else self.scales[rows]
        return Quantized(self.codes[rows], scales, self.form, self.tile, self.columns)


def quantize(x: ArrayLike, form: Format = E4M3, tile: Tile = (1, 128), *, power_of_two: bool = False) -> Quantized:
    """Round matrices to a format, each tile scaled so that its largest magnitude is the format's largest number.

    A tile of zeros has the scale 1. If a tile contains an infinity or NaN, its scale is NaN and the whole tile decodes
    to NaN, so that an overflow cannot go unnoticed.

    Args:
        x: [..., rows, columns], first taken to float32.
        form: format of the codes.
        tile: (1, 128) is DeepSeek's for activations, (128, 128) for weights, (None, None) per tensor; less at edges.
        power_of_two: round scales up to the next power of two.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.2 and 3.3.3.
    """
    x = np.asarray(x, np.float32)
    if x.ndim < 2:
        raise InputError(f"x of shape {x.shape}: must be matrices, [..., rows, columns]")
    if any(size is not None and size < 1 for size in tile):
        raise InputError(f"tile = {tile}: must be rows and columns of at least 1, or None for all")
    scales = _scales(_tile_amax(x, tile), form, power_of_two=power_of_two)
    return Quantized(_encode_scaled(x, scales, form, tile), scales, form, tile, x.shape[-1])


def _tile_amax(x: Array, tile: Tile) -> Array:
    """Return the largest magnitude of each tile: [..., rows, columns] -> [..., tiles down, tiles across]."""
    largest = smallest = x
    for axis, size in ((-1, tile[1]), (-2, tile[0])):  # along rows first, whose elements lie side by side
        length = x.shape[axis]
        if size != 1 and length:
            starts = np.arange(0, length, size or length)
            largest = np.maximum.reduceat(largest, starts, axis=axis)
            smallest = np.minimum.reduceat(smallest, starts, axis=axis)
    return np.maximum(largest, -smallest)


def _encode_scaled(x: Array, scales: Array, form: Format, tile: Tile) -> NDArray[np.uint8]:
    """Return the codes of x / scales, [..., rows, bytes of a row], some rows at a time."""
    if not x.size:
        return encode(x, form)
    scales = _expand_scales(scales, x.shape, (tile[0], None))  # [..., rows, tiles across], or one row for all
    scales = np.broadcast_to(scales, (*x.shape[:-1], scales.shape[-1])).reshape(-1, scales.shape[-1])
    rows, count = x.reshape(-1, x.shape[-1]), max(AT_ONCE // x.shape[-1], 1)  # [R, columns]
    codes = []
    for start in range(0, len(rows), count):
        some = slice(start, start + count)
        codes.append(encode(rows[some] / _expand_scales(scales[some], rows.shape, (1, tile[1])), form))
    return np.concatenate(codes).reshape(*x.shape[:-1], -1)


def _scales(amax: Array, form: Format, *, power_of_two: bool) -> Array:
    scales = np.maximum(amax / np.float32(form.largest), np.float32(LEAST_SCALE))
    if power_of_two:
        mantissa, exponent = np.frexp(scales)  # m in [1/2, 1), which is 1/2 for a power of two
        scales = np.ldexp(np.float32(1), exponent - (mantissa == 0.5))
    return np.where(np.isfinite(amax), np.where(amax > 0, scales, 1), np.nan).astype(np.float32)


def _expand_scales(scales: Array, shape: tuple[int, ...], tile: Tile) -> Array:
    """Return scales that broadcast over matrices of this shape."""
    for axis, size in ((-2, tile[0]), (-1, tile[1])):
        if size is not None and size != 1:
            scales = scales.take(np.arange(shape[axis]) // size, axis=axis)
    return scales
