"""A finding as a card: verdict, what is true, the claim, the figures, and one reason; the rest folds away.

A card is HTML for a page, a few lines of text for a terminal, and data for programs that read the notebook. A claim is
shown as a card once, in the notebook that argues it; elsewhere a line that names it is enough.
"""

from collections.abc import Iterable
from html import escape
from typing import Any

from IPython.display import display

from repro import FINDING
from repro.calc.rounding import to_digits
from repro.claims import AuditResult, Verdict
from repro.claims.assumptions import ASSUMPTIONS
from repro.claims.formatting import format_quantity
from repro.claims.verdict import grade
from repro.facts import Facts, load
from repro.lab.figures import VERDICT_COLOURS

DIGITS = 6  # kept of a value in a notebook's output: more than any claim deserves, fewer than machines differ in
CARD = "border-left: 6px solid {}; padding: 0.2em 0.9em; margin: 0.8em 0; max-width: 46em"
BADGE = "background: {}; color: black; padding: 0.1em 0.5em; border-radius: 0.6em; font-weight: bold"


def show(result: AuditResult, facts: Facts | None = None) -> None:
    """Display a claim's verdict as a card, with its readings, assumptions and sources folded away."""
    plain = [f"{result.claim.id} {result.verdict}: {result.headline}.", f"Claim: {result.claim.statement}."]
    plain += [f"{name}: {text}" for name, text in _figures(result)]
    plain += [reason] if (reason := _reason(result)) else []
    rich = _card(result, facts if facts is not None else load())
    display({FINDING: finding_data(result), "text/html": rich, "text/plain": "\n".join(plain)}, raw=True)


def show_brief(*results: AuditResult, facts: Facts | None = None) -> None:
    """Display several claims, a line each with verdict, what is true and the figures; the claim and the rest fold away.

    For claims that need no discussion: a table repeated correctly, a sum that adds up.
    """
    known = facts if facts is not None else load()
    for result in results:
        figures = "; ".join(f"{name.lower()} {text}" for name, text in _figures(result))
        told = f"{result.headline}." + (f" {figures[:1].upper()}{figures[1:]}." if figures else "")
        name = f"{result.claim.id} {result.verdict}"
        head = f"<summary>{_badge(name, str(result.verdict))} {as_html(told)}</summary>"
        rich = (
            f"<details>{head}<ul>{_items([*_claim(result), *_readings(result), *_end(result, known)])}</ul></details>"
        )
        display({FINDING: finding_data(result), "text/html": rich, "text/plain": f"{name}: {told}"}, raw=True)


def show_line(result: AuditResult) -> None:
    """Display a claim's verdict in one line, where another notebook argues it."""
    name = f"{result.claim.id} {result.verdict}"
    where = f" See notebook {result.notebook[:2]}." if result.notebook else ""
    rich = f"<p>{_badge(name, str(result.verdict))} {as_html(result.headline)}.{where}</p>"
    plain = f"{name}: {result.headline}.{where}"
    display({FINDING: finding_data(result), "text/html": rich, "text/plain": plain}, raw=True)


def finding_data(result: AuditResult) -> dict[str, Any]:
    """Return a finding as plain data, its value to six digits."""
    value = result.finding.value if result.finding else None
    return {
        "id": result.claim.id,
        "verdict": str(result.verdict),
        "headline": result.headline,
        "value": None if value is None else to_digits(value, DIGITS),
        "unit": result.finding.unit if result.finding else None,
        "explanation": result.explanation,
    }


def as_html(value: object) -> str:
    """Escape text for a page, each dollar in an element of its own: two would read as the ends of a formula."""
    return escape(str(value)).replace("$", "<span>$</span>")


def _figures(result: AuditResult) -> list[tuple[str, str]]:
    """Return what the document prints, and what is recomputed; nothing if the document prints no figure."""
    if not result.printed:  # what was recomputed then is a count of no interest by itself
        return []
    pairs = [("Printed", result.printed), ("Recomputed", result.recomputed)]
    return [(name, text) for name, text in pairs if text not in ("", "—")]


def _reason(result: AuditResult) -> str:
    """Return the sentence in view: why the claim is read so, or for context, which has no verdict, what is cited."""
    return result.explanation if result.verdict is Verdict.CONTEXT else result.read_as


def _card(result: AuditResult, facts: Facts) -> str:
    colour = VERDICT_COLOURS[str(result.verdict)]
    figures = " · ".join(f"{name}: <b>{as_html(text)}</b>" for name, text in _figures(result))
    lines = [
        f"{_badge(f'{result.claim.id} {result.verdict}', str(result.verdict))} <b>{as_html(result.headline)}.</b>",
        f"Claim: {as_html(result.claim.statement)}.",
        figures,
        as_html(_reason(result)),
    ]
    body = "".join(f"<p style='margin: 0.3em 0'>{line}</p>" for line in lines if line)
    folded = [
        _folded("Readings and reasons", [*_readings(result), as_html(result.explanation)]),
        _folded("Assumptions", _assumptions(result, facts)),
        _folded("Sources", _sources(result, facts)),
    ]
    return f"<div style='{CARD.format(colour)}'>{body}{''.join(folded)}</div>"


def _badge(text: str, verdict: str) -> str:
    return f"<span style='{BADGE.format(VERDICT_COLOURS[verdict])}'>{as_html(text)}</span>"


def _claim(result: AuditResult) -> list[str]:
    return [f"Claim: {as_html(result.claim.statement)}.", as_html(_reason(result))]


def _end(result: AuditResult, facts: Facts) -> list[str]:
    """Return the explanation, the assumptions and the sources."""
    told = "" if result.verdict is Verdict.CONTEXT else as_html(result.explanation)
    return [told, *_assumptions(result, facts), *_sources(result, facts)]


def _folded(title: str, lines: Iterable[str]) -> str:
    items = _items(lines)
    return f"<details><summary>{title}</summary><ul>{items}</ul></details>" if items else ""


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{line}</li>" for line in lines if line)


def _readings(result: AuditResult) -> list[str]:
    """Return each reading with its value and what it would be judged if it stood alone, if there are several."""
    cases = result.finding.cases if result.finding else ()
    lines = []
    for case in cases if len(cases) > 1 else ():
        value = format_quantity(case.value, result.finding.unit, result.finding.digits) if result.finding else ""
        verdict = str(grade(result.claim.printed, case))
        about = f", about {case.about}" if case.about else ""
        lines.append(as_html(f"{result.mark_reading(case)}: {value} ({verdict}{about})"))
    return lines


def _assumptions(result: AuditResult, facts: Facts) -> list[str]:
    units = {name: ASSUMPTIONS[name].user_input(facts).unit for name in result.assumptions or {}}
    return [as_html(f"{name} = {value} {units[name]}") for name, value in (result.assumptions or {}).items()]


def _sources(result: AuditResult, facts: Facts) -> list[str]:
    """Return a line per publication, linked, with the places in it that were read."""
    places: dict[str, list[str]] = {}
    for key in result.sources:
        entry = facts.source(key)
        places.setdefault(entry.source, []).append(entry.locator)
    return [
        f"<a href='{escape(str(facts.references[source].url))}'>{as_html(facts.references[source].title)}</a>: "
        + as_html("; ".join(dict.fromkeys(where)))
        for source, where in places.items()
    ]
