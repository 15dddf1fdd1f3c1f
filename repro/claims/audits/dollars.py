"""Claims about what the GPU hours cost, and against whom."""

from collections.abc import Mapping
from math import ceil, floor

from repro.calc import run_cost
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si, format_usd, join_or
from repro.claims.register import load_register
from repro.claims.scenarios import reference_name
from repro.claims.verdict import FAR_LESS, Case, readings, values_that_hold
from repro.facts import Ledger

# Baselines for which a sum is public, of the time of the claim, and runs that came after it.
DOLLAR_BASELINES = {
    "claude_3_5_sonnet.training_usd": "Claude 3.5 Sonnet, its maker's word",
    "gpt_4.training_usd": "GPT-4, a third party's estimate",
    "llama_3_1_405b.training_usd_by_epoch_cloud": "Llama 3.1 405B, a third party's estimate",
    "gemini_ultra.training_usd": "Gemini Ultra, a third party's estimate",
    "gemini_ultra.training_usd_by_epoch_cloud": "Gemini Ultra, the same party's newer estimate",
    "gpt_5.training_run_usd": "a training run for GPT-5, as the press reports it",
}
LATER_RUNS = {"llama_4_maverick": "Llama 4 Maverick", "gpt_oss_120b": "gpt-oss-120b"}
LATER_IN_DOLLARS = {"gpt_4_5": "GPT-4.5", "grok_3": "Grok-3"}
DEEPSEEKS_RENT = "the only rent that DeepSeek states, and the one behind V3's $5.576M"


def rents(price: float, market: float, list_price: float) -> dict[str, float]:
    """Return three rents in USD per GPU hour by name: DeepSeek's own, one host's for an H800, and a list price."""
    return {
        f"a rent of ${format_si(price)} per GPU hour": price,
        f"a market price of ${format_si(market)}": market,
        f"a list price of ${format_si(list_price)}": list_price,
    }


def costs(gpu_hours: float, rents: Mapping[str, float]) -> dict[str, float]:
    """Return what GPU hours cost at each of several rents, by the rent's name."""
    return {name: run_cost.rental_usd(gpu_hours, rent) for name, rent in rents.items()}


def in_words(costs: Mapping[str, float], digits: int = 3) -> str:
    """Return costs in one line, such as "$2.8M, $4.79M or $6.88M"."""
    return join_or(format_usd(cost, digits) for cost in costs.values())


def rents_in_words(rents: Mapping[str, float]) -> str:
    """Return rents in one line, such as "$2, $3.42 or $4.916 an hour"."""
    return f"{join_or(f'${format_si(rent)}' for rent in rents.values())} an hour"


def rents_that_print(claim_id: str, gpu_hours: float) -> tuple[float, float]:
    """Return the lowest and the highest rent, in USD per hour to the cent, at which a printed cost holds."""
    low, high = (100 * cost / gpu_hours for cost in values_that_hold(load_register().claim(claim_id).figure("cost")))
    return ceil(low) / 100, floor(high) / 100


def where_the_figure_lies(claim_id: str, gpu_hours: float, rents: Mapping[str, float]) -> str:
    """Return a sentence on the rents that a printed cost stands for, and where they lie among the rents assumed."""
    low, high = rents_that_print(claim_id, gpu_hours)
    printed = load_register().claim(claim_id).figure("cost").text
    inside = [f"${format_si(rent)}" for rent in rents.values() if low <= rent <= high]
    below, above = ([r for r in rents.values() if r < low], [r for r in rents.values() if r > high])
    if inside:
        place = f"{' and '.join(inside)} {'fits' if len(inside) == 1 else 'fit'}"
    elif below and above:
        place = f"it lies between ${format_si(max(below))} and ${format_si(min(above))}"
    else:
        place = f"it lies {'above' if below else 'below'} all three"
    return f"The printed {printed} needs a rent of ${format_si(low, 3)} to ${format_si(high, 3)} an hour: {place}."


@audit("A02", notebook="02_gpu_hours_to_dollars", unit="ratio", digits=3)
def fraction_of_the_cost(
    facts: Ledger, *, total_gpu_hours: float, reference_parameters: float, reference_tokens: float,
    reference_gpu_hours: float, price_usd_per_gpu_hour: float, market_price_usd_per_gpu_hour: float,
    list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Divide R1's training cost and list price by those of its rivals, as far as theirs are public."""
    own_gpu_hours = facts["deepseek_r1.own_training_usd"] / facts["price.h800_v3_report"]
    gpu_hours = total_gpu_hours + own_gpu_hours
    prices = rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    r1, inference = costs(gpu_hours, prices), facts["price.r1_output"] / facts["price.o1_output"]
    reference = reference_name(facts, reference_parameters, reference_tokens, reference_gpu_hours)
    rivals = {
        "Claude 3.5 Sonnet (Anthropic: a few tens of millions)": facts["claude_3_5_sonnet.training_usd"],
        "Claude 3.5 Sonnet (a third party's estimate)": facts["claude_3_5_sonnet.training_usd_by_epoch_amortised"],
        "GPT-4 (a third party's estimate)": facts["gpt_4.training_usd"],
    }
    training = {
        f"{rival}, {format_usd(usd, 3)}; R1 at {rent}": cost / usd
        for rival, usd in rivals.items()
        for rent, cost in r1.items()
    }
    training[f"{reference}, in GPU hours"] = gpu_hours / reference_gpu_hours
    later = {name: gpu_hours / facts[f"{key}.gpu_hours"] for key, name in LATER_RUNS.items()}
    cases = (Case(f"training against {name}", x, is_true=max(x, inference) <= FAR_LESS) for name, x in training.items())
    after = (Case(f"training against {name}", x, is_true=x <= FAR_LESS, about=name) for name, x in later.items())
    first = next(iter(training.values()))
    listed = " and ".join(f"{format_si(x, 3)} times {name}'s" for name, x in later.items())
    return Answer(
        (*cases, Case("training against o1", None), *after),
        f"Training: {format_percent(first)} of Claude 3.5 Sonnet's cost; output price: {format_percent(inference)} of "
        "o1's",
        f"R1 took V3's training and {format_si(own_gpu_hours)} GPU hours of its own: together {in_words(r1)} at "
        f"{rents_in_words(prices)}. Its output is listed at {format_percent(inference)} of o1's price, but a list "
        "price is not a cost, and what o1's training cost is not public. Anthropic says that Claude 3.5 Sonnet cost "
        f"a few tens of millions; we take {format_usd(next(iter(rivals.values())))}. We take a fraction to mean at "
        f"most {format_percent(FAR_LESS)}, in training and in inference. Later mixtures of experts were cheaper "
        f"still: R1 took {listed} hours.",
        "the article speaks of competitors; of those in R1's own report only Anthropic has said what it spent",
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
    cases = readings("cost", {f"all three stages at {name}": cost for name, cost in by_rent.items()})
    reading = f"pre-training alone at {next(iter(prices))}"
    return Answer(
        (*cases, Case(reading, alone, {"cost": alone}, about="pre-training")),
        f"{format_usd(total)} at ${format_si(price_usd_per_gpu_hour)} an hour, "
        f"{format_usd(by_rent[list(prices)[1]])} at a market price",
        f"{format_si(total_gpu_hours)} GPU hours cost {in_words(by_rent, 4)} at {rents_in_words(prices)}; pre-training "
        f"alone costs {format_usd(alone)} at the first. {where_the_figure_lies('A08', total_gpu_hours, prices)}",
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
    facts: Ledger, *, total_gpu_hours: float, pre_training_gpu_hours: float, reference_parameters: float,
    reference_tokens: float, reference_gpu_hours: float, active_parameters: float, tokens: float,
    gpu_hours_per_trillion_tokens: float, price_usd_per_gpu_hour: float, market_price_usd_per_gpu_hour: float,
    list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V3 with every baseline for which a figure is public; the claim names none."""
    printed = load_register().claim("A10").figure("ratio").value
    reference = reference_name(facts, reference_parameters, reference_tokens, reference_gpu_hours)
    size, parameters = reference_parameters * reference_tokens, facts["deepseek_v3.parameters"]
    per_token = reference_gpu_hours / pre_training_gpu_hours / size * tokens
    in_hours = {
        f"{reference}, GPU hours": reference_gpu_hours / total_gpu_hours,
        f"{reference}, GPU hours per active parameter and token": per_token * active_parameters,
        f"{reference}, GPU hours per parameter and token": per_token * parameters,
        "DeepSeek 67B, GPU hours per token": facts["deepseek_67b.gpu_hours_per_trillion_tokens"]
        / gpu_hours_per_trillion_tokens,
    }
    own, *others = costs(
        total_gpu_hours, rents(price_usd_per_gpu_hour, market_price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    ).items()
    in_dollars = {name: facts[key] for key, name in DOLLAR_BASELINES.items()}
    ratios = in_hours | {f"{name}, in dollars": usd / own[1] for name, usd in in_dollars.items()}
    # at each other rent the baseline that comes nearest to the printed figure
    for rent, cost in others:
        name = min(in_dollars, key=lambda name: abs(in_dollars[name] / cost - printed))
        ratios[f"{name}, in dollars, V3 at {rent}"] = in_dollars[name] / cost
    later = {name: facts[f"{key}.gpu_hours"] / total_gpu_hours for key, name in LATER_RUNS.items()}
    later |= {name: facts[f"{key}.training_usd_by_epoch_amortised"] / own[1] for key, name in LATER_IN_DOLLARS.items()}
    after = (Case(f"{name}, a later model", ratio, {"ratio": ratio}, about=name) for name, ratio in later.items())
    at_least, essay = facts["gpt_4.training_usd_by_openai"], facts["forty_five_times.ratio"]
    in_cloud = facts["grok_3.training_usd_by_epoch_cloud"] / own[1]
    maverick = {name: facts[f"llama_4_maverick.{name}"] for name in ("tokens", "active_parameters")}
    hours, low, high = next(iter(in_hours.values())), min(ratios.values()), max(ratios.values())
    return Answer(
        (*readings("ratio", ratios), *after),
        f"{format_si(hours, 3)} times against {reference}; {format_si(low, 2)} to {format_si(high, 2)} against others",
        f"The article names no baseline; an essay of {facts.date('forty_five_times.ratio')} mentions "
        f"{format_si(essay)} as a figure tossed around online. {format_si(printed)} times would need a baseline of "
        f"{format_si(printed * total_gpu_hours, 3)} GPU hours or {format_usd(printed * own[1], 3)}. OpenAI says only "
        f"that GPT-4 cost more than {format_usd(at_least)}: more than {format_si(at_least / own[1], 3)} times. Later "
        f"models do not count. Llama 4 Maverick used fewer hours than V3, for {format_si(maverick['tokens'])} tokens "
        f"and {format_si(maverick['active_parameters'])} active parameters; Grok-3 comes to "
        f"{format_si(later['Grok-3'], 3)} times if the hardware's cost is spread over its life, and to "
        f"{format_si(in_cloud, 3)} times at cloud prices.",
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
        f"{format_si(total_gpu_hours)} hours cover all stages; pre-training alone took "
        f"{format_si(pre_training_gpu_hours)}",
        f"Pre-training, on {format_si(tokens)} tokens, took {format_si(pre_training_gpu_hours)} hours: "
        f"{in_words(by_rent, 4)} at {rents_in_words(prices)}. All stages took {format_si(total_gpu_hours)}, "
        f"{format_usd(total)} at the first. {where_the_figure_lies('A29', pre_training_gpu_hours, prices)}",
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
        f"{format_si(gpu_hours, 3)} GPU hours of pre-training cost {in_words(by_rent)} at {rents_in_words(prices)}. "
        f"{format_usd(bound)} are "
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
    own, printed = next(iter(by_rent.values())), load_register().claim("B16").figure("cost")
    v3 = {
        f"V3's {stage} at {next(iter(prices))}": run_cost.rental_usd(
            facts[f"deepseek_v3.{key}_gpu_hours"], next(iter(prices.values()))
        )
        for key, stage in (("pre_training", "pre-training"), ("total", "whole run"))
    }
    beside = load_register().claim("B17").figure("gpu_hours")
    return Answer(
        (*readings("cost", by_rent), *(Case(name, cost, {"cost": cost}, about="V3") for name, cost in v3.items())),
        f"V2's run cost {format_usd(own, 2)} at ${format_si(price_usd_per_gpu_hour)} an hour; "
        f"{format_usd(printed.value)} would need ${format_si(printed.value / gpu_hours, 3)}",
        f"{format_si(gpu_hours, 3)} GPU hours of pre-training cost {in_words(by_rent)} at {rents_in_words(prices)}. "
        f"{where_the_figure_lies('B16', gpu_hours, prices)} More likely the sum is V3's, rounded down: the table "
        f"prints {beside.text} GPU hours beside it, which would mean ${format_si(printed.value / beside.value, 3)} an "
        "hour.",
        DEEPSEEKS_RENT,
    )
