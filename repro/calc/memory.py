"""Bytes of weights, of training state, and of what one GPU holds in training without tensor parallelism."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from repro.calc.architecture import Architecture, MultiHeadLatentAttention
from repro.calc.parameters import moe_parts

BITS_PER_BYTE = 8
FP32_BYTES, BF16_BYTES = 4, 2


def weights_bytes(parameters: float, *, bits_per_parameter: float) -> float:
    """Return the bytes of weights alone.

    Args: parameters: how many. bits_per_parameter: 32 for FP32, 16 for BF16, 8 for FP8 without its scales.
    """
    return parameters * bits_per_parameter / BITS_PER_BYTE


def block_scaled_bytes(rows: int, columns: int, *, block: int) -> int:
    """Return the bytes of one FP8 matrix with an FP32 scale per square block, those at the edges whole.

    Args: rows, columns: of the matrix. block: side of a block, 128 for DeepSeek-V3.
    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    return rows * columns + FP32_BYTES * ceil(rows / block) * ceil(columns / block)


def released_bytes(shape: Architecture, *, block: int, mtp_counted: bool) -> int:
    """Return the bytes of a checkpoint as DeepSeek-V3's: linear layers in scaled FP8, the rest in BF16.

    Args: shape: with MLA and experts. block: side of an FP8 block. mtp_counted: whether the modules for multi-token
        prediction are, each stored with copies of embedding and head.
    Returns: bytes of the tensors, headers of the files not counted.
    Source: DeepSeek-V3 repository, README_WEIGHTS.md; the gate's correction bias is FP32.
    """
    d, moe = shape.d_model, shape.experts
    table = shape.vocabulary * d * BF16_BYTES

    def feed_forward(d_ff: int) -> int:
        return 2 * block_scaled_bytes(d_ff, d, block=block) + block_scaled_bytes(d, d_ff, block=block)

    attention = sum(block_scaled_bytes(*matrix, block=block) for matrix in mla_matrices(shape.attention, d))
    attention += BF16_BYTES * (shape.attention.q_lora_rank + shape.attention.kv_lora_rank + 2 * d)
    gate = BF16_BYTES * moe.n_routed * d + FP32_BYTES * moe.n_routed * moe.correction_bias
    experts = gate + (moe.n_routed + moe.n_shared) * feed_forward(moe.d_expert)
    main = shape.n_layers * attention + shape.n_dense * feed_forward(shape.dense.d_ff) + shape.n_moe * experts
    module = attention + experts + BF16_BYTES * (2 * d * d + 3 * d) + 2 * table
    return main + 2 * table + BF16_BYTES * d + (shape.n_mtp * module if mtp_counted else 0)


def mla_matrices(attention: MultiHeadLatentAttention, d_model: int) -> list[tuple[int, int]]:
    """Return the shapes of the matrices of one layer's MLA, queries compressed: [d_out, d_in] each.

    Source: DeepSeek-V2 report (arXiv 2405.04434), appendix C.
    """
    n, rank, latent = attention.n_heads, attention.q_lora_rank, attention.kv_lora_rank
    return [
        (rank, d_model),
        (n * attention.d_query, rank),
        (attention.cache_elements, d_model),
        (n * (attention.d_nope + attention.d_value), latent),
        (d_model, n * attention.d_value),
    ]


def state_bytes_per_parameter(scheme: Mapping[str, float]) -> float:
    """Return the bytes that training keeps for each parameter, activations not counted.

    Args: scheme: bytes by part, such as {"weights": 2, "master_weights": 4, "gradients": 2, …}.
    """
    return sum(scheme.values())


@dataclass(frozen=True)
class Layout:
    """How a training run is spread over GPUs, without tensor parallelism.

    gpus: of the cluster. pipeline_ranks: stages; each rank holds copies of `parameter_copies` stages and activations
    of `chunks_in_flight` micro-batches of one stage. expert_ranks: GPUs that share one layer's experts.
    tokens_per_micro_batch: of one GPU. Optimiser states are spread over all GPUs that hold the same weights (ZeRO-1).
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2, and its table 2 for the copies.
    """

    gpus: int
    pipeline_ranks: int
    expert_ranks: int
    tokens_per_micro_batch: int
    parameter_copies: int = 2

    @property
    def chunks_in_flight(self) -> int:
        """Micro-batches of one stage whose activations wait for their backward pass: ranks + 1 for DualPipe."""
        return self.pipeline_ranks + 1

    @property
    def data_ranks(self) -> int:
        """GPUs that hold the same layers."""
        return self.gpus // self.pipeline_ranks


def gpu_bytes(
    shape: Architecture, layout: Layout, scheme: Mapping[str, float], activation_bytes_per_token_layer: float
) -> dict[str, float]:
    """Return what the fullest GPU holds in training, by part; it has both embedding and head, in BF16.

    Args: shape: with experts. layout: of the run. scheme: bytes per parameter by part, of which "weights" and
        "gradients" are whole on each GPU and the rest is spread. activation_bytes_per_token_layer: kept for the
        backward pass.
    Returns: bytes by part.
    Raises: ZeroDivisionError where a part of the layout is 0.
    """
    stage_layers = shape.n_layers / layout.pipeline_ranks
    layers = layout.parameter_copies * stage_layers
    routed = layers * moe_parts(shape, 1)[2].total / layout.expert_ranks
    gate, shared = (part.total for part in moe_parts(shape, 1)[:2])
    common = layers * (shape.attention.parameters(shape.d_model) + gate + shared)
    tables = 2 * shape.vocabulary * shape.d_model
    spread = sum(size for part, size in scheme.items() if part not in ("weights", "gradients"))
    tokens = layout.chunks_in_flight * layout.tokens_per_micro_batch
    return {
        "weights": (routed + common) * scheme["weights"],
        "gradients": (routed + common) * scheme["gradients"],
        "embedding and head": tables * (BF16_BYTES + scheme["gradients"]),
        "optimiser": spread * (
            routed / (layout.data_ranks / layout.expert_ranks) + (common + tables) / layout.data_ranks
        ),
        "activations": tokens * stage_layers * activation_bytes_per_token_layer,
    }  # fmt: skip


def activation_bytes_per_token_layer(shape: Architecture, *, bytes_per_element: float, attention_output_bytes: float,
                                     recomputed: bool) -> float:  # fmt: skip
    """Return what one token leaves in one layer for the backward pass.

    Args: shape: with MLA and experts. bytes_per_element: of inputs to linear layers and to SwiGLU.
        attention_output_bytes: per element of the input to the projection after attention. recomputed: whether norms,
        MLA's up-projections and SwiGLU's output are computed again instead of kept.
    Returns: bytes; the residual stream is kept twice in BF16.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2.3 and 3.3.3.
    """
    d, attention, moe = shape.d_model, shape.attention, shape.experts
    passed = moe.top_k + moe.n_shared
    residual = 2 * d * BF16_BYTES
    latents = (attention.q_lora_rank + attention.cache_elements) * bytes_per_element
    output = attention.n_heads * attention.d_value * attention_output_bytes
    experts = passed * (d + 2 * moe.d_expert) * bytes_per_element
    kept = residual + latents + output + experts
    if recomputed:
        return kept
    heads = attention.n_heads * (2 * attention.d_query + attention.d_value)
    return kept + (2 * d + heads + passed * moe.d_expert) * bytes_per_element
