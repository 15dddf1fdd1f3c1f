"""Claims about what the GPU hours cost, and against whom."""

from collections.abc import Mapping
from math import ceil, floor, prod

from repro.calc import run_cost
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si, format_usd, join_or
from repro.claims.register import load_register
from repro.claims.scenarios import reference_name
from repro.claims.verdict import FAR_LESS, Case, comparisons, readings, values_that_hold
from repro.facts import Ledger

DEEPSEEKS_RENT = "the only rent that DeepSeek states, and the one behind the figures that it is set beside"


def rents(price: float, market: float, list_price: float) -> dict[str, float]:
    """Return three rents in USD per GPU hour by name: DeepSeek's own, the market's for an H800, and a list price."""
    return {
        f"a rent of ${format_si(price)} per GPU hour": price,
        f"the market's ${format_si(market)}": market,
        f"a list price of ${format_si(list_price)}": list_price,
    }


def costs(gpu_hours: float, rents: Mapping[str, float]) -> dict[str, float]:
    """Return what GPU hours cost at each of several rents, by the rent's name."""
    return {name: run_cost.rental_usd(gpu_hours, rent) for name, rent in rents.items()}


def in_words(costs: Mapping[str, float]) -> str:
    """Return costs in one line, such as "$2.8M, $4.79M or $6.88M"."""
    return join_or(format_usd(cost, 3) for cost in costs.values())


def rents_that_print(claim_id: str, gpu_hours: float) -> tuple[float, float]:
    """Return the lowest and the highest rent, in USD per hour to the cent, at which a printed cost holds."""
    low, high = (100 * cost / gpu_hours for cost in values_that_hold(load_register().claim(claim_id).figure("cost")))
    return ceil(low) / 100, floor(high) / 100


def where_the_figure_lies(claim_id: str, gpu_hours: float, rents: Mapping[str, float]) -> str:
    """Return a sentence on the rents that a printed cost stands for, and where they lie among the rents assumed."""
    low, high = rents_that_print(claim_id, gpu_hours)
    inside = [name for name, rent in rents.items() if low <= rent <= high]
    below, above = ([r for r in rents.values() if r < low], [r for r in rents.values() if r > high])
    if inside:
        place = f"which takes in {' and '.join(inside)}"
    elif below and above:
        place = f"between ${format_si(max(below))} and ${format_si(min(above))}"
    else:
        place = f"{'above' if below else 'below'} all of these rents"
    return f"The printed figure stands for ${format_si(low, 3)} to ${format_si(high, 3)} per hour, {place}."


@audit("A02", notebook="02_gpu_hours_to_dollars", unit="ratio", digits=3)
def fraction_of_the_cost(
    facts: Ledger, *, total_gpu_hours: float, reference_parameters: float, reference_tokens: float,
    reference_gpu_hours: float, price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Divide R1's training cost and list price by those of others, as far as theirs are public."""
    own_gpu_hours = facts["deepseek_r1.own_training_usd"] / facts["price.h800_v3_report"]
    gpu_hours = total_gpu_hours + own_gpu_hours
    r1 = run_cost.rental_usd(gpu_hours, price_usd_per_gpu_hour)
    reference = reference_name(facts, reference_parameters, reference_tokens, reference_gpu_hours)
    inference, claude = facts["price.r1_output"] / facts["price.o1_output"], facts["claude_3_5_sonnet.training_usd"]
    training = {
        f"Claude 3.5 Sonnet, by its maker's word, taken as {format_usd(claude)}": r1 / claude,
        "GPT-4, by a third party's estimate": r1 / facts["gpt_4.training_usd"],
        f"{reference}, in GPU hours": gpu_hours / reference_gpu_hours,
        "gpt-oss-120b, in GPU hours": gpu_hours / facts["gpt_oss_120b.gpu_hours"],
        "Llama 4 Maverick, in GPU hours": gpu_hours / facts["llama_4_maverick.gpu_hours"],
    }
    listed = ", ".join(f"{format_percent(ratio)} of {name}" for name, ratio in training.items())
    cases = {f"inference against o1, training against {name}": ratio for name, ratio in training.items()}
    both = comparisons(cases, lambda ratio: max(ratio, inference) <= FAR_LESS)
    least, most = min(training.values()), max(training.values())
    return Answer(
        (*both, Case("inference and training against o1", None)),
        f"R1 cost {format_percent(least, 2)} to {format_percent(most, 2)} of what rivals' training took",
        f"R1 is V3 and {format_si(own_gpu_hours)} GPU hours of its own, {format_usd(r1, 3)} at "
        f"${format_si(price_usd_per_gpu_hour)}. Its training took {listed}; its output is listed at "
        f"{format_percent(inference)} of o1's price, and list prices are not costs. A third party puts Claude 3.5 "
        f"Sonnet's hardware at {format_usd(facts['claude_3_5_sonnet.training_usd_by_epoch_amortised'], 3)}, "
        f"amortised. A fraction is read as at most {format_percent(FAR_LESS)}. The last two are sparse models like "
        "V3, and younger.",
        "the two rivals whose makers say something of the cost and that R1's own report is set beside",
    )


@audit("A08", notebook="02_gpu_hours_to_dollars", unit="USD")
def final_run_cost(
    facts: Ledger, *, total_gpu_hours: float, pre_training_gpu_hours: float, price_usd_per_gpu_hour: float,
    market_price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Work out the rent of all three stages at three rents, and of the first alone."""
    prices = rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    by_rent = costs(total_gpu_hours, prices)
    total, alone = (run_cost.rental_usd(h, price_usd_per_gpu_hour) for h in (total_gpu_hours, pre_training_gpu_hours))
    first, *others = readings("cost", {f"all three stages at {name}": cost for name, cost in by_rent.items()})
    pre_training = readings("cost", {f"pre-training alone at {next(iter(prices))}": alone})
    return Answer(
        (first, *pre_training, *others),
        f"{format_usd(total)} at ${format_si(price_usd_per_gpu_hour)} an hour, {format_usd(max(by_rent.values()), 3)} "
        "at list price",
        f"{format_si(total_gpu_hours)} GPU hours cost {in_words(by_rent)}; pre-training alone costs "
        f"{format_usd(alone)} at the first. {where_the_figure_lies('A08', total_gpu_hours, prices)}",
        "the article itself takes this rent, for the hours of all stages",
    )


@audit("A09", notebook="02_gpu_hours_to_dollars", unit="USD")
def nothing_but_rent(facts: Ledger) -> Answer:
    """Check that hours times rent is the reported total, to the last digit, and cite what the report leaves out."""
    price, total = facts["price.h800_v3_report"], facts["deepseek_v3.total_usd"]
    rent = run_cost.rental_usd(facts["deepseek_v3.total_gpu_hours"], price)
    half_a_place = load_register().claim("A46").figure("cost").place / 2
    reading = "the report's total, hours and rent, and its own words on what is left out"
    return Answer(
        (Case(reading, rent, is_true=abs(total - rent) <= half_a_place),),
        f"{format_usd(total)} is rent alone; research, experiments and hardware are left out",
        f"The evidence is the report's own sentence: section 1 says that prior research and ablation experiments are "
        f"not included. The sum agrees: all GPU hours at ${format_si(price)} come to {format_usd(rent)}, and the "
        f"report's total is {format_usd(total)}.",
    )


@audit("A10", notebook="02_gpu_hours_to_dollars", unit="ratio", digits=3)
def forty_five_times(
    facts: Ledger, *, total_gpu_hours: float, reference_parameters: float, reference_tokens: float,
    reference_gpu_hours: float, active_parameters: float, tokens: float, gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V3 with every baseline for which a figure is public; the claim names none."""
    cost = run_cost.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    hours = reference_gpu_hours / total_gpu_hours
    size, parameters = reference_parameters * reference_tokens, facts["deepseek_v3.parameters"]
    rate = facts["deepseek_67b.gpu_hours_per_trillion_tokens"]
    of_maverick = (facts[f"llama_4_maverick.{name}"] for name in ("gpu_hours", "active_parameters", "tokens"))
    hours_of_maverick, *work_of_maverick = of_maverick
    maverick = hours_of_maverick / prod(work_of_maverick) / total_gpu_hours
    reference = reference_name(facts, reference_parameters, reference_tokens, reference_gpu_hours)
    ratios = {
        f"{reference}, GPU hours": hours,
        f"{reference}, GPU hours per active parameter and token": hours * active_parameters * tokens / size,
        f"{reference}, GPU hours per parameter and token": hours * parameters * tokens / size,
        "DeepSeek 67B, GPU hours per token": rate / gpu_hours_per_trillion_tokens,
        "Llama 4 Maverick, GPU hours": facts["llama_4_maverick.gpu_hours"] / total_gpu_hours,
        "Llama 4 Maverick, GPU hours per active parameter and token": maverick * active_parameters * tokens,
        "gpt-oss-120b, GPU hours": facts["gpt_oss_120b.gpu_hours"] / total_gpu_hours,
        "Claude 3.5 Sonnet, its maker's word, in dollars": facts["claude_3_5_sonnet.training_usd"] / cost,
        "GPT-4, a third party's estimate in dollars": facts["gpt_4.training_usd"] / cost,
        f"{reference}, a third party's estimate in dollars": facts["llama_3_1_405b.training_usd_by_epoch_cloud"] / cost,
        "Gemini Ultra, a third party's estimate in dollars": facts["gemini_ultra.training_usd"] / cost,
        "Gemini Ultra, the same party's newer estimate": facts["gemini_ultra.training_usd_by_epoch_cloud"] / cost,
    }
    listed = "; ".join(f"{name}: {format_si(ratio, 3)}" for name, ratio in ratios.items())
    at_least = facts["gpt_4.training_usd_by_openai"]
    later = [facts[f"{name}.training_usd_by_epoch_amortised"] / cost for name in ("gpt_4_5", "grok_3")]
    in_cloud = facts["grok_3.training_usd_by_epoch_cloud"] / cost
    printed = load_register().claim("A10").figure("ratio").value
    return Answer(
        readings("ratio", ratios),
        f"{format_si(hours, 3)} times by GPU hours; no baseline of the time exceeds "
        f"{format_si(max(ratios.values()), 3)}",
        f"No baseline is named. {listed}. OpenAI's word for GPT-4, more than {format_usd(at_least)}, is a bound: more "
        f"than {format_si(at_least / cost, 3)}. {format_si(printed)} times would need a baseline of "
        f"{format_si(printed * total_gpu_hours, 3)} GPU hours or {format_usd(printed * cost, 3)}. Larger runs came "
        f"after the article: estimates for GPT-4.5 and Grok-3, hardware amortised, are {format_si(later[0], 3)} and "
        f"{format_si(later[1], 3)} times V3's rent, and {format_si(in_cloud, 3)} for Grok-3 at cloud prices.",
        "the model that the article compares V3 with further down, in GPU hours",
    )


@audit("A29", notebook="02_gpu_hours_to_dollars", unit="USD")
def tokens_hours_and_dollars(
    facts: Ledger, *, tokens: float, total_gpu_hours: float, pre_training_gpu_hours: float,
    price_usd_per_gpu_hour: float, market_price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Check three figures of one sentence, for the stage that it names and for all stages."""
    prices = rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    by_rent = costs(pre_training_gpu_hours, prices)
    total = run_cost.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)

    def case(reading: str, gpu_hours: float, cost: float, about: str = "") -> Case:
        return Case(reading, cost, {"tokens": tokens, "gpu_hours": gpu_hours, "cost": cost}, about=about)

    named = (case(f"pre-training at {name}", pre_training_gpu_hours, cost) for name, cost in by_rent.items())
    everything = "all three stages"
    return Answer(
        (*named, case(f"{everything} at {next(iter(prices))}", total_gpu_hours, total, everything)),
        f"{format_si(total_gpu_hours)} hours are all stages'; pre-training took {format_si(pre_training_gpu_hours)}",
        f"On {format_si(tokens)} tokens, all stages took {format_si(total_gpu_hours)} GPU hours, {format_usd(total)}; "
        f"pre-training, which saw these tokens, {format_si(pre_training_gpu_hours)}, {in_words(by_rent)}. "
        f"{where_the_figure_lies('A29', pre_training_gpu_hours, prices)}",
        "the sentence speaks of pre-training; the rent is the article's own",
    )


@audit("A46", notebook="02_gpu_hours_to_dollars", unit="USD")
def total_cost(facts: Ledger, *, total_gpu_hours: float, price_usd_per_gpu_hour: float) -> Answer:
    """Multiply the hours by the rent that the claim states; another rent is said and not held against it."""
    stated = load_register().claim("A46").figure("price").value
    total, other = (run_cost.rental_usd(total_gpu_hours, price) for price in (stated, price_usd_per_gpu_hour))
    at_another = "" if price_usd_per_gpu_hour == stated else (
        f" At ${format_si(price_usd_per_gpu_hour)} they would cost {format_usd(other)}."
    )  # fmt: skip
    return Answer(
        readings("cost", {"the rent that the claim states": total}),
        f"{format_si(total_gpu_hours)} GPU hours at ${format_si(stated)} make {format_usd(total)}",
        f"{format_si(total_gpu_hours)} GPU hours × ${format_si(stated)} = {format_usd(total)}.{at_another} The report "
        f"assumes ${format_si(facts['price.h800_v3_report'])}; DeepSeek publishes no invoice.",
    )


@audit("B01", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def far_below_500_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float, price_usd_per_gpu_hour: float,
    market_price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V2's rent with half a billion."""
    prices = rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    gpu_hours = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    by_rent = costs(gpu_hours, prices)
    bound = load_register().claim("B01").figure("cost").value
    times = ", ".join(format_si(bound / cost, 2) for cost in by_rent.values())
    return Answer(
        tuple(Case(name, cost, {"cost": cost}, cost <= FAR_LESS * bound) for name, cost in by_rent.items()),
        f"V2's run cost {format_usd(min(by_rent.values()), 2)} to {format_usd(max(by_rent.values()), 2)} in rent, "
        f"against {format_usd(bound)}",
        f"{format_si(gpu_hours, 3)} GPU hours of pre-training cost {in_words(by_rent)}. {format_usd(bound)} are "
        f"{times} times as much, and would need a rent of ${format_si(bound / gpu_hours, 3)} per hour.",
        DEEPSEEKS_RENT,
    )


@audit("B03", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def v2_two_to_five_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float, price_usd_per_gpu_hour: float,
    market_price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V2's rent with the printed range."""
    prices = rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    gpu_hours = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    by_rent = costs(gpu_hours, prices)
    return Answer(
        readings("cost", by_rent),
        f"V2's pre-training cost {in_words(by_rent)}, depending on the rent",
        f"V2's report gives no cost. Its rate and tokens come to {format_si(gpu_hours, 3)} GPU hours of pre-training, "
        f"{in_words(by_rent)}. {where_the_figure_lies('B03', gpu_hours, prices)}",
        DEEPSEEKS_RENT,
    )


@audit("B04", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def others_cost_millions(
    facts: Ledger, *, price_usd_per_gpu_hour: float, market_price_usd_per_gpu_hour: float,
    list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Price Llama 3 70B's reported hours at three rents, and cite what is published about GPT-4."""
    gpu_hours = facts["llama_3_70b.gpu_hours"]
    prices = rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    llama = costs(gpu_hours, prices)
    by_source = {f"Llama 3 70B at {name}": cost for name, cost in llama.items()} | {
        "GPT-4, a third party's estimate": facts["gpt_4.training_usd"],
        "GPT-4, the same party's newer estimate, hardware amortised": facts["gpt_4.training_usd_by_epoch_amortised"],
        "GPT-4, at the least by OpenAI's word": facts["gpt_4.training_usd_by_openai"],
    }
    gpt_4 = facts["gpt_4.training_usd"]
    return Answer(
        readings("cost", by_source),
        f"Llama 3 70B: {format_usd(min(llama.values()), 2)} to {format_usd(max(llama.values()), 2)}; GPT-4: about "
        f"{format_usd(gpt_4)}",
        f"Llama 3 70B took {format_si(gpu_hours)} GPU hours, {in_words(llama)}. A third party puts GPT-4 at "
        f"{format_usd(gpt_4)}; OpenAI says more than {format_usd(facts['gpt_4.training_usd_by_openai'])}, and has not "
        f"published the hours. {where_the_figure_lies('B04', gpu_hours, prices)}",
        DEEPSEEKS_RENT,
    )


@audit("B16", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def v2_five_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float, price_usd_per_gpu_hour: float,
    market_price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V2's rent with the one figure of the summary table."""
    prices = rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    gpu_hours = run_cost.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    by_rent = costs(gpu_hours, prices)
    own, printed = next(iter(by_rent.values())), load_register().claim("B16").figure("cost").value
    hours_beside = load_register().claim("B17").figure("gpu_hours")
    return Answer(
        readings("cost", by_rent),
        f"V2's run cost {format_usd(own, 2)} at ${format_si(price_usd_per_gpu_hour)} an hour; {format_usd(printed)} "
        f"takes ${format_si(printed / gpu_hours, 3)}",
        f"{format_si(gpu_hours, 3)} GPU hours of pre-training cost {in_words(by_rent)}. "
        f"{where_the_figure_lies('B16', gpu_hours, prices)} All stages of V3 cost "
        f"{format_usd(facts['deepseek_v3.total_usd'])} by its report.",
        f"the table prints {hours_beside.text} GPU hours beside it, which makes "
        f"${format_si(printed / hours_beside.value, 3)} an hour",
    )
