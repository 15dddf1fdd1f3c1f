"""Matrix products whose sums keep few bits, as those of FP8 on a Hopper GPU, and their promotion to FP32."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.numerics.scaling import Quantized
from repro.validate import check_integer

MOST_BITS = 40  # of a sum that float64 takes exactly
BLOCK = 128  # rows of the output worked on at once, so that they stay in a core's cache


@dataclass(frozen=True)
class Accumulation:
    """How sums of products are taken.

    bits: kept of each number that is added, below the largest one's exponent, and of the sum. group: products added
    by one instruction. rounding: of what is cut off. promote_every: products after which the sum goes to FP32 and
    starts anew, a multiple of group; None for never. running_sum_aligned: whether the products are cut where the
    running sum's exponent says, too, or among themselves alone before they are added to it.
    Raises: InputError where these contradict.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.2 and 3.5.2: 14 bits, truncated, in groups of 32,
        promoted every 128.
    """

    bits: int = 14
    group: int = 32
    rounding: Literal["truncate", "nearest"] = "truncate"
    promote_every: int | None = None
    running_sum_aligned: bool = True

    def __post_init__(self) -> None:
        """Raise InputError for sizes that are none."""
        check_integer("group", self.group)
        check_integer("bits", self.bits, least=2)
        if self.bits > MOST_BITS:
            raise InputError(f"bits = {self.bits}: must be from 2 to {MOST_BITS}")
        if self.rounding not in ("truncate", "nearest"):
            raise InputError(f"rounding = {self.rounding!r}: must be truncate or nearest")
        if self.promote_every is not None:
            check_integer("promote_every", self.promote_every)
            if self.promote_every % self.group:
                size = self.group
                raise InputError(f"promote_every = {self.promote_every}: must be a multiple of an instruction's {size}")


def matmul_limited_accumulation(a: Array, b: Array, how: Accumulation) -> Array:
    """Return A Bᵀ with sums of few bits.

    For each output and each group, products and running sum are cut to a multiple of 2^(E - bits + 1), where E is the
    exponent of the largest of them, and added exactly; the sum is cut to as many bits in turn.

    Args: a: [M, K]. b: [N, K]. Both on the grid of a small format: products of two numbers with up to 12 significant
        bits are exact here. how: bits, groups, rounding, promotion.
    Returns: [M, N] in float32.
    Raises: InputError where the two have different K.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.5.2.
    """
    _check(a, b)
    # 33 numbers of up to 18 bits add up exactly in float32; a running sum of another exponent need not.
    small = how.bits + (how.group + 1).bit_length() <= 24 and how.running_sum_aligned
    dtype = np.float32 if small else np.float64
    a, b = np.asarray(a, dtype), np.ascontiguousarray(np.asarray(b, dtype).T)  # [M, K], [K, N]
    rows = [_rows(a[start : start + BLOCK], b, how) for start in range(0, len(a), BLOCK)]
    return np.concatenate(rows) if rows else np.zeros((0, b.shape[1]), np.float32)


def _check(a: Array, b: Array) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise InputError(f"a of shape {a.shape}, b of shape {b.shape}: must be [M, K] and [N, K] with one K")


def _rows(a: Array, b: Array, how: Accumulation) -> Array:
    """Return some rows of the product: [m, K] and [K, N] -> [m, N]."""
    total = np.zeros((len(a), b.shape[1]), np.float32)
    running, every = np.zeros(total.shape, a.dtype), how.promote_every or len(b)
    for start in range(0, len(b), how.group):
        end = min(start + how.group, len(b))
        running = _added(running, a[:, start:end], b[start:end], how)
        if end % every == 0 or end == len(b):
            total += running.astype(np.float32)
            running = np.zeros_like(running)
    return total


def _added(running: Array, a: Array, b: Array, how: Accumulation) -> Array:
    """Return the running sum, [m, N], after one instruction on a group of products: [m, group] and [group, N]."""
    largest = _largest_product(np.abs(a), np.abs(b))
    if how.running_sum_aligned:
        np.maximum(largest, np.abs(running), out=largest)
    quantum = _quantum(largest, how.bits)
    inverse, product = 1 / quantum, largest  # whose memory serves again
    added = _cut(running * inverse, how) if how.running_sum_aligned else np.zeros_like(running)
    for k in range(len(b)):
        np.multiply(a[:, k, None], b[k], out=product)
        product *= inverse
        added += _cut(product, how)
    added *= quantum
    return _kept(added if how.running_sum_aligned else added + running, how)


def _largest_product(a: Array, b: Array) -> Array:
    """Return the largest of a group's products, of magnitudes [m, group] and [group, N]: [m, N]."""
    largest = np.multiply(a[:, :1], b[0])
    product = np.empty_like(largest)
    for k in range(1, len(b)):
        np.multiply(a[:, k, None], b[k], out=product)
        np.maximum(largest, product, out=largest)
    return largest


def _quantum(largest: Array, bits: int) -> Array:
    """Return the place of the last bit kept below the largest number's first: 2^(E - bits + 1)."""
    _, exponent = np.frexp(largest)  # largest = m 2^exponent with m in [1/2, 1), so that E = exponent - 1
    return np.ldexp(largest.dtype.type(1), exponent - bits)


def _cut(x: Array, how: Accumulation) -> Array:
    """Cut to whole numbers in place."""
    return (np.trunc if how.rounding == "truncate" else np.rint)(x, out=x)


def _kept(x: Array, how: Accumulation) -> Array:
    """Return numbers with as many bits as are kept."""
    quantum = _quantum(x, how.bits)
    return _cut(x / quantum, how) * quantum


def block_scaled_matmul(a: Quantized, b: Quantized, how: Accumulation) -> Array:
    """Return A Bᵀ of quantised matrices, each stretch of K with scales of its own summed apart and added in FP32.

    Args: a: [M, K], b: [N, K], quantised in tiles whose columns, where there are several, are equal and a multiple of
        how.promote_every. how: bits, groups, rounding, promotion.
    Returns: [M, N] in float32.
    Raises: InputError where sizes do not fit.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.3.2 and figure 7.
    """
    left, right = a.grid, b.grid
    _check(left, right)
    widths = {one.tile[1] for one in (a, b) if one.tile[1] is not None}
    if len(widths) > 1 or any(how.promote_every is None or width % how.promote_every for width in widths):
        raise InputError(
            f"tiles of {sorted(widths)} columns: must be alike and a multiple of promote_every = {how.promote_every}"
        )
    width = widths.pop() if widths else max(a.columns, 1)
    total = np.zeros((a.shape[0], b.shape[0]), np.float32)
    for tile, start in enumerate(range(0, a.columns, width)):
        part = matmul_limited_accumulation(left[:, start : start + width], right[:, start : start + width], how)
        total += part * _row_scales(a, tile)[:, None] * _row_scales(b, tile)
    return total


def _row_scales(q: Quantized, tile: int) -> Array:
    """Return the scale of each row in one stretch of columns: [rows]."""
    scales = q.scales[:, tile if q.tile[1] is not None else 0]
    size = q.tile[0] or q.shape[0]
    return scales[np.arange(q.shape[0]) // size]
