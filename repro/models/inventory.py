"""Every tensor of a model in one list, from which all else is summed.

A model's structure is told here and nowhere else: parameter counts, FLOP, bytes of checkpoints and of GPUs, the numpy
model's parameters and the names in published files all walk this list. A row describes a tensor that
repeats over layers and routed experts: DeepSeek-V3's 46,183 tensors are 55 rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal, get_args

from repro.models.architecture import Architecture, Attention, GroupedQueryAttention

Shape = tuple[int, ...]
PartName = Literal[
    "embedding", "projection", "attention", "dense feed-forward", "gate", "shared experts", "routed experts", "norms",
    "head", "head of the main model",
]  # fmt: skip
BlockName = Literal["model", "dense", "experts", "mtp"]
PARTS: tuple[PartName, ...] = get_args(PartName)
IN_FP8 = ("attention", "dense feed-forward", "shared experts", "routed experts")


@dataclass(frozen=True)
class Tensor:
    """Tensors of one kind: one in each of `layers`, or one for each routed expert there."""

    role: str  #: place within the block, the same in every family
    name: str  #: as published, with {layer} and {expert} where there is one for each
    shape: Shape  #: of one of them, [out, in] of a matrix
    part: PartName
    block: BlockName = "model"  #: outside the layers, "dense" or "experts" within, "mtp" in modules after them
    layers: range = range(1)  #: indices of the layers; range(1) outside the layers
    experts: int = 1  #: routed experts with such a tensor each
    top_k: int = 1  #: how many of these one token passes
    shared: bool = (
        False  # the same weights as another row's: a tied head, or the embedding and head that MTP modules repeat
    )

    @property
    def elements(self) -> int:
        """Elements in one layer, of all experts."""
        return prod(self.shape) * self.experts

    @property
    def multiplied(self) -> bool:
        """Whether a matrix product multiplies tokens by it: all matrices but the embedding."""
        return len(self.shape) == 2 and self.part != "embedding"

    @property
    def stored(self) -> Literal["fp8", "bf16", "fp32", None]:
        """Format in a checkpoint as DeepSeek-V3's (README_WEIGHTS.md of its repository); None for a tied head."""
        if self.shared and self.block == "model":
            return None
        if self.role.endswith("e_score_correction_bias"):
            return "fp32"
        return "fp8" if self.multiplied and self.part in IN_FP8 else "bf16"

    def names(self, layer: int) -> list[str]:
        """Return the published names in one layer, one for each expert."""
        return [self.name.format(layer=layer, expert=expert) for expert in range(self.experts)]


@lru_cache(maxsize=256)
def inventory(arch: Architecture) -> tuple[Tensor, ...]:
    """Return every tensor of a model, in the order in which a token meets the layers."""
    table, first, end = (arch.vocab_size, arch.d_model), arch.n_dense_layers, arch.n_layers
    blocks = [
        Tensor("embed_tokens.weight", "model.embed_tokens.weight", table, "embedding"),
        Tensor("lm_head.weight", "lm_head.weight", table, "head", shared=arch.tied_embeddings),
        *_layer(arch, "dense", range(first)),
        *_layer(arch, "experts", range(first, end)),
        Tensor("norm.weight", "model.norm.weight", (arch.d_model,), "norms"),
        *_mtp_module(arch, range(end, end + arch.n_mtp_modules)),
    ]
    return tuple(row for row in blocks if row.layers)


def attention_shapes(attention: Attention, d_model: int) -> dict[str, Shape]:
    """Return the shape of each tensor of one layer's attention, by its role there."""
    a, d = attention, d_model
    shapes: dict[str, Shape]
    if isinstance(a, GroupedQueryAttention):
        queries, keys = a.n_heads * a.head_dim, a.n_kv_heads * a.head_dim
        shapes = {"q_proj.weight": (queries, d), "k_proj.weight": (keys, d), "v_proj.weight": (keys, d)}
        shapes["o_proj.weight"] = (d, queries)
        if a.qk_norm:
            shapes |= {"q_norm.weight": (a.head_dim,), "k_norm.weight": (a.head_dim,)}
        if a.qkv_bias:
            shapes |= {"q_proj.bias": (queries,), "k_proj.bias": (keys,), "v_proj.bias": (keys,)}
        return shapes | ({"o_proj.bias": (d,)} if a.output_bias else {})
    queries, rank = a.n_heads * a.qk_head_dim, a.q_lora_rank
    if rank is None:
        shapes = {"q_proj.weight": (queries, d)}
    else:
        shapes = {"q_a_proj.weight": (rank, d), "q_a_layernorm.weight": (rank,), "q_b_proj.weight": (queries, rank)}
    shapes |= {
        "kv_a_proj_with_mqa.weight": (a.cache_elements, d),
        "kv_a_layernorm.weight": (a.kv_lora_rank,),
        "kv_b_proj.weight": (a.n_heads * (a.qk_nope_head_dim + a.v_head_dim), a.kv_lora_rank),
        "o_proj.weight": (d, a.n_heads * a.v_head_dim),
    }
    if a.bias and rank is not None:
        shapes["q_a_proj.bias"] = (rank,)
    return shapes | ({"kv_a_proj_with_mqa.bias": (a.cache_elements,), "o_proj.bias": (d,)} if a.bias else {})


def _mlp_shapes(d_ff: int, d_model: int, *, bias: bool = False) -> dict[str, Shape]:
    shapes = {"gate_proj": (d_ff, d_model), "up_proj": (d_ff, d_model), "down_proj": (d_model, d_ff)}
    weights: dict[str, Shape] = {f"{name}.weight": shape for name, shape in shapes.items()}
    return weights | ({f"{name}.bias": shape[:1] for name, shape in shapes.items()} if bias else {})


def _layer(arch: Architecture, block: BlockName, layers: range) -> Iterator[Tensor]:
    d, moe = arch.d_model, arch.experts

    def row(role: str, shape: Shape, part: PartName, *, experts: int = 1, top_k: int = 1) -> Tensor:
        name = f"model.layers.{{layer}}.{role}"
        for usual, renamed in arch.renamed:
            name = name.replace(usual, renamed)
        return Tensor(f"block.{role}" if block == "mtp" else role, name, shape, part, block, layers, experts, top_k)

    yield row("input_layernorm.weight", (d,), "norms")
    for role, shape in attention_shapes(arch.attention, d).items():
        yield row(f"self_attn.{role}", shape, "attention")
    yield row("post_attention_layernorm.weight", (d,), "norms")
    if moe is None or block == "dense":
        for role, shape in _mlp_shapes(arch.dense.d_ff, d, bias=arch.dense.bias).items():
            yield row(f"mlp.{role}", shape, "dense feed-forward")
        return
    yield row("mlp.gate.weight", (moe.n_routed_experts, d), "gate")
    if moe.correction_bias:
        yield row("mlp.gate.e_score_correction_bias", (moe.n_routed_experts,), "gate")
    for role, shape in _mlp_shapes(moe.d_expert, d).items():
        role = f"mlp.experts.{{expert}}.{role}"
        yield row(role, shape, "routed experts", experts=moe.n_routed_experts, top_k=moe.top_k)
    if moe.n_shared_experts:  # checkpoints store all shared experts as one, as wide as all of them
        for role, shape in _mlp_shapes(moe.n_shared_experts * moe.d_expert, d).items():
            yield row(f"mlp.shared_experts.{role}", shape, "shared experts")


def _mtp_module(arch: Architecture, layers: range) -> Iterator[Tensor]:
    """Yield the rows of all modules: a projection of two vectors to one, a layer and three norms each.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 2.2; README_WEIGHTS.md of its repository.
    """
    d, table = arch.d_model, (arch.vocab_size, arch.d_model)

    def row(role: str, name: str, shape: Shape, part: PartName, *, shared: bool = False) -> Tensor:
        return Tensor(role, f"model.layers.{{layer}}.{name}", shape, part, "mtp", layers, shared=shared)

    yield row("embed_tokens.weight", "embed_tokens.weight", table, "embedding", shared=True)
    yield row("hnorm.weight", "hnorm.weight", (d,), "norms")
    yield row("enorm.weight", "enorm.weight", (d,), "norms")
    yield row("eh_proj.weight", "eh_proj.weight", (d, 2 * d), "projection")
    yield from _layer(arch, "mtp", layers)
    yield row("norm.weight", "shared_head.norm.weight", (d,), "norms")
    yield row("lm_head.weight", "shared_head.head.weight", table, "head of the main model", shared=True)
