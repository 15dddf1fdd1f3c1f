"""Claims about the cache of keys and values."""

from dataclasses import replace

from repro.calc import kv_cache
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import architecture, attention_flop, reductions
from repro.claims.verdict import comparisons, readings
from repro.facts import Ledger
from repro.models.architecture import GroupedQueryAttention


@audit("A12", notebook="04_kv_cache", unit="% smaller", digits=3)
def v3_cache_compressed(facts: Ledger, *, cache_bits: float, baseline_cache_bits: float) -> Answer:
    """Measure V2's cache as its report does, whose figure the article passes on, and V3's own."""
    v2_deployed, *_ = reductions(facts, "deepseek_v2", cache_bits, baseline_cache_bits).items()
    _, *v3_shares = reductions(facts, "deepseek_v3", cache_bits, baseline_cache_bits).items()
    rows = [("V2", *v2_deployed), *(("V3", name, share) for name, share in v3_shares)]
    shares = {f"{model} against {name}": share for model, name, share in rows}
    listed = "; ".join(f"{name}: {format_percent(share)}" for name, share in shares.items())
    return readings("reduction", {name: 100 * share for name, share in shares.items()}), (
        f"The figure is V2's, {format_percent(facts['deepseek_v2.cache_reduction'])} by its report; V3's report gives "
        f"none. {listed}. The article's key value indices are the keys and values themselves."
    )


@audit("B08", notebook="04_kv_cache", unit="% smaller", digits=3)
def v2_cache_reduced(facts: Ledger, *, cache_bits: float, baseline_cache_bits: float) -> Answer:
    """Compare V2's cache with DeepSeek 67B's and with multi-head attention's."""
    shares = reductions(facts, "deepseek_v2", cache_bits, baseline_cache_bits)
    of_all, by_architecture, _ = shares.values()
    v2, dense = (kv_cache.elements_per_token(architecture(facts, name)) for name in ("deepseek_v2", "deepseek_67b"))
    return readings("reduction", {f"against {name}": 100 * share for name, share in shares.items()}), (
        f"{v2:,} elements per token against DeepSeek 67B's {dense:,}: {format_percent(by_architecture)} smaller by "
        f"architecture, and the number format takes it to {format_percent(of_all)}. V2's report states "
        f"{format_percent(facts['deepseek_v2.cache_reduction'])} against DeepSeek 67B, a model with grouped queries, "
        "and elsewhere that the deployed cache is quantised; fewer layers and MLA are the middle figure."
    )


@audit("A17", notebook="04_kv_cache", unit="ratio", digits=3)
def cache_and_training(facts: Ledger, *, sequence_length: int) -> Answer:
    """Compare MLA's cache, and its FLOP in training, with plain attention of two sizes."""
    v3 = architecture(facts, "deepseek_v3")
    head_dim = v3.attention.v_head_dim
    usual_heads = v3.d_model // head_dim
    usual = replace(v3, attention=GroupedQueryAttention(usual_heads, usual_heads, head_dim))
    same_heads = kv_cache.with_kv_heads(v3, v3.attention.n_heads)
    mla, mha, smaller_mha = (attention_flop(model, sequence_length) for model in (v3, same_heads, usual))
    cache = kv_cache.elements_per_token(v3) / kv_cache.elements_per_token(architecture(facts, "deepseek_67b"))
    ratios = {
        f"multi-head attention with {v3.attention.n_heads} heads, V3's number": mla / mha,
        f"multi-head attention with {usual_heads} heads, d_model / d_head": mla / smaller_mha,
    }
    listed = ", ".join(f"{format_percent(ratio)} of those of {name}" for name, ratio in ratios.items())
    cases = {f"training against {name}": ratio for name, ratio in ratios.items()}
    return comparisons(cases, lambda ratio: ratio < 1 and cache < 1), (
        f"The cache has {format_percent(cache)} of the elements of DeepSeek 67B's. FLOP of attention in training, at "
        f"{format_si(sequence_length)} tokens: {listed}. Training keeps no cache; in training MLA's low-rank "
        "projections cost less than square ones and its longer keys and queries more; by the reports it also saves "
        "activations, which are computed again from the latents."
    )
