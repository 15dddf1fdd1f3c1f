"""Numbers of few bits: formats, scales per tile, sums that keep little, and training with them."""

from repro.nano.fp8.accumulate import Accumulation, limited_product, scaled_product
from repro.nano.fp8.formats import E4M3, E5M2, E5M6, FORMATS, Format, decode, encode, rounded
from repro.nano.fp8.scaling import WHOLE, Quantised, quantise

# What trains with them knows the model and is imported by its own name: scheme, matrix, measure.
__all__ = [
    "E4M3",
    "E5M2",
    "E5M6",
    "FORMATS",
    "WHOLE",
    "Accumulation",
    "Format",
    "Quantised",
    "decode",
    "encode",
    "limited_product",
    "quantise",
    "rounded",
    "scaled_product",
]
