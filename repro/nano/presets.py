"""The small models that notebooks, experiments and benchmarks train: DeepSeek's structure at a laptop's size."""

from dataclasses import replace
from typing import Literal

from repro.errors import InputError
from repro.models.architecture import (
    Architecture,
    Attention,
    GatedFeedForward,
    GroupedQueryAttention,
    MixtureOfExperts,
    MultiHeadLatentAttention,
)
from repro.nano.config import Config
from repro.nano.gate import Gate
from repro.validate import check_integer

D_MODEL, N_HEADS, D_HEAD = 64, 4, 16
ATTENTIONS: dict[str, Attention] = {
    "MLA": MultiHeadLatentAttention(
        N_HEADS, q_lora_rank=None, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16
    ),
    "MHA": GroupedQueryAttention(N_HEADS, 4, D_HEAD),
    "GQA": GroupedQueryAttention(N_HEADS, 2, D_HEAD),
    "MQA": GroupedQueryAttention(N_HEADS, 1, D_HEAD),
}
GATES = {"V2": Gate("softmax", scores_per_group=1, norm_topk_prob=False), "V3": Gate("sigmoid")}


def small_config(
    attention: Literal["MLA", "MHA", "GQA", "MQA"] = "MLA", *, gate: Literal["V2", "V3"] | None = "V3",
    n_layers: int = 3, n_routed_experts: int = 16, n_shared_experts: int = 1, top_k: int = 4, d_expert: int = 32,
    d_ff: int = 160, n_mtp_modules: int = 0,
) -> Config:  # fmt: skip
    """Return a small model over bytes, of width 64 with 4 heads.

    Args:
        attention: kind of attention.
        gate: kind of gate; the first layer is dense and the rest have experts, without a gate all are dense.
        n_layers: layers, modules not counted.
        n_routed_experts: experts per layer, of which a token visits top_k.
        n_shared_experts: experts that every token visits.
        top_k: routed experts per token.
        d_expert: width of an expert.
        d_ff: width of a dense layer, by default that of the default experts that a token visits.
        n_mtp_modules: modules for multi-token prediction.
    """
    check_integer("n_layers", n_layers)
    if attention not in ATTENTIONS:
        raise InputError(f"attention = {attention!r}: must be one of: {', '.join(ATTENTIONS)}")
    if gate is not None and gate not in GATES:
        raise InputError(f"gate = {gate!r}: must be one of: {', '.join(GATES)}, or None")
    experts = MixtureOfExperts(n_routed_experts, n_shared_experts, top_k, d_expert, correction_bias=gate == "V3")
    arch = Architecture(
        d_model=D_MODEL, vocab_size=256,  # one token for each byte
        n_dense_layers=1 if gate else n_layers, n_moe_layers=n_layers - 1 if gate else 0,
        attention=ATTENTIONS[attention], dense=GatedFeedForward(d_ff), experts=experts if gate else None,
        n_mtp_modules=n_mtp_modules,
    )  # fmt: skip
    return Config(arch, gate=GATES[gate] if gate else None)


def wide_config() -> Config:
    """Return a small model with compressed queries and all widths multiples of 128, so that no FP8 tile is cut."""
    config = small_config(n_layers=2, n_routed_experts=4, top_k=2, d_expert=128, d_ff=128)
    attention = MultiHeadLatentAttention(
        N_HEADS, q_lora_rank=128, kv_lora_rank=128, qk_nope_head_dim=32, qk_rope_head_dim=32, v_head_dim=32
    )
    return replace(config, arch=replace(config.arch, d_model=128, attention=attention))
