"""Floats of few bits, the numbers that FP8 training stores.

A number is a sign, a biased exponent and a mantissa. Of eight bits, E4M3 spends three on the mantissa and reaches 448;
E5M2 spends two and reaches 57,344. E5M6 has twelve bits, and two of its codes share three bytes. Rounding takes the
nearest value, of two equally near the even one, and saturates: what exceeds the largest finite value becomes that
value. A tensor must therefore be scaled into the range first (see `scaling`).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.arrays import Array, IntArray


@dataclass(frozen=True)
class Format:
    """A floating-point format with subnormal numbers; `dtype` is its ml_dtypes type where there is one.

    Source: Micikevicius et al. (arXiv 2209.05433), table 1; DeepSeek-V3 report (arXiv 2412.19437), section 3.3.3.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    largest: float
    dtype: Any = None

    @property
    def bits(self) -> int:
        """Bits of a number, the sign included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal number, 1 minus the bias."""
        return 2 - 2 ** (self.exponent_bits - 1)

    @property
    def smallest(self) -> float:
        """The smallest number above zero, a subnormal one."""
        return 2.0 ** (self.min_exponent - self.mantissa_bits)


E4M3 = Format("E4M3", 4, 3, 448.0, ml_dtypes.float8_e4m3fn)  # has no infinity, and one NaN of either sign
E5M2 = Format("E5M2", 5, 2, 57344.0, ml_dtypes.float8_e5m2)
E5M6 = Format("E5M6", 5, 6, 65024.0)  # V3's report names it without defining it: taken as FP16 with 6 bits of mantissa
FORMATS = {form.name: form for form in (E4M3, E5M2, E5M6)}


@np.errstate(invalid="ignore")  # ml_dtypes raises the flag for NaN
def round_to_format(x: ArrayLike, form: Format) -> Array:
    """Round x, first taken to float32, to a format's values, [...] in float32; NaN stays NaN."""
    clipped = _saturate(x, form)
    if form.dtype is not None:
        return clipped.astype(form.dtype).astype(np.float32)
    _, exponent = np.frexp(clipped)  # x = m 2^exponent with m in [1/2, 1)
    quantum = np.maximum(exponent - 1, form.min_exponent) - form.mantissa_bits  # exponent of the last bit kept
    return np.ldexp(np.rint(np.ldexp(clipped, -quantum)), quantum)


@np.errstate(over="ignore", invalid="ignore")
def _saturate(x: ArrayLike, form: Format) -> Array:
    """Clip to the finite range, in float32: a cast by ml_dtypes alone does not saturate."""
    return np.clip(np.asarray(x).astype(np.float32), -form.largest, form.largest)


@np.errstate(invalid="ignore")
def encode(x: ArrayLike, form: Format) -> NDArray[np.uint8]:
    """Store x, [..., d], in a format's codes: [..., d] bytes, or [..., 3 ⌈d / 2⌉] in twelve bits."""
    if form.dtype is not None:
        return _codes_by_upper_half(form)[_upper_half(np.ascontiguousarray(x, np.float32))]
    # FP16 has E5M6's exponent and four bits more of mantissa: its upper twelve bits are the code.
    return _pack_pairs(round_to_format(x, form).astype(np.float16).view(np.uint16) >> 4)


def _upper_half(x: Array) -> IntArray:
    """Return the upper 16 bits of float32 numbers, the last of them set if any lower bit is.

    That is rounding to odd: seven bits of mantissa and one for all the rest decide any rounding to four bits or fewer.

    Source: Boldo and Melquiond, IEEE Transactions on Computers 57 (2008), 462-471.
    """
    bits = x.view(np.uint32)
    upper = np.bitwise_and(bits, 0xFFFF)
    upper += 0xFFFF  # carries into bit 16 unless the lower half is zero
    upper |= bits
    upper >>= 16
    return upper.astype(np.intp)  # the type that numpy indexes with


@cache
@np.errstate(invalid="ignore")
def _codes_by_upper_half(form: Format) -> NDArray[np.uint8]:
    """Return the code of every number of 16 bits: with `_upper_half` five times as fast as a cast by ml_dtypes."""
    numbers = (np.arange(2**16, dtype=np.uint32) << 16).view(np.float32)
    return _saturate(numbers, form).astype(form.dtype).view(np.uint8)


def decode(codes: IntArray, form: Format, count: int) -> Array:
    """Return the `count` values of each row of codes, [..., count] in float32; the inverse of `encode`."""
    return _values_by_code(form)[codes if form.bits == 8 else _unpack_pairs(codes, count)]


@cache
def _values_by_code(form: Format) -> Array:
    """Return the value of every code: a look-up is three times as fast as a cast."""
    if form.dtype is not None:
        return np.arange(256, dtype=np.uint8).view(form.dtype).astype(np.float32)
    return (np.arange(4096, dtype=np.uint16) << 4).view(np.float16).astype(np.float32)


def _pack_pairs(codes: IntArray) -> NDArray[np.uint8]:
    """Lay each pair of twelve-bit codes into three bytes; an odd one is paired with zero."""
    if codes.shape[-1] % 2:
        codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], axis=-1)
    first, second = codes[..., ::2], codes[..., 1::2]  # [..., d / 2]
    triples = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)  # [..., d / 2, 3]
    return triples.astype(np.uint8).reshape(*codes.shape[:-1], 3 * first.shape[-1])


def _unpack_pairs(data: IntArray, count: int) -> IntArray:
    a, b, c = np.moveaxis(data.reshape(*data.shape[:-1], data.shape[-1] // 3, 3).astype(np.uint16), -1, 0)
    pairs = np.stack([a << 4 | b >> 4, (b & 15) << 8 | c], axis=-1)  # [..., d / 2, 2]
    return pairs.reshape(*data.shape[:-1], 2 * pairs.shape[-2])[..., :count]
