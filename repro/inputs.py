"""A named assumption that a user may change: its type, its unit and the values that make sense.

Notebooks, commands and audits take their assumptions through a `UserInput`, so that a wrong type, a NaN or a value out
of range is refused in the same one line wherever it comes from.
"""

import math
import re
import sys
from dataclasses import dataclass

from repro.errors import InputError

NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
INTERVAL = re.compile(rf"in ([\[(])({NUMBER}), ({NUMBER})([\])])")
BOUND = re.compile(rf"(>=?) ({NUMBER})")

Value = float | int | str | bool


@dataclass(frozen=True)
class UserInput:
    """One assumption with its default and the domain of its values."""

    name: str
    default: Value
    unit: str = ""
    domain: str = ""  #: as a reader would write it: "> 0", ">= 1", "in (0, 1]" or "a | b | c"; "" admits anything
    help: str = ""

    @property
    def type(self) -> str:
        """The Python type of the default: float, int, str or bool."""
        return type(self.default).__name__

    def parse(self, text: str) -> Value:
        """Return the value that a text from a command line stands for, or raise InputError as check does."""
        try:
            return self.check(_read(text.strip(), type(self.default)))
        except ValueError:
            raise self._refuse(text) from None

    def check(self, value: Value) -> Value:
        """Return the value as this input's type; InputError if of another, not finite, or outside the domain."""
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < sys.float_info.max else math.inf
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        of_kind = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
        if not of_kind or not in_domain(value, self.domain):
            raise self._refuse(value)
        return value

    def _refuse(self, value: object) -> InputError:
        article = "an" if self.type == "int" else "a"
        wanted = self.domain if "|" in self.domain else f"{article} {self.type} {self.domain}".strip()
        unit = f" [{self.unit}]" if self.unit else ""
        return InputError(f"{self.name} = {value}: must be {wanted}{unit}")


def in_domain(value: Value, domain: str) -> bool:
    """Tell if a value lies in a domain such as "> 0", "in (0, 1]" or "a | b" (NaN in none); ValueError for others."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if not domain:
        return True
    if not isinstance(value, str):
        if match := INTERVAL.fullmatch(domain):
            left, low, high, right = match.groups()
            above = value > float(low) if left == "(" else value >= float(low)
            return above and (value < float(high) if right == ")" else value <= float(high))
        if match := BOUND.fullmatch(domain):
            sign, low = match.groups()
            return value > float(low) if sign == ">" else value >= float(low)
    choices = [choice.strip() for choice in domain.split("|")]
    if len(choices) < 2:
        raise ValueError(f"domain {domain!r} is none of: '> 0', 'in (0, 1]', 'a | b'")
    return value in choices


def _read(text: str, kind: type) -> Value:
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is int:
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    return float(text) if kind is float else text
