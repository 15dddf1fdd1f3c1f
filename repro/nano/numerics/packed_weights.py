"""Weights kept as a checkpoint stores them, in 16 bits or in FP8 with a scale per block, and decoded where used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from repro.arrays import Array
from repro.nano.numerics.formats import E4M3, decode


@dataclass(frozen=True)
class PackedWeight:
    """Stored weights, [..., d_out, d_in], which numpy takes for float32.

    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """

    codes: NDArray[Any]  # [..., d_out, d_in], bfloat16 or float16, or uint8 for E4M3
    scales: Array | None = None  # of E4M3: [..., d_out, blocks], for each row's blocks of `block` columns
    block: int = 128

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.codes)

    def __getitem__(self, index: Any) -> "PackedWeight":
        """Return one of a stack, or rows, still packed."""
        return PackedWeight(self.codes[index], None if self.scales is None else self.scales[index], self.block)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Return the weights in float32, or in the type asked for."""
        if self.scales is None:
            values = self.codes.astype(np.float32)
        else:
            values = decode(self.codes, E4M3, self.codes.shape[-1])
            values *= self.scales[..., np.arange(self.codes.shape[-1]) // self.block]
        return values if dtype is None else values.astype(dtype, copy=False)


def row_scales(scales: Array, d_out: int, block: int) -> Array:
    """Repeat the scales of square blocks for each row: [blocks, blocks] -> [d_out, blocks]."""
    return scales[np.arange(d_out) // block]
