"""What notebooks show as tables: facts, verdicts, and columns of numbers."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from IPython.display import display

from repro.claims import AuditResult
from repro.claims.formatting import format_quantity
from repro.facts import Fact, Facts
from repro.lab.cards import as_html
from repro.lab.figures import VERDICT_COLOURS

LEFT = 'style="text-align: left"'


def show_table(frame: pd.DataFrame, name: str = "") -> None:
    """Display every row of a table, texts on the left, verdicts in their colours; `name` heads a nameless index."""
    plain = _with_index(frame, name).to_string(index=False)
    display({"text/html": _table(frame, name), "text/plain": plain}, raw=True)


def _with_index(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame.rename_axis(index=frame.index.name or name).reset_index()


def _table(frame: pd.DataFrame, name: str) -> str:
    body = _with_index(frame, name)
    head = "".join(f"<th {LEFT}>{as_html(name)}</th>" for name in body.columns)
    rows = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in body.itertuples(index=False))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def show_columns(name: str, columns: Mapping[str, Mapping[str, object]]) -> None:
    """Display columns, each a value by row; `name` heads the rows' names, which the first column gives."""
    show_table(pd.DataFrame({head: dict(values) for head, values in columns.items()}), name)


def show_facts(facts: Facts, keys: Sequence[str]) -> None:
    """Display where some figures come from, folded away: value, publication with its address, place, standing."""
    rows = facts_table(facts, keys).reset_index()
    links = [f"<a href='{facts.references[source].url}'>{as_html(source)}</a>" for source in rows["source"]]
    cells = zip(rows["fact"], rows["value"], links, rows["locator"], rows["standing"], strict=True)
    body = "".join(
        f"<tr>{_cell(key)}{_cell(value)}<td {LEFT}>{link}</td>{_cell(place)}{_cell(standing)}</tr>"
        for key, value, link, place, standing in cells
    )
    title = f"Where {len(rows)} figures come from"
    head = "".join(f"<th {LEFT}>{name}</th>" for name in ("figure", "value", "source", "place", "standing"))
    rich = f"<details><summary>{title}</summary><table><tr>{head}</tr>{body}</table></details>"
    display({"text/html": rich, "text/plain": f"{title}: {', '.join(dict.fromkeys(rows['source']))}"}, raw=True)


def fold_table(title: str, frame: pd.DataFrame, name: str = "") -> None:
    """Display a table folded away below its title, for those who look something up."""
    rich = f"<details><summary>{as_html(title)}</summary>{_table(frame, name)}</details>"
    display({"text/html": rich, "text/plain": f"{title}: {len(frame)} rows"}, raw=True)


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


def _frame(rows: Iterable[Sequence[str]], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns).set_index(columns[0])


def _cell(value: object) -> str:
    colour = VERDICT_COLOURS.get(str(value))
    style = f'style="text-align: left; background-color: {colour}80"' if colour else LEFT
    return f"<td {style}>{as_html(value)}</td>"
