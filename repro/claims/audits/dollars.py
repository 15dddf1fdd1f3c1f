"""Claims about what the GPU hours cost, and against whom."""

from math import ceil, floor

from repro.calc import run_cost
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si, format_usd
from repro.claims.register import load_register
from repro.claims.verdict import Case, readings
from repro.facts import Ledger


def v2_costs(tokens: float, rate: float, rent: float, list_price: float) -> tuple[float, dict[str, float], str]:
    """Return V2's GPU hours, what they cost by the price that is assumed, and these costs in words."""
    gpu_hours = run_cost.gpu_hours_from_rate(rate, tokens)
    costs = {
        f"a rent of ${format_si(rent)} per GPU hour": run_cost.rental_usd(gpu_hours, rent),
        f"a list price of ${format_si(list_price)}": run_cost.rental_usd(gpu_hours, list_price),
    }
    return gpu_hours, costs, " or ".join(format_usd(cost, 3) for cost in costs.values())


def rents_that_print(claim_id: str, gpu_hours: float) -> tuple[float, float]:
    """Return the lowest and the highest rent, in USD per hour to the cent, at which hours round to a printed cost."""
    printed = load_register().claim(claim_id).figure("cost")
    ends = printed.value - printed.place / 2, (printed.high or printed.value) + printed.place / 2
    low, high = (100 * end / gpu_hours for end in ends)
    return ceil(low) / 100, floor(high) / 100


@audit("A02", notebook="02_gpu_hours_to_dollars", unit="ratio", digits=3)
def fraction_of_the_cost(
    facts: Ledger, *, total_gpu_hours: float, reference_gpu_hours: float, price_usd_per_gpu_hour: float
) -> Answer:
    """Divide R1's training cost and list price by those of others, as far as theirs are public."""
    own_gpu_hours = facts["deepseek_r1.own_training_usd"] / facts["price.h800_v3_report"]
    r1 = run_cost.rental_usd(total_gpu_hours + own_gpu_hours, price_usd_per_gpu_hour)
    llama = run_cost.rental_usd(reference_gpu_hours, price_usd_per_gpu_hour)
    ratios = {
        "training against Llama 3.1 405B at the same rent": r1 / llama,
        "training against a third party's estimate for GPT-4": r1 / facts["gpt_4.training_usd"],
        "inference by list price against o1": facts["price.r1_output"] / facts["price.o1_output"],
    }
    listed = ", ".join(f"{format_percent(ratio)} ({name})" for name, ratio in ratios.items())
    return (*readings("ratio", ratios), Case("training against o1, the model that R1 is set beside", None)), (
        f"R1 is V3 and {format_si(own_gpu_hours)} GPU hours of its own, {format_usd(r1, 3)} at "
        f"${format_si(price_usd_per_gpu_hour)}: {listed}. A fraction is read as less than the whole. List prices are "
        "not costs."
    )


@audit("A08", notebook="02_gpu_hours_to_dollars", unit="USD")
def final_run_cost(
    facts: Ledger, *, total_gpu_hours: float, pre_training_gpu_hours: float, price_usd_per_gpu_hour: float
) -> Answer:
    """Work out the rent of all three stages, and of the first alone, to the two digits that the claim prints."""
    price = price_usd_per_gpu_hour
    total, alone = run_cost.rental_usd(total_gpu_hours, price), run_cost.rental_usd(pre_training_gpu_hours, price)
    return readings("cost", {"all three stages": total, "pre-training alone": alone}), (
        f"{format_si(total_gpu_hours)} GPU hours × ${format_si(price)} = {format_usd(total)}, which rounds to "
        f"{format_usd(total, 2)}; pre-training alone costs {format_usd(alone)}, which rounds to {format_usd(alone, 2)}."
    )


@audit("A09", notebook="02_gpu_hours_to_dollars", unit="USD")
def nothing_but_rent(facts: Ledger) -> Answer:
    """Subtract the rent of all GPU hours from the reported total, and see what is left."""
    price, total = facts["price.h800_v3_report"], facts["deepseek_v3.total_usd"]
    rent = run_cost.rental_usd(facts["deepseek_v3.total_gpu_hours"], price)
    half_a_place = load_register().claim("A46").figure("cost").place / 2
    return (Case("the report's own total, hours and rent", total - rent, is_true=abs(total - rent) <= half_a_place),), (
        f"{format_usd(total)} less {format_usd(rent)}, the rent of all GPU hours at ${format_si(price)}, leaves "
        f"{format_usd(total - rent)} for machines or earlier work; section 1 of the report excludes research and "
        "ablations in words."
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
    ratios = {
        "Llama 3.1 405B, GPU hours": hours,
        "Llama 3.1 405B, GPU hours per active parameter and token": hours * active_parameters * tokens / size,
        "Llama 3.1 405B, GPU hours per parameter and token": hours * parameters * tokens / size,
        "DeepSeek 67B, GPU hours per token": rate / gpu_hours_per_trillion_tokens,
        "GPT-4, a third party's estimate in dollars": facts["gpt_4.training_usd"] / cost,
        "Gemini Ultra, a third party's estimate in dollars": facts["gemini_ultra.training_usd"] / cost,
    }
    listed = "; ".join(f"{name}: {format_si(ratio, 3)}" for name, ratio in ratios.items())
    at_least = facts["gpt_4.training_usd_by_openai"]
    printed = load_register().claim("A10").figure("ratio").value
    return readings("ratio", ratios), (
        f"No baseline is named. {listed}. OpenAI's word for GPT-4, more than {format_usd(at_least)}, is a bound: more "
        f"than {format_si(at_least / cost, 3)}. {format_si(printed)} times would need a baseline of "
        f"{format_si(printed * total_gpu_hours, 3)} GPU hours or {format_usd(printed * cost, 3)}."
    )


@audit("A29", notebook="02_gpu_hours_to_dollars", unit="USD")
def tokens_hours_and_dollars(
    facts: Ledger, *, tokens: float, total_gpu_hours: float, pre_training_gpu_hours: float,
    price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Check three figures of one sentence, for the stage that it names and for all stages."""
    stages = {"all three stages": total_gpu_hours, "pre-training, as the sentence says": pre_training_gpu_hours}
    costs = {stage: run_cost.rental_usd(gpu_hours, price_usd_per_gpu_hour) for stage, gpu_hours in stages.items()}
    total, alone = costs.values()
    return tuple(
        Case(stage, costs[stage], {"tokens": tokens, "gpu_hours": gpu_hours, "cost": costs[stage]})
        for stage, gpu_hours in stages.items()
    ), (
        f"On {format_si(tokens)} tokens, all stages took {format_si(total_gpu_hours)} GPU hours, {format_usd(total)}; "
        f"pre-training, which saw these tokens, {format_si(pre_training_gpu_hours)}, {format_usd(alone)}."
    )


@audit("A46", notebook="02_gpu_hours_to_dollars", unit="USD")
def total_cost(facts: Ledger, *, total_gpu_hours: float, price_usd_per_gpu_hour: float) -> Answer:
    """Multiply the hours by the rent that the report assumes."""
    total = run_cost.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    return (Case("the stated rent", total, {"price": price_usd_per_gpu_hour, "cost": total}),), (
        f"{format_si(total_gpu_hours)} GPU hours × ${format_si(price_usd_per_gpu_hour)} = {format_usd(total)}. The "
        f"report assumes ${format_si(facts['price.h800_v3_report'])}; DeepSeek publishes no invoice."
    )


@audit("B01", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def far_below_500_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V2's rent with half a billion."""
    prices = price_usd_per_gpu_hour, list_price_usd_per_gpu_hour
    gpu_hours, costs, in_words = v2_costs(v2_tokens, v2_gpu_hours_per_trillion_tokens, *prices)
    bound = load_register().claim("B01").figure("cost").value
    below = " or ".join(format_si(bound / cost, 2) for cost in costs.values())
    return readings("cost", costs), (
        f"{format_si(gpu_hours, 3)} GPU hours of pre-training cost {in_words}, {below} times less than "
        f"{format_usd(bound)}, which would need a rent of ${format_si(bound / gpu_hours, 3)} per hour."
    )


@audit("B03", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def v2_two_to_five_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V2's rent with the printed range."""
    prices = price_usd_per_gpu_hour, list_price_usd_per_gpu_hour
    gpu_hours, costs, in_words = v2_costs(v2_tokens, v2_gpu_hours_per_trillion_tokens, *prices)
    low, high = rents_that_print("B03", gpu_hours)
    return readings("cost", costs), (
        f"V2's report gives no cost. Its rate and tokens come to {format_si(gpu_hours, 3)} GPU hours of pre-training, "
        f"{in_words}; rents of ${format_si(low, 3)} to ${format_si(high, 3)} per hour round into the printed range."
    )


@audit("B04", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def others_cost_millions(facts: Ledger, *, price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float) -> Answer:
    """Price Llama 3 70B's reported hours at two rents, and cite what is published about GPT-4."""
    gpu_hours = facts["llama_3_70b.gpu_hours"]
    costs = {
        f"Llama 3 70B at ${format_si(price)} per GPU hour": run_cost.rental_usd(gpu_hours, price)
        for price in (price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    }
    costs["GPT-4, a third party's estimate"] = facts["gpt_4.training_usd"]
    costs["GPT-4, by OpenAI's word at the least"] = facts["gpt_4.training_usd_by_openai"]
    listed = "; ".join(f"{name}: {format_usd(cost, 3)}" for name, cost in costs.items())
    return readings("cost", costs), (
        f"{listed}. Llama 3 70B took {format_si(gpu_hours)} GPU hours; OpenAI has not published those of GPT-4."
    )


@audit("B16", notebook="02_gpu_hours_to_dollars", unit="USD", digits=3)
def v2_five_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Answer:  # fmt: skip
    """Compare V2's rent with the one figure of the summary table."""
    prices = price_usd_per_gpu_hour, list_price_usd_per_gpu_hour
    gpu_hours, costs, in_words = v2_costs(v2_tokens, v2_gpu_hours_per_trillion_tokens, *prices)
    low, high = rents_that_print("B16", gpu_hours)
    return readings("cost", costs), (
        f"{format_si(gpu_hours, 3)} GPU hours of pre-training cost {in_words}; only rents of ${format_si(low, 3)} to "
        f"${format_si(high, 3)} per hour round to the printed figure. All stages of V3 cost "
        f"{format_usd(facts['deepseek_v3.total_usd'])} by its report."
    )
