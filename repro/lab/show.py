"""What notebooks show: tables of facts and verdicts, and findings that a run can be asked for."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import display

from repro.calc.rounding import to_digits
from repro.claims import Result
from repro.claims.verdict import grade
from repro.claims.words import quantity
from repro.facts import Fact, Facts
from repro.lab.figures import VERDICT_COLOURS
from repro.lab.run import FINDING

LEFT = 'style="text-align: left"'
DIGITS = 6  # kept of a value in a notebook's output: more than any claim deserves, fewer than machines differ in


def show_table(frame: pd.DataFrame, name: str = "") -> None:
    """Display a table with every row, texts on the left, and verdicts in their colours.

    Args: frame: of short texts and numbers. name: heading of the index, where it has none of its own.
    """
    body = frame.rename_axis(index=frame.index.name or name).reset_index()
    head = "".join(f"<th {LEFT}>{_html(name)}</th>" for name in body.columns)
    rows = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in body.itertuples(index=False))
    rich = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    display({"text/html": rich, "text/plain": body.to_string(index=False)}, raw=True)


def show_columns(name: str, columns: Mapping[str, Mapping[str, object]]) -> None:
    """Display columns that share their rows' names, which the first of them gives.

    Args: name: heading of the rows' names. columns: value by row, by column.
    """
    show_table(pd.DataFrame({head: dict(values) for head, values in columns.items()}), name)


def facts_table(facts: Facts, keys: Iterable[str]) -> pd.DataFrame:
    """Return facts and published files as a table: value, where it stands and how far to trust it.

    Raises: InputError for an unknown key.
    """
    rows = [facts.source(key) for key in keys]
    return pd.DataFrame(
        {
            "value": [quantity(row.value, row.unit) if isinstance(row, Fact) else "a file" for row in rows],
            "source": [fact.source for fact in rows],
            "locator": [fact.locator for fact in rows],
            "standing": [fact.provenance for fact in rows],
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
            "this case alone": [str(grade(result.claim.printed, case)) for case in cases],
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
        f"<p><b>{claim.id}: {_html(result.verdict)}</b> — {_html(claim.statement)}<br>{_html(result.explanation)}</p>"
    )
    display({FINDING: data, "text/html": rich, "text/plain": plain}, raw=True)


def _cell(value: object) -> str:
    colour = VERDICT_COLOURS.get(str(value))
    style = f'style="text-align: left; background-color: {colour}80"' if colour else LEFT
    return f"<td {style}>{_html(value)}</td>"


def _html(value: object) -> str:
    """Return text for a page; a dollar in its own element, or a browser would take two for the ends of a formula."""
    return escape(str(value)).replace("$", "<span>$</span>")
