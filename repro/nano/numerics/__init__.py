"""Numbers of few bits, below the model: formats, scales per tile, and sums that keep only some of their bits."""

from repro.nano.numerics.accumulation import Accumulation, block_scaled_matmul, matmul_limited_accumulation
from repro.nano.numerics.formats import E4M3, E5M2, E5M6, FORMATS, Format, decode, encode, round_to_format
from repro.nano.numerics.scaling import WHOLE_TENSOR, Quantized, quantize

__all__ = [
    "E4M3", "E5M2", "E5M6", "FORMATS", "WHOLE_TENSOR", "Accumulation", "Format", "Quantized",
    "block_scaled_matmul", "decode", "encode", "matmul_limited_accumulation", "quantize", "round_to_format",
]  # fmt: skip
