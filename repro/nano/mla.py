"""Multi-head latent attention (MLA): all heads' keys and values come from one small cached latent.

Each token is compressed to a latent of kv_lora_rank elements, and to one rotary key that all heads share. Only these
two are cached; keys and values of all heads are linear in the latent and can be expanded from it when needed. Or the
expansion merges with the query's projection: in this absorbed form queries are taken to the latents' space and outputs
back from it, so that decoding is MQA over latents and never expands a cached token. A rotation would stand between the
two projections and stop them from merging; that is why position has a rotary key of its own.

Shapes: H is n_heads, the others are named in `attention`.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from repro.arrays import Array
from repro.models.architecture import MultiHeadLatentAttention
from repro.nano import attention, ops
from repro.nano.attention import KVCache, merge_heads, split_heads
from repro.nano.ops import NormSaved, Params, Weight
from repro.nano.rope import CosSin, Rope, apply_rope, apply_rope_backward, softmax_scale

LATENT_EPS = 1e-6  # of the two latent norms; DeepSeek's code hard-codes it, the configured eps is for other norms


class MlaSaved(NamedTuple):
    """What `mla` saves; inputs of projections in the number format of the weight that reads them."""

    x: Any  #: [B, T, d_model]
    o: Any  #: [B, T, H · v_head_dim]
    q_latent: Any  #: [B, T, q_lora_rank]; None if queries are not compressed, and so is q_norm
    q_norm: NormSaved | None
    kv_latent: Any  #: [B, S, kv_lora_rank]
    kv_norm: NormSaved
    q: Array  #: [B, H, T, qk_head_dim]
    k: Array  #: [B, H, S, qk_head_dim]
    v: Array  #: [B, H, S, v_head_dim]
    attn_probs: Array  #: [B, H, 1, T, S]
    cos_sin: CosSin


def mla_cache(attn: MultiHeadLatentAttention, batch: int, capacity: int, dtype: DTypeLike) -> KVCache:
    """Return an empty cache of latents beside rotary keys: one array [B, capacity, kv_lora_rank + qk_rope_head_dim]."""
    return KVCache({"latents": np.zeros((batch, capacity, attn.cache_elements), dtype)})


def mla(
    x: Array, p: Params, attn: MultiHeadLatentAttention, rope: Rope, cos_sin: CosSin, cache: KVCache | None = None, *,
    absorbed: bool = False,
) -> tuple[Array, MlaSaved | None]:  # fmt: skip
    """Apply latent attention to new tokens and those cached before them: [B, T, d_model] -> [B, T, d_model].

    Args:
        x: [B, T, d_model]; the new tokens.
        p: weights; with attn.bias, "q_a_proj", "kv_a_proj_with_mqa" and "o_proj" have one, such as "o_proj_bias":
            q_proj [H · qk_head_dim, d_model], or in its place the next three where queries are compressed
            q_a_proj [q_lora_rank, d_model], q_a_layernorm [q_lora_rank], q_b_proj [H · qk_head_dim, q_lora_rank]
            kv_a_proj_with_mqa [kv_lora_rank + qk_rope_head_dim, d_model], kv_a_layernorm [kv_lora_rank]
            kv_b_proj [H · (qk_nope_head_dim + v_head_dim), kv_lora_rank], o_proj [d_model, H · v_head_dim]
        attn: heads and their widths, ranks of the latents.
        rope: rotary embedding, which also sets the scale of the softmax.
        cos_sin: tables of the new tokens' positions.
        cache: from `mla_cache`; the new tokens' latents are appended.
        absorbed: MLA's form in decoding, which has no backward pass and saves nothing.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 1 to 11; absorption: DeepSeek-V2 report (arXiv
        2405.04434), section 2.1.2.
    """
    q, q_latent, q_norm = _queries(x, p, attn, rope, cos_sin)  # [B, H, T, qk_head_dim]
    latents, kv_norm = _latents(x, p, attn, rope, cos_sin)  # [B, T, kv_lora_rank + qk_rope_head_dim]
    if cache:
        (latents,) = cache.append(latents=latents)  # [B, S, kv_lora_rank + qk_rope_head_dim]
    scale = softmax_scale(rope, attn.qk_head_dim)
    if absorbed:
        o = merge_heads(_attend_absorbed(q, latents, p["kv_b_proj"], attn, scale))  # [B, T, H · v_head_dim]
        return ops.linear(o, p["o_proj"], p.get("o_proj_bias")), None
    k, v = _expand(latents, p["kv_b_proj"], attn)  # [B, H, S, qk_head_dim], [B, H, S, v_head_dim]
    o, weights = attention.scaled_dot_product_attention(q[:, :, None], k, v, scale)  # [B, H, 1, T, v_head_dim]
    o = merge_heads(o[:, :, 0])  # [B, T, H · v_head_dim]
    saved_x, saved_o = ops.save_for_backward(x, p["kv_a_proj_with_mqa"]), ops.save_for_backward(o, p["o_proj"])
    kv_latent = ops.save_for_backward(latents[..., : attn.kv_lora_rank], p["kv_b_proj"])  # [B, S, kv_lora_rank]
    saved = MlaSaved(saved_x, saved_o, q_latent, q_norm, kv_latent, kv_norm, q, k, v, weights, cos_sin)
    return ops.linear(o, p["o_proj"], p.get("o_proj_bias")), saved


def _queries(
    x: Array, p: Params, attn: MultiHeadLatentAttention, rope: Rope, cos_sin: CosSin
) -> tuple[Array, Any, NormSaved | None]:
    """Return each head's query with its rotary part rotated, [B, H, T, qk_head_dim]: equations 6 to 9."""
    latent = saved_norm = None
    if attn.q_lora_rank is None:
        q = split_heads(ops.linear(x, p["q_proj"]), attn.n_heads)  # [B, H, T, qk_head_dim]
    else:
        down = ops.linear(x, p["q_a_proj"], p.get("q_a_proj_bias"))  # [B, T, q_lora_rank]
        latent, saved_norm = ops.rms_norm(down, p["q_a_layernorm"], LATENT_EPS)  # [B, T, q_lora_rank]
        q = split_heads(ops.linear(latent, p["q_b_proj"]), attn.n_heads)  # [B, H, T, qk_head_dim]
        latent = ops.save_for_backward(latent, p["q_b_proj"])
    rotary = np.s_[..., attn.qk_nope_head_dim :]
    q[rotary] = apply_rope(q[rotary], *cos_sin, interleaved=rope.interleaved)
    return q, latent, saved_norm


def _latents(
    x: Array, p: Params, attn: MultiHeadLatentAttention, rope: Rope, cos_sin: CosSin
) -> tuple[Array, NormSaved]:
    """Return what is cached, the normed latent beside the rotated key that all heads share: equations 1 and 3."""
    down = ops.linear(x, p["kv_a_proj_with_mqa"], p.get("kv_a_proj_with_mqa_bias"))  # [B, T, rank + qk_rope_head_dim]
    rank = attn.kv_lora_rank
    down[..., :rank], saved_norm = ops.rms_norm(down[..., :rank], p["kv_a_layernorm"], LATENT_EPS)
    down[..., rank:] = apply_rope(down[..., rank:], *cos_sin, interleaved=rope.interleaved)
    return down, saved_norm


def _expand(latents: Array, kv_b_proj: Weight, attn: MultiHeadLatentAttention) -> tuple[Array, Array]:
    """Return the keys and values of all heads, for attention as in MHA: equations 2, 4 and 5."""
    nope = attn.qk_nope_head_dim
    latent, k_rope = np.split(latents, [attn.kv_lora_rank], axis=-1)  # [B, S, rank], [B, S, qk_rope_head_dim]
    kv = ops.linear(latent, kv_b_proj).reshape(*latent.shape[:-1], attn.n_heads, -1)
    kv = kv.swapaxes(1, 2)  # [B, H, S, qk_nope_head_dim + v_head_dim]
    k = np.empty((*kv.shape[:-1], attn.qk_head_dim), latents.dtype)  # [B, H, S, qk_head_dim]
    k[..., :nope] = kv[..., :nope]
    k[..., nope:] = k_rope[:, None]
    return k, np.ascontiguousarray(kv[..., nope:])


def _attend_absorbed(
    q: Array, latents: Array, kv_b_proj: Weight, attn: MultiHeadLatentAttention, scale: float
) -> Array:
    """Take queries to the latents' space and attend as MQA does, each latent both key and value of all heads."""
    w_k, w_v = up_projections(kv_b_proj, attn)
    nope, latent = attn.qk_nope_head_dim, latents[..., : attn.kv_lora_rank]
    q_latent = np.concatenate([q[..., :nope] @ w_k, q[..., nope:]], axis=-1)  # [B, H, T, rank + qk_rope_head_dim]
    keys, values = latents[:, None], latent[:, None]  # one group: [B, 1, S, rank + qk_rope_head_dim], [B, 1, S, rank]
    o_latent, _ = attention.scaled_dot_product_attention(q_latent[:, None], keys, values, scale)  # [B, 1, H, T, rank]
    return o_latent[:, 0] @ w_v.swapaxes(-1, -2)  # [B, H, T, v_head_dim]


def up_projections(kv_b_proj: Weight, attn: MultiHeadLatentAttention) -> tuple[Array, Array]:
    """Return W^UK, [H, qk_nope_head_dim, kv_lora_rank], and W^UV, [H, v_head_dim, kv_lora_rank]."""
    by_head = np.asarray(kv_b_proj).reshape(attn.n_heads, -1, attn.kv_lora_rank)
    return by_head[:, : attn.qk_nope_head_dim], by_head[:, attn.qk_nope_head_dim :]


def mla_backward(
    d_y: Array, p: Params, attn: MultiHeadLatentAttention, rope: Rope, saved: MlaSaved
) -> tuple[Array, Params]:
    """Return the gradients of x, [B, T, d_model], and of the weights, for the expanded form without a cache."""
    nope, scale = attn.qk_nope_head_dim, softmax_scale(rope, attn.qk_head_dim)
    d_o, d_o_proj = ops.linear_backward(d_y, saved.o, p["o_proj"])  # [B, T, H · v_head_dim]
    d_o = split_heads(d_o, attn.n_heads)[:, :, None]  # [B, H, 1, T, v_head_dim]
    q = saved.q[:, :, None]  # [B, H, 1, T, qk_head_dim], as d_q; d_k and d_v are [B, H, T, qk_head_dim or v_head_dim]
    d_q, d_k, d_v = attention.scaled_dot_product_attention_backward(d_o, q, saved.k, saved.v, saved.attn_probs, scale)
    d_x_q, gradients = _queries_backward(d_q[:, :, 0], p, attn, rope, saved)  # [B, T, d_model]
    d_kv = merge_heads(np.concatenate([d_k[..., :nope], d_v], axis=-1))  # [B, T, H · (qk_nope_head_dim + v_head_dim)]
    d_latent, d_kv_b_proj = ops.linear_backward(d_kv, saved.kv_latent, p["kv_b_proj"])  # [B, T, rank]
    d_k_rope = d_k[..., nope:].sum(axis=1)  # [B, T, qk_rope_head_dim]: all heads share one key
    d_k_rope = apply_rope_backward(d_k_rope, *saved.cos_sin, interleaved=rope.interleaved)
    d_latent, d_kv_norm = ops.rms_norm_backward(d_latent, p["kv_a_layernorm"], saved.kv_norm)
    d_down = np.concatenate([d_latent, d_k_rope], axis=-1)  # [B, T, rank + qk_rope_head_dim]
    d_x_kv, d_kv_a_proj = ops.linear_backward(d_down, saved.x, p["kv_a_proj_with_mqa"])  # [B, T, d_model]
    gradients |= {"kv_a_proj_with_mqa": d_kv_a_proj, "kv_a_layernorm": d_kv_norm}
    gradients |= {"kv_b_proj": d_kv_b_proj, "o_proj": d_o_proj}
    if attn.bias:
        gradients |= {"kv_a_proj_with_mqa_bias": ops.bias_backward(d_down), "o_proj_bias": ops.bias_backward(d_y)}
    return d_x_q + d_x_kv, gradients


def _queries_backward(
    d_q: Array, p: Params, attn: MultiHeadLatentAttention, rope: Rope, saved: MlaSaved
) -> tuple[Array, Params]:
    rotary = np.s_[..., attn.qk_nope_head_dim :]
    d_q[rotary] = apply_rope_backward(d_q[rotary], *saved.cos_sin, interleaved=rope.interleaved)
    d_q = merge_heads(d_q)  # [B, T, H · qk_head_dim]
    if saved.q_norm is None:
        d_x, d_q_proj = ops.linear_backward(d_q, saved.x, p["q_proj"])  # [B, T, d_model]
        return d_x, {"q_proj": d_q_proj}
    d_latent, d_q_b_proj = ops.linear_backward(d_q, saved.q_latent, p["q_b_proj"])  # [B, T, q_lora_rank]
    d_down, d_norm = ops.rms_norm_backward(d_latent, p["q_a_layernorm"], saved.q_norm)  # [B, T, q_lora_rank]
    d_x, d_q_a_proj = ops.linear_backward(d_down, saved.x, p["q_a_proj"])  # [B, T, d_model]
    gradients = {"q_a_proj": d_q_a_proj, "q_a_layernorm": d_norm, "q_b_proj": d_q_b_proj}
    if attn.bias:
        gradients["q_a_proj_bias"] = ops.bias_backward(d_down)
    return d_x, gradients
