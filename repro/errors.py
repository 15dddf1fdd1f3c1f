"""Mistakes by a user's hand: one line that names the thing, the value, and what would be right."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 15  # listed if none of them is near
LONGEST = 60  # characters of a value that is shown; of a name twice as many


class InputError(ValueError):
    """A mistake in what the user gave, described in one line."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist, with the nearest one that does.

    Args:
        kind: what the name should name, such as "claim".
        name: as the user gave it.
        known: the names that exist.
    """
    names = list(known)
    if near := nearest_name(name, names):
        return InputError(f"unknown {kind} {name!r}; did you mean {near}?")
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return InputError(f"unknown {kind} {name!r}; there are: {', '.join(names[:MOST_NAMES])}{more}")


def nearest_name(name: str, names: list[str]) -> str | None:
    """Return the name most like the given one, in spelling or because it contains it, or None."""
    by_lower_case = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    containing = [known for lower, known in by_lower_case.items() if len(name) > 2 and name.lower() in lower]
    return by_lower_case[close[0]] if close else (containing[0] if containing else None)


def preview(value: object) -> str:
    """Return a value as a file shows it, on one line, cut if it is long."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def printable(name: str) -> str:
    """Return a name as it is, or escaped and cut if it would not fit on one line."""
    return name if name.isprintable() and len(name) <= 2 * LONGEST else preview(name)
