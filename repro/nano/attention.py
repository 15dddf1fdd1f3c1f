"""Scaled dot-product attention, its cache, and the layer with plain key and value heads: MHA, GQA, MQA."""

from dataclasses import dataclass

import numpy as np

from repro.calc.architecture import GroupedQueryAttention
from repro.errors import InputError
from repro.nano.ops import Array, keep, linear, linear_backward, softmax
from repro.nano.rope import Rope, rotate, rotate_backward, score_scale, tables


def attend(q: Array, k: Array, v: Array, scale: float) -> tuple[Array, Array]:
    """Return what each query reads: values weighted by the softmax of its products with the keys, causally.

    The last query stands at the last key's position; queries of one group share its keys and values.

    Args: q: [B, G, R, T, d_query], R query heads to a group. k: [B, G, S, d_query], S ≥ T. v: [B, G, S, d_value].
        scale: of the products.
    Returns: [B, G, R, T, d_value], and the weights [B, G, R, T, S] that the backward pass needs.
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


def attend_backward(
    d_o: Array, q: Array, k: Array, v: Array, weights: Array, scale: float
) -> tuple[Array, Array, Array]:
    """Return the gradients of q, k and v, each of its shape.

    Args: d_o: [B, G, R, T, d_value]. q, k, v, scale: as given to `attend`. weights: as it returned them.
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
class Cache:
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


def grouped_cache(shape: GroupedQueryAttention, batch: int, capacity: int, dtype: np.dtype) -> Cache:
    """Return an empty cache of keys and values: two arrays [B, n_kv_heads, capacity, d_head]."""
    size = (batch, shape.n_kv_heads, capacity, shape.d_head)
    return Cache({"keys": np.zeros(size, dtype), "values": np.zeros(size, dtype)})


def split_heads(x: Array, heads: int) -> Array:
    """Lay heads out: [B, T, heads · d] -> [B, heads, T, d]."""
    b, t, _ = x.shape
    return np.ascontiguousarray(x.reshape(b, t, heads, -1).swapaxes(1, 2))


def merge_heads(x: Array) -> Array:
    """Put heads side by side again: [B, heads, T, d] -> [B, T, heads · d]."""
    b, heads, t, d = x.shape
    return x.swapaxes(1, 2).reshape(b, t, heads * d)


def grouped_attention(
    x: Array, p: dict[str, Array], shape: GroupedQueryAttention, rope: Rope, cache: Cache | None = None
) -> tuple[Array, tuple]:
    """Return plain attention over x and what the cache holds before it.

    Args: x: [B, T, d_model]. p: "query" [n_heads · d_head, d_model], "key" and "value" [n_kv_heads · d_head, d_model],
        "output" [d_model, n_heads · d_head]. shape: heads. rope: of whole heads. cache: filled by the call.
    Returns: [B, T, d_model], and what the backward pass needs.
    Raises: InputError where the cache is full.
    Source: Ainslie et al. (arXiv 2305.13245), section 2.2; DeepSeek-V2 report (arXiv 2405.04434), equations 1 to 8.
    """
    b, t, _ = x.shape
    groups, d = shape.n_kv_heads, shape.d_head
    turn = tables(rope, d, cache.length if cache else 0, t, x.dtype)
    q = rotate(split_heads(linear(x, p["query"]), shape.n_heads), *turn, interleaved=rope.interleaved)
    k = rotate(split_heads(linear(x, p["key"]), groups), *turn, interleaved=rope.interleaved)
    v = split_heads(linear(x, p["value"]), groups)
    if cache:
        k, v = cache.append(keys=k, values=v)
    q = q.reshape(b, groups, -1, t, d)
    o, weights = attend(q, k, v, score_scale(rope, d))
    o = merge_heads(o.reshape(b, shape.n_heads, t, d))
    kept = keep(x, p["query"]), keep(o, p["output"])
    return linear(o, p["output"]), (*kept, q, k, v, weights, turn)


def grouped_attention_backward(
    d_y: Array, p: dict[str, Array], shape: GroupedQueryAttention, rope: Rope, saved: tuple
) -> tuple[Array, dict[str, Array]]:
    """Return the gradient of x, [B, T, d_model], and those of the weights."""
    x, o, q, k, v, weights, turn = saved
    d_o, d_output = linear_backward(d_y, o, p["output"])
    d_o = split_heads(d_o, shape.n_heads).reshape(q.shape)
    d_q, d_k, d_v = attend_backward(d_o, q, k, v, weights, score_scale(rope, shape.d_head))
    d_q = d_q.reshape(len(d_y), shape.n_heads, *q.shape[-2:])
    d_heads = {
        "query": rotate_backward(d_q, *turn, interleaved=rope.interleaved),
        "key": rotate_backward(d_k, *turn, interleaved=rope.interleaved),
        "value": d_v,
    }
    back = {name: linear_backward(merge_heads(one), x, p[name]) for name, one in d_heads.items()}
    gradients = {name: d_weight for name, (_, d_weight) in back.items()}
    return sum(d_x for d_x, _ in back.values()), {**gradients, "output": d_output}
