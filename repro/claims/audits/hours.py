"""Claims about reported GPU hours, days and which model they belong to."""

from repro.calc import run_cost
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si
from repro.claims.register import load_register
from repro.claims.scenarios import reference_name
from repro.claims.verdict import Case, readings, values_that_hold
from repro.facts import Ledger


@audit("A07", notebook="02_gpu_hours_to_dollars", unit="months", digits=3)
def two_months(facts: Ledger, *, pre_training_gpu_hours: float, total_gpu_hours: float, gpus: int) -> Answer:
    """Divide the hours of all stages, and of pre-training alone, by the GPUs of the cluster."""
    stages = {"all three stages": total_gpu_hours, "pre-training alone": pre_training_gpu_hours}
    days = {stage: run_cost.wall_days(gpu_hours, gpus) for stage, gpu_hours in stages.items()}
    days_per_month = facts["convention.days_per_month"]
    listed = ", ".join(f"{format_si(span, 3)} days for {stage}" for stage, span in days.items())
    total, alone = (format_si(span, 2) for span in days.values())
    return Answer(
        tuple(
            Case(stage, span / days_per_month, {"months": span / days_per_month}, about=about)
            for (stage, span), about in zip(days.items(), ("", "pre-training"), strict=True)
        ),
        f"Training took {total} days, pre-training {alone} of them",
        f"{format_si(gpus)} GPUs, always at work: {listed}.",
        "the claim says training, not pre-training",
    )


@audit("A30", notebook="02_gpu_hours_to_dollars", unit="ratio", digits=3)
def llama_against_v3(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
    total_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Divide Llama's hours by V3's, and check the sizes named beside them."""
    ratio = reference_gpu_hours / total_gpu_hours
    figures = dict(ratio=ratio, gpu_hours=reference_gpu_hours, tokens=reference_tokens, parameters=reference_parameters)
    v3, llama = (facts[f"nvidia_{name}.tokens_per_gpu_s"] for name in ("v3", "llama_405b"))
    name = reference_name(facts, reference_parameters, reference_tokens, reference_gpu_hours)
    in_paper = figures | {"tokens": facts["llama_3_1_405b.tokens_in_paper"]}
    return Answer(
        (Case("the model card's figures", ratio, figures), Case("the same with the paper's tokens", ratio, in_paper)),
        f"{name} took {format_si(ratio, 3)} times V3's hours, with {format_si(reference_parameters)} parameters",
        f"{format_si(reference_gpu_hours)} / {format_si(total_gpu_hours)} = {format_si(ratio)} times the GPU hours. "
        f"The model has {format_si(reference_parameters)} parameters; Llama's paper puts its tokens at "
        f"{format_si(facts['llama_3_1_405b.tokens_in_paper'])}. On the same 1,024 H100 NVIDIA trains V3 at "
        f"{format_si(v3)} tokens per second per GPU and Llama at {format_si(llama)}: {format_si(v3 / llama, 2)} times "
        "the hours per token.",
        "the model card gives hours and tokens in one place",
    )


@audit("A40", notebook="02_gpu_hours_to_dollars", unit="GPU hours per trillion tokens")
def hours_per_trillion(facts: Ledger, *, pre_training_gpu_hours: float, tokens: float, gpus: int) -> Answer:
    """Divide pre-training hours by tokens, and check against a later paper's daily tokens and against NVIDIA's run."""
    rate = run_cost.rate_from_gpu_hours(pre_training_gpu_hours, tokens)
    by_day = run_cost.rate_from_gpu_hours(gpus * run_cost.HOURS_PER_DAY, facts["deepseek_v3.tokens_per_day"])
    nvidia = run_cost.rate_from_gpu_hours(1 / run_cost.SECONDS_PER_HOUR, facts["nvidia_v3.tokens_per_gpu_s"])
    return Answer(
        (
            Case("the reported hours and tokens", rate, {"rate": rate}),
            Case("a later paper's tokens per day", by_day, {"rate": by_day}),
            Case("NVIDIA's benchmark on 1,024 H100", nvidia, {"rate": nvidia}, about="NVIDIA's run"),
        ),
        f"{format_si(rate, 3)} hours per trillion tokens; NVIDIA's H100 benchmark implies {format_si(nvidia, 3)}",
        f"{format_si(pre_training_gpu_hours)} GPU hours / {format_si(tokens)} tokens = {format_si(rate)} per "
        f"trillion; the report states {format_si(facts['deepseek_v3.gpu_hours_per_trillion_tokens'])}. A later "
        f"paper's {format_si(facts['deepseek_v3.tokens_per_day'])} tokens a day make {format_si(by_day)}. "
        f"NVIDIA's benchmark of V3 in FP8 on {format_si(facts['nvidia_v3.gpus'])} H100 makes {format_si(nvidia)}, "
        f"{format_percent(nvidia / rate - 1, 2)} more.",
        "the claim repeats what the report says of DeepSeek's own run",
    )


@audit("A41", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def pre_training_hours(facts: Ledger, *, gpu_hours_per_trillion_tokens: float, tokens: float) -> Answer:
    """Multiply the rate by the tokens."""
    gpu_hours = run_cost.gpu_hours_from_rate(gpu_hours_per_trillion_tokens, tokens)
    days, stated = facts["deepseek_v3.days_per_trillion_tokens"], facts["deepseek_v3.pre_training_gpu_hours"]
    by_days = days * tokens / run_cost.TOKENS_PER_TRILLION * facts["deepseek_v3.gpus"] * run_cost.HOURS_PER_DAY
    return Answer(
        (Case("the reported rate", gpu_hours, {"gpu_hours": gpu_hours}),),
        f"{format_si(gpu_hours_per_trillion_tokens)} hours a trillion, {format_si(tokens)} tokens: "
        f"{format_si(gpu_hours / 1e6)} million GPU hours",
        f"{format_si(gpu_hours_per_trillion_tokens)} per trillion × {format_si(tokens)} tokens = "
        f"{format_si(gpu_hours)} GPU hours; the report states {format_si(stated)}. "
        f"Its {format_si(days)} days per trillion tokens, a figure of two digits, make {format_si(by_days, 2)}.",
    )


@audit("A42", notebook="02_gpu_hours_to_dollars", unit="months", digits=3)
def less_than_two_months(facts: Ledger, *, pre_training_gpu_hours: float, gpus: int) -> Answer:
    """Divide pre-training hours by the GPUs that the claim names; another number is said and not held against it."""
    stated = int(load_register().claim("A42").figure("gpus").value)
    days, assumed = (run_cost.wall_days(pre_training_gpu_hours, size) for size in (stated, gpus))
    months = days / facts["convention.days_per_month"]
    another = "" if gpus == stated else f" On {format_si(gpus)} GPUs they are {format_si(assumed, 3)} days."
    return Answer(
        readings("months", {"every GPU at work all the time": months}),
        f"On {stated:,} GPUs the reported pre-training hours make {format_si(days, 2)} days",
        f"{format_si(pre_training_gpu_hours)} GPU hours / {format_si(stated)} GPUs = {format_si(days, 3)} days or "
        f"{format_si(months, 3)} months.{another} The report says that no rollback was needed; each per cent of idle "
        f"time would add {format_si(days / 100, 2)} days.",
    )


def stage_answer(facts: Ledger, stage: str, gpu_hours: float, remark: str = "") -> Answer:
    """Return the answer on one of V3's three stages: its hours, and what the other two leave of the total."""
    keys = {"pre-training": "pre_training", "context extension": "context_extension", "post-training": "post_training"}
    stages = {name: facts[f"deepseek_v3.{key}_gpu_hours"] for name, key in keys.items()}
    rest = facts["deepseek_v3.total_gpu_hours"] - sum(hours for name, hours in stages.items() if name != stage)
    share = gpu_hours / facts["deepseek_v3.total_gpu_hours"]
    return Answer(
        readings("gpu_hours", {"table 1 of the report": gpu_hours}),
        f"{stage.capitalize()} took {format_si(gpu_hours)} GPU hours, {format_percent(share, 2)} of the total",
        f"Table 1 of the report states {format_si(stages[stage])}; its total minus the other two stages is "
        f"{format_si(rest)}, so the table adds up.{remark}",
    )


@audit("A43", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def context_extension_hours(facts: Ledger, *, context_extension_gpu_hours: float) -> Answer:
    """Compare the stage with the report's table."""
    return stage_answer(facts, "context extension", context_extension_gpu_hours)


@audit("A44", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def post_training_hours(facts: Ledger, *, post_training_gpu_hours: float) -> Answer:
    """Compare the stage with the report's table."""
    remark = " The training of R1, from whose answers this stage learns, has no line in the table."
    return stage_answer(facts, "post-training", post_training_gpu_hours, remark)


@audit("A45", notebook="02_gpu_hours_to_dollars", unit="GPU hours")
def sum_of_stages(
    facts: Ledger, *, pre_training_gpu_hours: float, context_extension_gpu_hours: float, post_training_gpu_hours: float
) -> Answer:
    """Add up the three stages."""
    stages = (pre_training_gpu_hours, context_extension_gpu_hours, post_training_gpu_hours)
    total = sum(stages)
    return Answer(
        (Case("the three stages", total, {"gpu_hours": total}),),
        f"The three stages add up to {format_si(total / 1e6)} million GPU hours",
        f"{' + '.join(format_si(stage) for stage in stages)} = {format_si(total)} GPU hours, "
        f"{format_percent(pre_training_gpu_hours / total)} of them pre-training.",
    )


def hours_of_both(
    v2_tokens: float, v2_rate: float, pre_training_gpu_hours: float, total_gpu_hours: float
) -> tuple[float, dict[str, float]]:
    """Return V2's GPU hours of pre-training, and those of V3's whole run and of its pre-training by name."""
    v3 = {"V3, all stages": total_gpu_hours, "V3, pre-training alone": pre_training_gpu_hours}
    return run_cost.gpu_hours_from_rate(v2_rate, v2_tokens), v3


@audit("B06", notebook="02_gpu_hours_to_dollars", unit="GPU hours", digits=3)
def whose_hours(
    facts: Ledger, *, pre_training_gpu_hours: float, total_gpu_hours: float, v2_tokens: float,
    v2_gpu_hours_per_trillion_tokens: float,
) -> Answer:  # fmt: skip
    """Compare the printed range with V2, both together and V3."""
    rate = v2_gpu_hours_per_trillion_tokens
    v2, v3 = hours_of_both(v2_tokens, rate, pre_training_gpu_hours, total_gpu_hours)
    of_v2 = readings("gpu_hours", {"V2's pre-training by its reported rate": v2})
    both = readings("gpu_hours", {"V2's pre-training and all of V3": v2 + total_gpu_hours})
    of_v3 = (Case(name, hours, {"gpu_hours": hours}) for name, hours in v3.items())
    listed = "; ".join(f"{name}: {format_si(gpu_hours, 3)}" for name, gpu_hours in v3.items())
    return Answer(
        (*of_v2, *both, *of_v3),
        f"V3 took {format_si(total_gpu_hours / 1e6, 3)} million GPU hours, V2's pre-training {format_si(v2 / 1e6, 2)} "
        "million",
        f"V2: {format_si(rate)} per trillion × {format_si(v2_tokens)} tokens = {format_si(v2, 3)} GPU hours of "
        f"pre-training; its report states no total, and nothing of later stages. {listed}.",
        "the sentence says V2/V3, on a page about V2 whose table repeats the figure as V2's",
    )


@audit("B07", notebook="02_gpu_hours_to_dollars", unit="tokens")
def tokens_in_that_time(facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float) -> Answer:
    """Check V2's tokens, and whether they took the hours that the page sets beside them."""
    hours = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    beside = load_register().claim("B06").figure("gpu_hours")
    low, high = values_that_hold(beside)
    rates = [run_cost.rate_from_gpu_hours(end, v2_tokens) for end in (beside.value, beside.high or beside.value)]
    return Answer(
        (
            Case("the tokens, in the hours printed before", v2_tokens, {"tokens": v2_tokens}, low <= hours <= high),
            Case("the tokens alone", v2_tokens, {"tokens": v2_tokens}),
        ),
        f"V2 used {format_si(hours)} GPU hours for {format_si(v2_tokens)} tokens; the page says "
        f"{format_si(beside.value)}",
        f"V2's report gives {format_si(facts['deepseek_v2.tokens'])} tokens, which at its rate took "
        f"{format_si(hours, 3)} GPU hours. In the page's {beside.text} they would have taken {format_si(rates[0], 3)} "
        f"to {format_si(rates[1], 3)} per trillion: the time is V3's.",
        "the sentence ties the tokens to the time",
    )


@audit("B17", notebook="02_gpu_hours_to_dollars", unit="GPU hours", digits=3)
def v2_hours(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float, pre_training_gpu_hours: float,
    total_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Multiply V2's reported rate by its tokens, and set the product beside V3's hours."""
    rate = v2_gpu_hours_per_trillion_tokens
    v2, v3 = hours_of_both(v2_tokens, rate, pre_training_gpu_hours, total_gpu_hours)
    of_v2 = readings("gpu_hours", {"V2's pre-training by its reported rate": v2})
    of_v3 = (Case(name, hours, {"gpu_hours": hours}, about="V3") for name, hours in v3.items())
    return Answer(
        (*of_v2, *of_v3),
        f"V2's pre-training took {format_si(v2 / 1e6, 2)} million GPU hours; V3's whole run, "
        f"{format_si(total_gpu_hours / 1e6, 3)} million",
        f"{format_si(rate)} per trillion × {format_si(v2_tokens)} tokens = {format_si(v2, 3)} GPU hours of "
        "pre-training; what V2's later stages took is not published. V3's pre-training took "
        f"{format_si(pre_training_gpu_hours)}, {format_si(pre_training_gpu_hours / v2, 3)} times as many, and all its "
        f"stages {format_si(total_gpu_hours)}.",
        "the table is V2's",
    )
