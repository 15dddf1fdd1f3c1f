"""Bytes of weights, of training state, and of what one GPU holds in training without tensor parallelism."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from repro.calc.param_count import moe_parts
from repro.errors import InputError
from repro.models.architecture import Architecture, MultiHeadLatentAttention

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


def checkpoint_bytes(arch: Architecture, *, block: int, mtp_counted: bool) -> int:
    """Return the bytes of a checkpoint as DeepSeek-V3's: linear layers in scaled FP8, the rest in BF16.

    Args: arch: with MLA and experts. block: side of an FP8 block. mtp_counted: whether the modules for multi-token
        prediction are, each stored with copies of embedding and head.
    Returns: bytes of the tensors, headers of the files not counted.
    Source: DeepSeek-V3 repository, README_WEIGHTS.md; the gate's correction bias is FP32.
    """
    d, moe = arch.d_model, arch.experts
    table = arch.vocab_size * d * BF16_BYTES

    def feed_forward(d_ff: int) -> int:
        return 2 * block_scaled_bytes(d_ff, d, block=block) + block_scaled_bytes(d, d_ff, block=block)

    attention = sum(block_scaled_bytes(*matrix, block=block) for matrix in mla_matrices(arch.attention, d))
    attention += BF16_BYTES * (arch.attention.q_lora_rank + arch.attention.kv_lora_rank + 2 * d)
    gate = BF16_BYTES * moe.n_routed_experts * d + FP32_BYTES * moe.n_routed_experts * moe.correction_bias
    experts = gate + (moe.n_routed_experts + moe.n_shared_experts) * feed_forward(moe.d_expert)
    main = arch.n_layers * attention + arch.n_dense_layers * feed_forward(arch.dense.d_ff) + arch.n_moe_layers * experts
    module = attention + experts + BF16_BYTES * (2 * d * d + 3 * d) + 2 * table
    return main + 2 * table + BF16_BYTES * d + (arch.n_mtp_modules * module if mtp_counted else 0)


def mla_matrices(attention: MultiHeadLatentAttention, d_model: int) -> list[tuple[int, int]]:
    """Return the shapes of the matrices of one layer's MLA, queries compressed: [d_out, d_in] each.

    Source: DeepSeek-V2 report (arXiv 2405.04434), appendix C.
    """
    n, rank, latent = attention.n_heads, attention.q_lora_rank, attention.kv_lora_rank
    return [
        (rank, d_model),
        (n * attention.qk_head_dim, rank),
        (attention.cache_elements, d_model),
        (n * (attention.qk_nope_head_dim + attention.v_head_dim), latent),
        (d_model, n * attention.v_head_dim),
    ]


def state_bytes_per_parameter(scheme: Mapping[str, float]) -> float:
    """Return the bytes that training keeps for each parameter, activations not counted.

    Args: scheme: bytes by part, such as {"weights": 2, "master_weights": 4, "gradients": 2, …}.
    """
    return sum(scheme.values())


@dataclass(frozen=True)
class ParallelLayout:
    """How a training run is spread over GPUs: DualPipe, experts in parallel, ZeRO-1, no tensor parallelism.

    gpus: of the cluster. pipeline_ranks: P, 1 or even, each with two stages, its own number from the front and from
    the back. expert_ranks: GPUs that share one layer's experts. tokens_per_micro_batch: of one GPU.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2 and table 2.
    """

    gpus: int
    pipeline_ranks: int
    expert_ranks: int
    tokens_per_micro_batch: int

    def __post_init__(self) -> None:
        """Raise InputError for an odd number of ranks, whose middle would face itself."""
        if self.pipeline_ranks % 2 and self.pipeline_ranks != 1:
            raise InputError(f"pipeline_ranks = {self.pipeline_ranks}: must be 1 or even")

    @property
    def holders(self) -> float:
        """GPUs that hold the same stage: those of two ranks, one for each direction."""
        return self.gpus / self.pipeline_ranks * len(self.stages(0))

    def stages(self, rank: int) -> tuple[int, ...]:
        """Return the stages that a rank holds, one where there is a single rank."""
        mirrored = self.pipeline_ranks - 1 - rank
        return (rank,) if mirrored == rank else (rank, mirrored)

    def in_flight(self, stage: int) -> int:
        """Return how many micro-batches wait there for their backward pass, P + 1 over a rank's two stages."""
        return self.pipeline_ranks - stage

    def layers(self, arch: Architecture, stage: int) -> tuple[float, float]:
        """Return a stage's dense layers and its layers with experts, all layers spread evenly."""
        each = arch.n_layers / self.pipeline_ranks
        dense = min(max(arch.n_dense_layers - stage * each, 0), each)
        return dense, each - dense


@dataclass(frozen=True)
class ActivationBytes:
    """What one token leaves in a layer for the backward pass, in bytes: of a dense layer, of one with experts."""

    dense: float
    experts: float


def memory_per_gpu(
    arch: Architecture, layout: ParallelLayout, scheme: Mapping[str, float], kept: ActivationBytes, rank: int
) -> dict[str, float]:
    """Return what a GPU of a rank holds in training, by part.

    Args: arch: with MLA and experts. layout: of the run. scheme: bytes per parameter by part, of which "weights" and
        "gradients" are whole on each holder and the rest is spread over all. kept: activations of a token. rank: from
        0; embedding, head, logits and the modules for multi-token prediction are on the two with the first stage.
    Returns: bytes by part; buffers for communication are left out.
    Raises: ZeroDivisionError where GPUs, ranks or GPUs per expert are 0.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2 and 3.2.3.
    """
    d, stages = arch.d_model, layout.stages(rank)
    dense, moe = (sum(layers) for layers in zip(*(layout.layers(arch, stage) for stage in stages), strict=True))
    ends = 0 in stages
    modules = arch.n_mtp_modules * ends
    gate, shared, routed = (part.total for part in moe_parts(arch, 1))
    attention = arch.attention.parameters(d)
    experts = (moe + modules) * routed / layout.expert_ranks
    common = (moe + modules) * (attention + gate + shared) + dense * (attention + arch.dense.parameters(d))
    common += modules * 2 * d * d
    tables = 2 * arch.vocab_size * d * ends
    spread = sum(size for part, size in scheme.items() if part not in ("weights", "gradients"))
    tokens = layout.tokens_per_micro_batch
    waiting = sum(layout.in_flight(stage) * _kept(layout.layers(arch, stage), kept) for stage in stages)
    return {
        "weights": (experts + common) * scheme["weights"] + tables * BF16_BYTES,
        "gradients": (experts + common + tables) * scheme["gradients"],
        "optimiser": spread * (experts * layout.expert_ranks + common + tables) / layout.holders,
        "activations": tokens * (waiting + modules * kept.experts),
        "logits": tokens * arch.vocab_size * FP32_BYTES * (1 + arch.n_mtp_modules) * ends,
    }


def peak_memory_gpu(
    arch: Architecture, layout: ParallelLayout, scheme: Mapping[str, float], kept: ActivationBytes
) -> tuple[int, dict[str, float]]:
    """Return the rank whose GPUs hold the most, and what they hold; arguments as for gpu_bytes."""
    ranks = range((layout.pipeline_ranks + 1) // 2)
    held = {rank: memory_per_gpu(arch, layout, scheme, kept, rank) for rank in ranks}
    fullest = max(held, key=lambda rank: sum(held[rank].values()))
    return fullest, held[fullest]


def activation_bytes(
    arch: Architecture, *, bytes_per_element: float, attention_output_bytes: float, recomputed: bool
) -> ActivationBytes:
    """Return what one token leaves in a layer for the backward pass.

    Args: arch: with MLA and experts. bytes_per_element: of inputs to linear layers and to SwiGLU.
        attention_output_bytes: per element of the input to the projection after attention. recomputed: whether norms,
        MLA's up-projections and SwiGLU's output are computed again instead of kept.
    Returns: bytes; the residual stream is kept twice in BF16.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2.3 and 3.3.3.
    """
    d, attention, moe = arch.d_model, arch.attention, arch.experts

    def layer(d_ff: int, inputs: int) -> float:
        residual = 2 * d * BF16_BYTES
        output = attention.n_heads * attention.v_head_dim * attention_output_bytes
        elements = attention.q_lora_rank + attention.cache_elements + inputs * d + 2 * d_ff
        if not recomputed:
            elements += 2 * d + attention.n_heads * (2 * attention.qk_head_dim + attention.v_head_dim) + d_ff
        return residual + output + elements * bytes_per_element

    passed = moe.top_k + moe.n_shared_experts
    return ActivationBytes(dense=layer(arch.dense.d_ff, 1), experts=layer(passed * moe.d_expert, passed))


def _kept(layers: tuple[float, float], kept: ActivationBytes) -> float:
    dense, moe = layers
    return dense * kept.dense + moe * kept.experts
