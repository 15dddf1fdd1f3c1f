"""Numbers as a sentence says them: short, with the digits that they deserve.

Findings, tables and commands print figures through these functions alone, so $5.576M or 33.1% looks the same wherever
it stands. All round to significant digits, in decimal as on paper, and drop trailing zeros.
"""

from collections.abc import Iterable
from math import floor, isfinite, log10

from repro.calc.rounding import to_digits

PLAIN_POWERS = ("GPU seconds", "FLOP/s", "FLOP")  # units whose values readers compare by their powers of ten


def format_si(value: float, digits: int = 4) -> str:
    """Return a number with K, M, B or T, or as 3.3e24 from a thousand trillion on; OverflowError if not finite."""
    if not isfinite(value) or (value and not 1e-4 <= abs(value) < 1e15):
        return format_scientific(value, digits)
    rounded = to_digits(value, digits)
    for size, least, suffix in ((1e12, 1e12, "T"), (1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e3, 1e4, "K")):
        if abs(rounded) >= least:
            return f"{_plain(rounded / size, digits)}{suffix}"
    return _plain(rounded, digits)


def format_scientific(value: float, digits: int = 4) -> str:
    """Return a number as 8.338e8, or raise OverflowError if it is not finite."""
    if not isfinite(value):
        raise OverflowError(f"{value} is not finite")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{_drop_zeros(mantissa)}e{int(exponent)}"


def format_usd(value: float, digits: int = 4) -> str:
    """Return a sum in US dollars, such as $5.576M."""
    return f"{'-' if value < 0 else ''}${format_si(abs(value), digits)}"


def join_or(texts: Iterable[str]) -> str:
    """Return texts in one line, such as "$2.8M, $4.79M or $6.88M"."""
    *most, last = texts
    return f"{', '.join(most)} or {last}" if most else last


def format_percent(share: float, digits: int = 3) -> str:
    """Return a share as a percentage, such as 33.1%."""
    return f"{format_si(100 * share, digits)}%"


def format_quantity(value: float | None, unit: str, digits: int = 4) -> str:
    """Return a recomputed value with its unit, such as $5.576M, 11.1× or 9.5%; a dash for None."""
    if value is None:
        return "—"
    if unit == "USD":
        return format_usd(value, digits)
    if unit == "ratio":
        return format_percent(value, digits) if value < 1 else f"{format_si(value, digits)}×"
    if unit.startswith("%"):
        return f"{format_si(value, digits)}{unit}"
    return f"{format_scientific(value, digits) if unit in PLAIN_POWERS else format_si(value, digits)} {unit}"


def _plain(value: float, digits: int) -> str:
    decimals = max(0, digits - 1 - floor(log10(abs(value)))) if value else 0
    return _drop_zeros(f"{value:,.{decimals}f}")


def _drop_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
