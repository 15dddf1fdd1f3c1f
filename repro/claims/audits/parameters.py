"""Claims about parameters, sparsity and what they save."""

from dataclasses import replace
from datetime import date

from repro.calc import kv_cache, param_count
from repro.calc.flops import matmul_parameters
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import active_by_convention, architecture, counted_train_flop_per_token, experts_of
from repro.claims.verdict import FAR_LESS, Case, comparisons
from repro.facts import Ledger

AS_REPORTED = "the head multiplies every token and the embedding is looked up, which is how DeepSeek counts"


def sizes(facts: Ledger, name: str) -> tuple[tuple[Case, ...], str, str]:
    """Return one case per convention for the two sizes of a model, a headline and a sentence on them."""
    total, active = param_count.total_parameters(architecture(facts, name)), active_by_convention(facts, name)
    listed = ", ".join(f"{format_si(count)} with {way}" for way, count in active.items())
    cases = (Case(way, count, {"active_parameters": count, "parameters": total}) for way, count in active.items())
    used, *_ = active.values()
    share = format_percent(used / total, 2)
    headline = f"{format_si(used, 3)} of {format_si(total, 3)} parameters work on each token, {share}"
    sentence = f"Counted from the configuration: {format_si(total)} parameters; active per token {listed}"
    return tuple(cases), headline, sentence


@audit("A15", notebook="03_parameters_and_sparsity", unit="parameters per token")
def v3_sizes(facts: Ledger) -> Answer:
    """Count V3's total and active parameters from its configuration, by what counts as active."""
    cases, headline, counted = sizes(facts, "deepseek_v3")
    return Answer(
        cases,
        headline,
        f"{counted}. The report states {format_si(facts['deepseek_v3.active_parameters'])}; the notes on its weights "
        f"give {format_si(facts['deepseek_v3.active_parameters_of_weights'])} with embedding and head, where the "
        "configuration gives more.",
        AS_REPORTED,
    )


@audit("A26", notebook="03_parameters_and_sparsity", unit="parameters per token")
def v3_sizes_and_name(facts: Ledger) -> Answer:
    """Count the same sizes, and check the claim's word for the parts of the mixture."""
    cases, _, counted = sizes(facts, "deepseek_v3")
    v3 = architecture(facts, "deepseek_v3")
    moe, total = experts_of(v3), param_count.total_parameters(v3)
    expert = param_count.expert_parameters(v3)
    return Answer(
        tuple(replace(case, wording_ok=expert >= total) for case in cases),
        f"Right sizes, wrong name: {format_si(total, 3)} parameters, a mixture of experts, not agents",
        f"{counted}. Agents would be whole models that answer in turn; the report's MoE is a mixture of experts, "
        f"{moe.n_routed_experts} routed ones in a layer of which {moe.top_k} and {moe.n_shared_experts} shared one see "
        f"a token, each of {format_si(expert)} parameters, {format_percent(expert / total, 2)} of the model.",
        AS_REPORTED,
    )


@audit("B05", notebook="03_parameters_and_sparsity", unit="parameters per token")
def v2_sizes(facts: Ledger) -> Answer:
    """Count V2's total and active parameters from its configuration, by what counts as active."""
    cases, headline, counted = sizes(facts, "deepseek_v2")
    return Answer(cases, headline, f"{counted}.", AS_REPORTED)


@audit("A16", notebook="03_parameters_and_sparsity", unit="ratio", digits=3)
def far_less_compute(facts: Ledger, *, flop_per_parameter_per_token: float) -> Answer:
    """Divide V3's FLOP per token by those of dense models, and V2's hours per token by a dense model's."""
    rule = flop_per_parameter_per_token
    v3 = counted_train_flop_per_token(facts, "deepseek_v3", rule)
    total = param_count.total_parameters(architecture(facts, "deepseek_v3"))
    ratios = {
        "V3 against a dense model of all its parameters": v3 / (rule * total),
        "V3 against Llama 3.1 405B": v3 / counted_train_flop_per_token(facts, "llama_3_1_405b", rule),
    }
    v2, dense = (facts[f"{name}.gpu_hours_per_trillion_tokens"] for name in ("deepseek_v2", "deepseek_67b"))
    on_h100 = {name: facts[f"nvidia_{name}.tokens_per_gpu_s"] for name in ("v3", "llama_405b")}
    ratios["V3 against Llama 3.1 405B, in GPU hours of NVIDIA's benchmarks"] = on_h100["llama_405b"] / on_h100["v3"]
    v3_table, dense_72b = (facts[f"insights.{name}_flop_per_token"] for name in ("v3", "qwen_72b"))
    ratios["V3 against a dense model of 72B, by DeepSeek's own table"] = v3_table / dense_72b
    of_v2 = v2 / dense
    listed = ", ".join(f"{format_percent(ratio)} ({name})" for name, ratio in ratios.items())
    of_its_size, *_, of_72b = ratios.values()
    reading = "V2 against DeepSeek 67B, in GPU hours as reported"
    return Answer(
        (
            *comparisons(ratios, lambda ratio: ratio <= FAR_LESS),
            Case(reading, of_v2, is_true=of_v2 <= FAR_LESS, about="V2"),
        ),
        f"V3's compute: {format_percent(of_its_size, 2)} of a same-size dense model's, {format_percent(of_72b)} of a "
        "72B's",
        f"Per token V3 needs {format_si(v3, 3)} FLOP in training. {listed}. We take far less to mean at most "
        f"{format_percent(FAR_LESS)}. Measured in hours the saving is smaller, since communication and lower "
        f"utilisation eat up part of it: V2 took {format_percent(of_v2)} of DeepSeek 67B's per token. How large a "
        "dense model of equal quality would be is not public.",
        "without experts every parameter would multiply every token",
    )


@audit("B19", notebook="03_parameters_and_sparsity", unit="of the two named")
def main_innovations(facts: Ledger) -> Answer:
    """Count how many of the two were new to DeepSeek's models, and how many first appeared with V2."""
    v2, before = architecture(facts, "deepseek_v2"), architecture(facts, "deepseek_67b")
    keys = ("deepseek_v2.tokens", "mla.year", "deepseekmoe.year")
    published, mla_published, moe_published = (date.fromisoformat(facts.date(key)) for key in keys)
    new = [type(v2.attention) is not type(before.attention), before.experts is None]
    first = [mla_published >= published, moe_published >= published]
    cache = kv_cache.elements_per_token(v2) / kv_cache.elements_per_token(before)
    flop = matmul_parameters(v2, mtp_counted=False) / matmul_parameters(before, mtp_counted=False)
    return Answer(
        (
            Case("new against DeepSeek 67B, the model before", sum(new), is_true=all(new)),
            Case("first published with V2", sum(first), is_true=all(first)),
        ),
        f"MLA came with V2; DeepSeekMoE appeared {(published - moe_published).days} days earlier",
        f"V2's abstract names both. MLA is its own; DeepSeekMoE appeared on {moe_published}, "
        f"{(published - moe_published).days} days before V2's report of {published}. Against DeepSeek 67B, V2's cache "
        f"has {format_percent(cache)} of the elements per token, its matrix products {format_percent(flop)} of the "
        "FLOP.",
        "V2's own abstract names the two as what sets it apart from the model before",
    )
