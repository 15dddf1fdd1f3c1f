"""What serving costs and how fast memory lets it be: bytes resident, bytes touched, tokens, dollars."""

from repro.calc.param_count import Part, mtp_parts, parts
from repro.models.architecture import Architecture

TOKENS_PER_PRICE = 1e6  # list prices are per million tokens


def touched_bytes_per_token(
    active_parameters: float, *, bits_per_parameter: float, cached_tokens: float = 0, cache_bytes_per_token: float = 0
) -> float:
    """Return the bytes that must be read from memory to generate one token, for one user alone.

    Args: active_parameters: that a token multiplies. bits_per_parameter: of the stored weights. cached_tokens,
        cache_bytes_per_token: of the context that attention reads.
    Returns: bytes per token.
    """
    return active_parameters * bits_per_parameter / 8 + cached_tokens * cache_bytes_per_token


def bandwidth_bound_tokens_per_s(touched_bytes: float, memory_bytes_per_s: float) -> float:
    """Return the rate that no software can exceed, reading each byte once per token.

    Args: touched_bytes: per token. memory_bytes_per_s: of the memory that holds them.
    Returns: tokens per second of one user.
    Raises: ZeroDivisionError at 0 bytes.
    """
    return memory_bytes_per_s / touched_bytes


def implied_bytes_per_s(tokens_per_s: float, touched_bytes: float) -> float:
    """Return the memory bandwidth that a reported rate needs at the least.

    Args: tokens_per_s: of one user. touched_bytes: per token.
    Returns: bytes per second.
    """
    return tokens_per_s * touched_bytes


def revenue_usd(tokens: float, usd_per_million_tokens: float) -> float:
    """Return what tokens bring at a list price."""
    return tokens / TOKENS_PER_PRICE * usd_per_million_tokens


def usd_per_million_tokens(usd: float, tokens: float) -> float:
    """Return what a million tokens cost.

    Raises: ZeroDivisionError at 0 tokens.
    """
    return usd / (tokens / TOKENS_PER_PRICE)


def profit_margin(revenue_usd: float, cost_usd: float) -> float:
    """Return profit as a share of the cost, 5.45 for 545%.

    Raises: ZeroDivisionError at a cost of 0.
    """
    return (revenue_usd - cost_usd) / cost_usd


def tokens_per_node_s(tokens: float, nodes: float, seconds: float) -> float:
    """Return the mean rate of one node.

    Args: tokens: of all nodes. nodes: mean number of nodes at work, whatever they did. seconds: of the period.
    Raises: ZeroDivisionError at 0 nodes or seconds.
    """
    return tokens / nodes / seconds


def speculative_tokens_per_step(acceptance: float, drafted: int = 1) -> float:
    """Return the tokens that one step of the main model yields when it checks drafted ones.

    Args: acceptance: chance that a drafted token is kept, each after the one before it. drafted: tokens per step.
    Returns: tokens per step, 1 + a + a² + ….
    Source: Leviathan et al. (arXiv 2211.17192), equation 1.
    """
    return sum(acceptance**n for n in range(drafted + 1))


def speculative_speedup(acceptance: float, *, draft_cost: float, drafted: int = 1) -> float:
    """Return how much faster generation gets, the time of drafting counted.

    Args: acceptance: as above. draft_cost: time to draft one token as a share of a step of the main model, the longer
        check included.
    Returns: ratio.
    Source: Leviathan et al. (arXiv 2211.17192), theorem 3.8.
    """
    return speculative_tokens_per_step(acceptance, drafted) / (1 + drafted * draft_cost)


def acceptance_needed(speedup: float, *, draft_cost: float, drafted: int = 1) -> float | None:
    """Return the acceptance that a speed-up needs, None where even certain drafts do not reach it.

    Args: speedup: at least 1. draft_cost, drafted: as in speculative_speedup, which this inverts by halving.
    """
    low, high = 0.0, 1.0
    if speculative_speedup(high, draft_cost=draft_cost, drafted=drafted) < speedup:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        reached = speculative_speedup(middle, draft_cost=draft_cost, drafted=drafted) >= speedup
        low, high = (low, middle) if reached else (middle, high)
    return high


def expected_experts_hit(n_routed_experts: int, top_k: int, tokens: float) -> float:
    """Return how many experts of a layer tokens choose between them when each chooses evenly and on its own.

    Args: n_routed_experts: experts to choose from. top_k: that each token chooses. tokens: that choose.
    """
    return n_routed_experts * (1 - (1 - top_k / n_routed_experts) ** tokens)


def parameters_read_per_step(arch: Architecture, tokens: float) -> float:
    """Return the parameters that one step of the main model over so many tokens reads, each once.

    Args: arch: of the model. tokens: in the step, of all sequences; their experts as in experts_touched. Rows of the
        embedding, norms and the cache are left out.
    """
    return _read(parts(arch), arch, tokens)


def parameters_read_per_draft(arch: Architecture, tokens: float) -> float:
    """Return the parameters that drafting one token for each of so many reads in a module, the head once more."""
    return _read(mtp_parts(arch), arch, tokens) / max(arch.n_mtp_modules, 1)


def _read(found: list[Part], arch: Architecture, tokens: float) -> float:
    experts = arch.experts
    touched = (
        expected_experts_hit(experts.n_routed_experts, experts.top_k, tokens) / experts.n_routed_experts
        if experts
        else 0
    )
    return sum(
        # A head that is another's has no parameters of its own, and is read all the same.
        max(part.total, part.multiplied) * (touched if part.name == "routed experts" else 1)
        for part in found
        if part.name not in ("embedding", "norms")
    )


def memory_bound_draft_cost(arch: Architecture, sequences: float) -> float:
    """Return what drafting and checking one token adds to a step whose time is that of reading weights, as a share.

    Args: arch: with a module for multi-token prediction. sequences: decoded together, each with one draft, so that a
        step checks two tokens of each and reads the experts of both.
    """
    alone = parameters_read_per_step(arch, sequences)
    return (parameters_read_per_step(arch, 2 * sequences) + parameters_read_per_draft(arch, sequences)) / alone - 1
