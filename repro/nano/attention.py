"""Scaled dot-product attention, its cache, and the layer with plain key and value heads: MHA, GQA, MQA."""

from dataclasses import dataclass

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.models.architecture import GroupedQueryAttention
from repro.nano.ops import linear, linear_backward, save_for_backward, softmax
from repro.nano.rope import Rope, apply_rope, apply_rope_backward, cos_sin_tables, softmax_scale


def scaled_dot_product_attention(q: Array, k: Array, v: Array, scale: float) -> tuple[Array, Array]:
    """Return what each query reads: values weighted by the softmax of its products with the keys, causally.

    The last query stands at the last key's position; queries of one group share its keys and values.

    Args: q: [B, G, R, T, qk_head_dim], R query heads to a group. k: [B, G, S, qk_head_dim], S ≥ T. v: [B, G, S, v_head_dim].
        scale: of the products.
    Returns: [B, G, R, T, v_head_dim], and the weights [B, G, R, T, S] that the backward pass needs.
    Source: Vaswani et al. (arXiv 1706.03762), equation 1.
    """
    b, g, r, t, d = q.shape
    s = k.shape[2]
    scores = (q * scale).reshape(b, g, r * t, d) @ k.swapaxes(-1, -2)
    scores = scores.reshape(b, g, r, t, s)
    if t > 1:
        scores += np.triu(np.full((t, s), -np.inf, scores.dtype), k=s - t + 1)
    weights = softmax(scores)
    return (weights.reshape(b, g, r * t, s) @ v).reshape(b, g, r, t, -1), weights


def scaled_dot_product_attention_backward(
    d_o: Array, q: Array, k: Array, v: Array, weights: Array, scale: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of q, k and v, each of its shape.

    Args: d_o: [B, G, R, T, v_head_dim]. q, k, v, scale: as given to `attend`. weights: as it returned them.
    """
    b, g, r, t, d = q.shape
    d_rows = d_o.reshape(b, g, r * t, -1)
    w = weights.reshape(b, g, r * t, -1)
    d_v = w.swapaxes(-1, -2) @ d_rows
    d_scores = d_rows @ v.swapaxes(-1, -2)
    d_scores -= np.einsum("...s,...s->...", d_scores, w)[..., None]
    d_scores *= w
    d_scores *= scale
    d_k = d_scores.swapaxes(-1, -2) @ q.reshape(b, g, r * t, d)
    return (d_scores @ k).reshape(q.shape), d_k, d_v


@dataclass
class KVCache:
    """What one layer keeps of the tokens seen: arrays [B, …, capacity, d], of which `length` tokens are filled."""

    arrays: dict[str, Array]
    length: int = 0

    @property
    def batch(self) -> int:
        """Sequences."""
        return len(next(iter(self.arrays.values())))

    @property
    def capacity(self) -> int:
        """Tokens of each sequence that there is room for."""
        return next(iter(self.arrays.values())).shape[-2]

    @property
    def kind(self) -> dict[str, tuple]:
        """Of each array its type, heads and width: what makes a cache fit a layer, tokens aside."""
        return {name: (one.dtype, one.shape[1:-2], one.shape[-1]) for name, one in self.arrays.items()}

    @property
    def bytes_per_token(self) -> float:
        """Bytes of one token of one sequence, measured on the arrays."""
        return sum(one.nbytes for one in self.arrays.values()) / (self.batch * self.capacity)

    def check_room(self, count: int) -> None:
        """Raise InputError where so many more tokens of each sequence do not fit."""
        if self.length + count > self.capacity:
            raise InputError(f"cache of {self.capacity} tokens: holds {self.length}, {count} more do not fit")

    def append(self, **new: Array) -> tuple[Array, ...]:
        """Write the newest tokens and return all that are kept, in the order given.

        Raises: InputError where the cache is full.
        """
        (count,) = {one.shape[-2] for one in new.values()}
        self.check_room(count)
        end = self.length + count
        for name, one in new.items():
            self.arrays[name][..., self.length : end, :] = one
        self.length = end
        return tuple(self.arrays[name][..., :end, :] for name in new)


def gqa_cache(attn: GroupedQueryAttention, batch: int, capacity: int, dtype: np.dtype) -> KVCache:
    """Return an empty cache of keys and values: two arrays [B, n_kv_heads, capacity, head_dim]."""
    size = (batch, attn.n_kv_heads, capacity, attn.head_dim)
    return KVCache({"keys": np.zeros(size, dtype), "values": np.zeros(size, dtype)})


def split_heads(x: Array, heads: int) -> Array:
    """Lay heads out: [B, T, heads · d] -> [B, heads, T, d]."""
    b, t, _ = x.shape
    return np.ascontiguousarray(x.reshape(b, t, heads, -1).swapaxes(1, 2))


def merge_heads(x: Array) -> Array:
    """Put heads side by side again: [B, heads, T, d] -> [B, T, heads · d]."""
    b, heads, t, d = x.shape
    return x.swapaxes(1, 2).reshape(b, t, heads * d)


def gqa(
    x: Array, p: dict[str, Array], attn: GroupedQueryAttention, rope: Rope, cache: KVCache | None = None
) -> tuple[Array, tuple]:
    """Return plain attention over x and what the cache holds before it.

    Args: x: [B, T, d_model]. p: "q_proj" [n_heads · head_dim, d_model], "k_proj" and "v_proj" [n_kv_heads · head_dim, d_model],
        "o_proj" [d_model, n_heads · head_dim]. attn: heads. rope: of whole heads. cache: filled by the call.
    Returns: [B, T, d_model], and what the backward pass needs.
    Raises: InputError where the cache is full.
    Source: Ainslie et al. (arXiv 2305.13245), section 2.2; DeepSeek-V2 report (arXiv 2405.04434), equations 1 to 8.
    """
    b, t, _ = x.shape
    groups, d = attn.n_kv_heads, attn.head_dim
    turn = cos_sin_tables(rope, d, cache.length if cache else 0, t, x.dtype)
    q = apply_rope(split_heads(linear(x, p["q_proj"]), attn.n_heads), *turn, interleaved=rope.interleaved)
    k = apply_rope(split_heads(linear(x, p["k_proj"]), groups), *turn, interleaved=rope.interleaved)
    v = split_heads(linear(x, p["v_proj"]), groups)
    if cache:
        k, v = cache.append(keys=k, values=v)
    q = q.reshape(b, groups, -1, t, d)
    o, weights = scaled_dot_product_attention(q, k, v, softmax_scale(rope, d))
    o = merge_heads(o.reshape(b, attn.n_heads, t, d))
    kept = save_for_backward(x, p["q_proj"]), save_for_backward(o, p["o_proj"])
    return linear(o, p["o_proj"]), (*kept, q, k, v, weights, turn)


def gqa_backward(
    d_y: Array, p: dict[str, Array], attn: GroupedQueryAttention, rope: Rope, saved: tuple
) -> tuple[Array, dict[str, Array]]:
    """Return the gradient of x, [B, T, d_model], and those of the weights."""
    x, o, q, k, v, weights, turn = saved
    d_o, d_output = linear_backward(d_y, o, p["o_proj"])
    d_o = split_heads(d_o, attn.n_heads).reshape(q.shape)
    d_q, d_k, d_v = scaled_dot_product_attention_backward(d_o, q, k, v, weights, softmax_scale(rope, attn.head_dim))
    d_q = d_q.reshape(len(d_y), attn.n_heads, *q.shape[-2:])
    d_heads = {
        "q_proj": apply_rope_backward(d_q, *turn, interleaved=rope.interleaved),
        "k_proj": apply_rope_backward(d_k, *turn, interleaved=rope.interleaved),
        "v_proj": d_v,
    }
    back = {name: linear_backward(merge_heads(one), x, p[name]) for name, one in d_heads.items()}
    gradients = {name: d_weight for name, (_, d_weight) in back.items()}
    return sum(d_x for d_x, _ in back.values()), {**gradients, "o_proj": d_output}
