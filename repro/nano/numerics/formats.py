"""Eight-bit floats and DeepSeek's twelve-bit one: rounding to nearest, saturating, and codes both ways."""

from dataclasses import dataclass
from functools import cache

import ml_dtypes
import numpy as np

from repro.arrays import Array


@dataclass(frozen=True)
class Format:
    """A floating-point format of a sign, an exponent and a mantissa; subnormals included.

    exponent_bits, mantissa_bits: of a number. largest: its largest finite value. dtype: the type of ml_dtypes that has
    it, or None.
    Source: Micikevicius et al. (arXiv 2209.05433), table 1; DeepSeek-V3 report (arXiv 2412.19437), section 3.3.3.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    largest: float
    dtype: type | None = None

    @property
    def bits(self) -> int:
        """Of a number, sign included."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def lowest_exponent(self) -> int:
        """Of a normal number, as a power of two."""
        return 2 - 2 ** (self.exponent_bits - 1)

    @property
    def smallest(self) -> float:
        """The smallest number above zero, a subnormal one."""
        return 2.0 ** (self.lowest_exponent - self.mantissa_bits)


E4M3 = Format("E4M3", 4, 3, 448.0, ml_dtypes.float8_e4m3fn)  # no infinity; one code of either sign is no number
E5M2 = Format("E5M2", 5, 2, 57344.0, ml_dtypes.float8_e5m2)
E5M6 = Format("E5M6", 5, 6, 65024.0)  # named in V3's report and not defined further: taken as FP16 with 6 bits
FORMATS = {one.name: one for one in (E4M3, E5M2, E5M6)}


def round_to_format(x: Array, form: Format) -> Array:
    """Return the nearest numbers of a format, ties to the even one, what is too large at its largest.

    Infinities become the largest, as in a GPU's saturating conversion; what is no number stays none.

    Args: x: [...] of any float type; taken to float32 first. form: to round to.
    Returns: [...] in float32.
    """
    clipped = _within(x, form)
    with np.errstate(invalid="ignore"):  # some codes that are no number are said to be so at every touch
        if form.dtype is not None:
            return clipped.astype(form.dtype).astype(np.float32)
        _, exponent = np.frexp(clipped)  # x = m 2^exponent with m in [1/2, 1)
        quantum = np.maximum(exponent - 1, form.lowest_exponent) - form.mantissa_bits
        return np.ldexp(np.rint(np.ldexp(clipped, -quantum)), quantum)


def _within(x: Array, form: Format) -> Array:
    """Return x in float32, what is too large at the largest; a cast of ml_dtypes alone does not saturate."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.clip(np.asarray(x).astype(np.float32), -form.largest, form.largest)


def encode(x: Array, form: Format) -> Array:
    """Return the codes of numbers, rounded as by `rounded`.

    Args: x: [..., d] of any float type; taken to float32 first. form: to store in.
    Returns: uint8: [..., d] in eight bits; in twelve [..., 3 ⌈d / 2⌉], two codes in three bytes.
    """
    if form.dtype is not None:
        with np.errstate(invalid="ignore"):
            return _within(x, form).astype(form.dtype).view(np.uint8)
    # FP16 has the same exponent, and holds every number of E5M6 exactly: its upper twelve bits are the code.
    with np.errstate(invalid="ignore"):
        return _packed(round_to_format(x, form).astype(np.float16).view(np.uint16) >> 4)


def decode(codes: Array, form: Format, count: int) -> Array:
    """Return the numbers behind codes.

    Args: codes: as `encode` gives them. form: that they are in. count: d, numbers along the last axis.
    Returns: [..., d] in float32.
    """
    return _values(form)[codes if form.bits == 8 else _unpacked(codes, count)]


@cache
def _values(form: Format) -> Array:
    """Return the value of each code: a look-up is three times as fast as a cast."""
    if form.dtype is not None:
        return np.arange(256, dtype=np.uint8).view(form.dtype).astype(np.float32)
    return (np.arange(4096, dtype=np.uint16) << 4).view(np.float16).astype(np.float32)


def _packed(codes: Array) -> Array:
    """Lay pairs of twelve-bit codes into three bytes, a lonely last one beside zero."""
    if codes.shape[-1] % 2:
        codes = np.concatenate([codes, np.zeros_like(codes[..., :1])], axis=-1)
    first, second = codes[..., ::2], codes[..., 1::2]
    three = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
    return three.astype(np.uint8).reshape(*codes.shape[:-1], 3 * first.shape[-1])


def _unpacked(data: Array, count: int) -> Array:
    """Return the codes of three-byte pairs: [..., 3 ⌈d / 2⌉] -> [..., d]."""
    a, b, c = np.moveaxis(data.reshape(*data.shape[:-1], data.shape[-1] // 3, 3).astype(np.uint16), -1, 0)
    pairs = np.stack([a << 4 | b >> 4, (b & 15) << 8 | c], axis=-1)
    return pairs.reshape(*data.shape[:-1], 2 * pairs.shape[-2])[..., :count]
