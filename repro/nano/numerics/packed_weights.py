"""Weights kept as they are stored, in BF16 or in FP8 with a scale per block, and decoded where they are used."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.nano.numerics.formats import E4M3, decode


@dataclass(frozen=True)
class PackedWeight:
    """An array of weights as a checkpoint has them, which numpy takes for float32.

    codes: [..., d_out, d_in] of bfloat16, or of uint8 for E4M3. scales: None, or [..., d_out, blocks], the scale of
    each row's blocks of `block` columns.
    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """

    codes: Array
    scales: Array | None = None
    block: int = 128

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.codes)

    def __getitem__(self, place: Any) -> "PackedWeight":
        """Return one of a stack, or rows, still packed."""
        return PackedWeight(self.codes[place], None if self.scales is None else self.scales[place], self.block)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the weights in float32, or in the type that is asked for."""
        if self.scales is None:
            values = self.codes.astype(np.float32)
        else:
            values = decode(self.codes, E4M3, self.codes.shape[-1])
            values *= self.scales[..., np.arange(self.codes.shape[-1]) // self.block]
        return values if dtype is None else values.astype(dtype, copy=False)


def row_scales(scales: Array, d_out: int, block: int) -> Array:
    """Return the scales of square blocks as those of rows: [blocks, blocks] -> [d_out, blocks]."""
    return scales[np.arange(d_out) // block]
