"""Claims about reported GPU hours, days and which model they belong to."""

from repro.calc import run_cost
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.verdict import Case, readings
from repro.facts import Ledger


@audit("A07", notebook="02_gpu_hours_to_dollars", unit="months", digits=3)
def two_months(facts: Ledger, *, pre_training_gpu_hours: float, total_gpu_hours: float, gpus: int) -> Answer:
    """Divide the hours of pre-training alone, and of all stages, by the GPUs of the cluster."""
    stages = {"pre-training alone": pre_training_gpu_hours, "all three stages": total_gpu_hours}
    days = {stage: run_cost.wall_days(gpu_hours, gpus) for stage, gpu_hours in stages.items()}
    days_per_month = facts["convention.days_per_month"]
    listed = ", ".join(f"{format_si(span, 3)} days for {stage}" for stage, span in days.items())
    cases = readings("months", {stage: span / days_per_month for stage, span in days.items()})
    return cases, f"{format_si(gpus)} GPUs, always at work: {listed}."


@audit("A30", notebook="02_gpu_hours_to_dollars", unit="ratio", digits=3)
def llama_against_v3(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
    total_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Divide Llama's hours by V3's, and check the sizes named beside them."""
    ratio = reference_gpu_hours / total_gpu_hours
    figures = dict(ratio=ratio, gpu_hours=reference_gpu_hours, tokens=reference_tokens, parameters=reference_parameters)
    return (Case("the model card's figures", ratio, figures),), (
        f"{format_si(reference_gpu_hours)} / {format_si(total_gpu_hours)} = {format_si(ratio)} times the GPU hours. "
        f"The model has {format_si(reference_parameters)} parameters; Llama's paper puts its tokens at "
        f"{format_si(facts['llama_3_1_405b.tokens_in_paper'])}."
    )


@audit("A40", notebook="02_gpu_hours_to_dollars", unit="GPU hours per trillion tokens")
def hours_per_trillion(facts: Ledger, *, pre_training_gpu_hours: float, tokens: float) -> Answer:
    """Divide pre-training hours by tokens."""
    rate = run_cost.rate_from_gpu_hours(pre_training_gpu_hours, tokens)
    return (Case("the reported hours and tokens", rate, {"rate": rate}),), (
        f"{format_si(pre_training_gpu_hours)} GPU hours / {format_si(tokens)} tokens = {format_si(rate)} per trillion; "
        f"the report states {format_si(facts['deepseek_v3.gpu_hours_per_trillion_tokens'])}."
    )


@audit("A41", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def pre_training_hours(facts: Ledger, *, gpu_hours_per_trillion_tokens: float, tokens: float) -> Answer:
    """Multiply the rate by the tokens."""
    gpu_hours = run_cost.gpu_hours_from_rate(gpu_hours_per_trillion_tokens, tokens)
    return (Case("the reported rate", gpu_hours, {"gpu_hours": gpu_hours}),), (
        f"{format_si(gpu_hours_per_trillion_tokens)} per trillion × {format_si(tokens)} tokens = "
        f"{format_si(gpu_hours)} GPU hours; the report states {format_si(facts['deepseek_v3.pre_training_gpu_hours'])}."
    )


@audit("A42", notebook="02_gpu_hours_to_dollars", unit="months", digits=3)
def less_than_two_months(facts: Ledger, *, pre_training_gpu_hours: float, gpus: int) -> Answer:
    """Divide pre-training hours by the GPUs of the cluster."""
    days = run_cost.wall_days(pre_training_gpu_hours, gpus)
    months = days / facts["convention.days_per_month"]
    return (Case("every GPU at work all the time", months, {"months": months, "gpus": gpus}),), (
        f"{format_si(pre_training_gpu_hours)} GPU hours / {format_si(gpus)} GPUs = {format_si(days, 3)} days or "
        f"{format_si(months, 3)} months. The report says that no rollback was needed; each per cent of idle time would "
        f"add {format_si(days / 100, 2)} days."
    )


def stage_finding(facts: Ledger, stage: str, gpu_hours: float, remark: str = "") -> Answer:
    """Return the finding on one of V3's three stages: its hours, and what the other two leave of the total."""
    names = ("pre_training", "context_extension", "post_training")
    stages = {name: facts[f"deepseek_v3.{name}_gpu_hours"] for name in names}
    rest = facts["deepseek_v3.total_gpu_hours"] - sum(hours for name, hours in stages.items() if name != stage)
    return readings("gpu_hours", {"the stage": gpu_hours, "the total less the other stages": rest}), (
        f"Table 1 of the report states {format_si(stages[stage])}; its total less the other two stages is "
        f"{format_si(rest)}.{remark}"
    )


@audit("A43", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def context_extension_hours(facts: Ledger, *, context_extension_gpu_hours: float) -> Answer:
    """Compare the stage as reported with what the others leave of the total."""
    return stage_finding(facts, "context_extension", context_extension_gpu_hours)


@audit("A44", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def post_training_hours(facts: Ledger, *, post_training_gpu_hours: float) -> Answer:
    """Compare the stage as reported with what the others leave of the total."""
    remark = " The training of R1, from whose answers this stage learns, has no line in the table."
    return stage_finding(facts, "post_training", post_training_gpu_hours, remark)


@audit("A45", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def sum_of_stages(
    facts: Ledger, *, pre_training_gpu_hours: float, context_extension_gpu_hours: float, post_training_gpu_hours: float
) -> Answer:
    """Add up the three stages."""
    stages = (pre_training_gpu_hours, context_extension_gpu_hours, post_training_gpu_hours)
    total = sum(stages)
    return (Case("the three stages", total, {"gpu_hours": total}),), (
        f"{' + '.join(format_si(stage) for stage in stages)} = {format_si(total)} GPU hours, "
        f"{format_percent(pre_training_gpu_hours / total)} of them pre-training."
    )


@audit("B06", notebook="02_gpu_hours_to_dollars", unit="GPU hours", digits=3)
def whose_hours(
    facts: Ledger, *, pre_training_gpu_hours: float, total_gpu_hours: float, v2_tokens: float,
    v2_gpu_hours_per_trillion_tokens: float,
) -> Answer:  # fmt: skip
    """Compare the printed range with V3, V2 and both together."""
    v2 = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    values = {
        "V3, all stages": total_gpu_hours,
        "V3, pre-training alone": pre_training_gpu_hours,
        "V2, pre-training by its reported rate": v2,
        "V2's pre-training and all of V3": v2 + total_gpu_hours,
    }
    listed = "; ".join(f"{name}: {format_si(gpu_hours, 3)}" for name, gpu_hours in values.items())
    return readings("gpu_hours", values), (
        f"{listed}. V2's report states no total, and nothing of later stages; "
        f"{format_si(v2_gpu_hours_per_trillion_tokens)} per trillion × {format_si(v2_tokens)} tokens give its "
        "pre-training."
    )


@audit("B07", notebook="02_gpu_hours_to_dollars", unit="tokens")
def tokens_in_that_time(facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float) -> Answer:
    """Check V2's tokens; the hours that the page sets beside them are another model's."""
    v2 = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    return readings("tokens", {"V2's pre-training": v2_tokens}), (
        f"V2's report gives {format_si(facts['deepseek_v2.tokens'])} tokens. The time that the page sets beside them "
        f"is V3's, {format_si(facts['deepseek_v3.total_gpu_hours'])} GPU hours, an error of the line before; at V2's "
        f"rate they took {format_si(v2, 3)}."
    )


@audit("B17", notebook="02_gpu_hours_to_dollars", unit="GPU hours", digits=3)
def v2_hours(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float, pre_training_gpu_hours: float,
    total_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Multiply V2's reported rate by its tokens, and set the product beside V3's hours."""
    v2 = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    return readings("gpu_hours", {"V2's pre-training by its reported rate": v2}), (
        f"{format_si(v2_gpu_hours_per_trillion_tokens)} per trillion × {format_si(v2_tokens)} tokens = "
        f"{format_si(v2, 3)} GPU hours of pre-training; what V2's later stages took is not published. V3's "
        f"pre-training took {format_si(pre_training_gpu_hours)}, {format_si(pre_training_gpu_hours / v2, 3)} times as "
        f"many, and all its stages {format_si(total_gpu_hours)}."
    )
