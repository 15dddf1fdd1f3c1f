"""One attention layer that looks records up: what is cached of a record, and how the heads read it.

A record is projected to c cached elements in every kind of attention. MHA, GQA and MQA cut these into the keys and
values of 4, 2 or 1 groups of heads, so that each element serves one group, as key or as value. MLA expands them: each
head computes a key and a value of its own from all c. Whatever GQA reads from its cache, MLA can read from the same
cache: `gqa_as_mla` builds the weights. The products of queries and keys are those of `repro.nano.attention`.

Shapes: B sequences, N records, Q queries, H heads = G groups × R heads of a group, c cached elements.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.attention import scaled_dot_product_attention, scaled_dot_product_attention_backward
from repro.nano.ops import Params, linear, linear_backward

Kind = Literal["MLA", "MQA", "GQA", "MHA"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GROUPS = {"MQA": 1, "GQA": 2, "MHA": 4}  # pairs of a key and a value that are cached of a record
MLA_HEAD_DIM = 16  # d_model over four heads


@dataclass(frozen=True)
class RecallLayer:
    """The sizes of one layer, by its kind and the elements that it caches per record."""

    kind: Kind
    cache_elements: int
    n_heads: int = 4
    d_model: int = 64

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"kind = {self.kind!r}: must be one of: {', '.join(KINDS)}")
        c, parts = self.cache_elements, 2 * GROUPS[self.kind] if self.kind in GROUPS else 1
        if c < 1 or c % parts:
            raise InputError(f"cache_elements = {c}: must be a multiple of {parts} for {self.kind}")
        if self.n_heads % self.groups:
            raise InputError(f"n_heads = {self.n_heads}: must be a multiple of {self.groups} for {self.kind}")

    @property
    def groups(self) -> int:
        """Different keys, and different values, that the heads see of one record."""
        return GROUPS.get(self.kind, self.n_heads)

    @property
    def head_dim(self) -> int:
        """Elements of a head's query, key and value."""
        return self.cache_elements // (2 * self.groups) if self.kind in GROUPS else MLA_HEAD_DIM

    def shapes(self) -> dict[str, tuple[int, int]]:
        """Return the shape of each weight, [d_out, d_in]; only MLA has kv_b_proj, which expands what is cached."""
        heads = self.n_heads * self.head_dim
        shapes = {"q_proj": (heads, self.d_model), "o_proj": (self.d_model, heads)}
        shapes["kv_a_proj"] = (self.cache_elements, self.d_model)
        return shapes if self.kind in GROUPS else shapes | {"kv_b_proj": (2 * heads, self.cache_elements)}

    def flop_per_token(self, n_records: int) -> int:
        """Return the FLOP of the layer's products for one record stored and one query that reads `n_records`."""
        products = sum(d_out * d_in for d_out, d_in in self.shapes().values())
        return 2 * (products + 2 * self.n_heads * self.head_dim * n_records)


def with_flop_of_mla(layer: RecallLayer, n_records: int) -> RecallLayer:
    """Return the layer with the fewest query heads that cost as much as MLA with 4 heads at the same cache."""
    flop = RecallLayer("MLA", layer.cache_elements).flop_per_token(n_records)
    while layer.flop_per_token(n_records) < flop:
        layer = replace(layer, n_heads=layer.n_heads + layer.groups)
    return layer


class LayerSaved(NamedTuple):
    """What `attend` saves."""

    records: Array  #: [B, N, d_model]
    queries: Array  #: [B, Q, d_model]
    cached: Array  #: [B, N, c]
    q: Array  #: [B, G, R · Q, 1, head_dim]
    k: Array  #: [B, G, N, head_dim]
    v: Array  #: [B, G, N, head_dim]
    attn_probs: Array  #: [B, G, R · Q, 1, N]
    o: Array  #: [B, Q, H · head_dim]


def attend(records: Array, queries: Array, p: Params, layer: RecallLayer) -> tuple[Array, LayerSaved]:
    """Let queries read records through what is cached of them.

    Args:
        records: [B, N, d_model].
        queries: [B, Q, d_model]; each reads all records, and no query.
        p: weights by the names of `layer.shapes`, each [d_out, d_in].
        layer: kind and sizes.

    Returns:
        The answers, [B, Q, d_model], and what the backward pass needs.
    """
    cached = linear(records, p["kv_a_proj"])  # [B, N, c]
    kv = cached if layer.kind in GROUPS else linear(cached, p["kv_b_proj"])  # [B, N, 2 · G · head_dim]
    k, v = _split_keys_and_values(kv, layer)  # [B, G, N, head_dim] each
    q = _by_group(linear(queries, p["q_proj"]), layer)  # [B, G, R · Q, 1, head_dim]
    o, attn_probs = scaled_dot_product_attention(q, k, v, layer.head_dim**-0.5)  # [B, G, R · Q, 1, head_dim]
    o = _side_by_side(o, queries.shape[1])  # [B, Q, H · head_dim]
    return linear(o, p["o_proj"]), LayerSaved(records, queries, cached, q, k, v, attn_probs, o)


def attend_backward(d_y: Array, p: Params, layer: RecallLayer, saved: LayerSaved) -> tuple[Array, Array, Params]:
    """Return the gradients of records, [B, N, d_model], of queries, [B, Q, d_model], and of the weights."""
    records, queries, cached, q, k, v, attn_probs, o = saved
    d_o, d_o_proj = linear_backward(d_y, o, p["o_proj"])  # [B, Q, H · head_dim]
    d_q, d_k, d_v = scaled_dot_product_attention_backward(
        _by_group(d_o, layer), q, k, v, attn_probs, layer.head_dim**-0.5
    )
    d_queries, d_q_proj = linear_backward(_side_by_side(d_q, queries.shape[1]), queries, p["q_proj"])
    gradients = {"o_proj": d_o_proj, "q_proj": d_q_proj}
    d_cached = _join_keys_and_values(d_k, d_v)  # [B, N, 2 · G · head_dim]
    if layer.kind not in GROUPS:
        d_cached, gradients["kv_b_proj"] = linear_backward(d_cached, cached, p["kv_b_proj"])  # [B, N, c]
    d_records, gradients["kv_a_proj"] = linear_backward(d_cached, records, p["kv_a_proj"])
    return d_records, d_queries, gradients


def gqa_as_mla(p: Params, layer: RecallLayer) -> tuple[Params, RecallLayer]:
    """Return weights and sizes of MLA that computes what a layer of MQA, GQA or MHA does, from the same cache.

    MLA's expansion copies to each head its group's key and value, filled up with zeros to MLA's width of a head.

    Raises:
        InputError: a head is wider than MLA's.

    Source: Meng et al. (arXiv 2502.07864), on the expressive power of MLA and GQA at the same size of cache.
    """
    d, wide, n_heads = layer.head_dim, MLA_HEAD_DIM, layer.n_heads
    if d > wide:
        raise InputError(f"head_dim = {d}: must be at most MLA's, {wide}")
    expand = np.zeros((2, n_heads, wide, layer.cache_elements))  # keys and values, by head
    for part in range(2):
        for head in range(n_heads):
            start = (part * layer.groups + head * layer.groups // n_heads) * d
            expand[part, head, :d, start : start + d] = np.eye(d)
    q_proj = np.zeros((n_heads, wide, layer.d_model))
    q_proj[:, :d] = p["q_proj"].reshape(n_heads, d, -1) * (wide / d) ** 0.5  # MLA divides by the root of its own width
    o_proj = np.zeros((layer.d_model, n_heads, wide))
    o_proj[:, :, :d] = p["o_proj"].reshape(-1, n_heads, d)
    mla = {
        "kv_a_proj": p["kv_a_proj"], "kv_b_proj": expand.reshape(-1, layer.cache_elements),
        "q_proj": q_proj.reshape(-1, layer.d_model), "o_proj": o_proj.reshape(layer.d_model, -1),
    }  # fmt: skip
    return mla, RecallLayer("MLA", layer.cache_elements, n_heads, layer.d_model)


def _split_keys_and_values(kv: Array, layer: RecallLayer) -> tuple[Array, Array]:
    """Cut [B, N, 2 · G · head_dim], keys first, into keys and values, [B, G, N, head_dim] each."""
    b, n, _ = kv.shape
    heads = kv.reshape(b, n, 2, layer.groups, -1).transpose(2, 0, 3, 1, 4)  # [2, B, G, N, head_dim]
    return np.ascontiguousarray(heads[0]), np.ascontiguousarray(heads[1])


def _join_keys_and_values(k: Array, v: Array) -> Array:
    """Put keys and values side by side again: [B, G, N, head_dim] each -> [B, N, 2 · G · head_dim]."""
    heads = np.stack([k, v], axis=1)  # [B, 2, G, N, head_dim]
    return heads.transpose(0, 3, 1, 2, 4).reshape(len(k), k.shape[2], -1)


def _by_group(q: Array, layer: RecallLayer) -> Array:
    """Lay [B, Q, H · head_dim] out as [B, G, R · Q, 1, head_dim]: as single new tokens, which no mask concerns."""
    b, n_queries, _ = q.shape
    heads = q.reshape(b, n_queries, layer.groups, -1, layer.head_dim)  # [B, Q, G, R, head_dim]
    return heads.transpose(0, 2, 3, 1, 4).reshape(b, layer.groups, -1, 1, layer.head_dim)


def _side_by_side(o: Array, n_queries: int) -> Array:
    """Undo `_by_group`: -> [B, Q, H · head_dim]."""
    heads = o.reshape(*o.shape[:2], -1, n_queries, o.shape[-1])  # [B, G, R, Q, head_dim]
    return heads.transpose(0, 3, 1, 2, 4).reshape(len(o), n_queries, -1)
