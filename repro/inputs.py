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
    """One assumption with its default and the domain of its values.

    Attributes:
        domain: as a reader would write it: "> 0", ">= 1", "in (0, 1]" or "a | b | c"; "" admits anything.
    """

    name: str
    default: Value
    unit: str = ""
    domain: str = ""
    help: str = ""

    @property
    def type(self) -> str:
        """The Python type of the default: float, int, str or bool."""
        return type(self.default).__name__

    def parse(self, text: str) -> Value:
        """Return the value that a text from a command line stands for.

        Raises:
            InputError: if the text is not of this input's type, or its value lies outside the domain.
        """
        try:
            return self.check(_read(text.strip(), type(self.default)))
        except ValueError:
            raise self._refuse(text) from None

    def check(self, value: Value) -> Value:
        """Return the value as this input's type.

        Raises:
            InputError: if the value is of another type, not finite, or outside the domain.
        """
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < sys.float_info.max else math.inf
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise self._refuse(value)
        if not in_domain(value, self.domain):
            raise self._refuse(value)
        return value

    def _refuse(self, value: object) -> InputError:
        article = "an" if self.type == "int" else "a"
        wanted = f"{self.domain}" if "|" in self.domain else f"{article} {self.type} {self.domain}".strip()
        unit = f" [{self.unit}]" if self.unit else ""
        return InputError(f"{self.name} = {value}: must be {wanted}{unit}")


def in_domain(value: Value, domain: str) -> bool:
    """Tell whether a value lies in a domain such as "> 0", "in (0, 1]" or "a | b"; NaN lies in none.

    Raises:
        ValueError: if the domain is not written in one of these ways.
    """
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
