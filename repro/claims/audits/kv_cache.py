"""Claims about the cache of keys and values: notebook 04."""

from dataclasses import replace
from functools import partial

from repro.calc import kv_cache
from repro.calc.flops import attention_flop_per_token
from repro.calc.param_count import attention_part
from repro.claims.audit import Finding, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import architecture
from repro.claims.verdict import Case
from repro.facts import Ledger
from repro.models.architecture import Architecture, GroupedQueryAttention

NOTEBOOK = "04_kv_cache"
BASELINE = "deepseek_67b"
audits = partial(audit, notebook=NOTEBOOK)


def reductions(facts: Ledger, name: str, cache_bits: float, baseline_cache_bits: float) -> dict[str, float]:
    """Return by what share a model's cache is smaller, by baseline and number format.

    Args: name: of the model. cache_bits, baseline_cache_bits: per element of its cache and of the baseline's.
    """
    model = architecture(facts, name)
    own, dense = kv_cache.elements_per_token(model), kv_cache.elements_per_token(architecture(facts, BASELINE))
    same_heads = kv_cache.elements_per_token(kv_cache.with_kv_heads(model, model.attention.n_heads))
    bits = f"{format_si(cache_bits)} bits an element against {format_si(baseline_cache_bits)}"
    return {
        f"DeepSeek 67B, {bits}": 1 - own * cache_bits / (dense * baseline_cache_bits),
        "DeepSeek 67B, the same format": 1 - own / dense,
        "multi-head attention with its own heads, the same format": 1 - own / same_heads,
    }


def reduction_cases(found: dict[str, float]) -> tuple[Case, ...]:
    """Return one case per reduction, in per cent, for a claim that prints one."""
    return tuple(Case(what, 100 * share, {"reduction": 100 * share}) for what, share in found.items())


@audits("A12")
def v3_cache_compressed(facts: Ledger, *, cache_bits: float, baseline_cache_bits: float) -> Finding:
    """V2's cache as its report counts it, which the article passes on, and V3's own."""
    deployed, *_ = reductions(facts, "deepseek_v2", cache_bits, baseline_cache_bits).items()
    _, *own = reductions(facts, "deepseek_v3", cache_bits, baseline_cache_bits).items()
    found = {f"V2 against {deployed[0]}": deployed[1]} | {f"V3 against {what}": share for what, share in own}
    return Finding(
        "% smaller",
        reduction_cases(found),
        f"The figure is V2's, {format_percent(facts['deepseek_v2.cache_reduction'])} by its report; V3's report gives none. "
        + "; ".join(f"{what}: {format_percent(share)}" for what, share in found.items())
        + ". The article's key value indices are the keys and values themselves.",
        digits=3,
    )


@audits("B08")
def v2_cache_reduced(facts: Ledger, *, cache_bits: float, baseline_cache_bits: float) -> Finding:
    """V2's cache against DeepSeek 67B's and against multi-head attention."""
    found = reductions(facts, "deepseek_v2", cache_bits, baseline_cache_bits)
    of_all, by_architecture, _ = found.values()
    own, dense = (kv_cache.elements_per_token(architecture(facts, model)) for model in ("deepseek_v2", BASELINE))
    return Finding(
        "% smaller",
        reduction_cases({f"against {what}": share for what, share in found.items()}),
        f"{own:,} elements per token against DeepSeek 67B's {dense:,}: {format_percent(by_architecture)} smaller by "
        f"architecture, and the number format takes it to {format_percent(of_all)}. V2's report states "
        f"{format_percent(facts['deepseek_v2.cache_reduction'])} against DeepSeek 67B, a model with grouped queries, and "
        "elsewhere that the deployed cache is quantised; fewer layers and MLA are the middle figure.",
        digits=3,
    )


def attention_flop(model: Architecture, sequence_length: int) -> float:
    """Return the training FLOP of one token's attention in one layer, projections and causal context."""
    layer = replace(model, n_dense_layers=1, n_moe_layers=0)
    products = 6 * attention_part(model.attention, model.d_model).multiplied
    return products + attention_flop_per_token(layer, sequence_length, causal=True, mtp_counted=False)


@audits("A17")
def cache_and_training(facts: Ledger, *, sequence_length: int) -> Finding:
    """What MLA does to the cache, and to the FLOP of training, against plain attention of two sizes."""
    v3 = architecture(facts, "deepseek_v3")
    head_dim = v3.attention.v_head_dim
    usual = replace(v3, attention=GroupedQueryAttention(v3.d_model // head_dim, v3.d_model // head_dim, head_dim))
    own_heads = kv_cache.with_kv_heads(v3, v3.attention.n_heads)
    flop = attention_flop(v3, sequence_length)
    cache = kv_cache.elements_per_token(v3) / kv_cache.elements_per_token(architecture(facts, BASELINE))
    ratios = {
        f"multi-head attention with {model.attention.n_heads} heads, {what}": flop
        / attention_flop(model, sequence_length)
        for what, model in (("V3's number", own_heads), ("d_model / head_dim", usual))
    }
    return Finding(
        "ratio",
        tuple(Case(f"training against {what}", ratio, true=ratio < 1 and cache < 1) for what, ratio in ratios.items()),
        f"The cache has {format_percent(cache)} of the elements of DeepSeek 67B's. FLOP of attention in training, at "
        f"{format_si(sequence_length)} tokens: "
        + ", ".join(f"{format_percent(ratio)} of those of {what}" for what, ratio in ratios.items())
        + ". Training keeps no cache; in training MLA's low-rank projections cost less than square ones and its "
        "longer keys and queries more; by the reports it also saves activations, which are computed again from the "
        "latents.",
        digits=3,
    )
