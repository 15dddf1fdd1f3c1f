"""Scaled dot-product attention, its cache, and the layer with plain heads: MHA, GQA and MQA.

Each token's query is compared with the keys of all tokens up to it, and reads their values by the softmax of the
products. In decoding, keys and values of past tokens are kept in a cache; queries may share them in groups to make it
smaller: every head has its own in MHA, G groups share in GQA, all heads in MQA. `mla` shrinks the cache another way.

Shapes: B sequences, T new tokens, S tokens to read (cached ones and the new), H heads = G groups × R heads of a group.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from repro.arrays import Array
from repro.errors import InputError
from repro.models.architecture import GroupedQueryAttention
from repro.nano.ops import Params, linear, linear_backward, save_for_backward, softmax
from repro.nano.rope import CosSin, Rope, apply_rope, apply_rope_backward, softmax_scale


def scaled_dot_product_attention(q: Array, k: Array, v: Array, scale: float) -> tuple[Array, Array]:
    """Let each query read values by the softmax of its products with the keys up to its position, times `scale`.

    Args:
        q: [B, G, R, T, qk_head_dim]; the last query stands at the last key's position.
        k: [B, G, S ≥ T, qk_head_dim], shared by a group's R heads.
        v: [B, G, S, v_head_dim], shared like the keys.
        scale: factor on queries times keys, as `softmax_scale` returns it.

    Returns:
        The output, [B, G, R, T, v_head_dim], and the weights, [B, G, R, T, S], for the backward pass.

    Source: Vaswani et al. (arXiv 1706.03762), equation 1.
    """
    (b, g, r, t, d), s = q.shape, k.shape[2]
    scores = (q * scale).reshape(b, g, r * t, d) @ k.swapaxes(-1, -2)  # [B, G, R · T, S]
    scores = scores.reshape(b, g, r, t, s)  # [B, G, R, T, S]
    if t > 1:
        scores += np.triu(np.full((t, s), -np.inf, scores.dtype), k=s - t + 1)  # [T, S]: no query reads ahead
    weights = softmax(scores)  # [B, G, R, T, S]
    return (weights.reshape(b, g, r * t, s) @ v).reshape(b, g, r, t, -1), weights


def scaled_dot_product_attention_backward(
    d_o: Array, q: Array, k: Array, v: Array, weights: Array, scale: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of q, k and v from that of the output, d_o [B, G, R, T, v_head_dim]."""
    b, g, r, t, d = q.shape
    d_rows = d_o.reshape(b, g, r * t, -1)  # [B, G, R · T, v_head_dim]
    w = weights.reshape(b, g, r * t, -1)  # [B, G, R · T, S]
    d_v = w.swapaxes(-1, -2) @ d_rows  # [B, G, S, v_head_dim]
    d_scores = d_rows @ v.swapaxes(-1, -2)  # [B, G, R · T, S], of the weights so far
    d_scores -= np.einsum("...s,...s->...", d_scores, w)[..., None]
    d_scores *= w
    d_scores *= scale
    d_k = d_scores.swapaxes(-1, -2) @ q.reshape(b, g, r * t, d)  # [B, G, S, qk_head_dim]
    return (d_scores @ k).reshape(q.shape), d_k, d_v


@dataclass
class KVCache:
    """What one layer keeps of past tokens: arrays [B, …, capacity, d], of which `length` tokens are filled."""

    arrays: dict[str, Array]
    length: int = 0

    @property
    def batch(self) -> int:
        """Sequences."""
        return len(next(iter(self.arrays.values())))

    @property
    def capacity(self) -> int:
        """Tokens per sequence that there is room for."""
        return next(iter(self.arrays.values())).shape[-2]

    @property
    def layout(self) -> dict[str, tuple[object, ...]]:
        """Each array's dtype, heads and width: a cache fits a layer whose own cache has the same."""
        return {name: (array.dtype, array.shape[1:-2], array.shape[-1]) for name, array in self.arrays.items()}

    @property
    def bytes_per_token(self) -> float:
        """Bytes of one token of one sequence, measured on the arrays."""
        return sum(array.nbytes for array in self.arrays.values()) / (self.batch * self.capacity)

    def check_room(self, count: int) -> None:
        """Raise InputError unless `count` more tokens of each sequence fit."""
        if self.length + count > self.capacity:
            raise InputError(f"cache of {self.capacity} tokens: holds {self.length}, {count} more do not fit")

    def append(self, **new: Array) -> tuple[Array, ...]:
        """Write the newest tokens, [B, …, T, d] each, and return all tokens kept, [B, …, S, d], in the same order."""
        (count,) = {array.shape[-2] for array in new.values()}
        self.check_room(count)
        end = self.length + count
        for name, array in new.items():
            self.arrays[name][..., self.length : end, :] = array
        self.length = end
        return tuple(self.arrays[name][..., :end, :] for name in new)


def gqa_cache(attn: GroupedQueryAttention, batch: int, capacity: int, dtype: DTypeLike) -> KVCache:
    """Return an empty cache of keys and values: two arrays [B, n_kv_heads, capacity, head_dim]."""
    size = (batch, attn.n_kv_heads, capacity, attn.head_dim)
    return KVCache({"keys": np.zeros(size, dtype), "values": np.zeros(size, dtype)})


def split_heads(x: Array, n_heads: int) -> Array:
    """Lay heads out: [B, T, H · d] -> [B, H, T, d]."""
    b, t, _ = x.shape
    return np.ascontiguousarray(x.reshape(b, t, n_heads, -1).swapaxes(1, 2))


def merge_heads(x: Array) -> Array:
    """Put heads side by side again: [B, H, T, d] -> [B, T, H · d]."""
    b, n_heads, t, d = x.shape
    return x.swapaxes(1, 2).reshape(b, t, n_heads * d)


class GqaSaved(NamedTuple):
    """What `gqa` saves; x and o in the number format of the projections that read them."""

    x: Any  #: [B, T, d_model]
    o: Any  #: [B, T, n_heads · head_dim]
    q: Array  #: [B, G, R, T, head_dim]
    k: Array  #: [B, G, S, head_dim]
    v: Array  #: [B, G, S, head_dim]
    attn_probs: Array  #: [B, G, R, T, S]
    cos_sin: CosSin


def gqa(
    x: Array, p: Params, attn: GroupedQueryAttention, rope: Rope, cos_sin: CosSin, cache: KVCache | None = None
) -> tuple[Array, GqaSaved]:
    """Apply MHA, GQA or MQA to new tokens and those cached before them: [B, T, d_model] -> [B, T, d_model].

    `cos_sin` are the tables of the new tokens' positions; their keys and values are appended to `cache`. `p` has
    "q_proj" [H · head_dim, d_model], "k_proj", "v_proj" [G · head_dim, d_model] and "o_proj" [d_model, H · head_dim].

    Source: Ainslie et al. (arXiv 2305.13245), section 2.2; DeepSeek-V2 report (arXiv 2405.04434), equations 1 to 8.
    """
    b, t, _ = x.shape
    n_heads, n_groups, d = attn.n_heads, attn.n_kv_heads, attn.head_dim
    q = split_heads(linear(x, p["q_proj"]), n_heads)  # [B, H, T, d]
    k = split_heads(linear(x, p["k_proj"]), n_groups)  # [B, G, T, d]
    v = split_heads(linear(x, p["v_proj"]), n_groups)  # [B, G, T, d]
    q, k = (apply_rope(heads, *cos_sin, interleaved=rope.interleaved) for heads in (q, k))
    if cache:
        k, v = cache.append(keys=k, values=v)  # [B, G, S, d]
    q = q.reshape(b, n_groups, -1, t, d)  # [B, G, R, T, d]
    o, weights = scaled_dot_product_attention(q, k, v, softmax_scale(rope, d))  # [B, G, R, T, d]
    o = merge_heads(o.reshape(b, n_heads, t, d))  # [B, T, H · d]
    saved_x, saved_o = save_for_backward(x, p["q_proj"]), save_for_backward(o, p["o_proj"])
    return linear(o, p["o_proj"]), GqaSaved(saved_x, saved_o, q, k, v, weights, cos_sin)


def gqa_backward(
    d_y: Array, p: Params, attn: GroupedQueryAttention, rope: Rope, saved: GqaSaved
) -> tuple[Array, Params]:
    """Return the gradients of x, [B, T, d_model], and of the weights."""
    x, o, q, k, v, weights, cos_sin = saved
    d_o, d_o_proj = linear_backward(d_y, o, p["o_proj"])  # [B, T, H · d]
    d_o = split_heads(d_o, attn.n_heads).reshape(q.shape)  # [B, G, R, T, d]
    d_q, d_k, d_v = scaled_dot_product_attention_backward(d_o, q, k, v, weights, softmax_scale(rope, attn.head_dim))
    d_q = d_q.reshape(len(d_y), attn.n_heads, *q.shape[-2:])  # [B, H, T, d]
    d_q = merge_heads(apply_rope_backward(d_q, *cos_sin, interleaved=rope.interleaved))  # [B, T, H · d]
    d_k = merge_heads(apply_rope_backward(d_k, *cos_sin, interleaved=rope.interleaved))  # [B, T, G · d]
    d_x_q, d_q_proj = linear_backward(d_q, x, p["q_proj"])
    d_x_k, d_k_proj = linear_backward(d_k, x, p["k_proj"])
    d_x_v, d_v_proj = linear_backward(merge_heads(d_v), x, p["v_proj"])
    return d_x_q + d_x_k + d_x_v, {"q_proj": d_q_proj, "k_proj": d_k_proj, "v_proj": d_v_proj, "o_proj": d_o_proj}
