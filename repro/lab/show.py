"""What notebooks show: tables of facts and verdicts, and findings that a run can be asked for."""

from collections.abc import Iterable, Sequence
from html import escape

import pandas as pd
from IPython.display import display

from repro.calc.rounding import to_digits
from repro.claims import Result
from repro.claims.verdict import grade
from repro.claims.words import quantity
from repro.facts import Facts
from repro.lab.run import FINDING

DIGITS = 6  # kept of a value in a notebook's output: more than any claim deserves, fewer than machines differ in


def show_tables_whole() -> None:
    """Let pandas show every row and the whole text of each cell."""
    pd.set_option("display.max_rows", 100, "display.max_colwidth", None, "display.width", 200)


def facts_table(facts: Facts, keys: Iterable[str]) -> pd.DataFrame:
    """Return facts as a table: value, unit, where it stands and how far to trust it.

    Raises: InputError for an unknown key.
    """
    rows = [facts[key] for key in keys]
    return pd.DataFrame(
        {
            "value": [quantity(fact.value, fact.unit) for fact in rows],
            "source": [fact.source for fact in rows],
            "locator": [fact.locator for fact in rows],
            "standing": [fact.standing for fact in rows],
        },
        index=pd.Index([fact.key for fact in rows], name="fact"),
    )


def scoreboard(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row per claim: verdict, figures as printed, value recomputed, and the claim in our words."""
    return pd.DataFrame(
        {
            "verdict": [str(result.verdict) for result in results],
            "printed": [result.printed for result in results],
            "recomputed": [result.recomputed for result in results],
            "claim": [result.claim.statement for result in results],
        },
        index=pd.Index([result.claim.id for result in results], name="id"),
    )


def cases_table(result: Result) -> pd.DataFrame:
    """Return one row per case of a finding: what is assumed, the value, and how the case comes out alone."""
    cases = result.finding.cases
    return pd.DataFrame(
        {
            "value": [quantity(case.value, result.finding.unit, result.finding.digits) for case in cases],
            "alone": [str(grade(result.claim.printed, case)) for case in cases],
        },
        index=pd.Index([case.assumption for case in cases], name="case"),
    )


def show(result: Result) -> None:
    """Display a verdict with its explanation, and the same as data for whoever reads the notebook by program."""
    claim, value = result.claim, result.finding.value if result.finding else None
    data = {
        "id": claim.id,
        "verdict": str(result.verdict),
        "value": None if value is None else to_digits(value, DIGITS),
        "unit": result.finding.unit if result.finding else None,
        "explanation": result.explanation,
    }
    plain = f"{claim.id} {result.verdict}: {claim.statement}.\n{result.explanation}"
    rich = (
        f"<p><b>{claim.id}: {escape(str(result.verdict))}</b> — {escape(claim.statement)}"
        f"<br>{escape(result.explanation)}</p>"
    )
    display({FINDING: data, "text/html": rich, "text/plain": plain}, raw=True)
