"""Weights kept as a checkpoint stores them, in 16 bits or in FP8 with a scale per block, and decoded where used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from repro.arrays import Array
from repro.nano.numerics.scaling import Quantized


@dataclass(frozen=True)
class PackedWeight:
    """Weights, [..., d_out, d_in], in bfloat16, float16 or FP8, which numpy takes for float32."""

    stored: NDArray[Any] | Quantized

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return self.stored.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the weights and their scales."""
        return self.stored.nbytes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> "PackedWeight":
        """Return one of a stack, or rows, still packed."""
        return PackedWeight(self.stored[index])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self.stored, np.float32).astype(dtype or np.float32, copy=False)
