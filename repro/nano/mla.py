"""Multi-head latent attention: keys and values expanded from one cached latent, or the expansion absorbed."""

from typing import Any

import numpy as np

from repro.calc.architecture import MultiHeadLatentAttention
from repro.nano.attention import Cache, attend, attend_backward, merge_heads, split_heads
from repro.nano.ops import (
    Array,
    bias_backward,
    keep,
    linear,
    linear_backward,
    rms_norm,
    rms_norm_backward,
)
from repro.nano.rope import Rope, rotate, rotate_backward, score_scale, tables

LATENT_EPS = 1e-6  # of both latents' norms, whatever the configuration says of the others, as in DeepSeek's own code


def latent_cache(shape: MultiHeadLatentAttention, batch: int, capacity: int, dtype: np.dtype) -> Cache:
    """Return an empty cache of latents beside rotary keys: one array [B, capacity, kv_lora_rank + d_rope]."""
    return Cache({"latents": np.zeros((batch, capacity, shape.cache_elements), dtype)})


def latent_attention(
    x: Array,
    p: dict[str, Array],
    shape: MultiHeadLatentAttention,
    rope: Rope,
    cache: Cache | None = None,
    *,
    absorbed: bool = False,
) -> tuple[Array, tuple]:
    """Return multi-head latent attention over x and what the cache holds before it.

    Args: x: [B, T, d_model]. p: "kv_down" [kv_lora_rank + d_rope, d_model], "kv_norm", "kv_up"
        [n_heads · (d_nope + d_value), kv_lora_rank], "output", and "query", or "query_down", "query_norm", "query_up"
        where queries are compressed. shape: sizes. rope: of the rotary part. cache: filled by the call.
        absorbed: whether queries and outputs are multiplied by the up-projections, in place of every cached latent.
    Returns: [B, T, d_model], and what the backward pass needs, which the absorbed form does not have.
    Raises: InputError where the cache is full.
    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 1 to 11; absorption: DeepSeek-V2 report (arXiv
        2405.04434), section 2.1.2.
    """
    turn = tables(rope, shape.d_rope, cache.length if cache else 0, x.shape[1], x.dtype)
    q, saved_q = _queries(x, p, shape, rope, turn)  # [B, heads, T, d_query]
    latents, saved_kv = _latents(x, p, shape, rope, turn)  # [B, T, rank + d_rope]
    if cache:
        (latents,) = cache.append(latents=latents)  # [B, S, rank + d_rope]
    scale = score_scale(rope, shape.d_query)
    if absorbed:
        o, saved_o = _attend_absorbed(q, latents, p["kv_up"], shape, scale), None
    else:
        o, saved_o = _attend_expanded(q, latents, p["kv_up"], shape, scale)
    o = merge_heads(o)  # [B, T, heads · d_value]
    kept = keep(x, p["kv_down"]), keep(o, p["output"])
    return linear(o, p["output"], p.get("output_bias")), (*kept, turn, saved_q, saved_kv, saved_o)


def _queries(x: Array, p: dict, shape: MultiHeadLatentAttention, rope: Rope, turn: tuple) -> tuple[Array, tuple]:
    """Return each head's query, its last d_rope elements turned, and what came before them."""
    saved, c = (None, ()), x
    if shape.q_lora_rank is not None:
        down = linear(x, p["query_down"], p.get("query_down_bias"))  # c^Q, equation 6
        c, saved_norm = rms_norm(down, p["query_norm"], LATENT_EPS)
        saved = keep(c, p["query_up"]), saved_norm
    q = split_heads(linear(c, p[_query_name(shape)]), shape.n_heads)  # equations 7 to 9
    q[..., shape.d_nope :] = rotate(q[..., shape.d_nope :], *turn, interleaved=rope.interleaved)
    return q, saved


def _query_name(shape: MultiHeadLatentAttention) -> str:
    return "query" if shape.q_lora_rank is None else "query_up"


def _latents(x: Array, p: dict, shape: MultiHeadLatentAttention, rope: Rope, turn: tuple) -> tuple[Array, tuple]:
    """Return what is cached: the normed latent, and the turned key that all heads share."""
    down = linear(x, p["kv_down"], p.get("kv_down_bias"))  # equations 1 and 3
    rank = shape.kv_lora_rank
    latent, saved = rms_norm(down[..., :rank], p["kv_norm"], LATENT_EPS)
    down[..., :rank] = latent
    down[..., rank:] = rotate(down[..., rank:], *turn, interleaved=rope.interleaved)
    return down, saved


def _attend_expanded(
    q: Array, latents: Array, kv_up: Array, shape: MultiHeadLatentAttention, scale: float
) -> tuple[Array, tuple]:
    """Expand every latent to keys and values of all heads, then attend as MHA does: equations 2, 4, 5 and 10."""
    latent, k_rope = np.split(latents, [shape.kv_lora_rank], axis=-1)
    expanded = linear(latent, kv_up).reshape(*latent.shape[:-1], shape.n_heads, -1)
    expanded = expanded.swapaxes(1, 2)  # [B, heads, S, d_nope + d_value]
    k = np.empty((*expanded.shape[:-1], shape.d_query), latents.dtype)
    k[..., : shape.d_nope] = expanded[..., : shape.d_nope]
    k[..., shape.d_nope :] = k_rope[:, None]
    v = np.ascontiguousarray(expanded[..., shape.d_nope :])
    o, weights = attend(q[:, :, None], k, v, scale)
    return o[:, :, 0], (keep(latent, kv_up), q, k, v, weights)


def _attend_absorbed(q: Array, latents: Array, kv_up: Array, shape: MultiHeadLatentAttention, scale: float) -> Array:
    """Take queries to the latents' space and attend as MQA does, every latent both key and value of all heads."""
    w_k, w_v = up_projections(kv_up, shape)
    q_latent = np.concatenate([q[..., : shape.d_nope] @ w_k, q[..., shape.d_nope :]], axis=-1)
    latent = latents[..., : shape.kv_lora_rank]
    o_latent, _ = attend(q_latent[:, None], latents[:, None], latent[:, None], scale)  # [B, 1, heads, T, rank]
    return o_latent[:, 0] @ w_v.swapaxes(-1, -2)


def up_projections(kv_up: Array, shape: MultiHeadLatentAttention) -> tuple[Array, Array]:
    """Return W^UK and W^UV by head: [n_heads, d_nope, kv_lora_rank] and [n_heads, d_value, kv_lora_rank]."""
    by_head = np.asarray(kv_up).reshape(shape.n_heads, -1, shape.kv_lora_rank)
    return by_head[:, : shape.d_nope], by_head[:, shape.d_nope :]


def latent_attention_backward(
    d_y: Array, p: dict[str, Array], shape: MultiHeadLatentAttention, rope: Rope, saved: tuple
) -> tuple[Array, dict[str, Array]]:
    """Return the gradient of x, [B, T, d_model], and those of the weights, of the expanded form without a cache."""
    x, o, turn, saved_q, saved_kv, (latent, q, k, v, weights) = saved
    d_o, d_output = linear_backward(d_y, o, p["output"])
    d_o = split_heads(d_o, shape.n_heads)[:, :, None]
    d_q, d_k, d_v = attend_backward(d_o, q[:, :, None], k, v, weights, score_scale(rope, shape.d_query))
    d_x_q, gradients = _queries_backward(d_q[:, :, 0], x, p, shape, rope, turn, saved_q)
    d_expanded = merge_heads(np.concatenate([d_k[..., : shape.d_nope], d_v], axis=-1))
    d_latent, d_kv_up = linear_backward(d_expanded, latent, p["kv_up"])
    d_k_rope = d_k[..., shape.d_nope :].sum(axis=1)  # one key for all heads
    d_k_rope = rotate_backward(d_k_rope, *turn, interleaved=rope.interleaved)
    d_latent, d_kv_norm = rms_norm_backward(d_latent, p["kv_norm"], saved_kv)
    d_down = np.concatenate([d_latent, d_k_rope], axis=-1)
    d_x_kv, d_kv_down = linear_backward(d_down, x, p["kv_down"])
    gradients |= {"kv_down": d_kv_down, "kv_norm": d_kv_norm, "kv_up": d_kv_up, "output": d_output}
    biased = {"kv_down_bias": d_down, "output_bias": d_y}
    gradients |= {name: bias_backward(d_one) for name, d_one in biased.items() if name in p}
    return d_x_q + d_x_kv, gradients


def _queries_backward(
    d_q: Array, x: Any, p: dict, shape: MultiHeadLatentAttention, rope: Rope, turn: tuple, saved: tuple
) -> tuple[Array, dict[str, Array]]:
    c, saved_norm = saved
    d_q[..., shape.d_nope :] = rotate_backward(d_q[..., shape.d_nope :], *turn, interleaved=rope.interleaved)
    name = _query_name(shape)
    d_c, d_up = linear_backward(merge_heads(d_q), x if c is None else c, p[name])
    if shape.q_lora_rank is None:
        return d_c, {name: d_up}
    d_down, d_norm = rms_norm_backward(d_c, p["query_norm"], saved_norm)
    d_x, d_down_weight = linear_backward(d_down, x, p["query_down"])
    gradients = {"query_down": d_down_weight, "query_norm": d_norm, name: d_up}
    if "query_down_bias" in p:
        gradients["query_down_bias"] = bias_backward(d_down)
    return d_x, gradients
