"""What commands print: JSON, tables, named fields."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any


def discard_output() -> None:
    """Send everything printed from here on nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(data: Any) -> None:
    """Print data as JSON; characters beyond ASCII stay as they are if the output can show them."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(data, indent=2, ensure_ascii=not unicode, allow_nan=False))


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print columns; the last one is cut at the edge of a terminal and whole elsewhere."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in (head, *rows):
        line = "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        print(line if edge is None or len(line) <= edge else line[: edge - 1] + "…")


def clean(text: str, longest: int | None = None) -> str:
    """Return a text on one line, with control characters escaped, cut after `longest` characters."""
    line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return line if longest is None or len(line) <= longest else f"{line[:longest]}…"


def print_field(name: str, text: str) -> None:
    """Print a text under a name, wrapped, the name in a column of its own."""
    first, *rest = textwrap.wrap(clean(text), 100, break_long_words=False) or [""]
    print(f"{name:<14} {first}".rstrip())
    for line in rest:
        print(f"{'':<14} {line}")


def print_fields(name: str, texts: Iterable[str]) -> None:
    """Print several texts under one name."""
    for place, text in enumerate(texts):
        print_field("" if place else name, text)


def format_number(value: Any) -> str:
    """Return a number as a person writes it: 1.48e13, 2, 2,664,000."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 1e12:
        return f"{value:.6g}".replace("e+", "e")
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1000 else f"{value:g}"
