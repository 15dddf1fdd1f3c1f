"""Rounding as documents do it: to a last printed place."""

from decimal import ROUND_HALF_EVEN, Context, Decimal


def to_digits(value: float, digits: int) -> float:
    """Round to so many significant digits, ties to even, in decimal as on paper; 0 stays 0.

    Args: value: any finite number. digits: at least 1.
    """
    return float(Context(prec=digits, rounding=ROUND_HALF_EVEN).create_decimal(repr(float(value))))


def printed_digits(printed: float, place: float) -> int:
    """Return how many significant digits a printed figure has, such as 2 for 3.3e24 printed to 1e23.

    Args: printed: the figure, not 0. place: what one unit of its last digit is worth, same unit.
    """
    return len(str(round(abs(printed) / place)))


def within_place(value: float, printed: float, place: float) -> bool:
    """Tell whether a value may be printed so: at most half of the last place away, ties either way.

    Args: value: recomputed. printed: as in the document. place: worth of its last digit, same unit.
    """
    half = Decimal(repr(float(place))) / 2
    return abs(Decimal(repr(float(value))) - Decimal(repr(float(printed)))) <= half
