"""Which parameters a model has: the shape of each, nested as the layers are, and how they begin."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.models.architecture import MixtureOfExperts, MultiHeadLatentAttention
from repro.nano.config import Config


def iter_leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Array]]:
    """Yield each array of nested dicts and lists with its path, such as layers.0.attention.output."""
    if isinstance(tree, dict | list):
        for key, one in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from iter_leaves(one, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def flatten(tree: Any) -> Array:
    """Return all arrays of nested dicts and lists as one, [elements]."""
    return np.concatenate([one.ravel() for _, one in iter_leaves(tree)])


def param_shapes(config: Config) -> dict:
    """Return the shape of every parameter, nested as the parameters are."""
    arch = config.arch
    d = arch.d_model
    layers = [block_shapes(config, moe=number >= arch.n_dense_layers) for number in range(arch.n_layers)]
    module = {"hnorm": (d,), "enorm": (d,), "eh_proj": (d, 2 * d)}
    modules = [
        {**module, "block": block_shapes(config, moe=arch.experts is not None), "norm": (d,)}
        for _ in range(arch.n_mtp_modules)
    ]
    tables = {"embed_tokens": (arch.vocab_size, d)} | (
        {} if arch.tied_embeddings else {"lm_head": (arch.vocab_size, d)}
    )
    return {**tables, "layers": layers, "norm": (d,), "mtp": modules}


def block_shapes(config: Config, *, moe: bool) -> dict:
    """Return the shape of every parameter of one layer."""
    d, arch = config.arch.d_model, config.arch
    feed = moe_shapes(arch.experts, d) if moe else mlp_shapes(arch.dense.d_ff, d)
    return {
        "input_layernorm": (d,),
        "self_attn": attention_shapes(config),
        "post_attention_layernorm": (d,),
        "mlp": feed,
    }


def attention_shapes(config: Config) -> dict:
    """Return the shape of every parameter of one layer's attention."""
    d, a = config.arch.d_model, config.arch.attention
    if not isinstance(a, MultiHeadLatentAttention):
        query, pair = a.n_heads * a.head_dim, a.n_kv_heads * a.head_dim
        return {"q_proj": (query, d), "k_proj": (pair, d), "v_proj": (pair, d), "o_proj": (d, query)}
    query, rank, biases = a.n_heads * a.qk_head_dim, a.q_lora_rank, {}
    queries = {"q_proj": (query, d)}
    if rank is not None:
        queries = {"q_a_proj": (rank, d), "q_a_layernorm": (rank,), "q_b_proj": (query, rank)}
        biases = {"q_a_proj_bias": (rank,)}
    biases |= {"kv_a_proj_with_mqa_bias": (a.cache_elements,), "o_proj_bias": (d,)}
    return {
        **queries,
        "kv_a_proj_with_mqa": (a.cache_elements, d),
        "kv_a_layernorm": (a.kv_lora_rank,),
        "kv_b_proj": (a.n_heads * (a.qk_nope_head_dim + a.v_head_dim), a.kv_lora_rank),
        "o_proj": (d, a.n_heads * a.v_head_dim),
        **(biases if a.bias else {}),
    }


def mlp_shapes(d_ff: int, d_model: int) -> dict:
    """Return the shape of a feed-forward's two matrices, gate and up in one."""
    return {"gate_up_proj": (2 * d_ff, d_model), "down_proj": (d_model, d_ff)}


def moe_shapes(experts: MixtureOfExperts, d_model: int) -> dict:
    """Return the shape of every parameter of gate, routed and shared experts."""
    gate = {"weight": (experts.n_routed_experts, d_model)}
    if experts.correction_bias:
        gate["e_score_correction_bias"] = (experts.n_routed_experts,)
    one = mlp_shapes(experts.d_expert, d_model)
    parts = {"gate": gate, "experts": {name: (experts.n_routed_experts, *size) for name, size in one.items()}}
    if experts.n_shared_experts:
        parts["shared_experts"] = mlp_shapes(experts.n_shared_experts * experts.d_expert, d_model)
    return parts


def init_params(tree: Any, rng: np.random.Generator, std: float, dtype: type, name: str = "") -> Any:
    """Return the tree of shapes as arrays: gains of one, biases of zero, the rest normally distributed."""
    if isinstance(tree, dict):
        return {key: init_params(one, rng, std, dtype, key) for key, one in tree.items()}
    if isinstance(tree, list):
        return [init_params(one, rng, std, dtype) for one in tree]
    if name.endswith("bias"):
        return np.zeros(tree, dtype)
    if name.endswith("norm"):
        return np.ones(tree, dtype)
    return (rng.standard_normal(tree) * std).astype(dtype)
