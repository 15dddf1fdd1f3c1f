"""Claims about parameters, sparsity and what they save: notebook 03."""

from dataclasses import replace
from datetime import date
from functools import partial

from repro.calc import kv_cache, param_count
from repro.calc.flops import matmul_parameters
from repro.claims.audit import Finding, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.scenarios import architecture, counted_train_flop_per_token
from repro.claims.verdict import Case
from repro.facts import Ledger

NOTEBOOK = "03_parameters_and_sparsity"
audits = partial(audit, notebook=NOTEBOOK)


def active_by_convention(facts: Ledger, name: str) -> dict[str, int]:
    """Return the active parameters of a built-in model, by what is counted."""
    model = architecture(facts, name)
    return {
        "head counted, embedding looked up": param_count.active_parameters(model, embedding_counted=False),
        "embedding and head counted": param_count.active_parameters(model, embedding_counted=True),
        "neither counted": param_count.active_parameters(model, embedding_counted=False, head_counted=False),
    }


def sizes(facts: Ledger, name: str) -> tuple[tuple[Case, ...], str]:
    """Return one case per convention for the two sizes of a model, and a sentence on them."""
    total, active = param_count.total_parameters(architecture(facts, name)), active_by_convention(facts, name)
    cases = tuple(
        Case(what, count, {"active_parameters": count, "parameters": total}) for what, count in active.items()
    )
    listed = ", ".join(f"{format_si(count)} with {what}" for what, count in active.items())
    return cases, f"Counted from the configuration: {format_si(total)} parameters; active per token {listed}"


@audits("A15")
def v3_sizes(facts: Ledger) -> Finding:
    """V3's total and active parameters from its configuration, by what is counted as active."""
    cases, counted = sizes(facts, "deepseek_v3")
    return Finding(
        "parameters per token",
        cases,
        f"{counted}. The report states {format_si(facts['deepseek_v3.active_parameters'])}; the notes on its weights state "
        f"{format_si(facts['deepseek_v3.active_parameters_of_weights'])} with both, which the configuration contradicts.",
    )


@audits("A26")
def v3_sizes_and_name(facts: Ledger) -> Finding:
    """The same sizes, and whether the parts of the mixture are what the claim's word for them means."""
    cases, counted = sizes(facts, "deepseek_v3")
    v3 = architecture(facts, "deepseek_v3")
    moe, total = v3.experts, param_count.total_parameters(v3)
    expert = param_count.expert_parameters(v3)
    whole_models = expert >= total
    return Finding(
        "parameters per token",
        tuple(replace(case, worded=whole_models) for case in cases),
        f"{counted}. Agents would be whole models that answer in turn; the report's MoE is a mixture of experts, "
        f"{moe.n_routed_experts} routed ones in a layer of which {moe.top_k} and {moe.n_shared_experts} shared one see a token, each "
        f"of {format_si(expert)} parameters, {format_percent(expert / total, 2)} of the model.",
    )


@audits("B05")
def v2_sizes(facts: Ledger) -> Finding:
    """V2's total and active parameters from its configuration, by what is counted as active."""
    cases, counted = sizes(facts, "deepseek_v2")
    return Finding("parameters per token", cases, f"{counted}.")


@audits("A16")
def far_less_compute(facts: Ledger, *, flop_per_parameter_per_token: float) -> Finding:
    """V3's FLOP per token over those of dense models, and V2's hours per token over a dense model's."""
    rule = flop_per_parameter_per_token
    v3 = counted_train_flop_per_token(facts, "deepseek_v3", rule)
    total = param_count.total_parameters(architecture(facts, "deepseek_v3"))
    ratios = {
        "V3 against a dense model of all its parameters": v3 / (rule * total),
        "V3 against Llama 3.1 405B": v3 / counted_train_flop_per_token(facts, "llama_3_1_405b", rule),
        "V2 against DeepSeek 67B, in GPU hours as reported": (
            facts["deepseek_v2.gpu_hours_per_trillion_tokens"] / facts["deepseek_67b.gpu_hours_per_trillion_tokens"]
        ),
    }
    return Finding(
        "ratio",
        tuple(Case(what, ratio, true=ratio < 1) for what, ratio in ratios.items()),
        f"Per token V3 needs {format_si(v3, 3)} FLOP in training, "
        + ", ".join(f"{format_percent(ratio)} ({what})" for what, ratio in ratios.items())
        + ". Less is read as less than the whole. The last is the whole saving as measured: communication and lower "
        "utilisation take part of what the FLOP save. How large a dense model of equal quality would be is not public.",
        digits=3,
    )


@audits("B19")
def main_innovations(facts: Ledger) -> Finding:
    """How many of the two were new against DeepSeek's model before, and how many first appeared with V2."""
    v2, before = architecture(facts, "deepseek_v2"), architecture(facts, "deepseek_67b")
    published, mla_published, moe_published = (
        date.fromisoformat(facts.date(key)) for key in ("deepseek_v2.tokens", "mla.year", "deepseekmoe.year")
    )
    new_here = [type(v2.attention) is not type(before.attention), before.experts is None]
    first_here = [mla_published >= published, moe_published >= published]
    cache = kv_cache.elements_per_token(v2) / kv_cache.elements_per_token(before)
    flop = matmul_parameters(v2, mtp_counted=False) / matmul_parameters(before, mtp_counted=False)
    return Finding(
        "of the two",
        (
            Case("new against DeepSeek 67B, the model before", sum(new_here), true=all(new_here)),
            Case("first published with V2", sum(first_here), true=all(first_here)),
        ),
        f"V2's abstract names both. MLA is its own; DeepSeekMoE appeared on {moe_published}, "
        f"{(published - moe_published).days} days before V2's report of {published}. Against DeepSeek 67B, V2's cache "
        f"has {format_percent(cache)} of the elements per token, its matrix products {format_percent(flop)} of the FLOP.",
    )
