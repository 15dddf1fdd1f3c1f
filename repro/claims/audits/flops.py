"""Claims about FLOP and the ideal, scaled and real GPU hours that follow from them."""

from math import isclose

from repro.calc import run_cost
from repro.calc.rounding import printed_digits, to_digits
from repro.claims.assumptions import PEAKS
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_scientific, format_si, format_usd, join_or
from repro.claims.register import load_register
from repro.claims.scenarios import PEAK_WORDS, counted_train_flop_per_token, peak_flop_per_s, reference_name
from repro.claims.verdict import RIGHT_SIZE, Case, comparisons, readings
from repro.facts import Ledger


def printed_value(claim_id: str, figure: str) -> float:
    """Return a figure as a claim prints it, in the register's unit."""
    return load_register().claim(claim_id).figure(figure).value


def under_yours(assumed: float, stated: float) -> str:
    """Return a sentence with the value under a reader's own assumptions, where it differs from the claim's premises."""
    return "" if isclose(assumed, stated, rel_tol=1e-9) else f" Under your assumptions it is {format_si(assumed)}."


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
    """Multiply the two figures that the claim takes as given, and count what the rule of thumb leaves out."""
    rule, parameters = (printed_value("A31", name) for name in ("flop_per_parameter", "active_parameters"))
    flop = run_cost.train_flop_per_token(parameters, flop_per_parameter_per_token=rule)
    assumed = run_flop(active_parameters, 1, flop_per_parameter_per_token)
    counted = counted_train_flop_per_token(facts, "deepseek_v3", flop_per_parameter_per_token)
    return Answer(
        readings("flop_per_token", {"the rule of thumb, as the claim states it": flop}),
        f"The rule gives {format_si(flop)} FLOP per token; a full count, {format_si(counted, 3)}",
        f"{format_si(rule)} × {format_si(parameters)} = {format_si(flop)} FLOP per token.{under_yours(assumed, flop)} "
        "With attention over the context and the module for multi-token prediction counted from V3's configuration, "
        f"and the embedding left out, it is {format_si(counted, 3)}.",
    )


@audit("A32", notebook="01_flops_to_gpu_hours", unit="FLOP")
def total_flop(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float
) -> Answer:
    """Multiply the FLOP per token and the tokens that the claim takes as given."""
    per_token, stated_tokens = (printed_value("A32", name) for name in ("flop_per_token", "tokens"))
    flop = per_token * stated_tokens
    assumed = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    return Answer(
        readings("flop", {"the two figures that the claim multiplies": flop}),
        f"{format_si(per_token)} FLOP times {format_si(stated_tokens)} tokens is {format_si(flop, 3)} FLOP",
        f"{format_si(per_token)} × {format_si(stated_tokens)} = {format_si(flop)} FLOP, to the article's two digits "
        f"{format_si(rounded_as('A32', 'flop', flop))}.{under_yours(assumed, flop)} V3's report gives "
        f"{format_si(facts['deepseek_v3.tokens'])} tokens.",
    )


@audit("A33", notebook="01_flops_to_gpu_hours", unit="FLOP/s")
def peak_rate(facts: Ledger, *, gpu: str) -> Answer:
    """Compare the printed rate with each peak rate of the GPU, by precision and sparsity."""
    order = ("fp8_dense", *(peak for peak in PEAKS if peak != "fp8_dense"))
    rates = {f"the {PEAK_WORDS[peak]} peak": peak_flop_per_s(facts, gpu, peak) for peak in order}
    listed = ", ".join(f"{name.removeprefix('the ')} {format_scientific(rate)}" for name, rate in rates.items())
    printed, dense = printed_value("A33", "rate"), next(iter(rates.values()))
    return Answer(
        readings("rate", rates),
        f"The printed rate is {format_si(printed / dense, 2)} times the dense FP8 peak",
        f"Rates of {gpu} in FLOP/s: {listed}. A sparse peak counts multiplications by zero that sparse hardware skips, "
        "and training multiplies dense matrices. DeepSeek's own FP8 kernels reach up to "
        f"{format_scientific(facts['h800_sxm.fp8_measured_flop_per_s'])} on an H800.",
        "the article divides V3's dense products in FP8 by it",
    )


@audit("A34", notebook="01_flops_to_gpu_hours", unit="GPU seconds")
def ideal_seconds(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float, gpu: str, peak: str
) -> Answer:
    """Divide the printed FLOP by the printed rate; the same without rounding, and at the peak assumed, beside it."""
    flop, rate = printed_value("A34", "flop"), printed_value("A34", "rate")
    seconds = run_cost.ideal_gpu_seconds(flop, rate)
    assumed_flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    assumed = run_cost.ideal_gpu_seconds(assumed_flop, peak_flop_per_s(facts, gpu, peak))
    return Answer(
        readings("seconds", {"the FLOP and the rate that the article divides": seconds}),
        f"{format_scientific(seconds)} GPU seconds, from the article's own rounded figures",
        f"{format_si(flop)} FLOP / {format_si(rate)} FLOP/s = {format_scientific(seconds)} s. Without rounding on the "
        f"way, at the {PEAK_WORDS[peak]} peak of {gpu}, it is {format_scientific(assumed)} s.",
    )


@audit("A35", notebook="01_flops_to_gpu_hours", unit="GPU hours", digits=3)
def ideal_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float, gpu: str
) -> Answer:
    """Turn the printed seconds into hours, and work out the ideal hours at each peak rate."""
    seconds, printed = printed_value("A35", "seconds"), printed_value("A35", "gpu_hours")
    gpu_hours = seconds / run_cost.SECONDS_PER_HOUR
    ideal = ideal_gpu_hours(facts, gpu, run_flop(active_parameters, tokens, flop_per_parameter_per_token))
    listed = ", ".join(f"{PEAK_WORDS[peak]} {format_si(hours, 3)}" for peak, hours in ideal.items())
    return Answer(
        readings("gpu_hours", {"the printed seconds, 3,600 to the hour": gpu_hours}),
        f"{format_scientific(seconds)} seconds are {format_si(gpu_hours / 1e6, 2)} million hours, not "
        f"{format_si(printed / 1e6)} million",
        f"The printed {format_scientific(seconds)} s / 3600 = {format_si(gpu_hours, 3)} GPU hours; the printed "
        f"{format_si(printed)} are {format_si(printed / gpu_hours, 3)} times as many. Ideal hours on {gpu} by peak "
        f"rate: {listed}.",
    )


@audit("A36", notebook="01_flops_to_gpu_hours", unit="GPU hours", digits=3)
def ideal_is_a_lower_bound(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    gpu: str, pre_training_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Compare the ideal hours at every peak rate with the hours that pre-training took."""
    ideal = ideal_gpu_hours(facts, gpu, run_flop(active_parameters, tokens, flop_per_parameter_per_token))
    ideal = {"fp8_sparse": ideal["fp8_sparse"]} | ideal
    shares = {peak: hours / pre_training_gpu_hours for peak, hours in ideal.items()}
    listed = ", ".join(f"{format_percent(share)} ({PEAK_WORDS[peak]})" for peak, share in shares.items())
    by_peak = {f"the {PEAK_WORDS[peak]} peak": hours for peak, hours in ideal.items()}
    low, high = format_percent(min(shares.values()), 2), format_percent(max(shares.values()), 2)
    return Answer(
        comparisons(by_peak, lambda hours: hours < pre_training_gpu_hours),
        f"Perfect efficiency would take {low} to {high} of the hours taken",
        f"Pre-training took {format_si(pre_training_gpu_hours)} GPU hours. The ideal hours are these shares of it, by "
        f"peak rate: {listed}.",
        "the rate that the article divides by",
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
        return Case(f"{format_si(tokens)} tokens, {sources.get(tokens, 'as you assume')}", reference_gpu_hours, figures)

    return Answer(
        tuple(case(tokens) for tokens in dict.fromkeys((reference_tokens, paper))),
        f"{format_si(reference_gpu_hours)} hours; the model card says {format_si(card)} tokens, the paper "
        f"{format_si(paper)}",
        f"The model card gives {format_si(facts['llama_3_1_405b.gpu_hours'])} H100 hours and about {format_si(card)} "
        f"tokens; the paper gives {format_si(paper)} tokens.",
        "the model card gives hours and tokens in one place",
    )


@audit("A38", notebook="01_flops_to_gpu_hours", unit="FLOP")
def llama_flop(
    facts: Ledger, *, reference_parameters: float, reference_tokens: float, flop_per_parameter_per_token: float
) -> Answer:
    """Do the same arithmetic for the model compared with, on the parameters and tokens that the article takes."""
    rule, parameters, tokens = (
        printed_value(*figure) for figure in (("A31", "flop_per_parameter"), ("A38", "parameters"), ("A38", "tokens"))
    )
    flop = run_flop(parameters, tokens, rule)
    assumed = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    paper, stated = (facts[f"llama_3_1_405b.{name}_in_paper"] for name in ("tokens", "train_flop"))
    return Answer(
        readings("flop", {"the figures that the article multiplies": flop}),
        f"{format_si(rule)} × {format_si(parameters)} × {format_si(tokens)} tokens gives {format_scientific(flop)} "
        "FLOP",
        f"{format_si(rule)} × {format_si(parameters)} × {format_si(tokens)} = {format_si(flop)} FLOP, halfway between "
        f"two printed digits.{under_yours(assumed, flop)} Llama's paper, on {format_si(paper)} tokens, states "
        f"{format_si(stated)}.",
    )


def printed_estimate() -> float:
    """Return the GPU hours that the article's own figures give: Llama's hours by the ratio of the printed FLOP."""
    hours, flop, reference = (printed_value("A39", name) for name in ("reference_gpu_hours", "flop", "reference_flop"))
    return run_cost.scaled_gpu_hours(hours, flop, reference)


@audit("A39", notebook="01_flops_to_gpu_hours", unit="GPU hours")
def scaled_hours(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float, pre_training_gpu_hours: float,
) -> Answer:  # fmt: skip
    """Scale Llama's hours by the ratio of FLOP as the article prints them; with nothing rounded beside it."""
    flop = run_flop(active_parameters, tokens, flop_per_parameter_per_token)
    reference = run_flop(reference_parameters, reference_tokens, flop_per_parameter_per_token)
    estimate, exact = printed_estimate(), run_cost.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    more = exact / pre_training_gpu_hours - 1
    return Answer(
        readings("gpu_hours", {"both FLOP as the article prints them": estimate}),
        f"The article's own figures give {format_si(estimate / 1e6)} million GPU hours",
        f"The printed hours times the ratio of the printed FLOP make {format_si(estimate)}; under the assumptions of "
        f"this audit, with nothing rounded, {format_si(exact)}. The article assumes similar inefficiency: the same "
        f"FLOP/s per GPU in both runs. These are FLOP of pre-training, which took {format_si(pre_training_gpu_hours)} "
        f"hours: the unrounded estimate is {format_percent(abs(more), 2)} {'above' if more > 0 else 'below'} that.",
    )


@audit("A47", notebook="01_flops_to_gpu_hours", unit="GPU hours", digits=3)
def summary_of_the_estimate(facts: Ledger) -> Answer:
    """Compare the estimate with the summary that restates it."""
    gpu_hours = printed_estimate()
    printed, estimate = (load_register().claim(claim_id).figure("gpu_hours") for claim_id in ("A47", "A39"))
    times = to_digits(gpu_hours / printed.value, 1)
    pre_training = facts["deepseek_v3.pre_training_gpu_hours"]
    return Answer(
        readings("gpu_hours", {"the estimate of section 2": gpu_hours}),
        f"The summary lost the M: section 2 prints {estimate.text} GPU hours",
        f"The summary prints {printed.text}; section 2 of the same article {estimate.text}, and its figures give "
        f"{format_si(gpu_hours)}, {times:,.0f} times as many. The estimate covers pre-training alone, which "
        f"DeepSeek puts at {format_si(pre_training)} hours.",
    )


@audit("A48", notebook="01_flops_to_gpu_hours", unit="USD", digits=3)
def estimate_supports_the_report(
    facts: Ledger, *, tokens: float, active_parameters: float, flop_per_parameter_per_token: float,
    reference_parameters: float, reference_tokens: float, reference_gpu_hours: float, gpu: str, utilisation_peak: str,
    utilisation: float, total_gpu_hours: float, pre_training_gpu_hours: float, price_usd_per_gpu_hour: float,
    market_price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare the article's estimate, and five others, with the reported hours; each assumes another efficiency."""
    rule = flop_per_parameter_per_token
    flop = run_flop(active_parameters, tokens, rule)
    reference = run_flop(reference_parameters, reference_tokens, rule)
    counted = tokens * counted_train_flop_per_token(facts, "deepseek_v3", rule)
    counted_reference = reference_tokens * counted_train_flop_per_token(facts, "llama_3_1_405b", rule)
    bf16, fp8 = (peak_flop_per_s(facts, gpu, name) for name in ("bf16_dense", "fp8_dense"))
    rate = peak_flop_per_s(facts, gpu, utilisation_peak)
    same_rate = run_cost.scaled_gpu_hours(reference_gpu_hours, flop, reference)
    same_rate_counted = run_cost.scaled_gpu_hours(reference_gpu_hours, counted, counted_reference)
    as_counted = "with attention and multi-token prediction counted"
    share = f"{format_percent(utilisation)} of the {PEAK_WORDS[utilisation_peak]} peak"
    nvidia = tokens / facts["nvidia_v3.tokens_per_gpu_s"] / run_cost.SECONDS_PER_HOUR
    estimates = {
        f"the same FLOP/s per GPU, by the rule of {format_si(rule)} FLOP per parameter and token": same_rate,
        f"the same FLOP/s per GPU, {as_counted}": same_rate_counted,
        "the same share of each run's own peak, FP8 for V3 and BF16 for the other": same_rate * bf16 / fp8,
        f"{share}, by the rule of {format_si(rule)}": run_cost.gpu_hours_at(flop, rate, utilisation=utilisation),
        f"{share}, {as_counted}": run_cost.gpu_hours_at(counted, rate, utilisation=utilisation),
        "NVIDIA's benchmark of V3 in FP8 on H100": nvidia,
    }

    def case(reading: str, hours: float, taken: float) -> Case:
        usd = run_cost.rental_usd(hours, price_usd_per_gpu_hour)
        return Case(reading, usd, is_true=abs(hours - taken) <= RIGHT_SIZE * taken)

    listed = ", ".join(format_si(gpu_hours, 3) for gpu_hours in estimates.values())
    low, high = min(estimates.values()) / pre_training_gpu_hours, max(estimates.values()) / pre_training_gpu_hours
    prices = (price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    llama = run_cost.flop_per_gpu_second(reference, reference_gpu_hours) / 1e12
    v3 = run_cost.flop_per_gpu_second(flop, pre_training_gpu_hours) / 1e12
    name = reference_name(facts, reference_parameters, reference_tokens, reference_gpu_hours)
    cost = load_register().claim("A08").figure("cost")
    at_rents = [run_cost.rental_usd(same_rate, price) for price in prices]
    dollars = join_or(format_usd(usd, 3) for usd in at_rents)
    farthest = max(at_rents, key=lambda usd: abs(usd - cost.value))
    agrees = abs(farthest - cost.value) <= RIGHT_SIZE * farthest
    return Answer(
        (
            Case(f"the article's estimate at any of three rents, against {cost.text}", farthest, is_true=agrees),
            case("the same at the first rent, hours against those of all stages", same_rate, total_gpu_hours),
            *(case(reading, hours, pre_training_gpu_hours) for reading, hours in estimates.items()),
        ),
        f"Estimates give {format_si(low, 2)} to {format_si(high, 2)} times the reported hours; none tests rent",
        f"Six estimates of pre-training, in the order above: {listed} GPU hours; DeepSeek reports "
        f"{format_si(pre_training_gpu_hours)}, and {format_si(total_gpu_hours)} for all stages. Support means within "
        f"{format_percent(RIGHT_SIZE)}. The article sets its estimate of pre-training beside all stages; the six "
        "compare pre-training with pre-training. The article's estimate tests one thing: whether a GPU did as much "
        f"work a second in V3's run ({format_si(v3)} TFLOP/s) as in the run of {name} ({format_si(llama)}). It costs "
        f"{dollars}, by the rent. Both sides assume that rent, so no estimate of hours can test the dollars.",
        "the claim is about the dollars",
    )
