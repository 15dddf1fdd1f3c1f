"""Claims about benchmark scores."""

from repro.calc.scores import compare, tally
from repro.claims.audit import Answer, audit
from repro.claims.formatting import format_si
from repro.claims.scenarios import CLAUDE, GPT, V3, describe_losses, describe_tallies, net_wins, percentages
from repro.claims.verdict import Case
from repro.facts import Ledger


@audit("A01", notebook="08_benchmarks_and_context", unit="benchmarks, won minus lost")
def r1_better_or_equal(facts: Ledger, *, tie_points: float) -> Answer:
    """Compare R1 with each model of its report's table, on the whole and on every benchmark."""
    rows = facts.table("r1_table_4")
    rivals = ("OpenAI-o1-1217", "OpenAI-o1-mini", CLAUDE, GPT)
    pairs = {name: percentages(compare(rows, "DeepSeek-R1", name)) for name in rivals}
    least = min(net_wins(pair, tie_points) for pair in pairs.values())
    losses = {name: describe_losses(pair, tie_points) for name, pair in pairs.items()}
    rating = next(pair for pair in compare(rows, "DeepSeek-R1", rivals[0]) if pair.metric == "Rating")
    against_o1 = tally(pairs[rivals[0]], tie_points=tie_points)
    margin = sum(pair.margin for pair in pairs[rivals[0]]) / len(pairs[rivals[0]])
    return Answer(
        (
            Case("on the whole, against each of the four rivals in its report", least, is_true=least >= 0),
            Case("on every benchmark, against each of them", least, is_true=not any(losses.values())),
        ),
        f"In R1's own report R1 beats o1 on {against_o1['won']} benchmarks, loses {against_o1['lost']}",
        f"{describe_tallies(pairs, tie_points)}. Lost to o1: {', '.join(losses[rivals[0]]) or 'none'}; the mean "
        f"margin is {margin:+.1f} points. Left out is the Codeforces rating, which repeats the percentile, "
        f"{format_si(-rating.margin)} below o1's. The scores are DeepSeek's, those of o1 from official reports; gaps "
        f"up to {format_si(tie_points)} points count as equal, the V3 report's rule being "
        f"{format_si(facts['convention.tie_points'])}.",
        "the sentence speaks of performance as a whole",
    )


@audit("A27", notebook="08_benchmarks_and_context", unit="benchmarks, won minus lost")
def ahead_in_reasoning_and_mathematics(facts: Ledger, *, tie_points: float) -> Answer:
    """Compare V3 with the two closed models, in mathematics and in reasoning."""
    rows = facts.table("v3_table_6")
    pairs = {
        f"{area} against {name}": compare(rows, V3, name, (area,))
        for area in ("mathematics", "reasoning", "reasoning, questions")
        for name in (GPT, CLAUDE)
    }
    losses = {name: describe_losses(pair, tie_points) for name, pair in pairs.items()}
    in_both = ("mathematics", "reasoning against")
    whole, questions = (
        min(net_wins(pair, tie_points) for name, pair in pairs.items() if name.startswith(areas))
        for areas in (in_both, ("mathematics", "reasoning, questions"))
    )
    won = sum(tally(pair, tie_points=tie_points)["won"] for name, pair in pairs.items() if name.startswith(in_both))
    played = sum(len(pair) for name, pair in pairs.items() if name.startswith(in_both))
    lost = "; ".join(f"{name}: {', '.join(names)}" for name, names in losses.items() if names) or "none"
    return Answer(
        (
            Case("on the whole, in both areas, against both", whole, is_true=whole > 0),
            Case("the same without tests that the report calls long-context", questions, is_true=questions > 0),
            Case("on every benchmark of both areas, against both", whole, is_true=whole > 0 and lost == "none"),
        ),
        f"V3 wins {won} of {played} comparisons in maths and reasoning",
        f"V3 in {describe_tallies(pairs, tie_points)}. Lost: {lost}. The table has {GPT}, not GPT-4; the sorting of "
        "benchmarks into areas is this project's, but for the long-context tests, DROP, FRAMES and LongBench v2.",
        "being ahead in an area is winning more of it than is lost",
    )


@audit("A28", notebook="08_benchmarks_and_context", unit="benchmarks of coding, won minus lost")
def claude_ahead_in_writing_and_coding(facts: Ledger, *, tie_points: float) -> Answer:
    """Compare Claude 3.5 Sonnet with V3, in writing and in kinds of coding; the claim joins both."""
    rows = facts.table("v3_table_6")
    pairs = {
        "open-ended": compare(facts.table("v3_table_7"), "Claude-Sonnet-3.5-1022", V3, ("writing",)),
        "all coding": compare(rows, CLAUDE, V3, ("coding",)),
        "engineering": compare(rows, CLAUDE, V3, ("coding, engineering",)),
        "algorithms": compare(rows, CLAUDE, V3, ("coding, algorithms",)),
    }
    ahead = {name: net_wins(pair, tie_points) for name, pair in pairs.items()}
    leads = ", ".join(name for name, count in ahead.items() if count > 0) or "nothing"
    scopes = {
        "writing taken as open-ended tests that another model judges, coding as all of it": ahead["all coding"],
        "the same, with coding as editing whole programs": ahead["engineering"],
    }
    claude, v3 = (facts[f"aider.{name}_percent"] for name in ("claude_3_5_sonnet", "deepseek_v3"))
    polyglot = next(row for row in rows if row["benchmark"] == "Aider-Polyglot")
    agree = (claude > v3) == (float(polyglot[CLAUDE]) > float(polyglot[V3]))
    return Answer(
        (
            Case("writing and coding", None),
            *(Case(scope, count, is_true=ahead["open-ended"] > 0 and count > 0) for scope, count in scopes.items()),
        ),
        "No test measures writing; on coding, DeepSeek's report and Aider's leaderboard "
        f"{'agree' if agree else 'disagree'}",
        "Claude 3.5 Sonnet against V3, in open-ended tests, none of which is a test of writing, and in coding: "
        f"{describe_tallies(pairs, tie_points)}. Claude leads in {leads}; a lead is more benchmarks won than lost. On "
        f"Aider's polyglot benchmark the report prints {polyglot[CLAUDE]} for Claude and {polyglot[V3]} for V3; "
        f"Aider's own leaderboard has {format_si(claude)} and {format_si(v3)}.",
        "by writing, people mean essays, letters, stories, and no published test is of these",
    )
