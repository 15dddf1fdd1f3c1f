"""Claims about what the GPU hours cost."""

from repro.calc import run_cost
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_si, format_usd
from repro.claims.register import load_register
from repro.claims.rents import DEEPSEEKS_RENT, costs, in_words, rents, rents_in_words, where_the_figure_lies
from repro.claims.verdict import FAR_LESS, Case, readings
from repro.facts import Ledger


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
