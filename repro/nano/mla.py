"""Multi-head latent attention: keys and values expanded from one cached latent, or the expansion absorbed."""

from typing import Any

import numpy as np

from repro.arrays import Array
from repro.models.architecture import MultiHeadLatentAttention
from repro.nano.attention import (
    KVCache,
    merge_heads,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
    split_heads,
)
from repro.nano.ops import bias_backward, linear, linear_backward, rms_norm, rms_norm_backward, save_for_backward
from repro.nano.rope import Rope, apply_rope, apply_rope_backward, cos_sin_tables, softmax_scale

LATENT_EPS = 1e-6  # of both latents' norms, whatever the configuration says of the others, as in DeepSeek's own code


def mla_cache(attn: MultiHeadLatentAttention, batch: int, capacity: int, dtype: np.dtype) -> KVCache:
    """Return an empty cache of latents beside rotary keys: one array [B, capacity, kv_lora_rank + qk_rope_head_dim]."""
    return KVCache({"latents": np.zeros((batch, capacity, attn.cache_elements), dtype)})


def mla(
    x: Array,
    p: dict[str, Array],
    attn: MultiHeadLatentAttention,
    rope: Rope,
    cache: KVCache | None = None,
    *,
    absorbed: bool = False,
) -> tuple[Array, tuple]:
    """Return multi-head latent attention over x and what the cache holds before it.

    Args: x: [B, T, d_model]. p: "kv_a_proj_with_mqa" [kv_lora_rank + qk_rope_head_dim, d_model], "kv_a_layernorm", "kv_b_proj"
        [n_heads · (qk_nope_head_dim + v_head_dim), kv_lora_rank], "o_proj", and "q_proj", or "q_a_proj", "q_a_layernorm", "q_b_proj"
        where queries are compressed. attn: sizes. rope: of the rotary part. cache: filled by the call.
        absorbed: whether queries and outputs are multiplied by the up-projections, in place of every cached latent.
    Returns: [B, T, d_model], and what the backward pass needs, which the absorbed form does not have.
    Raises: InputError where the cache is full.
    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 1 to 11; absorption: DeepSeek-V2 report (arXiv
        2405.04434), section 2.1.2.
    """
    turn = cos_sin_tables(rope, attn.qk_rope_head_dim, cache.length if cache else 0, x.shape[1], x.dtype)
    q, saved_q = _queries(x, p, attn, rope, turn)  # [B, heads, T, qk_head_dim]
    latents, saved_kv = _latents(x, p, attn, rope, turn)  # [B, T, rank + qk_rope_head_dim]
    if cache:
        (latents,) = cache.append(latents=latents)  # [B, S, rank + qk_rope_head_dim]
    scale = softmax_scale(rope, attn.qk_head_dim)
    if absorbed:
        o, saved_o = _attend_absorbed(q, latents, p["kv_b_proj"], attn, scale), None
    else:
        o, saved_o = _attend_expanded(q, latents, p["kv_b_proj"], attn, scale)
    o = merge_heads(o)  # [B, T, heads · v_head_dim]
    kept = save_for_backward(x, p["kv_a_proj_with_mqa"]), save_for_backward(o, p["o_proj"])
    return linear(o, p["o_proj"], p.get("o_proj_bias")), (*kept, turn, saved_q, saved_kv, saved_o)


def _queries(x: Array, p: dict, attn: MultiHeadLatentAttention, rope: Rope, turn: tuple) -> tuple[Array, tuple]:
    """Return each head's query, its last qk_rope_head_dim elements turned, and what came before them."""
    saved, c = (None, ()), x
    if attn.q_lora_rank is not None:
        down = linear(x, p["q_a_proj"], p.get("q_a_proj_bias"))  # c^Q, equation 6
        c, saved_norm = rms_norm(down, p["q_a_layernorm"], LATENT_EPS)
        saved = save_for_backward(c, p["q_b_proj"]), saved_norm
    q = split_heads(linear(c, p[_query_name(attn)]), attn.n_heads)  # equations 7 to 9
    q[..., attn.qk_nope_head_dim :] = apply_rope(q[..., attn.qk_nope_head_dim :], *turn, interleaved=rope.interleaved)
    return q, saved


def _query_name(attn: MultiHeadLatentAttention) -> str:
    return "q_proj" if attn.q_lora_rank is None else "q_b_proj"


def _latents(x: Array, p: dict, attn: MultiHeadLatentAttention, rope: Rope, turn: tuple) -> tuple[Array, tuple]:
    """Return what is cached: the normed latent, and the turned key that all heads share."""
    down = linear(x, p["kv_a_proj_with_mqa"], p.get("kv_a_proj_with_mqa_bias"))  # equations 1 and 3
    rank = attn.kv_lora_rank
    latent, saved = rms_norm(down[..., :rank], p["kv_a_layernorm"], LATENT_EPS)
    down[..., :rank] = latent
    down[..., rank:] = apply_rope(down[..., rank:], *turn, interleaved=rope.interleaved)
    return down, saved


def _attend_expanded(
    q: Array, latents: Array, kv_up: Array, attn: MultiHeadLatentAttention, scale: float
) -> tuple[Array, tuple]:
    """Expand every latent to keys and values of all heads, then attend as MHA does: equations 2, 4, 5 and 10."""
    latent, k_rope = np.split(latents, [attn.kv_lora_rank], axis=-1)
    expanded = linear(latent, kv_up).reshape(*latent.shape[:-1], attn.n_heads, -1)
    expanded = expanded.swapaxes(1, 2)  # [B, heads, S, qk_nope_head_dim + v_head_dim]
    k = np.empty((*expanded.shape[:-1], attn.qk_head_dim), latents.dtype)
    k[..., : attn.qk_nope_head_dim] = expanded[..., : attn.qk_nope_head_dim]
    k[..., attn.qk_nope_head_dim :] = k_rope[:, None]
    v = np.ascontiguousarray(expanded[..., attn.qk_nope_head_dim :])
    o, weights = scaled_dot_product_attention(q[:, :, None], k, v, scale)
    return o[:, :, 0], (save_for_backward(latent, kv_up), q, k, v, weights)


def _attend_absorbed(q: Array, latents: Array, kv_up: Array, attn: MultiHeadLatentAttention, scale: float) -> Array:
    """Take queries to the latents' space and attend as MQA does, every latent both key and value of all heads."""
    w_k, w_v = up_projections(kv_up, attn)
    q_latent = np.concatenate([q[..., : attn.qk_nope_head_dim] @ w_k, q[..., attn.qk_nope_head_dim :]], axis=-1)
    latent = latents[..., : attn.kv_lora_rank]
    o_latent, _ = scaled_dot_product_attention(
        q_latent[:, None], latents[:, None], latent[:, None], scale
    )  # [B, 1, heads, T, rank]
    return o_latent[:, 0] @ w_v.swapaxes(-1, -2)


def up_projections(kv_up: Array, attn: MultiHeadLatentAttention) -> tuple[Array, Array]:
    """Return W^UK and W^UV by head: [n_heads, qk_nope_head_dim, kv_lora_rank] and [n_heads, v_head_dim, kv_lora_rank]."""
    by_head = np.asarray(kv_up).reshape(attn.n_heads, -1, attn.kv_lora_rank)
    return by_head[:, : attn.qk_nope_head_dim], by_head[:, attn.qk_nope_head_dim :]


def mla_backward(
    d_y: Array, p: dict[str, Array], attn: MultiHeadLatentAttention, rope: Rope, saved: tuple
) -> tuple[Array, dict[str, Array]]:
    """Return the gradient of x, [B, T, d_model], and those of the weights, of the expanded form without a cache."""
    x, o, turn, saved_q, saved_kv, (latent, q, k, v, weights) = saved
    d_o, d_output = linear_backward(d_y, o, p["o_proj"])
    d_o = split_heads(d_o, attn.n_heads)[:, :, None]
    d_q, d_k, d_v = scaled_dot_product_attention_backward(
        d_o, q[:, :, None], k, v, weights, softmax_scale(rope, attn.qk_head_dim)
    )
    d_x_q, gradients = _queries_backward(d_q[:, :, 0], x, p, attn, rope, turn, saved_q)
    d_expanded = merge_heads(np.concatenate([d_k[..., : attn.qk_nope_head_dim], d_v], axis=-1))
    d_latent, d_kv_up = linear_backward(d_expanded, latent, p["kv_b_proj"])
    d_k_rope = d_k[..., attn.qk_nope_head_dim :].sum(axis=1)  # one key for all heads
    d_k_rope = apply_rope_backward(d_k_rope, *turn, interleaved=rope.interleaved)
    d_latent, d_kv_norm = rms_norm_backward(d_latent, p["kv_a_layernorm"], saved_kv)
    d_down = np.concatenate([d_latent, d_k_rope], axis=-1)
    d_x_kv, d_kv_down = linear_backward(d_down, x, p["kv_a_proj_with_mqa"])
    gradients |= {
        "kv_a_proj_with_mqa": d_kv_down,
        "kv_a_layernorm": d_kv_norm,
        "kv_b_proj": d_kv_up,
        "o_proj": d_output,
    }
    biased = {"kv_a_proj_with_mqa_bias": d_down, "o_proj_bias": d_y}
    gradients |= {name: bias_backward(d_one) for name, d_one in biased.items() if name in p}
    return d_x_q + d_x_kv, gradients


def _queries_backward(
    d_q: Array, x: Any, p: dict, attn: MultiHeadLatentAttention, rope: Rope, turn: tuple, saved: tuple
) -> tuple[Array, dict[str, Array]]:
    c, saved_norm = saved
    d_q[..., attn.qk_nope_head_dim :] = apply_rope_backward(
        d_q[..., attn.qk_nope_head_dim :], *turn, interleaved=rope.interleaved
    )
    name = _query_name(attn)
    d_c, d_up = linear_backward(merge_heads(d_q), x if c is None else c, p[name])
    if attn.q_lora_rank is None:
        return d_c, {name: d_up}
    d_down, d_norm = rms_norm_backward(d_c, p["q_a_layernorm"], saved_norm)
    d_x, d_down_weight = linear_backward(d_down, x, p["q_a_proj"])
    gradients = {"q_a_proj": d_down_weight, "q_a_layernorm": d_norm, name: d_up}
    if "q_a_proj_bias" in p:
        gradients["q_a_proj_bias"] = bias_backward(d_down)
    return d_x, gradients
