"""Claims about what the GPU hours cost, and against whom: notebook 02."""

from repro.calc import training
from repro.claims.audit import Finding
from repro.claims.audits.hours import audits
from repro.claims.register import load_register
from repro.claims.verdict import Case
from repro.claims.words import percent, short, usd
from repro.facts import Ledger


def v2_costs(
    v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float, price: float, list_price: float
) -> tuple[float, dict[str, float]]:
    """Return V2's GPU hours, and their rent in USD by the price that is assumed."""
    gpu_hours = training.gpu_hours_from_rate(v2_gpu_hours_per_trillion_tokens, v2_tokens)
    prices = {
        f"a rent of ${short(price)} per GPU hour": price,
        f"a list price of ${short(list_price)}": list_price,
    }
    return gpu_hours, {words: training.rental_usd(gpu_hours, rent) for words, rent in prices.items()}


@audits("A02")
def fraction_of_the_cost(
    facts: Ledger, *, total_gpu_hours: float, reference_gpu_hours: float, price_usd_per_gpu_hour: float
) -> Finding:
    """R1's training and list price over those of others, as far as theirs are public."""
    v3 = training.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    r1 = v3 + facts["deepseek_r1.reinforcement_learning_usd"]
    llama = training.rental_usd(reference_gpu_hours, price_usd_per_gpu_hour)
    ratios = {
        "training against Llama 3.1 405B at the same rent": r1 / llama,
        "training against the published estimate for GPT-4": r1 / facts["gpt_4.training_usd"],
        "inference by list price against o1": facts["price.r1_output"] / facts["price.o1_output"],
        "training against o1": None,
    }
    known = {what: ratio for what, ratio in ratios.items() if ratio is not None}
    return Finding(
        "ratio",
        tuple(Case(what, ratio, {} if ratio is None else {"ratio": ratio}) for what, ratio in ratios.items()),
        f"R1 is V3 plus {usd(facts['deepseek_r1.reinforcement_learning_usd'])} of reinforcement learning, "
        f"{usd(r1, 3)} in all: "
        + ", ".join(f"{percent(ratio)} ({what})" for what, ratio in known.items())
        + ". List prices are not costs, and what o1 took to train has not been published.",
        digits=3,
    )


@audits("A08")
def final_run_cost(
    facts: Ledger, *, total_gpu_hours: float, pre_training_gpu_hours: float, price_usd_per_gpu_hour: float
) -> Finding:
    """The rent of all three stages, and of the first alone, to the two digits that the claim prints."""
    total = training.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    alone = training.rental_usd(pre_training_gpu_hours, price_usd_per_gpu_hour)
    return Finding(
        "USD",
        (
            Case("all three stages", total, {"cost": total}),
            Case("pre-training alone", alone, {"cost": alone}),
        ),
        f"{short(total_gpu_hours)} GPU hours × ${short(price_usd_per_gpu_hour)} = {usd(total)}, which rounds to "
        f"{usd(total, 2)}; pre-training alone costs {usd(alone)}, which rounds to {usd(alone, 2)}.",
    )


@audits("A09")
def nothing_but_rent(facts: Ledger, *, total_gpu_hours: float, price_usd_per_gpu_hour: float) -> Finding:
    """What is left of the reported total after the rent of the GPU hours."""
    rent = training.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    total = facts["deepseek_v3.total_usd"]
    left = total - rent
    half_a_place = load_register().claim("A46").figure("cost").place / 2
    return Finding(
        "USD",
        (Case("the reported total", left, true=abs(left) <= half_a_place),),
        f"{usd(total)} reported less {usd(rent)} of rent leaves {usd(left)} for anything else, so neither ownership "
        "nor earlier work is in it. Section 1 of the report says the same of research and ablations.",
    )


@audits("A10")
def forty_five_times(
    facts: Ledger, *, total_gpu_hours: float, reference_parameters: float, reference_tokens: float,
    reference_gpu_hours: float, tokens: float, gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float,
) -> Finding:  # fmt: skip
    """V3 against every baseline for which a figure is public; the claim names none."""
    cost = training.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    by_hours = reference_gpu_hours / total_gpu_hours
    per_parameter = by_hours * (facts["deepseek_v3.parameters"] * tokens) / (reference_parameters * reference_tokens)
    ratios = {
        "Llama 3.1 405B, GPU hours": by_hours,
        "Llama 3.1 405B, GPU hours per parameter and token": per_parameter,
        "DeepSeek 67B, GPU hours per token": (
            facts["deepseek_67b.gpu_hours_per_trillion_tokens"] / gpu_hours_per_trillion_tokens
        ),
        "GPT-4, a third party's estimate in dollars": facts["gpt_4.training_usd"] / cost,
        "GPT-4, more than $100M by OpenAI's word": facts["gpt_4.training_usd_by_openai"] / cost,
        "Gemini Ultra, a third party's estimate in dollars": facts["gemini_ultra.training_usd"] / cost,
    }  # fmt: skip
    printed = load_register().claim("A10").figure("ratio").value
    return Finding(
        "ratio",
        tuple(Case(what, ratio, {"ratio": ratio}) for what, ratio in ratios.items()),
        "No baseline is named. "
        + "; ".join(f"{what}: {short(ratio, 3)}" for what, ratio in ratios.items())
        + f". {short(printed)} times would need a baseline of {short(printed * total_gpu_hours, 3)} GPU hours or "
        f"{usd(printed * cost, 3)}. Parameters count whether active or not.",
        digits=3,
    )


@audits("A29")
def tokens_hours_and_dollars(
    facts: Ledger, *, tokens: float, total_gpu_hours: float, pre_training_gpu_hours: float,
    price_usd_per_gpu_hour: float,
) -> Finding:  # fmt: skip
    """The three figures of one sentence."""
    cost = training.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    figures = {"tokens": tokens, "gpu_hours": total_gpu_hours, "cost": cost}
    return Finding(
        "USD",
        (Case("all three stages", cost, figures),),
        f"{short(tokens)} tokens, {short(total_gpu_hours)} GPU hours, {usd(cost)}. The article ties the hours to "
        f"pre-training, which took {short(pre_training_gpu_hours)} of them.",
    )


@audits("A46")
def total_cost(facts: Ledger, *, total_gpu_hours: float, price_usd_per_gpu_hour: float) -> Finding:
    """Hours times the rent that the report assumes."""
    total = training.rental_usd(total_gpu_hours, price_usd_per_gpu_hour)
    return Finding(
        "USD",
        (Case("the stated rent", total, {"price": price_usd_per_gpu_hour, "cost": total}),),
        f"{short(total_gpu_hours)} GPU hours × ${short(price_usd_per_gpu_hour)} = {usd(total)}. The report "
        f"assumes ${short(facts['price.h800_v3_report'])}; DeepSeek publishes no invoice.",
    )


@audits("B01")
def far_below_500_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Finding:  # fmt: skip
    """V2's rent against half a billion."""
    gpu_hours, costs = v2_costs(
        v2_tokens, v2_gpu_hours_per_trillion_tokens, price_usd_per_gpu_hour, list_price_usd_per_gpu_hour
    )
    bound = load_register().claim("B01").figure("cost").value
    break_even = training.implied_price_usd_per_gpu_hour(bound, gpu_hours)
    return Finding(
        "USD",
        tuple(Case(words, cost, {"cost": cost}) for words, cost in costs.items()),
        f"{short(gpu_hours, 3)} GPU hours cost {' or '.join(usd(cost, 3) for cost in costs.values())}; "
        f"{usd(bound)} would need a rent of ${short(break_even, 3)} per hour, or costs beyond the run.",
        digits=3,
    )


@audits("B03")
def v2_two_to_five_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Finding:  # fmt: skip
    """V2's rent against the printed range."""
    gpu_hours, costs = v2_costs(
        v2_tokens, v2_gpu_hours_per_trillion_tokens, price_usd_per_gpu_hour, list_price_usd_per_gpu_hour
    )
    printed = load_register().claim("B03").figure("cost")
    low, high = (training.implied_price_usd_per_gpu_hour(end, gpu_hours) for end in (printed.value, printed.high))
    return Finding(
        "USD",
        tuple(Case(words, cost, {"cost": cost}) for words, cost in costs.items()),
        f"V2's report gives no cost. Its rate and tokens come to {short(gpu_hours, 3)} GPU hours, "
        f"{' or '.join(usd(cost, 3) for cost in costs.values())}; the printed range means a rent of "
        f"${short(low, 3)} to ${short(high, 3)} per GPU hour.",
        digits=3,
    )


@audits("B04")
def others_cost_tens_or_hundreds_of_millions(
    facts: Ledger, *, price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float
) -> Finding:
    """Llama 3 70B's reported hours at two prices, and what is published of GPT-4."""
    gpu_hours = facts["llama_3_70b.gpu_hours"]
    costs = {
        f"Llama 3 70B at ${short(price)} per GPU hour": training.rental_usd(gpu_hours, price)
        for price in (price_usd_per_gpu_hour, list_price_usd_per_gpu_hour)
    }
    costs["GPT-4, a third party's estimate"] = facts["gpt_4.training_usd"]
    costs["GPT-4, more than $100M by OpenAI's word"] = facts["gpt_4.training_usd_by_openai"]
    return Finding(
        "USD",
        tuple(Case(what, cost, {"cost": cost}) for what, cost in costs.items()),
        "; ".join(f"{what}: {usd(cost, 3)}" for what, cost in costs.items())
        + f". Llama 3 70B took {short(gpu_hours)} GPU hours; nobody has published those of GPT-4.",
        digits=3,
    )


@audits("B16")
def v2_five_million(
    facts: Ledger, *, v2_tokens: float, v2_gpu_hours_per_trillion_tokens: float,
    price_usd_per_gpu_hour: float, list_price_usd_per_gpu_hour: float,
) -> Finding:  # fmt: skip
    """V2's rent against the one figure of the summary table."""
    gpu_hours, costs = v2_costs(
        v2_tokens, v2_gpu_hours_per_trillion_tokens, price_usd_per_gpu_hour, list_price_usd_per_gpu_hour
    )
    printed = load_register().claim("B16").figure("cost").value
    needed = training.implied_price_usd_per_gpu_hour(printed, gpu_hours)
    return Finding(
        "USD",
        tuple(Case(words, cost, {"cost": cost}) for words, cost in costs.items()),
        f"{short(gpu_hours, 3)} GPU hours cost {' or '.join(usd(cost, 3) for cost in costs.values())}; "
        f"{usd(printed)} would mean a rent of ${short(needed, 3)}. V3's total at $2 is "
        f"{usd(facts['deepseek_v3.total_usd'])}.",
        digits=3,
    )
