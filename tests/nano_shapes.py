"""Numpy models of a few hundred to a few thousand parameters, that several tests take apart."""

from dataclasses import replace

import numpy as np

from repro.models.architecture import (
    Architecture,
    GatedFeedForward,
    GroupedQueryAttention,
    MixtureOfExperts,
    MultiHeadLatentAttention,
)
from repro.nano import Config, Gate, Rope, Yarn
from repro.nano.block import attention
from repro.nano.rope import cos_sin_tables

LATENT = MultiHeadLatentAttention(
    n_heads=2, q_lora_rank=5, kv_lora_rank=6, qk_nope_head_dim=3, qk_rope_head_dim=4, v_head_dim=5
)
EXPERTS = MixtureOfExperts(n_routed_experts=6, n_shared_experts=1, top_k=2, d_expert=4, correction_bias=True)
SHAPE = Architecture(
    d_model=8,
    vocab_size=11,
    n_dense_layers=1,
    n_moe_layers=1,
    attention=LATENT,
    dense=GatedFeedForward(7),
    experts=EXPERTS,
    n_mtp_modules=2,
)
STRETCHED = Yarn(factor=4, original_max_position_embeddings=8, mscale=1.0, mscale_all_dim=0.7)
V3 = Config(SHAPE, Rope(yarn=STRETCHED), Gate("sigmoid", n_group=3, topk_group=2, routed_scaling_factor=2.5))
V2 = Config(
    replace(
        SHAPE,
        attention=replace(LATENT, q_lora_rank=None),
        experts=replace(EXPERTS, n_shared_experts=2, correction_bias=False),
        n_mtp_modules=0,
    ),
    Rope(),
    Gate("softmax", n_group=3, topk_group=2, scores_per_group=1, norm_topk_prob=False, routed_scaling_factor=4.0),
)


def tables(config, length, start=0):
    """Return the rotary tables of so many positions, in float64."""
    return cos_sin_tables(config.rope, config.rotary_dim, start, length, np.float64)


def attend(x, p, config, cache=None, **form):
    """Return one layer's attention over x, at the positions that follow those in the cache."""
    return attention(x, p, config, tables(config, x.shape[1], cache.length if cache else 0), cache, **form)


def plain(n_kv_heads, n_heads=4, head_dim=4):
    """Return a dense model with plain attention: MHA, GQA or MQA by the number of key and value heads."""
    attention = GroupedQueryAttention(n_heads, n_kv_heads, head_dim)
    return Config(
        replace(SHAPE, attention=attention, n_dense_layers=2, n_moe_layers=0, experts=None, n_mtp_modules=0),
        Rope(interleaved=False),
    )


MODELS = {
    "V3": V3,
    "V3, biased projections, tied": replace(
        V3, arch=replace(SHAPE, attention=replace(LATENT, bias=True), tied_embeddings=True, n_mtp_modules=1)
    ),
    "V3, pairs as halves, weights not normalised": replace(
        V3, rope=Rope(interleaved=False), gate=Gate("sigmoid", norm_topk_prob=False)
    ),
    "V2": V2,
    "V2, weights normalised": replace(V2, gate=replace(V2.gate, norm_topk_prob=True)),
    "MHA": plain(4),
    "GQA": plain(2),
    "MQA": plain(1),
}
