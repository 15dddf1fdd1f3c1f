"""What serving costs and how fast memory lets it be: bytes touched, tokens, dollars, and what drafts bring."""

from collections.abc import Iterable
from math import prod

from repro.models.architecture import Architecture
from repro.models.inventory import Tensor, inventory

TOKENS_PER_PRICE = 1e6  # list prices are per million tokens


def touched_bytes_per_token(
    active_parameters: float, *, bits_per_parameter: float, cached_tokens: float = 0, cache_bytes_per_token: float = 0
) -> float:
    """Return the bytes read from memory to generate one token for one user alone: weights, and the context's cache."""
    return active_parameters * bits_per_parameter / 8 + cached_tokens * cache_bytes_per_token


def bandwidth_bound_tokens_per_s(touched_bytes: float, memory_bytes_per_s: float) -> float:
    """Return one user's rate that no software can exceed, where each byte is read once per token."""
    return memory_bytes_per_s / touched_bytes


def usd_per_million_tokens(usd: float, tokens: float) -> float:
    """Return what a million tokens cost."""
    return usd / (tokens / TOKENS_PER_PRICE)


def speculative_tokens_per_step(acceptance: float, drafted: int = 1) -> float:
    """Return the tokens that one step of the main model yields when it checks drafted ones: 1 + a + a² + ….

    The acceptance a is the chance that a drafted token is kept if the one before it is.

    Source: Leviathan et al. (arXiv 2211.17192), equation 1.
    """
    tokens: float = sum(acceptance**n for n in range(drafted + 1))
    return tokens


def speculative_speedup(acceptance: float, *, draft_cost: float, drafted: int = 1) -> float:
    """Return how many times faster generation gets by drafting tokens.

    Args:
        acceptance: chance that a drafted token is kept if the one before it is.
        draft_cost: what drafting and checking one token adds, as a share of a step.
        drafted: tokens per step.

    Source: Leviathan et al. (arXiv 2211.17192), theorem 3.8.
    """
    return speculative_tokens_per_step(acceptance, drafted) / (1 + drafted * draft_cost)


def acceptance_needed(speedup: float, *, draft_cost: float, drafted: int = 1) -> float | None:
    """Return the acceptance that a speed-up of at least 1 needs, by halving; None where certain drafts fall short."""
    low, high = 0.0, 1.0
    if speculative_speedup(high, draft_cost=draft_cost, drafted=drafted) < speedup:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        reached = speculative_speedup(middle, draft_cost=draft_cost, drafted=drafted) >= speedup
        low, high = (low, middle) if reached else (middle, high)
    return high


def expected_experts_hit(n_routed_experts: int, top_k: int, tokens: float) -> float:
    """Return how many of a layer's experts at least one token chooses, if each chooses evenly and on its own."""
    missed: float = (1 - top_k / n_routed_experts) ** tokens
    return n_routed_experts * (1 - missed)


def parameters_read_per_step(arch: Architecture, tokens: float) -> float:
    """Return the parameters that one step of the main model over so many tokens of all sequences reads, each once.

    Experts are those of expected_experts_hit. Rows of the embedding, norms and the cache are left out.
    """
    return _read((row for row in inventory(arch) if row.block != "mtp"), tokens)


def parameters_read_per_draft(arch: Architecture, tokens: float) -> float:
    """Return the parameters that a module reads to draft one token for each of so many, the shared head included."""
    return _read((row for row in inventory(arch) if row.block == "mtp"), tokens) / max(arch.n_mtp_modules, 1)


def _read(rows: Iterable[Tensor], tokens: float) -> float:
    read = (row for row in rows if row.part not in ("embedding", "norms"))
    return sum(prod(row.shape) * len(row.layers) * expected_experts_hit(row.experts, row.top_k, tokens) for row in read)


def memory_bound_draft_cost(arch: Architecture, sequences: float) -> float:
    """Return what drafting and checking one token adds to a step as long as reading its weights takes, as a share.

    The module drafts one token for each of so many sequences, so that a step of the main model checks two of each.
    """
    alone = parameters_read_per_step(arch, sequences)
    return (parameters_read_per_step(arch, 2 * sequences) + parameters_read_per_draft(arch, sequences)) / alone - 1
