"""Rounding as documents do it: to a last printed place."""

from decimal import ROUND_HALF_EVEN, Context, Decimal


def to_digits(value: float, digits: int) -> float:
    """Round a finite number to so many significant digits, ties to even, in decimal as on paper; 0 stays 0."""
    return float(Context(prec=digits, rounding=ROUND_HALF_EVEN).create_decimal(repr(float(value))))


def printed_digits(printed: float, place: float) -> int:
    """Return how many significant digits a printed figure other than 0 has, such as 2 for 3.3e24 printed to 1e23."""
    return len(str(round(abs(printed) / place)))


def within_place(value: float, printed: float, place: float) -> bool:
    """Tell whether a value may be printed so: at most half of the last digit's worth away, ties either way."""
    half = Decimal(repr(float(place))) / 2
    return abs(Decimal(repr(float(value))) - Decimal(repr(float(printed)))) <= half
