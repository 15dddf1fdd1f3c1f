"""Claims about reported GPU hours, days and which model they belong to: notebook 02."""

from collections.abc import Callable

from repro.calc import training
from repro.claims.audit import AuditFunction, Finding, audit_of
from repro.claims.audits.flops import run_flop
from repro.claims.verdict import Case
from repro.claims.words import percent, short
from repro.facts import Ledger

NOTEBOOK = "02_gpu_hours_to_dollars"


def audits(claim_id: str) -> Callable[[AuditFunction], AuditFunction]:
    """Register a function as the audit of a claim that notebook 02 argues."""
    return audit_of(claim_id, notebook=NOTEBOOK)


def months_on(facts: Ledger, gpu_hours: float, gpus: int) -> float:
    """Return how many average months a cluster is busy, all its GPUs at work all the time."""
    return training.wall_days(gpu_hours, gpus) / facts["convention.days_per_month"]


@audits("A07")
def two_months(facts: Ledger, *, pre_training_gpu_hours: float, total_gpu_hours: float, gpus: int) -> Finding:
    """Pre-training alone, and all stages, on the cluster."""
    spans = {"pre-training alone": pre_training_gpu_hours, "all three stages": total_gpu_hours}
    cases = tuple(
        Case(what, months, {"months": months})
        for what, gpu_hours in spans.items()
        for months in [months_on(facts, gpu_hours, gpus)]
    )
    days = ", ".join(f"{short(training.wall_days(h, gpus), 3)} days for {what}" for what, h in spans.items())
    return Finding("months", cases, f"{short(gpus)} GPUs, always at work: {days}.", digits=3)


@audits("A30")
def llama_against_v3(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
    total_gpu_hours: float,
) -> Finding:  # fmt: skip
    """Llama's hours over V3's, and the sizes named beside them."""
    ratio = reference_gpu_hours / total_gpu_hours
    figures = {
        "ratio": ratio,
        "gpu_hours": reference_gpu_hours,
        "tokens": reference_tokens,
        "parameters": reference_parameters,
    }
    return Finding(
        "ratio",
        (Case("the model card's figures", ratio, figures),),
        f"{short(reference_gpu_hours)} / {short(total_gpu_hours)} = {short(ratio)} times the GPU hours. "
        f"The model has {short(reference_parameters)} parameters; the paper puts its tokens at "
        f"{short(facts['llama_3_1_405b.tokens_in_paper'])}.",
        digits=3,
    )


@audits("A40")
def hours_per_trillion(facts: Ledger, *, pre_training_gpu_hours: float, tokens: float) -> Finding:
    """Pre-training hours over tokens."""
    rate = training.rate_from_gpu_hours(pre_training_gpu_hours, tokens)
    return Finding(
        "GPU hours per trillion tokens",
        (Case("the reported hours and tokens", rate, {"rate": rate}),),
        f"{short(pre_training_gpu_hours)} GPU hours / {short(tokens)} tokens = {short(rate)} per trillion; the "
        f"report states {short(facts['deepseek_v3.gpu_hours_per_trillion_tokens'])}.",
    )


@audits("A41")
def pre_training_hours(facts: Ledger, *, gpu_hours_per_trillion_tokens: float, tokens: float) -> Finding:
    """The rate times the tokens."""
    gpu_hours = training.gpu_hours_from_rate(gpu_hours_per_trillion_tokens, tokens)
    return Finding(
        "GPU hours",
        (Case("the reported rate", gpu_hours, {"gpu_hours": gpu_hours}),),
        f"{short(gpu_hours_per_trillion_tokens)} per trillion × {short(tokens)} tokens = {short(gpu_hours)} GPU hours; "
        f"the report states {short(facts['deepseek_v3.pre_training_gpu_hours'])}.",
    )


@audits("A42")
def less_than_two_months(facts: Ledger, *, pre_training_gpu_hours: float, gpus: int) -> Finding:
    """Pre-training hours over the cluster."""
    months = months_on(facts, pre_training_gpu_hours, gpus)
    days = training.wall_days(pre_training_gpu_hours, gpus)
    return Finding(
        "months",
        (Case("every GPU at work all the time", months, {"months": months, "gpus": gpus}),),
        f"{short(pre_training_gpu_hours)} GPU hours / {short(gpus)} GPUs = {short(days, 3)} days or {short(months, 3)} "
        f"months. The report tells of no rollback; each per cent of idle time would add {short(days / 100, 2)} days.",
        digits=3,
    )


@audits("A43")
def context_extension_hours(facts: Ledger, *, context_extension_gpu_hours: float) -> Finding:
    """The stage as reported, and as what the others leave of the total."""
    stage = context_extension_gpu_hours
    rest = facts["deepseek_v3.total_gpu_hours"] - (
        facts["deepseek_v3.pre_training_gpu_hours"] + facts["deepseek_v3.post_training_gpu_hours"]
    )
    return Finding(
        "GPU hours",
        (
            Case("the table's own line", stage, {"gpu_hours": stage}),
            Case("the total less the other stages", rest, {"gpu_hours": rest}),
        ),
        f"Table 1 of the report: {short(stage)}; its total less the other two stages: {short(rest)}.",
    )


@audits("A44")
def post_training_hours(facts: Ledger, *, post_training_gpu_hours: float) -> Finding:
    """The stage as reported, and as what the others leave of the total."""
    stage = post_training_gpu_hours
    rest = facts["deepseek_v3.total_gpu_hours"] - (
        facts["deepseek_v3.pre_training_gpu_hours"] + facts["deepseek_v3.context_extension_gpu_hours"]
    )
    return Finding(
        "GPU hours",
        (
            Case("the table's own line", stage, {"gpu_hours": stage}),
            Case("the total less the other stages", rest, {"gpu_hours": rest}),
        ),
        f"Table 1 of the report: {short(stage)}; its total less the other two stages: {short(rest)}. The "
        "training of R1, from whose answers this stage learns, has no line in the table.",
    )


@audits("A45")
def sum_of_stages(
    facts: Ledger, *, pre_training_gpu_hours: float, context_extension_gpu_hours: float,
    post_training_gpu_hours: float,
) -> Finding:  # fmt: skip
    """The three stages added up."""
    stages = (pre_training_gpu_hours, context_extension_gpu_hours, post_training_gpu_hours)
    total = sum(stages)
    return Finding(
        "GPU hours",
        (Case("the three stages", total, {"gpu_hours": total}),),
        f"{' + '.join(short(stage) for stage in stages)} = {short(total)} GPU hours, "
        f"{percent(pre_training_gpu_hours / total)} of them pre-training.",
    )


@audits("B06")
def whose_hours(
    facts: Ledger, *, pre_training_gpu_hours: float, total_gpu_hours: float, v2_tokens: float,
    v2_gpu_hours_per_trillion_tokens: float,
) -> Finding:  # fmt: skip
    """The printed range against V3, V2 and both together."""
    v2 = training.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    readings = {
        "V3, all stages": total_gpu_hours,
        "V3, pre-training alone": pre_training_gpu_hours,
        "V2": v2,
        "V2 and V3 together": v2 + total_gpu_hours,
    }
    return Finding(
        "GPU hours",
        tuple(Case(what, gpu_hours, {"gpu_hours": gpu_hours}) for what, gpu_hours in readings.items()),
        "; ".join(f"{what} {short(gpu_hours, 3)}" for what, gpu_hours in readings.items())
        + f". V2's report states no total; {short(v2_gpu_hours_per_trillion_tokens)} per trillion tokens × "
        f"{short(v2_tokens)} give {short(v2, 3)}.",
        digits=3,
    )


@audits("B17")
def v2_hours(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float, active_parameters: float,
    tokens: float, flop_per_parameter_per_token: float,
) -> Finding:  # fmt: skip
    """V2's reported rate times its tokens, beside V3's total and V2's FLOP at V3's pace."""
    v2 = training.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    v3 = facts["deepseek_v3.total_gpu_hours"]
    v2_flop = run_flop(facts["deepseek_v2.active_parameters"], v2_tokens, flop_per_parameter_per_token)
    at_v3_pace = training.scaled_gpu_hours(
        v3, v2_flop, run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    )
    return Finding(
        "GPU hours",
        (Case("V2's reported rate", v2, {"gpu_hours": v2}),),
        f"{short(v2_gpu_hours_per_trillion_tokens)} per trillion × {short(v2_tokens)} tokens = {short(v2, 3)} GPU "
        f"hours. V3 took {short(v3)}, {short(v3 / v2, 3)} times as many; V2's FLOP at V3's pace would take "
        f"{short(at_v3_pace, 2)}.",
        digits=3,
    )
