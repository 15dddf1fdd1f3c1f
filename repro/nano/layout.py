"""Which parameters a model has: the shape of each, nested as the layers are, and how they begin."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from repro.calc.architecture import MixtureOfExperts, MultiHeadLatentAttention
from repro.nano.config import Config
from repro.nano.ops import Array


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Array]]:
    """Yield each array of nested dicts and lists with its path, such as layers.0.attention.output."""
    if isinstance(tree, dict | list):
        for key, one in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(one, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def joined(tree: Any) -> Array:
    """Return all arrays of nested dicts and lists as one, [elements]."""
    return np.concatenate([one.ravel() for _, one in leaves(tree)])


def layout(config: Config) -> dict:
    """Return the shape of every parameter, nested as the parameters are."""
    shape = config.shape
    d = shape.d_model
    layers = [block_layout(config, moe=number >= shape.n_dense) for number in range(shape.n_layers)]
    module = {"hidden_norm": (d,), "embedding_norm": (d,), "projection": (d, 2 * d)}
    modules = [
        {**module, "block": block_layout(config, moe=shape.experts is not None), "norm": (d,)}
        for _ in range(shape.n_mtp)
    ]
    tables = {"embedding": (shape.vocabulary, d)} | ({} if shape.tied else {"head": (shape.vocabulary, d)})
    return {**tables, "layers": layers, "norm": (d,), "mtp": modules}


def block_layout(config: Config, *, moe: bool) -> dict:
    """Return the shape of every parameter of one layer."""
    d, shape = config.shape.d_model, config.shape
    feed = experts_layout(shape.experts, d) if moe else feed_forward_layout(shape.dense.d_ff, d)
    return {
        "attention_norm": (d,),
        "attention": attention_layout(config),
        "feed_forward_norm": (d,),
        "feed_forward": feed,
    }


def attention_layout(config: Config) -> dict:
    """Return the shape of every parameter of one layer's attention."""
    d, a = config.shape.d_model, config.shape.attention
    if not isinstance(a, MultiHeadLatentAttention):
        query, pair = a.n_heads * a.d_head, a.n_kv_heads * a.d_head
        return {"query": (query, d), "key": (pair, d), "value": (pair, d), "output": (d, query)}
    query, rank, biases = a.n_heads * a.d_query, a.q_lora_rank, {}
    queries = {"query": (query, d)}
    if rank is not None:
        queries = {"query_down": (rank, d), "query_norm": (rank,), "query_up": (query, rank)}
        biases = {"query_down_bias": (rank,)}
    biases |= {"kv_down_bias": (a.cache_elements,), "output_bias": (d,)}
    return {
        **queries,
        "kv_down": (a.cache_elements, d),
        "kv_norm": (a.kv_lora_rank,),
        "kv_up": (a.n_heads * (a.d_nope + a.d_value), a.kv_lora_rank),
        "output": (d, a.n_heads * a.d_value),
        **(biases if a.bias else {}),
    }


def feed_forward_layout(d_ff: int, d_model: int) -> dict:
    """Return the shape of a feed-forward's two matrices, gate and up in one."""
    return {"gate_up": (2 * d_ff, d_model), "down": (d_model, d_ff)}


def experts_layout(experts: MixtureOfExperts, d_model: int) -> dict:
    """Return the shape of every parameter of gate, routed and shared experts."""
    gate = {"weight": (experts.n_routed, d_model)}
    if experts.correction_bias:
        gate["bias"] = (experts.n_routed,)
    one = feed_forward_layout(experts.d_expert, d_model)
    parts = {"gate": gate, "experts": {name: (experts.n_routed, *size) for name, size in one.items()}}
    if experts.n_shared:
        parts["shared"] = feed_forward_layout(experts.n_shared * experts.d_expert, d_model)
    return parts


def filled(tree: Any, rng: np.random.Generator, std: float, dtype: type, name: str = "") -> Any:
    """Return the tree of shapes as arrays: gains of one, biases of zero, the rest normally distributed."""
    if isinstance(tree, dict):
        return {key: filled(one, rng, std, dtype, key) for key, one in tree.items()}
    if isinstance(tree, list):
        return [filled(one, rng, std, dtype) for one in tree]
    if name.endswith("bias"):
        return np.zeros(tree, dtype)
    if name.endswith("norm"):
        return np.ones(tree, dtype)
    return (rng.standard_normal(tree) * std).astype(dtype)
