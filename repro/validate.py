"""What constructors refuse, each in one line: sizes that are no whole numbers, numbers out of their bounds."""

import math
from numbers import Integral, Real

from repro.errors import InputError


def check_integer(name: str, value: object, *, least: int = 1) -> None:
    """Raise InputError where a value is no whole number of at least so much."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} = {value!r}: must be a whole number of at least {least}")


def check_number(
    name: str, value: object, *, least: float = 0, above: float | None = None, below: float = math.inf
) -> None:
    """Raise InputError where a value is no finite number from `least`, or above `above`, to under `below`."""
    real = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not real or (value <= above if above is not None else value < least) or value >= below:
        low = f"above {above:g}" if above is not None else f"of at least {least:g}"
        high = f" and below {below:g}" if below != math.inf else ""
        raise InputError(f"{name} = {value!r}: must be a number {low}{high}")
