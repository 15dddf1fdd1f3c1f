"""The cache of keys and values: elements per token by mechanism, bytes, and what fits beside the weights."""

from dataclasses import replace

from repro.models.architecture import Architecture, GroupedQueryAttention

BITS_PER_BYTE = 8


def elements_per_token(arch: Architecture) -> int:
    """Return the elements that one token leaves in the cache, over all layers of the main model.

    Source: DeepSeek-V2 report (arXiv 2405.04434), table 1.
    """
    return arch.n_layers * arch.attention.cache_elements


def with_kv_heads(arch: Architecture, n_kv_heads: int) -> Architecture:
    """Return the model with its attention replaced by one of plain key and value heads.

    Args: arch: of the model; its heads keep their number, and the size of their values. n_kv_heads: n_heads for MHA,
        fewer for GQA, 1 for MQA.
    Source: DeepSeek-V2 report (arXiv 2405.04434), table 1.
    """
    attention = arch.attention
    plain = GroupedQueryAttention(attention.n_heads, n_kv_heads, attention.v_head_dim)
    return replace(arch, attention=plain)


def bytes_per_token(elements: float, *, bits_per_element: float) -> float:
    """Return the bytes that one token takes in the cache.

    Args: elements: per token. bits_per_element: 16 for BF16; a mean where formats mix.
    """
    return elements * bits_per_element / BITS_PER_BYTE


def reduction(size: float, baseline: float) -> float:
    """Return by what share a size is below a baseline, both in the same unit.

    Raises: ZeroDivisionError at a baseline of 0.
    """
    return 1 - size / baseline


def cached_tokens(memory_bytes: float, bytes_per_token: float) -> float:
    """Return how many tokens, over all sequences together, a memory caches.

    Raises: ZeroDivisionError at 0 bytes per token.
    """
    return memory_bytes / bytes_per_token
