"""What notebooks show: tables of facts and verdicts, and findings that a program can read from the outputs."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import display

from repro import FINDING
from repro.calc.rounding import to_digits
from repro.claims import AuditResult
from repro.claims.formatting import format_quantity
from repro.claims.verdict import grade
from repro.facts import Fact, Facts
from repro.lab.figures import VERDICT_COLOURS

LEFT = 'style="text-align: left"'
DIGITS = 6  # kept of a value in a notebook's output: more than any claim deserves, fewer than machines differ in


def show_table(frame: pd.DataFrame, name: str = "") -> None:
    """Display every row of a table, texts on the left, verdicts in their colours; `name` heads a nameless index."""
    body = frame.rename_axis(index=frame.index.name or name).reset_index()
    head = "".join(f"<th {LEFT}>{_html(name)}</th>" for name in body.columns)
    rows = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in body.itertuples(index=False))
    rich = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    display({"text/html": rich, "text/plain": body.to_string(index=False)}, raw=True)


def show_columns(name: str, columns: Mapping[str, Mapping[str, object]]) -> None:
    """Display columns, each a value by row; `name` heads the rows' names, which the first column gives."""
    show_table(pd.DataFrame({head: dict(values) for head, values in columns.items()}), name)


def facts_table(facts: Facts, keys: Iterable[str]) -> pd.DataFrame:
    """Return facts and published files, or raise InputError: value, where it was published, how far to trust it."""
    rows = []
    for entry in map(facts.source, keys):
        value = format_quantity(entry.value, entry.unit) if isinstance(entry, Fact) else "a file"
        rows.append((entry.key, value, entry.source, entry.locator, entry.provenance))
    return _frame(rows, "fact", "value", "source", "locator", "standing")


def scoreboard(results: Sequence[AuditResult]) -> pd.DataFrame:
    """Return one row per claim: verdict, what is true, the figures printed and recomputed, and the claim itself."""
    rows = [(r.claim.id, str(r.verdict), r.headline, r.printed, r.recomputed, r.claim.statement) for r in results]
    return _frame(rows, "id", "verdict", "what is true", "printed", "recomputed", "claim")


def cases_table(result: AuditResult) -> pd.DataFrame:
    """Return one row per reading of an audited claim: what it assumes, the value, and its verdict if it stood alone."""
    claim, finding = result.claim, result.finding
    if finding is None:
        raise ValueError(f"{claim.id} is not audited yet, and so has no cases")
    rows = []
    for case in finding.cases:
        value = format_quantity(case.value, finding.unit, finding.digits)
        rows.append((result.mark_reading(case), value, str(grade(claim.printed, case))))
    return _frame(rows, "reading", "value", "this reading alone")


def _frame(rows: Iterable[Sequence[str]], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns).set_index(columns[0])


def show(result: AuditResult) -> None:
    """Display a verdict with its explanation, and the same as data for programs that read the notebook."""
    claim, value = result.claim, result.finding.value if result.finding else None
    data = {
        "id": claim.id,
        "verdict": str(result.verdict),
        "headline": result.headline,
        "value": None if value is None else to_digits(value, DIGITS),
        "unit": result.finding.unit if result.finding else None,
        "explanation": result.explanation,
    }
    told = f"{result.headline}. {result.explanation} {result.read_as}".strip()
    plain = f"{claim.id} {result.verdict}: {claim.statement}.\n{told}"
    head = f"<b>{claim.id}: {_html(result.verdict)}</b> — {_html(claim.statement)}"
    body = f"{_html(result.explanation)} {_html(result.read_as)}".strip()
    rich = f"<p>{head}<br><b>{_html(result.headline)}.</b> {body}</p>"
    display({FINDING: data, "text/html": rich, "text/plain": plain}, raw=True)


def _cell(value: object) -> str:
    colour = VERDICT_COLOURS.get(str(value))
    style = f'style="text-align: left; background-color: {colour}80"' if colour else LEFT
    return f"<td {style}>{_html(value)}</td>"


def _html(value: object) -> str:
    """Escape text for a page, each dollar in an element of its own: two would read as the ends of a formula."""
    return escape(str(value)).replace("$", "<span>$</span>")
