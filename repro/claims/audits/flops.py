"""Claims about FLOP and the ideal, scaled and real GPU hours that follow from them: notebook 01."""

from functools import partial

from repro.calc import run_cost
from repro.calc.rounding import printed_digits, to_digits
from repro.claims.assumptions import PEAKS
from repro.claims.audit import Finding, audit
from repro.claims.formatting import format_percent, format_scientific, format_si, format_usd
from repro.claims.register import load_register
from repro.claims.scenarios import counted_train_flop_per_token
from repro.claims.verdict import RIGHT_SIZE, Case, readings
from repro.facts import Ledger

NOTEBOOK = "01_flops_to_gpu_hours"
# How a rate is named in a sentence.
PEAK_WORDS = {
    "bf16_dense": "dense BF16",
    "bf16_sparse": "2:4-sparse BF16",
    "fp8_dense": "dense FP8",
    "fp8_sparse": "2:4-sparse FP8",
}
audits = partial(audit, notebook=NOTEBOOK)


def peak_flop_per_s(facts: Ledger, gpu: str, peak: str) -> float:
    """Return a GPU's peak rate by name, in FLOP/s."""
    return facts[f"{gpu}.{peak}_flop_per_s"]


def rounded_as(claim_id: str, figure: str, value: float) -> float:
    """Return a value rounded to as many digits as a claim prints of a figure."""
    printed = load_register().claim(claim_id).figure(figure)
    return to_digits(value, printed_digits(printed.value, printed.place))


def run_flop(active_parameters: float, tokens: float, flop_per_parameter_per_token: float) -> float:
    """Return a model's training FLOP by the rule of thumb, not rounded."""
    return run_cost.train_flop(active_parameters, tokens, flop_per_parameter_per_token=flop_per_parameter_per_token)


@audits("A31")
def flop_per_token(facts: Ledger, *, active_parameters: float, flop_per_parameter_per_token: float) -> Finding:
    """Six FLOP for each active parameter."""
    flop = run_cost.train_flop_per_token(active_parameters, flop_per_parameter_per_token=flop_per_parameter_per_token)
    counted = counted_train_flop_per_token(facts, "deepseek_v3", flop_per_parameter_per_token)
    case = Case("the rule of thumb", flop, {"active_parameters": active_parameters, "flop_per_token": flop})
    return Finding(
        "FLOP per token",
        (case,),
        f"{format_si(flop_per_parameter_per_token)} × {format_si(active_parameters)} = {format_si(flop)} FLOP per token. With "
        "attention over the context and the module for multi-token prediction counted from V3's configuration, and the "
        f"embedding left out, it is {format_si(counted, 3)}.",
    )


@audits("A32")
def total_flop(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float
) -> Finding:
    """FLOP per token times tokens."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    return Finding(
        "FLOP",
        (Case("the rule of thumb", flop, {"flop": flop}),),
        f"{format_si(flop_per_parameter_per_token)} × {format_si(active_parameters)} × {format_si(tokens)} tokens = "
        f"{format_si(flop)} FLOP, to the article's two digits {format_si(rounded_as('A32', 'flop', flop))}.",
    )


@audits("A33")
def peak_rate(facts: Ledger, *, gpu: str) -> Finding:
    """The printed rate against each peak rate of the GPU, named by precision and sparsity."""
    rates = {f"the {PEAK_WORDS[peak]} peak": peak_flop_per_s(facts, gpu, peak) for peak in PEAKS}
    listed = ", ".join(f"{name.removeprefix('the ')} {format_scientific(rate)}" for name, rate in rates.items())
    return Finding(
        "FLOP/s",
        readings("rate", rates),
        f"Rates of {gpu} in FLOP/s: {listed}. Training multiplies dense matrices, which cannot use a sparse peak; "
        f"DeepSeek's own FP8 kernels reach up to {format_scientific(facts['h800_sxm.fp8_measured_flop_per_s'])} on an H800.",
    )


@audits("A34")
def ideal_seconds(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    gpu: str, peak: str,
) -> Finding:  # fmt: skip
    """Total FLOP over the peak rate, both rounded as the article rounds them."""
    exact_flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    exact_rate = peak_flop_per_s(facts, gpu, peak)
    flop, rate = rounded_as("A32", "flop", exact_flop), rounded_as("A33", "rate", exact_rate)
    seconds, exact = run_cost.ideal_gpu_seconds(flop, rate), run_cost.ideal_gpu_seconds(exact_flop, exact_rate)
    return Finding(
        "GPU seconds",
        readings("seconds", {"FLOP and rate rounded as the article rounds them": seconds}),
        f"{format_si(flop)} FLOP / {format_si(rate)} FLOP/s = {format_scientific(seconds)} s; without rounding on the way "
        f"{format_scientific(exact)} s. The rate is the {PEAK_WORDS[peak]} peak of {gpu}.",
    )


@audits("A35")
def ideal_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float, gpu: str
) -> Finding:
    """The printed seconds as hours; and the ideal hours at each peak rate."""
    seconds = load_register().claim("A34").figure("seconds").value
    printed = load_register().claim("A35").figure("gpu_hours").value
    gpu_hours = seconds / run_cost.SECONDS_PER_HOUR
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    ideal = {peak: run_cost.gpu_hours_at(flop, peak_flop_per_s(facts, gpu, peak), utilisation=1) for peak in PEAKS}
    listed = ", ".join(f"{PEAK_WORDS[peak]} {format_si(hours, 3)}" for peak, hours in ideal.items())
    return Finding(
        "GPU hours",
        readings("gpu_hours", {"the printed seconds, 3,600 to the hour": gpu_hours}),
        f"The printed {format_scientific(seconds)} s / 3600 = {format_si(gpu_hours, 3)} GPU hours; the printed {format_si(printed)} "
        f"are {format_si(printed / gpu_hours, 3)} times as many. Ideal hours on {gpu} by peak rate: {listed}.",
        digits=3,
    )


@audits("A36")
def ideal_is_a_lower_bound(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    gpu: str, pre_training_gpu_hours: float,
) -> Finding:  # fmt: skip
    """The ideal hours at every peak rate, against the hours that pre-training took."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    ideal = {peak: run_cost.gpu_hours_at(flop, peak_flop_per_s(facts, gpu, peak), utilisation=1) for peak in PEAKS}
    shares = ", ".join(f"{format_percent(ideal[peak] / pre_training_gpu_hours)} ({PEAK_WORDS[peak]})" for peak in PEAKS)
    return Finding(
        "GPU hours",
        tuple(
            Case(f"the {PEAK_WORDS[peak]} peak", hours, true=hours < pre_training_gpu_hours)
            for peak, hours in ideal.items()
        ),
        f"Pre-training took {format_si(pre_training_gpu_hours)} GPU hours. The ideal hours are these shares of it, by peak "
        f"rate: {shares}.",
        digits=3,
    )


@audits("A37")
def llama_as_reported(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, reference_gpu_hours: float
) -> Finding:
    """Parameters, tokens and hours of Llama 3.1 405B, by the model card and by the paper."""
    card, paper = facts["llama_3_1_405b.tokens"], facts["llama_3_1_405b.tokens_in_paper"]
    sources = {card: "by the model card", paper: "by the paper"}

    def case(tokens: float) -> Case:
        figures = {"parameters": reference_parameters, "tokens": tokens, "gpu_hours": reference_gpu_hours}
        return Case(f"{format_si(tokens)} tokens, {sources.get(tokens, 'as given')}", reference_gpu_hours, figures)

    return Finding(
        "GPU hours",
        tuple(case(tokens) for tokens in dict.fromkeys((reference_tokens, paper))),
        f"The model card gives {format_si(facts['llama_3_1_405b.gpu_hours'])} H100 hours and about {format_si(card)} tokens; "
        f"the paper gives {format_si(paper)} tokens.",
    )


@audits("A38")
def llama_flop(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, flop_per_parameter_per_token: float
) -> Finding:
    """The same arithmetic for the model compared with."""
    flop = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    return Finding(
        "FLOP",
        readings("flop", {"the rule of thumb": flop}),
        f"{format_si(flop_per_parameter_per_token)} × {format_si(reference_parameters)} × {format_si(reference_tokens)} = "
        f"{format_si(flop)} FLOP. Llama's paper, on {format_si(facts['llama_3_1_405b.tokens_in_paper'])} tokens, states "
        f"{format_si(facts['llama_3_1_405b.train_flop_in_paper'])}.",
    )


@audits("A39")
def scaled_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
) -> Finding:  # fmt: skip
    """Llama's hours times the ratio of FLOP, with both, one or none of the FLOP rounded as printed."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    rounded, rounded_reference = rounded_as("A32", "flop", flop), rounded_as("A38", "flop", reference)
    values = {
        what: run_cost.scaled_gpu_hours(reference_gpu_hours, above, below)
        for what, above, below in (
            ("both FLOP rounded as the article rounds them", rounded, rounded_reference),
            ("V3's FLOP alone so rounded", rounded, reference),
            ("nothing rounded on the way", flop, reference),
        )
    }
    listed = ", ".join(f"{format_si(value)} ({what})" for what, value in values.items())
    return Finding(
        "GPU hours",
        readings("gpu_hours", values),
        f"{format_si(reference_gpu_hours)} h times the ratio of FLOP, {format_si(flop)} to {format_si(reference)}: {listed}. "
        "The article assumes similar inefficiency, read here as equal FLOP/s per GPU in both runs.",
    )


@audits("A47")
def summary_of_the_estimate(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
) -> Finding:  # fmt: skip
    """The estimate as the summary restates it."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    gpu_hours = run_cost.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    claim = load_register().claim("A47").figure("gpu_hours")
    times = to_digits(gpu_hours / claim.value, 1)
    return Finding(
        "GPU hours",
        readings("gpu_hours", {"the estimate of section 2": gpu_hours}),
        f"The summary prints {claim.text}; the estimate is {format_si(gpu_hours, 3)}, {times:,.0f} times "
        f"that. Section 2 of the same article prints {load_register().claim('A39').figure('gpu_hours').text}: "
        "the summary has lost the M.",
        digits=3,
    )


@audits("A48")
def estimate_supports_the_report(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
    gpu: str, utilisation_peak: str, utilisation: float, total_gpu_hours: float, price_usd_per_gpu_hour: float,
) -> Finding:  # fmt: skip
    """Five estimates of the hours against the reported ones, each with what it assumes of efficiency."""
    rule = flop_per_parameter_per_token
    flop, reference = (
        run_flop(*run, rule) for run in ((active_parameters, tokens), (reference_parameters, reference_tokens))
    )
    counted = tokens * counted_train_flop_per_token(facts, "deepseek_v3", rule)
    counted_reference = reference_tokens * counted_train_flop_per_token(facts, "llama_3_1_405b", rule)
    bf16, fp8 = (peak_flop_per_s(facts, gpu, name) for name in ("bf16_dense", "fp8_dense"))
    rate = peak_flop_per_s(facts, gpu, utilisation_peak)
    same_rate = run_cost.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    by_rule, as_counted = f"by the rule of {format_si(rule)}", "with attention and multi-token prediction counted"
    share = f"{format_percent(utilisation)} of the {PEAK_WORDS[utilisation_peak]} peak"
    estimates = {
        f"the same FLOP/s per GPU in both runs, {by_rule}": same_rate,
        f"the same FLOP/s per GPU in both runs, {as_counted}": (
            run_cost.scaled_gpu_hours(reference_gpu_hours, counted, counted_reference)
        ),
        "the same share of the peak of the format that each run multiplies in": same_rate * bf16 / fp8,
        f"{share}, {by_rule}": run_cost.gpu_hours_at(flop, rate, utilisation=utilisation),
        f"{share}, {as_counted}": run_cost.gpu_hours_at(counted, rate, utilisation=utilisation),
    }
    cases = tuple(
        Case(assumption, gpu_hours, true=abs(gpu_hours - total_gpu_hours) <= RIGHT_SIZE * total_gpu_hours)
        for assumption, gpu_hours in estimates.items()
    )
    cost = run_cost.rental_usd(same_rate, price_usd_per_gpu_hour)
    llama, v3 = (
        run_cost.flop_per_gpu_second(work, taken) / 1e12
        for work, taken in ((reference, reference_gpu_hours), (flop, total_gpu_hours))
    )
    return Finding(
        "GPU hours",
        cases,
        f"Estimates of {', '.join(format_si(gpu_hours, 3) for gpu_hours in estimates.values())} GPU hours against "
        f"{format_si(total_gpu_hours)} taken; support means within {format_percent(RIGHT_SIZE)} of these. The first, "
        f"{format_usd(cost, 3)} at ${format_si(price_usd_per_gpu_hour)}, stands to the hours taken as V3's {format_si(v3)} TFLOP/s "
        f"per GPU to Llama's {format_si(llama)}: it tests only whether these two rates agree, neither the hours nor the "
        "price.",
        digits=3,
    )
