"""Everything that a configuration alone says of a model, as plain data."""

from collections.abc import Sequence
from typing import Any

from repro.calc.flops import attention_flop_per_token, counted_flop_per_token
from repro.calc.kv_cache import bytes_per_token, elements_per_token
from repro.calc.memory import weights_bytes
from repro.calc.param_count import Part, active_parameters, mtp_parts, parts, total_parameters
from repro.calc.run_cost import gpu_hours_at, rental_usd, train_flop_per_token
from repro.models.architecture import Architecture

FORMAT_BITS = {"fp32": 32, "bf16": 16, "fp8": 8, "int4": 4}
FORWARD, FORWARD_AND_BACKWARD = 2, 6


def describe_model(arch: Architecture, *, sequence_length: int, cache_bits: float) -> dict[str, Any]:
    """Return what follows from an architecture: parameters, cache, FLOP, and bytes of weights without scales.

    Args:
        arch: of the model; N of 2ND and 6ND counts its embedding and head.
        sequence_length: tokens that attention spans in the counted FLOP, which leave out the embedding.
        cache_bits: per element.
    """
    total, elements, bits = total_parameters(arch), elements_per_token(arch), FORMAT_BITS.items()
    return {
        "parameters": {
            "total": total,
            "active": active_parameters(arch, embedding_counted=True),
            "active_without_embedding": active_parameters(arch, embedding_counted=False),
            "active_without_embedding_and_head": active_parameters(arch, embedding_counted=False, head_counted=False),
            "parts": _table(parts(arch)),
            "mtp": sum(part.total for part in mtp_parts(arch)),
            "mtp_parts": _table(mtp_parts(arch)),
        },
        "kv_cache": {
            "elements_per_token": elements,
            "bits_per_element": cache_bits,
            "bytes_per_token": bytes_per_token(elements, bits_per_element=cache_bits),
            "bytes_per_token_by_format": {name: bytes_per_token(elements, bits_per_element=n) for name, n in bits},
        },
        "train_flop_per_token": _flop(arch, sequence_length),
        "weights_bytes": {name: weights_bytes(total, bits_per_parameter=n) for name, n in bits},
    }


def train_cost_table(
    flop_per_token: dict[str, float], *, tokens: float, peak_flop_per_s: float, utilisation: float,
    price_usd_per_gpu_hour: float,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return "gpu_hours" and their rent in "usd" for a run, each by the way of counting FLOP per token."""
    run_flop = {way: flop * tokens for way, flop in flop_per_token.items()}
    hours = {way: gpu_hours_at(flop, peak_flop_per_s, utilisation=utilisation) for way, flop in run_flop.items()}
    return {"gpu_hours": hours, "usd": {way: rental_usd(count, price_usd_per_gpu_hour) for way, count in hours.items()}}


def _flop(arch: Architecture, sequence_length: int) -> dict[str, float]:
    active = active_parameters(arch, embedding_counted=True)
    rules = {"two_n_d": FORWARD, "six_n_d": FORWARD_AND_BACKWARD}
    flop = {name: train_flop_per_token(active, flop_per_parameter_per_token=rule) for name, rule in rules.items()}
    for name, causal in (("causal", True), ("full", False)):
        of_main = {"causal": causal, "mtp_counted": False}
        flop[name] = counted_flop_per_token(arch, sequence_length, **of_main)
        if arch.n_mtp_modules:
            flop[f"{name}_with_mtp"] = counted_flop_per_token(arch, sequence_length, causal=causal, mtp_counted=True)
        flop[f"of_{name}_attention"] = attention_flop_per_token(arch, sequence_length, **of_main)
    return flop


def _table(rows: Sequence[Part]) -> list[dict[str, Any]]:
    total, active = sum(part.total for part in rows), sum(part.active for part in rows)
    columns = ("name", "total", "share", "active", "active_share")
    cells = ((part.name, part.total, part.total / total, part.active, part.active / active) for part in rows)
    return [dict(zip(columns, row, strict=True)) for row in cells]
