"""The cache of keys and values: elements per token by mechanism, and their bytes."""

from dataclasses import replace

from repro.models.architecture import Architecture, GroupedQueryAttention

BITS_PER_BYTE = 8


def elements_per_token(arch: Architecture) -> int:
    """Return the elements that one token leaves in the cache, over all layers of the main model.

    Source: DeepSeek-V2 report (arXiv 2405.04434), table 1.
    """
    return arch.n_layers * arch.attention.cache_elements


def with_kv_heads(arch: Architecture, n_kv_heads: int) -> Architecture:
    """Return the model with plain attention: as many heads, of the size of their values, and so many kept.

    Source: DeepSeek-V2 report (arXiv 2405.04434), table 1: MHA keeps all heads, GQA fewer, MQA one.
    """
    plain = GroupedQueryAttention(arch.attention.n_heads, n_kv_heads, arch.attention.v_head_dim)
    return replace(arch, attention=plain)


def bytes_per_token(elements: float, *, bits_per_element: float) -> float:
    """Return the bytes that one token takes in the cache: 16 bits for BF16, a mean where formats mix."""
    return elements * bits_per_element / BITS_PER_BYTE
