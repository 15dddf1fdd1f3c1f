"""Claims that no computation settles, each with what was published and when."""

from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_percent, format_si, format_usd
from repro.claims.scenarios import architecture, counted_train_flop_per_token
from repro.facts import Ledger


@audit("A03", notebook="08_benchmarks_and_context")
def first_in_the_app_store(facts: Ledger) -> Answer:
    """Cite the app's rank from the press."""
    rank, date = facts["app_store.rank"], facts.date("app_store.rank")
    return Answer(
        (),
        f"DeepSeek reached number {format_si(rank)} of free apps in the US App Store",
        f"Press of {date}: place {format_si(rank)} of free apps in the US App Store, reached on 26 January 2025 by two "
        "firms that track it; other reports say the 27th. Apple's own list was not read.",
    )


@audit("A04", notebook="08_benchmarks_and_context")
def share_prices(facts: Ledger) -> Answer:
    """Cite Nvidia's fall from the press."""
    fall, lost = facts["nvidia.fall_on_27_january_2025"], facts["nvidia.value_lost_usd"]
    return Answer(
        (),
        f"Nvidia fell by nearly {format_percent(fall)} on 27 January 2025",
        f"Press of {facts.date('nvidia.value_lost_usd')}: Nvidia fell by nearly {format_percent(fall)} in one day, "
        f"{format_usd(lost, 3)} of market value; other reports give $589B to $594B.",
    )


@audit("A05", notebook="08_benchmarks_and_context")
def algorithms_over_hardware(facts: Ledger) -> Answer:
    """Count what can be counted: work and cache per token, and the hardware that V3 still took."""
    v3, llama = (counted_train_flop_per_token(facts, name, 6) for name in ("deepseek_v3", "llama_3_1_405b"))
    cache = architecture(facts, "deepseek_v3").attention.cache_elements
    return Answer(
        (),
        f"V3 needs {format_percent(v3 / llama, 2)} of Llama 3.1 405B's work per token",
        f"A reading of history. What can be counted: V3 needs {format_percent(v3 / llama)} of Llama 3.1 405B's FLOP "
        f"per token and caches {cache} elements per token and layer; its FP8 products ran on Hopper GPUs, of which it "
        f"took {format_si(facts['deepseek_v3.gpus'])}. How much was pushed for elsewhere is not a quantity.",
    )


@audit("A22", notebook="08_benchmarks_and_context")
def own_framework(facts: Ledger) -> Answer:
    """Cite who says that V3 used HAI-LLM, and how old HAI-LLM is."""
    year, published = facts["hai_llm.year"], facts.date("deepseek_v3.tokens")
    return Answer(
        (),
        f"HAI-LLM is DeepSeek's own, and dates from {year:.0f}",
        f"V3's report of {published}, section 3.2, says that its own engineers wrote HAI-LLM. V2's report cites it as "
        f"of {year:.0f}: it is DeepSeek's, and older than V3. Parts of it are public, such as DualPipe, the whole is "
        "not.",
    )


@audit("B02", notebook="08_benchmarks_and_context")
def billions_of_infrastructure(facts: Ledger) -> Answer:
    """Cite the capital that two companies announced and reported."""
    spent, planned = facts["meta.capital_2024_usd"], facts["meta.capital_planned_2025_usd"]
    return Answer(
        (),
        f"Meta spent {format_usd(spent, 2)} on infrastructure in 2024",
        f"Meta reported {format_usd(spent)} of capital expenditures for 2024 on {facts.date('meta.capital_2024_usd')} "
        f"and plans at least {format_usd(planned)} for 2025. OpenAI's Stargate announced "
        f"{format_usd(facts['stargate.planned_usd'])} over four years on {facts.date('stargate.planned_usd')}, an "
        "intention.",
    )


@audit("B10", notebook="08_benchmarks_and_context")
def export_rules(facts: Ledger) -> Answer:
    """Cite the rules and their dates; nobody publishes motives."""
    first, second = facts.date("export_rules.first_year"), facts.date("export_rules.h800_year")
    link, full = (facts[f"{card}.nvlink_bytes_per_s"] / 1e9 for card in ("h800_sxm", "h100_sxm"))
    return Answer(
        (),
        f"The H800's link was cut from {format_si(full)} to {format_si(link)} GB/s",
        f"US rules of {first} closed China to the H100. The H800, its link cut from {format_si(full)} to "
        f"{format_si(link)} GB/s to comply as a paper of DeepSeek's says, was sold until notice under the rules of "
        f"{second}. The same paper says that policy and regulatory constraints held its network to just over "
        f"{format_si(facts['deepseek_v3.gpus_by_policy'])} GPUs.",
    )
