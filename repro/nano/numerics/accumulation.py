"""Matrix products whose sums keep few bits, as FP8 tensor cores on Hopper compute them.

An instruction multiplies a group of 32 pairs exactly, but aligns the products to the largest exponent and keeps about
14 bits of their sum, so in a long sum small products are cut off. DeepSeek-V3 promotes: every 128 products the
partial sum moves to an FP32 register and starts anew. A tile of 1 x 128 then also fits one scale per partial sum.

Here the largest exponent is that of a product. Hardware takes the sum of the two operands' exponents, which can be one
lower than the product's own, so its sums may be up to a bit coarser or finer than these.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.numerics.scaling import Quantized
from repro.validate import check_integer

MAX_BITS = 40  # of a sum that float64 takes exactly
ROWS_AT_ONCE = 128  # so that partial results stay in a core's cache


@dataclass(frozen=True)
class Accumulation:
    """How sums of products are taken; the defaults are those of a Hopper GPU without promotion.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.2 (promotion every 128) and 3.5.2 (the defaults).
    """

    bits: int = 14  #: kept of each addend, below the largest one's exponent, and of the sum
    group: int = 32  #: products added by one instruction
    rounding: Literal["truncate", "nearest"] = "truncate"  #: of what is cut off
    promote_every: int | None = None  #: products after which the sum goes to FP32, a multiple of group; None for never
    running_sum_aligned: bool = True  #: False aligns products among themselves, then adds them to the running sum

    def __post_init__(self) -> None:
        check_integer("group", self.group)
        check_integer("bits", self.bits, least=2)
        if self.bits > MAX_BITS:
            raise InputError(f"bits = {self.bits}: must be from 2 to {MAX_BITS}")
        if self.rounding not in ("truncate", "nearest"):
            raise InputError(f"rounding = {self.rounding!r}: must be truncate or nearest")
        if (every := self.promote_every) is not None:
            check_integer("promote_every", every)
            if every % self.group:
                raise InputError(f"promote_every = {every}: must be a multiple of an instruction's {self.group}")


def matmul_limited_accumulation(a: Array, b: Array, accumulation: Accumulation) -> Array:
    """Return A Bᵀ, [M, N] in float32, of a, [M, K], and b, [N, K], with sums of few bits.

    For each output and each group, products and running sum are cut to a multiple of 2^(E - bits + 1), where E is the
    exponent of the largest of them, and added exactly; the sum is cut to as many bits in turn. Products of numbers
    with up to 12 significant bits, such as those of a small format, are exact.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.5.2.
    """
    _check_shapes(a, b)
    # 33 terms of up to 18 bits, aligned to one exponent, fit float32; a running sum aligned otherwise may not.
    fits_float32 = accumulation.bits + (accumulation.group + 1).bit_length() <= 24 and accumulation.running_sum_aligned
    dtype = np.float32 if fits_float32 else np.float64
    a, b_t = np.asarray(a, dtype), np.ascontiguousarray(np.asarray(b, dtype).T)  # [M, K], [K, N]
    blocks = [_matmul_rows(a[i : i + ROWS_AT_ONCE], b_t, accumulation) for i in range(0, len(a), ROWS_AT_ONCE)]
    return np.concatenate(blocks) if blocks else np.zeros((0, b_t.shape[1]), np.float32)


def _check_shapes(a: Array, b: Array) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"a of shape {a.shape}, b of shape {b.shape}: must be [M, K] and [N, K] with one K")


def _matmul_rows(a: Array, b: Array, accumulation: Accumulation) -> Array:
    """Return some rows of the product: [m, K] and [K, N] -> [m, N]."""
    total = np.zeros((len(a), b.shape[1]), np.float32)  # [m, N]
    running, promote_every = np.zeros(total.shape, a.dtype), accumulation.promote_every or len(b)
    for start in range(0, len(b), accumulation.group):
        end = min(start + accumulation.group, len(b))
        running = _add_group(running, a[:, start:end], b[start:end], accumulation)
        if end % promote_every == 0 or end == len(b):
            total += running.astype(np.float32)
            running = np.zeros_like(running)
    return total


def _add_group(running: Array, a: Array, b: Array, accumulation: Accumulation) -> Array:
    """Return the running sum, [m, N], after one instruction on [m, group] and [group, N]."""
    aligned = accumulation.running_sum_aligned
    amax = _largest_product(np.abs(a), np.abs(b))
    if aligned:
        np.maximum(amax, np.abs(running), out=amax)
    quantum = _last_bit(amax, accumulation.bits)
    inverse, product = 1 / quantum, amax  # amax's memory serves again
    total = _cut_to_integers(running * inverse, accumulation) if aligned else np.zeros_like(running)
    for k in range(len(b)):
        np.multiply(a[:, k, None], b[k], out=product)
        product *= inverse
        total += _cut_to_integers(product, accumulation)
    total *= quantum
    if not aligned:
        total = total + running
    quantum = _last_bit(total, accumulation.bits)
    return _cut_to_integers(total / quantum, accumulation) * quantum


def _largest_product(a: Array, b: Array) -> Array:
    """Return the largest product of each output, of magnitudes [m, group] and [group, N]: [m, N]."""
    largest = np.multiply(a[:, :1], b[0])
    product = np.empty_like(largest)
    for k in range(1, len(b)):
        np.multiply(a[:, k, None], b[k], out=product)
        np.maximum(largest, product, out=largest)
    return largest


def _last_bit(x: Array, bits: int) -> Array:
    """Return the value of the last of `bits` bits of x: 2^(E - bits + 1)."""
    _, exponent = np.frexp(x)  # x = m 2^exponent with m in [1/2, 1), so that E = exponent - 1
    return np.ldexp(x.dtype.type(1), exponent - bits)


def _cut_to_integers(x: Array, accumulation: Accumulation) -> Array:
    """Round in place as the accumulation says."""
    return (np.trunc if accumulation.rounding == "truncate" else np.rint)(x, out=x)


def block_scaled_matmul(a: Quantized, b: Quantized, accumulation: Accumulation) -> Array:
    """Return A Bᵀ, [M, N] in float32, each stretch of K with scales of its own summed apart and added in FP32.

    Args:
        a: [M, K].
        b: [N, K]; several tiles along K must be as wide as those of a.
        accumulation: how sums are taken; promotion must divide the tiles' columns.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.3.2 and figure 7.
    """
    left, right = a.grid, b.grid  # [M, K], [N, K]
    _check_shapes(left, right)
    widths, every = {q.tile[1] for q in (a, b) if q.tile[1] is not None}, accumulation.promote_every
    if len(widths) > 1 or any(every is None or width % every for width in widths):
        raise InputError(f"tiles of {sorted(widths)} columns: must be alike and a multiple of promote_every = {every}")
    width = widths.pop() if widths else max(a.columns, 1)
    total = np.zeros((a.shape[0], b.shape[0]), np.float32)  # [M, N]
    for tile, start in enumerate(range(0, a.columns, width)):
        stretch = slice(start, start + width)
        partial = matmul_limited_accumulation(left[:, stretch], right[:, stretch], accumulation)
        total += partial * _row_scales(a, tile)[:, None] * _row_scales(b, tile)
    return total


def _row_scales(q: Quantized, tile: int) -> Array:
    """Return the scale of each row in one stretch of columns: [rows]."""
    scales = q.scales[:, tile if q.tile[1] is not None else 0]
    return scales[np.arange(q.shape[0]) // (q.tile[0] or q.shape[0])]
