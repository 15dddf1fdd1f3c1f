"""Claims about FLOP and the ideal, scaled and real GPU hours that follow from them."""

from functools import partial

from repro.calc import run_cost
from repro.calc.rounding import printed_digits, to_digits
from repro.claims.assumptions import PEAKS
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_scientific, format_si, format_usd
from repro.claims.register import load_register
from repro.claims.scenarios import PEAK_WORDS, counted_train_flop_per_token, peak_flop_per_s
from repro.claims.verdict import RIGHT_SIZE, Case, comparisons, readings
from repro.facts import Ledger


def rounded_as(claim_id: str, figure: str, value: float) -> float:
    """Return a value rounded to as many digits as a claim prints for a figure."""
    printed = load_register().claim(claim_id).figure(figure)
    return to_digits(value, printed_digits(printed.value, printed.place))


def run_flop(active_parameters: float, tokens: float, flop_per_parameter_per_token: float) -> float:
    """Return a model's training FLOP by the rule of thumb, not rounded."""
    return run_cost.train_flop(active_parameters, tokens, flop_per_parameter_per_token=flop_per_parameter_per_token)


def ideal_gpu_hours(facts: Ledger, gpu: str, flop: float) -> dict[str, float]:
    """Return the hours that a GPU needs at each of its peak rates, every cycle used."""
    return {peak: run_cost.gpu_hours_at(flop, peak_flop_per_s(facts, gpu, peak), utilisation=1) for peak in PEAKS}


@audit("A31", notebook="01_flops_to_gpu_hours", unit="FLOP per token")
def flop_per_token(facts: Ledger, *, active_parameters: float, flop_per_parameter_per_token: float) -> Answer:
    """Count six FLOP for each active parameter."""
    flop = run_cost.train_flop_per_token(active_parameters, flop_per_parameter_per_token=flop_per_parameter_per_token)
    counted = counted_train_flop_per_token(facts, "deepseek_v3", flop_per_parameter_per_token)
    case = Case("the rule of thumb", flop, {"active_parameters": active_parameters, "flop_per_token": flop})
    return (case,), (
        f"{format_si(flop_per_parameter_per_token)} × {format_si(active_parameters)} = {format_si(flop)} FLOP per "
        "token. With attention over the context and the module for multi-token prediction counted from V3's "
        f"configuration, and the embedding left out, it is {format_si(counted, 3)}."
    )


@audit("A32", notebook="01_flops_to_gpu_hours", unit="FLOP")
def total_flop(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float
) -> Answer:
    """Multiply FLOP per token by tokens."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    return (Case("the rule of thumb", flop, {"flop": flop}),), (
        f"{format_si(flop_per_parameter_per_token)} × {format_si(active_parameters)} × {format_si(tokens)} tokens = "
        f"{format_si(flop)} FLOP, to the article's two digits {format_si(rounded_as('A32', 'flop', flop))}."
    )


@audit("A33", notebook="01_flops_to_gpu_hours", unit="FLOP/s")
def peak_rate(facts: Ledger, *, gpu: str) -> Answer:
    """Compare the printed rate with each peak rate of the GPU, by precision and sparsity."""
    rates = {f"the {PEAK_WORDS[peak]} peak": peak_flop_per_s(facts, gpu, peak) for peak in PEAKS}
    listed = ", ".join(f"{name.removeprefix('the ')} {format_scientific(rate)}" for name, rate in rates.items())
    return readings("rate", rates), (
        f"Rates of {gpu} in FLOP/s: {listed}. Training multiplies dense matrices, which cannot use a sparse peak; "
        f"DeepSeek's own FP8 kernels reach up to {format_scientific(facts['h800_sxm.fp8_measured_flop_per_s'])} on an "
        "H800."
    )


@audit("A34", notebook="01_flops_to_gpu_hours", unit="GPU seconds")
def ideal_seconds(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float, gpu: str, peak: str
) -> Answer:
    """Divide total FLOP by the peak rate, both rounded as the article rounds them."""
    exact_flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    exact_rate = peak_flop_per_s(facts, gpu, peak)
    flop, rate = rounded_as("A32", "flop", exact_flop), rounded_as("A33", "rate", exact_rate)
    seconds, exact = run_cost.ideal_gpu_seconds(flop, rate), run_cost.ideal_gpu_seconds(exact_flop, exact_rate)
    return readings("seconds", {"FLOP and rate rounded as the article rounds them": seconds}), (
        f"{format_si(flop)} FLOP / {format_si(rate)} FLOP/s = {format_scientific(seconds)} s; without rounding on the "
        f"way {format_scientific(exact)} s. The rate is the {PEAK_WORDS[peak]} peak of {gpu}."
    )


@audit("A35", notebook="01_flops_to_gpu_hours", unit="GPU hours", digits=3)
def ideal_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float, gpu: str
) -> Answer:
    """Turn the printed seconds into hours, and work out the ideal hours at each peak rate."""
    seconds = load_register().claim("A34").figure("seconds").value
    printed = load_register().claim("A35").figure("gpu_hours").value
    gpu_hours = seconds / run_cost.SECONDS_PER_HOUR
    ideal = ideal_gpu_hours(facts, gpu, run_flop(active_parameters, tokens, flop_per_parameter_per_token))
    listed = ", ".join(f"{PEAK_WORDS[peak]} {format_si(hours, 3)}" for peak, hours in ideal.items())
    return readings("gpu_hours", {"the printed seconds, 3,600 to the hour": gpu_hours}), (
        f"The printed {format_scientific(seconds)} s / 3600 = {format_si(gpu_hours, 3)} GPU hours; the printed "
        f"{format_si(printed)} are {format_si(printed / gpu_hours, 3)} times as many. Ideal hours on {gpu} by peak "
        f"rate: {listed}."
    )


@audit("A36", notebook="01_flops_to_gpu_hours", unit="GPU hours", digits=3)
def ideal_is_a_lower_bound(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    gpu: str, pre_training_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Compare the ideal hours at every peak rate with the hours that pre-training took."""
    ideal = ideal_gpu_hours(facts, gpu, run_flop(active_parameters, tokens, flop_per_parameter_per_token))
    shares = ", ".join(f"{format_percent(ideal[peak] / pre_training_gpu_hours)} ({PEAK_WORDS[peak]})" for peak in PEAKS)
    by_peak = {f"the {PEAK_WORDS[peak]} peak": hours for peak, hours in ideal.items()}
    return comparisons(by_peak, lambda hours: hours < pre_training_gpu_hours), (
        f"Pre-training took {format_si(pre_training_gpu_hours)} GPU hours. The ideal hours are these shares of it, by "
        f"peak rate: {shares}."
    )


@audit("A37", notebook="01_flops_to_gpu_hours", unit="GPU hours")
def llama_as_reported(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, reference_gpu_hours: float
) -> Answer:
    """Compare parameters, tokens and hours of Llama 3.1 405B with its model card and its paper."""
    card, paper = facts["llama_3_1_405b.tokens"], facts["llama_3_1_405b.tokens_in_paper"]
    sources = {card: "by the model card", paper: "by the paper"}

    def case(tokens: float) -> Case:
        figures = {"parameters": reference_parameters, "tokens": tokens, "gpu_hours": reference_gpu_hours}
        return Case(f"{format_si(tokens)} tokens, {sources.get(tokens, 'as given')}", reference_gpu_hours, figures)

    return tuple(case(tokens) for tokens in dict.fromkeys((reference_tokens, paper))), (
        f"The model card gives {format_si(facts['llama_3_1_405b.gpu_hours'])} H100 hours and about {format_si(card)} "
        f"tokens; the paper gives {format_si(paper)} tokens."
    )


@audit("A38", notebook="01_flops_to_gpu_hours", unit="FLOP")
def llama_flop(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, flop_per_parameter_per_token: float
) -> Answer:
    """Do the same arithmetic for the model compared with."""
    flop = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    return readings("flop", {"the rule of thumb": flop}), (
        f"{format_si(flop_per_parameter_per_token)} × {format_si(reference_parameters)} × "
        f"{format_si(reference_tokens)} = {format_si(flop)} FLOP. Llama's paper, on "
        f"{format_si(facts['llama_3_1_405b.tokens_in_paper'])} tokens, states "
        f"{format_si(facts['llama_3_1_405b.train_flop_in_paper'])}."
    )


@audit("A39", notebook="01_flops_to_gpu_hours", unit="GPU hours")
def scaled_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Scale Llama's hours by the ratio of FLOP, with both, one or none of the FLOP rounded as printed."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    rounded, rounded_reference = rounded_as("A32", "flop", flop), rounded_as("A38", "flop", reference)
    scaled = partial(run_cost.scaled_gpu_hours, reference_gpu_hours)
    values = {
        "both FLOP rounded as the article rounds them": scaled(rounded, rounded_reference),
        "V3's FLOP alone so rounded": scaled(rounded, reference),
        "nothing rounded on the way": scaled(flop, reference),
    }
    listed = ", ".join(f"{format_si(value)} ({name})" for name, value in values.items())
    return readings("gpu_hours", values), (
        f"{format_si(reference_gpu_hours)} h times the ratio of FLOP, {format_si(flop)} to {format_si(reference)}: "
        f"{listed}. The article assumes similar inefficiency, read here as equal FLOP/s per GPU in both runs."
    )


@audit("A47", notebook="01_flops_to_gpu_hours", unit="GPU hours", digits=3)
def summary_of_the_estimate(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Compare the estimate with the summary that restates it."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    gpu_hours = run_cost.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    printed, estimate = (load_register().claim(claim_id).figure("gpu_hours") for claim_id in ("A47", "A39"))
    times = to_digits(gpu_hours / printed.value, 1)
    return readings("gpu_hours", {"the estimate of section 2": gpu_hours}), (
        f"The summary prints {printed.text}; the estimate is {format_si(gpu_hours, 3)}, {times:,.0f} times that. "
        f"Section 2 of the same article prints {estimate.text}: the summary has lost the M."
    )


@audit("A48", notebook="01_flops_to_gpu_hours", unit="GPU hours", digits=3)
def estimate_supports_the_report(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float,
    gpu: str, utilisation_peak: str, utilisation: float, total_gpu_hours: float, price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare five estimates of the hours with the reported ones; each assumes something else about efficiency."""
    rule = flop_per_parameter_per_token
    flop = run_flop(active_parameters, tokens, rule)
    reference = run_flop(reference_parameters, reference_tokens, rule)
    counted = tokens * counted_train_flop_per_token(facts, "deepseek_v3", rule)
    counted_reference = reference_tokens * counted_train_flop_per_token(facts, "llama_3_1_405b", rule)
    bf16, fp8 = (peak_flop_per_s(facts, gpu, name) for name in ("bf16_dense", "fp8_dense"))
    rate = peak_flop_per_s(facts, gpu, utilisation_peak)
    same_rate = run_cost.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    same_rate_counted = run_cost.scaled_gpu_hours(reference_gpu_hours, counted, counted_reference)
    by_rule, as_counted = f"by the rule of {format_si(rule)}", "with attention and multi-token prediction counted"
    share = f"{format_percent(utilisation)} of the {PEAK_WORDS[utilisation_peak]} peak"
    estimates = {
        f"the same FLOP/s per GPU in both runs, {by_rule}": same_rate,
        f"the same FLOP/s per GPU in both runs, {as_counted}": same_rate_counted,
        "the same share of the peak of the format that each run multiplies in": same_rate * bf16 / fp8,
        f"{share}, {by_rule}": run_cost.gpu_hours_at(flop, rate, utilisation=utilisation),
        f"{share}, {as_counted}": run_cost.gpu_hours_at(counted, rate, utilisation=utilisation),
    }
    listed = ", ".join(format_si(gpu_hours, 3) for gpu_hours in estimates.values())
    cost = run_cost.rental_usd(same_rate, price_usd_per_gpu_hour)
    llama = run_cost.flop_per_gpu_second(reference, reference_gpu_hours) / 1e12
    v3 = run_cost.flop_per_gpu_second(flop, total_gpu_hours) / 1e12
    return comparisons(estimates, lambda hours: abs(hours - total_gpu_hours) <= RIGHT_SIZE * total_gpu_hours), (
        f"Estimates of {listed} GPU hours against {format_si(total_gpu_hours)} taken; support means within "
        f"{format_percent(RIGHT_SIZE)} of these. The first, {format_usd(cost, 3)} at "
        f"${format_si(price_usd_per_gpu_hour)}, stands to the hours taken as V3's {format_si(v3)} TFLOP/s per GPU to "
        f"Llama's {format_si(llama)}: it tests only whether these two rates agree, neither the hours nor the price."
    )
