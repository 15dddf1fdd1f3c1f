"""Claims about the cache of keys and values."""

from dataclasses import replace

from repro.calc import kv_cache
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import architecture, attention_flop, reductions
from repro.claims.verdict import Case, readings
from repro.facts import Ledger
from repro.models.architecture import GroupedQueryAttention


@audit("A12", notebook="04_kv_cache", unit="% smaller", digits=3)
def v3_cache_compressed(facts: Ledger, *, cache_bits: float, baseline_cache_bits: float) -> Answer:
    """Measure V3's cache, and V2's as its report does, whose figure the article passes on."""
    as_deployed, v2_share = next(iter(reductions(facts, "deepseek_v2", cache_bits, baseline_cache_bits).items()))
    in_fewer_bits, *v3_shares = reductions(facts, "deepseek_v3", cache_bits, baseline_cache_bits).items()
    shares = {f"V3 against {name}": share for name, share in (*v3_shares, in_fewer_bits)}
    shares[f"V2 against {as_deployed}"] = v2_share
    listed = "; ".join(f"{name}: {format_percent(share)}" for name, share in shares.items())
    cases = readings("reduction", {name: 100 * share for name, share in shares.items()})
    (_, by_architecture), _ = v3_shares
    stated = facts["deepseek_v2.cache_reduction"]
    return Answer(
        (*cases[:-1], replace(cases[-1], about="V2")),
        f"{format_percent(stated)} is V2's figure; V3's cache is {format_percent(by_architecture, 2)} smaller than "
        "DeepSeek 67B's",
        f"The figure is V2's, {format_percent(stated)} by its report, which counts {format_si(cache_bits)} bits per "
        f"number; V3's report gives none, and says nothing of such a format. {listed}. The article's key value "
        "indices are the keys and values themselves.",
        "the list is of V3, and V3 is not said to store its cache in fewer bits",
    )


@audit("B08", notebook="04_kv_cache", unit="% smaller", digits=3)
def v2_cache_reduced(facts: Ledger, *, cache_bits: float, baseline_cache_bits: float) -> Answer:
    """Compare V2's cache with DeepSeek 67B's, layer by layer and in all, and with multi-head attention's."""
    models = [architecture(facts, name) for name in ("deepseek_v2", "deepseek_67b")]
    v2, dense = map(kv_cache.elements_per_token, models)
    by_mla = 1 - models[0].attention.cache_elements / models[1].attention.cache_elements
    shares = reductions(facts, "deepseek_v2", cache_bits, baseline_cache_bits)
    of_all, by_architecture, _ = shares.values()
    by_reading = {"MLA alone, one layer's cache against one layer of DeepSeek 67B": by_mla}
    by_reading |= {f"against {name}": share for name, share in shares.items()}
    return Answer(
        readings("reduction", {name: 100 * share for name, share in by_reading.items()}),
        f"MLA cuts the cache {format_percent(by_mla, 2)}; fewer layers and {format_si(cache_bits)}-bit numbers "
        f"make {format_percent(of_all)}",
        f"MLA takes a layer's cache {format_percent(by_mla)} below that of DeepSeek 67B, a model with grouped "
        f"queries. V2 also has fewer layers: {v2:,} elements per token against {dense:,}, "
        f"{format_percent(by_architecture)} less; and {format_si(cache_bits)}-bit numbers bring it to "
        f"{format_percent(of_all)}. V2's abstract compares the two models and states "
        f"{format_percent(facts['deepseek_v2.cache_reduction'])}; elsewhere the report says that the deployed cache "
        "is quantised.",
        "the page says that MLA did it",
    )


@audit("A17", notebook="04_kv_cache", unit="ratio", digits=3)
def cache_and_training(facts: Ledger, *, sequence_length: int) -> Answer:
    """Compare MLA's cache, and its FLOP in training, with attention as others build it."""
    v3, head_dim = architecture(facts, "deepseek_v3"), architecture(facts, "deepseek_v3").attention.v_head_dim
    kv_heads = facts.config("llama_3_1_405b")["num_key_value_heads"]
    usual_heads = v3.d_model // head_dim
    others = {
        f"grouped queries as in Llama 3.1, {usual_heads} heads and {kv_heads} key-value heads": (usual_heads, kv_heads),
        f"multi-head attention with {usual_heads} heads, as many as fit V3's width": (usual_heads, usual_heads),
        f"multi-head attention with {v3.attention.n_heads} heads, V3's number": (v3.attention.n_heads,) * 2,
    }
    models = {name: replace(v3, attention=GroupedQueryAttention(*heads, head_dim)) for name, heads in others.items()}
    mla, elements = attention_flop(v3, sequence_length), kv_cache.elements_per_token(v3)
    flop = {name: mla / attention_flop(model, sequence_length) for name, model in models.items()}
    cache = {name: elements / kv_cache.elements_per_token(model) for name, model in models.items()}
    listed = "; ".join(
        f"{format_percent(cache[name])} of the cache and {format_percent(flop[name])} of the FLOP against {name}"
        for name in models
    )
    large, small = (
        {way: facts[f"attention_{size}.{way}_perplexity"] for way in ("mla", "gqa_4", "mha")}
        for size in ("1471m", "183m")
    )
    usual = next(iter(flop.values()))

    def in_order(perplexity: dict[str, float]) -> str:
        names = {"mla": "MLA", "gqa_4": "four groups", "mha": "all heads"}
        return ", ".join(f"{names[way]} {format_si(value)}" for way, value in perplexity.items())

    return Answer(
        tuple(Case(f"against {name}", flop[name], is_true=flop[name] < 1 and cache[name] < 1) for name in models),
        f"MLA shrinks the cache; its attention takes {format_si(usual, 3)} times GQA's training compute",
        f"At {format_si(sequence_length)} tokens MLA takes {listed}. Training keeps no cache; there MLA's small "
        "projections save work, and its longer keys and queries cost more. The reports say that it also saves memory "
        "for activations, by computing them again. Whether a model learns more with it is contested. Others measured "
        f"these perplexities: {in_order(large)} at 1.47B parameters; {in_order(small)} at 183M.",
        "other models of the time, such as Llama 3.1 and DeepSeek 67B, are built this way",
    )
