"""Ties the numbers in a notebook's text to what the notebook computes.

Text cannot change when a notebook is rerun with other assumptions, and nothing notices a digit that was mistyped. So
the last code cell of each notebook lists every number that its text states, each beside the value it stands for. In the
committed notebook all must agree, and the text may hold no number that is not listed. Rerun with other assumptions, the
cell tells which sentences no longer apply.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from IPython.display import display

from repro.calc.rounding import to_digits, within_place
from repro.errors import InputError

PROSE = "application/vnd.repro.prose+json"  # the mimetype under which a notebook's outputs carry the list
NUMBER = re.compile(r"(?<![\w.,])[-−+]?(\d+(?:,\d{3})*(?:\.\d+)?)")
SCALES = {"": 1.0, "%": 0.01, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "P": 1e15, "thousand": 1e3, "million": 1e6,
          "billion": 1e9, "trillion": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3, "TB": 1e12}  # fmt: skip
# What looks like a number in a text and states none: code, formulas, addresses, places in this and other documents,
# and names of models, formats and claims.
PLACES = "notebooks?|steps?|sections?|tables?|figures?|equations?|exercises?|appendix|pages?|chapters?|arXiv|version"
NOT_STATED = [
    r"\*\*\d+ minutes\*\*",
    r"```.*?```", r"`[^`]*`", r"\$\$.*?\$\$", r"\]\([^)]*\)", r"<[^>]*>", r"(?m)^\s*\d+\. ",
    rf"(?i)\b(?:{PLACES})\s+\d[\d.]*(?:(?:,|\s+and|\s+to|\s+or)\s+\d[\d.]*)*",
    r"\b(?:Llama|Claude|GPT|Qwen|Gemini|Grok|Mixtral|Python|DeepSeek|Gemma|Mistral)[ -]\d[\w.]*(?: \d+x?\d*B)?",
    r"(?<![\w.,])0\d\b", r"\b[A-Za-z][A-Za-z-]*\d[\w.]*", r"\b\d+[A-Z]\d\w*",
]  # fmt: skip


NO_NEED = {"0", "1", "2"}  # too common in a text to list
EXERCISES = "## Try it"  # the heading below which numbers are the reader's


@dataclass(frozen=True)
class Stated:
    """A number as a text states it: its value, and what one unit of its last digit is worth."""

    value: float
    place: float


def read_number(text: str) -> Stated:
    """Return the number in a short text such as "14.8T", "37%" or "$5.576 million"; InputError if there is none."""
    found = re.fullmatch(r"\D*?([-−]?)\$?([\d,]+(?:\.(\d+))?)[ -]?([A-Za-z%]*).*", text)
    if not found:
        raise InputError(f"number in the text {text!r}: must hold one number, as in 14.8T")
    sign, digits, decimals, unit = found.groups()
    scale = SCALES.get(unit, 1.0)
    value = float(digits.replace(",", "")) * scale * (-1 if sign else 1)
    return Stated(value, 10.0 ** -len(decimals or "") * scale)


def agrees(text: str, value: float) -> bool:
    """Tell whether a value rounds to what a text states."""
    stated = read_number(text)
    return within_place(to_digits(value, 12), to_digits(stated.value, 12), to_digits(stated.place, 12))


def prose_numbers(numbers: Mapping[str, float | str]) -> None:
    """Display whether the numbers in a notebook's text are those that were computed, and which are not.

    Args:
        numbers: by how the text writes it ("14.8T", "37%"), the value it stands for, or where it is quoted from.
    """
    values = {text: value if isinstance(value, str) else to_digits(float(value), 6) for text, value in numbers.items()}
    changed = {text: value for text, value in values.items() if isinstance(value, float) and not agrees(text, value)}
    quoted = sum(isinstance(value, str) for value in values.values())
    if changed:
        plain = "Not as the text says, under these assumptions: " + "; ".join(
            f"{text} is now {value:g}" for text, value in changed.items()
        )
    else:
        plain = f"All {len(values)} numbers in the text agree: {len(values) - quoted} computed, {quoted} quoted."
    display({PROSE: values, "text/plain": plain}, raw=True)


def stated_numbers(markdown: str) -> Iterator[str]:
    """Yield the digits of every number that a text states."""
    for pattern in NOT_STATED:
        markdown = re.sub(pattern, " ", markdown, flags=re.DOTALL)
    yield from NUMBER.findall(markdown)


def unlisted(notebook: dict[str, Any]) -> list[str]:
    """Return what is wrong with the list of a committed notebook, a line each: numbers not listed, not stated, off."""
    cells = notebook["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    lists = [data[PROSE] for data in outputs if PROSE in data]
    if len(lists) != 1:
        return [f"{len(lists)} lists of the numbers in its text, must be 1"]
    (listed,) = lists
    known = {number for text in listed for number in NUMBER.findall(text)} - NO_NEED
    texts = ["".join(cell["source"]).split(EXERCISES)[0] for cell in cells if cell["cell_type"] == "markdown"]
    stated = {number for text in texts for number in stated_numbers(text)} - NO_NEED
    told = [f"its text states {number}, which is not in its list of numbers" for number in sorted(stated - known)]
    told += [f"its list of numbers has {number}, which its text does not state" for number in sorted(known - stated)]
    off = [text for text, value in listed.items() if not isinstance(value, str) and not agrees(text, value)]
    return told + [f"its text states {text}, computed is {listed[text]:g}" for text in off]
