"""Claims about benchmark scores: notebook 08."""

from collections.abc import Iterable
from functools import partial

from repro.calc.scores import Comparison, compare, tally
from repro.claims.audit import Finding, audit
from repro.claims.formatting import format_si
from repro.claims.verdict import Case
from repro.facts import Ledger

NOTEBOOK = "08_benchmarks_and_context"
V3, CLAUDE, GPT = "DeepSeek-V3", "Claude-3.5-Sonnet-1022", "GPT-4o-0513"
audits = partial(audit, notebook=NOTEBOOK)


def percentages(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Return those whose scores are percentages; ratings and bits per byte have other scales."""
    return [one for one in comparisons if one.metric not in ("Rating", "BPB")]


def record(comparisons: list[Comparison], tie_points: float) -> str:
    """Return a tally as words, such as "5 won, 1 tied, 2 lost"."""
    return ", ".join(f"{count} {outcome}" for outcome, count in tally(comparisons, tie_points=tie_points).items())


def net(comparisons: list[Comparison], tie_points: float) -> int:
    """Return how many more benchmarks were won than lost."""
    counts = tally(comparisons, tie_points=tie_points)
    return counts["won"] - counts["lost"]


def lost(comparisons: list[Comparison], tie_points: float) -> list[str]:
    """Return the benchmarks lost, each with its margin in points."""
    return [
        f"{one.benchmark} by {format_si(-one.margin)}"
        for one in comparisons
        if one.outcome(tie_points=tie_points) == "lost"
    ]


@audits("A01")
def r1_better_or_equal(facts: Ledger, *, tie_points: float) -> Finding:
    """R1 against each model of its report's table, on the whole and on every benchmark."""
    rows = facts.table("r1_table_4")
    rivals = ("OpenAI-o1-1217", "OpenAI-o1-mini", CLAUDE, GPT)
    pairs = {name: percentages(compare(rows, "DeepSeek-R1", name)) for name in rivals}
    least = min(net(pair, tie_points) for pair in pairs.values())
    losses = {name: lost(pair, tie_points) for name, pair in pairs.items()}
    ratings = [one for one in compare(rows, "DeepSeek-R1", rivals[0]) if one.metric == "Rating"]
    return Finding(
        "benchmarks, won less lost",
        (
            Case("on the whole, against each of the four rivals in its report", least, true=least >= 0),
            Case("on every benchmark, against each of them", least, true=not any(losses.values())),
        ),
        "; ".join(f"{name}: {record(pair, tie_points)}" for name, pair in pairs.items())
        + f". Lost to o1: {', '.join(losses[rivals[0]]) or 'none'}. Left out is the Codeforces rating, which repeats "
        f"the percentile, {format_si(-ratings[0].margin)} below o1's. The scores are DeepSeek's, those of o1 from "
        f"official reports; gaps up to {format_si(tie_points)} points count as equal, the V3 report's rule being "
        f"{format_si(facts['convention.tie_points'])}.",
    )


@audits("A27")
def ahead_in_reasoning_and_mathematics(facts: Ledger, *, tie_points: float) -> Finding:
    """V3 against the two closed models, in mathematics and in reasoning."""
    rows = facts.table("v3_table_6")
    pairs = {
        f"{area} against {name}": compare(rows, V3, name, (area,))
        for area in ("mathematics", "reasoning", "reasoning, questions")
        for name in (GPT, CLAUDE)
    }
    ahead = {what: net(pair, tie_points) for what, pair in pairs.items()}
    losses = {what: lost(pair, tie_points) for what, pair in pairs.items()}
    whole, questions = (
        min(count for what, count in ahead.items() if what.startswith(areas))
        for areas in (("mathematics", "reasoning against"), ("mathematics", "reasoning, questions"))
    )
    listed = "; ".join(f"{what}: {', '.join(names)}" for what, names in losses.items() if names) or "none"
    return Finding(
        "benchmarks, won less lost",
        (
            Case("on the whole, in both areas, against both", whole, true=whole > 0),
            Case("the same without tests that the report calls long-context", questions, true=questions > 0),
            Case("on every benchmark of both areas, against both", whole, true=whole > 0 and not any(losses.values())),
        ),
        "V3 in "
        + "; ".join(f"{what}: {record(pair, tie_points)}" for what, pair in pairs.items())
        + f". Lost: {listed}. The table has {GPT}, not GPT-4; the sorting of benchmarks into areas is this project's, "
        "but for the long-context tests, DROP, FRAMES and LongBench v2.",
    )


@audits("A28")
def claude_ahead_in_writing_and_coding(facts: Ledger, *, tie_points: float) -> Finding:
    """Claude 3.5 Sonnet against V3, in writing and in kinds of coding."""
    rows = facts.table("v3_table_6")
    pairs = {
        "writing": compare(facts.table("v3_table_7"), "Claude-Sonnet-3.5-1022", V3, ("writing",)),
        "all coding": compare(rows, CLAUDE, V3, ("coding",)),
        "engineering": compare(rows, CLAUDE, V3, ("coding, engineering",)),
        "algorithms": compare(rows, CLAUDE, V3, ("coding, algorithms",)),
    }
    ahead = {what: net(pair, tie_points) for what, pair in pairs.items()}

    leads = ", ".join(what for what, count in ahead.items() if count > 0)

    def case(what: str, coding: str) -> Case:
        return Case(what, ahead[coding], true=ahead["writing"] > 0 and ahead[coding] > 0)

    return Finding(
        "benchmarks of coding, won less lost",
        (
            case("writing and all coding", "all coding"),
            case("writing and engineering, the coding that edits whole programs", "engineering"),
        ),
        "Claude 3.5 Sonnet against V3: "
        + "; ".join(f"{what}: {record(pair, tie_points)}" for what, pair in pairs.items())
        + f". Ahead in: {leads or 'nothing'}. Writing is read from open-ended tasks that another model judges; a lead "
        "is more benchmarks won than lost.",
    )
