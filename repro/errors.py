"""What goes wrong by a user's hand: one line that names the thing, the value and what would be right."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 15  # names listed where none is near
LONGEST = 60  # characters of a value, and twice as many of a name


class InputError(ValueError):
    """A mistake in what was given, told in one line."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that does not exist, with the nearest one that does.

    Args: kind: what the name should name, such as "claim". name: as given. known: the names that exist.
    """
    names = list(known)
    near = nearest_name(name, names)
    some = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    hint = f"did you mean {near}?" if near else f"there are: {some}"
    return InputError(f"unknown {kind} {name!r}; {hint}")


def nearest_name(name: str, names: list[str]) -> str | None:
    """Return the name closest to the one given, by spelling or as a part of it, or None."""
    folded = {known.lower(): known for known in names}
    close = get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    parts = [known for low, known in folded.items() if len(name) > 2 and name.lower() in low]
    return folded[close[0]] if close else (parts[0] if parts else None)


def preview(value: object) -> str:
    """Return a value as a file has it, on one line, cut where it is long."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def printable(name: str) -> str:
    """Return a name as it is, or escaped and cut where it would not stand on one line."""
    return name if name.isprintable() and len(name) <= 2 * LONGEST else preview(name)
