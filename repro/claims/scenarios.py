"""What audits and notebooks share: quantities of built-in models and runs, and the words for them.

A notebook must be able to show every step of the audits that it argues. So an audit keeps to itself only how it reads
and judges its claim. What it first works out from the facts, such as V3's layout on its GPUs, stands here, and its
notebook calls the same function.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from repro.calc import kv_cache, memory, param_count
from repro.calc.flops import attention_flop_per_token, counted_flop_per_token, matmul_parameters
from repro.calc.scores import Comparison, tally
from repro.claims.formatting import format_si
from repro.facts import Ledger
from repro.models.architecture import Architecture, MixtureOfExperts
from repro.models.hf_config import architecture_from_hf

# How a sentence names a rate.
PEAK_WORDS = {
    "bf16_dense": "dense BF16",
    "bf16_sparse": "2:4-sparse BF16",
    "fp8_dense": "dense FP8",
    "fp8_sparse": "2:4-sparse FP8",
}
V3, CLAUDE, GPT = "DeepSeek-V3", "Claude-3.5-Sonnet-1022", "GPT-4o-0513"  # columns of the tables of scores
V3_DOMAINS = ("wikipedia", "github", "mathematics")  # kinds of text whose expert loads V3's report draws


def architecture(facts: Ledger, name: str) -> Architecture:
    """Return a model's architecture from its published configuration, or raise InputError with the nearest name."""
    return architecture_from_hf(facts.config(name))


def reference_name(facts: Ledger, parameters: float, tokens: float, gpu_hours: float) -> str:
    """Return the name of the run compared with: Llama 3.1 405B, unless its figures were changed by whoever asks."""
    names = ("parameters", "tokens", "gpu_hours")
    published = tuple(facts[f"llama_3_1_405b.{name}"] for name in names)
    return "Llama 3.1 405B" if (parameters, tokens, gpu_hours) == published else "your run"


def experts_of(model: Architecture) -> MixtureOfExperts:
    """Return a model's mixture of experts, which only a dense model lacks."""
    if model.experts is None:
        raise ValueError("a dense model has no mixture of experts")
    return model.experts


def counted_train_flop_per_token(facts: Ledger, name: str, flop_per_parameter_per_token: float) -> float:
    """Return a model's FLOP per token in training, counted: matrix products, causal attention, modules for MTP."""
    model, length = architecture(facts, name), int(facts[f"{name}.sequence_length"])
    rule = flop_per_parameter_per_token
    return counted_flop_per_token(model, length, causal=True, mtp_counted=True, flop_per_parameter_per_token=rule)


def peak_flop_per_s(facts: Ledger, gpu: str, peak: str) -> float:
    """Return a GPU's peak rate by its name, a key of PEAK_WORDS, in FLOP/s."""
    return facts[f"{gpu}.{peak}_flop_per_s"]


def active_by_convention(facts: Ledger, name: str) -> dict[str, int]:
    """Return the active parameters of a built-in model, by what is counted."""
    model = architecture(facts, name)
    return {
        "head counted, embedding looked up": param_count.active_parameters(model, embedding_counted=False),
        "embedding and head counted": param_count.active_parameters(model, embedding_counted=True),
        "neither counted": param_count.active_parameters(model, embedding_counted=False, head_counted=False),
    }


def draft_share(facts: Ledger) -> float:
    """Return the parameters that V3's module multiplies for a draft, as a share of those that a token multiplies."""
    v3 = architecture(facts, "deepseek_v3")
    return matmul_parameters(v3, mtp_counted=True) / matmul_parameters(v3, mtp_counted=False) - 1


def attention_flop(model: Architecture, sequence_length: int) -> float:
    """Return the training FLOP of one token's attention in one layer, projections and causal context."""
    layer = replace(model, n_dense_layers=1, n_moe_layers=0)
    products = 6 * param_count.attention_part(model.attention, model.d_model).multiplied
    return products + attention_flop_per_token(layer, sequence_length, causal=True, mtp_counted=False)


def reductions(facts: Ledger, name: str, cache_bits: float, baseline_cache_bits: float) -> dict[str, float]:
    """Return by what share a model's cache is smaller, by baseline and number format (bits per element)."""
    model, baseline = architecture(facts, name), architecture(facts, "deepseek_67b")
    elements, dense = kv_cache.elements_per_token(model), kv_cache.elements_per_token(baseline)
    same_heads = kv_cache.elements_per_token(kv_cache.with_kv_heads(model, model.attention.n_heads))
    bits = f"{format_si(cache_bits)} bits an element against {format_si(baseline_cache_bits)}"
    return {
        f"DeepSeek 67B, {bits}": 1 - elements * cache_bits / (dense * baseline_cache_bits),
        "DeepSeek 67B, the same format": 1 - elements / dense,
        "multi-head attention with its own heads, the same format": 1 - elements / same_heads,
    }


def state_bytes(facts: Ledger, scheme: str) -> float:
    """Return the bytes that training keeps per parameter under a scheme: fp32, bf16_mixed or v3."""
    return sum(facts.under(f"bytes.{scheme}").values())


def activation_bytes_by_scheme(facts: Ledger) -> dict[str, memory.ActivationBytes]:
    """Return what a token leaves in a layer of V3: by V3's own scheme, and in BF16 with and without recomputation."""
    fp8, half, attention = facts["fp8.bits"], facts["half_precision.bits"], facts["fp8.attention_output_bits"]
    scale_bytes = memory.FP32_BYTES / facts["fp8.block"]
    v3 = architecture(facts, "deepseek_v3")

    def activations(bits: float, attention_bits: float, scale_bytes: float, recomputed: bool) -> memory.ActivationBytes:
        size, output = bits / memory.BITS_PER_BYTE + scale_bytes, attention_bits / memory.BITS_PER_BYTE
        return memory.activation_bytes(v3, bytes_per_element=size, attention_output_bytes=output, recomputed=recomputed)

    return {
        "V3's scheme": activations(fp8, attention, scale_bytes, True),
        "BF16, the same computed again": activations(half, half, 0, True),
        "BF16, nothing computed again": activations(half, half, 0, False),
    }


def v3_layout(facts: Ledger, gpus: int, tokens_per_micro_batch: int) -> memory.ParallelLayout:
    """Return how V3's report spreads its training over GPUs; over fewer GPUs, as far as they go."""
    ranks = min(int(facts["deepseek_v3.pipeline_ranks"]), gpus // 2 * 2) or 1  # two to a pair of stages
    expert_ranks = min(int(facts["deepseek_v3.expert_ranks"]), gpus // ranks)
    return memory.ParallelLayout(
        gpus=gpus, pipeline_ranks=ranks, expert_ranks=expert_ranks, tokens_per_micro_batch=tokens_per_micro_batch
    )


def v3_peak_memory_gpu(facts: Ledger, gpus: int, tokens_per_micro_batch: int, way: str) -> tuple[int, dict[str, float]]:
    """Return the rank of V3's fullest GPU in training and its bytes by part.

    Args:
        facts: ledger that notes what is read.
        gpus: of the cluster.
        tokens_per_micro_batch: of one GPU.
        way: key of activation_bytes_by_scheme; "V3's scheme" keeps its bytes per parameter, the others BF16's.
    """
    layout = v3_layout(facts, gpus, tokens_per_micro_batch)
    scheme = facts.under("bytes.v3" if way == "V3's scheme" else "bytes.bf16_mixed")
    v3 = architecture(facts, "deepseek_v3")
    return memory.peak_memory_gpu(v3, layout, scheme, activation_bytes_by_scheme(facts)[way])


def percentages(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Return those whose scores are percentages; ratings and bits per byte have other scales."""
    return [comparison for comparison in comparisons if comparison.metric not in ("Rating", "BPB")]


def describe_tallies(pairs: Mapping[str, list[Comparison]], tie_points: float) -> str:
    """Return tallies in words, each after its name, such as "writing: 5 won, 1 tied, 2 lost"."""
    tallies = {name: tally(pair, tie_points=tie_points).items() for name, pair in pairs.items()}
    return "; ".join(f"{name}: {', '.join(f'{n} {outcome}' for outcome, n in rows)}" for name, rows in tallies.items())


def net_wins(comparisons: list[Comparison], tie_points: float) -> int:
    """Return how many more benchmarks were won than lost."""
    counts = tally(comparisons, tie_points=tie_points)
    return counts["won"] - counts["lost"]


def describe_losses(comparisons: list[Comparison], tie_points: float) -> list[str]:
    """Return the benchmarks lost, each with its margin in points."""
    lost = (comparison for comparison in comparisons if comparison.outcome(tie_points=tie_points) == "lost")
    return [f"{comparison.benchmark} by {format_si(-comparison.margin)}" for comparison in lost]
