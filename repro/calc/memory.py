"""Bytes of weights, of a released checkpoint, and of what one GPU holds in training without tensor parallelism."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod

from repro.errors import InputError
from repro.models.architecture import Architecture, MultiHeadLatentAttention
from repro.models.inventory import Tensor, inventory

BITS_PER_BYTE = 8
FP32_BYTES, BF16_BYTES = 4, 2


def weights_bytes(parameters: float, *, bits_per_parameter: float) -> float:
    """Return the bytes of weights alone: 16 bits for BF16, 8 for FP8 without its scales."""
    return parameters * bits_per_parameter / BITS_PER_BYTE


def block_scaled_bytes(rows: int, columns: int, *, block: int) -> int:
    """Return the bytes of one FP8 matrix with an FP32 scale per square block of side `block`, those at edges whole."""
    return rows * columns + FP32_BYTES * ceil(rows / block) * ceil(columns / block)


def checkpoint_bytes(arch: Architecture, *, block: int, mtp_counted: bool) -> int:
    """Return the bytes of tensors in a checkpoint as DeepSeek-V3's: linear layers in scaled FP8, the rest in BF16.

    Args:
        arch: of the model.
        block: side of the square of elements that share an FP32 scale.
        mtp_counted: with the modules for multi-token prediction, stored with copies of embedding and head.

    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    rows = (row for row in inventory(arch) if mtp_counted or row.block != "mtp")
    return sum(_stored_bytes(row, block) * row.experts * len(row.layers) for row in rows)


def _stored_bytes(row: Tensor, block: int) -> int:
    if row.stored == "fp8":
        return block_scaled_bytes(*row.shape, block=block)
    return prod(row.shape) * {"bf16": BF16_BYTES, "fp32": FP32_BYTES, None: 0}[row.stored]


@dataclass(frozen=True)
class ParallelLayout:
    """How a training run is spread over GPUs: DualPipe, experts in parallel, ZeRO-1, no tensor parallelism.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2 and table 2.
    """

    gpus: int
    pipeline_ranks: int  #: P, 1 or even, each with two stages: its own number from the front and from the back
    expert_ranks: int  #: GPUs that share one layer's experts
    tokens_per_micro_batch: int  #: of one GPU

    def __post_init__(self) -> None:
        """Refuse an odd number of ranks, whose middle would face itself."""
        if self.pipeline_ranks % 2 and self.pipeline_ranks != 1:
            raise InputError(f"pipeline_ranks = {self.pipeline_ranks}: must be 1 or even")

    @property
    def stage_replicas(self) -> float:
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
        per_stage = arch.n_layers / self.pipeline_ranks
        dense = min(max(arch.n_dense_layers - stage * per_stage, 0), per_stage)
        return dense, per_stage - dense


@dataclass(frozen=True)
class ActivationBytes:
    """Bytes that one token leaves for the backward pass in a dense layer, and in one with experts."""

    dense: float
    experts: float


def memory_per_gpu(
    arch: Architecture, layout: ParallelLayout, scheme: Mapping[str, float], kept: ActivationBytes, rank: int
) -> dict[str, float]:
    """Return the bytes that a GPU holds in training, by part; norms and buffers for communication are left out.

    Args:
        arch: of the model.
        layout: how training is spread over GPUs.
        scheme: bytes per parameter by part; "weights" and "gradients" whole on each GPU of a stage, the rest spread.
        kept: bytes that one token leaves in a layer.
        rank: of the pipeline; 0 and the last also have embedding, head, logits and multi-token prediction.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2 and 3.2.3.
    """
    stages, tokens = layout.stages(rank), layout.tokens_per_micro_batch
    in_stage = {stage: layout.layers(arch, stage) for stage in stages}
    dense, moe = (sum(layers) for layers in zip(*in_stage.values(), strict=True))
    ends = 0 in stages
    layers = {"model": ends, "dense": dense, "experts": moe, "mtp": arch.n_mtp_modules * ends}
    rows = [row for row in inventory(arch) if not row.shared and row.part != "norms"]
    tables = sum(ends * row.elements for row in rows if row.block == "model")
    experts = sum(layers[row.block] * row.elements for row in rows if row.part == "routed experts")
    total = sum(layers[row.block] * row.elements for row in rows)
    held = experts / layout.expert_ranks + (total - experts - tables)
    spread = sum(size for part, size in scheme.items() if part not in ("weights", "gradients"))
    of_token = {stage: dense * kept.dense + moe * kept.experts for stage, (dense, moe) in in_stage.items()}
    waiting = sum(layout.in_flight(stage) * size for stage, size in of_token.items())
    in_modules = layers["mtp"] * (kept.experts if arch.experts else kept.dense)
    return {
        "weights": held * scheme["weights"] + tables * BF16_BYTES,
        "gradients": (held + tables) * scheme["gradients"],
        "optimiser": spread * total / layout.stage_replicas,
        "activations": tokens * (waiting + in_modules),
        "logits": tokens * arch.vocab_size * FP32_BYTES * (1 + arch.n_mtp_modules) * ends,
    }


def peak_memory_gpu(
    arch: Architecture, layout: ParallelLayout, scheme: Mapping[str, float], kept: ActivationBytes
) -> tuple[int, dict[str, float]]:
    """Return the rank whose GPUs hold the most, and what they hold; arguments as for memory_per_gpu."""
    ranks = range((layout.pipeline_ranks + 1) // 2)
    held = {rank: memory_per_gpu(arch, layout, scheme, kept, rank) for rank in ranks}
    fullest = max(held, key=lambda rank: sum(held[rank].values()))
    return fullest, held[fullest]


def activation_bytes(
    arch: Architecture, *, bytes_per_element: float, attention_output_bytes: float, recomputed: bool
) -> ActivationBytes:
    """Return what one token leaves in a layer for the backward pass; the residual stream is kept twice in BF16.

    Args:
        arch: plain attention keeps queries, keys and values, as there is no latent to compute them from.
        bytes_per_element: of inputs to linear layers and to SwiGLU.
        attention_output_bytes: per element of the input to the projection after attention.
        recomputed: norms, MLA's up-projections and SwiGLU's output are not kept but computed again.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2.3 and 3.3.3.
    """
    d, a, moe = arch.d_model, arch.attention, arch.experts
    if isinstance(a, MultiHeadLatentAttention):
        kept, expanded = (a.q_lora_rank or 0) + a.cache_elements, a.n_heads * (2 * a.qk_head_dim + a.v_head_dim)
    else:
        kept, expanded = a.n_heads * a.head_dim + a.cache_elements, 0

    def layer(d_ff: int, inputs: int) -> float:
        output = a.n_heads * a.v_head_dim * attention_output_bytes
        elements = kept + inputs * d + 2 * d_ff + (0 if recomputed else 2 * d + expanded + d_ff)
        return 2 * d * BF16_BYTES + output + elements * bytes_per_element

    passed = moe.top_k + moe.n_shared_experts if moe else 0
    return ActivationBytes(layer(arch.dense.d_ff, 1), layer(passed * moe.d_expert, passed) if moe else 0.0)
