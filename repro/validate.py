"""The two checks that constructors share; each failure is one line that names the argument."""

import math
from numbers import Integral, Real

from repro.errors import InputError


def check_integer(name: str, value: object, *, least: int = 1) -> None:
    """Raise InputError unless a value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise InputError(f"{name} = {value!r}: must be a whole number of at least {least}")


def check_number(
    name: str, value: object, *, least: float = 0, above: float | None = None, below: float = math.inf
) -> None:
    """Raise InputError unless a value is a finite number of at least `least`, or above `above`, and below `below`."""
    real = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not math.isfinite(real) or (real <= above if above is not None else real < least) or real >= below:
        low = f"above {above:g}" if above is not None else f"of at least {least:g}"
        high = f" and below {below:g}" if below != math.inf else ""
        raise InputError(f"{name} = {value!r}: must be a number {low}{high}")
