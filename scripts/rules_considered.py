"""Prints what every rule that was considered would make of every claim, as a Markdown table for docs/method.md.

Run: python scripts/rules_considered.py

Each column changes one choice of the rule (repro/claims/verdict.py, Rule) and leaves the others; a cell is empty where
the verdict stays. The readings are the same in all columns. The last lines count.
"""

from collections import Counter

from repro.claims import AuditResult, Verdict, judge, run_all
from repro.claims.verdict import RULE, Rule

RULES = {
    "adopted": RULE,
    "any reading is enough": Rule(ordinary_first=False),
    "“about” allows nothing extra": Rule(approximate="nothing"),
    "“about” allows 5%": Rule(approximate="5%"),
    "rounding alone": Rule(capped=False),
    "a tenth of the printed figure": Rule(tenth_of="printed"),
    "another model's figure counts as wrong": Rule(borrowed="wrong"),
    "another model's figure counts as a reading": Rule(borrowed="a reading"),
    "readings without a figure are ignored": Rule(unknown_counts=False),
}


def verdict_under(result: AuditResult, rule: Rule) -> Verdict:
    """Return the verdict on an audited claim by another rule; context stays context."""
    if result.verdict is Verdict.CONTEXT or result.finding is None:
        return result.verdict
    return judge(result.claim.printed, result.finding.cases, rule)


def rows(results: list[AuditResult]) -> list[list[str]]:
    """Return one row per claim that can be judged: its id, its verdict, and every other rule's where that differs."""
    table = []
    for result in results:
        if result.verdict is not Verdict.CONTEXT:
            adopted, *others = (str(verdict_under(result, rule)) for rule in RULES.values())
            table.append([result.claim.id, adopted, *("" if other == adopted else other for other in others)])
    return table


def counts(results: list[AuditResult]) -> list[list[str]]:
    """Return one row per verdict: how many claims get it by each rule."""
    columns = [Counter(verdict_under(result, rule) for result in results) for rule in RULES.values()]
    found = [verdict for verdict in Verdict if any(column[verdict] for column in columns)]
    return [[f"**{verdict}**", *(str(column[verdict]) for column in columns)] for verdict in found]


def markdown() -> str:
    """Return the whole table."""
    results = run_all()
    lines = [["claim", *RULES], ["---"] * (len(RULES) + 1), *rows(results), *counts(results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    print(markdown())
