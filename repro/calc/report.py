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
    """Return what follows from an architecture: parameters, kv_cache, train_flop_per_token and weights_bytes.

    N of 2ND and 6ND counts embedding and head; the counted FLOP are each matrix product and attention, without the
    embedding. Bytes of weights leave out scales.

    Args:
        arch: the model.
        sequence_length: tokens, for attention over the context.
        cache_bits: per element of the cache.
    """
    total = total_parameters(arch)
    elements = elements_per_token(arch)
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
            "bytes_per_token_by_format": {
                name: bytes_per_token(elements, bits_per_element=bits) for name, bits in FORMAT_BITS.items()
            },
        },
        "train_flop_per_token": _flop(arch, sequence_length),
        "weights_bytes": {name: weights_bytes(total, bits_per_parameter=bits) for name, bits in FORMAT_BITS.items()},
    }


def train_cost_table(
    flop_per_token: dict[str, float],
    *,
    tokens: float,
    peak_flop_per_s: float,
    utilisation: float,
    price_usd_per_gpu_hour: float,
) -> dict[str, dict[str, float]]:
    """Return GPU hours and their rent for a run, {"gpu_hours": …, "usd": …}, each by way of counting FLOP.

    Args:
        flop_per_token: by way of counting.
        tokens: of the run.
        peak_flop_per_s: of one GPU.
        utilisation: share of that peak, in (0, 1].
        price_usd_per_gpu_hour: USD.
    """
    gpu_hours = {
        way: gpu_hours_at(flop * tokens, peak_flop_per_s, utilisation=utilisation)
        for way, flop in flop_per_token.items()
    }
    return {
        "gpu_hours": gpu_hours,
        "usd": {way: rental_usd(hours, price_usd_per_gpu_hour) for way, hours in gpu_hours.items()},
    }


def _flop(arch: Architecture, sequence_length: int) -> dict[str, float]:
    active = active_parameters(arch, embedding_counted=True)
    found: dict[str, float] = {
        "two_n_d": train_flop_per_token(active, flop_per_parameter_per_token=FORWARD),
        "six_n_d": train_flop_per_token(active, flop_per_parameter_per_token=FORWARD_AND_BACKWARD),
    }
    for name, causal in (("causal", True), ("full", False)):
        found[name] = counted_flop_per_token(arch, sequence_length, causal=causal, mtp_counted=False)
        if arch.n_mtp_modules:
            found[f"{name}_with_mtp"] = counted_flop_per_token(arch, sequence_length, causal=causal, mtp_counted=True)
        found[f"of_{name}_attention"] = attention_flop_per_token(
            arch, sequence_length, causal=causal, mtp_counted=False
        )
    return found


def _table(rows: Sequence[Part]) -> list[dict[str, Any]]:
    total, active = sum(part.total for part in rows), sum(part.active for part in rows)
    return [
        {
            "name": part.name,
            "total": part.total,
            "share": part.total / total,
            "active": part.active,
            "active_share": part.active / active,
        }
        for part in rows
    ]
