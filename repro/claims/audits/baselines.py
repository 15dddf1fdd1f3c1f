"""Claims that set the cost beside that of other models."""

from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si, format_usd
from repro.claims.register import load_register
from repro.claims.rents import DEEPSEEKS_RENT, costs, in_words, rents, rents_in_words, where_the_figure_lies
from repro.claims.scenarios import reference_name
from repro.claims.verdict import FAR_LESS, Case, readings
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
