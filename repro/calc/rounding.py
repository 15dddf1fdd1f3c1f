"""Rounding as documents do it: to a last printed place."""

from decimal import ROUND_HALF_EVEN, Decimal


def to_place(value: float, place: float) -> float:
    """Round to a multiple of the last printed place, ties to even, in decimal as on paper.

    Args: value: any finite number. place: what one unit of the last printed digit is worth, as 1e3 for "180K".
    Raises: ZeroDivisionError where place is 0.
    """
    unit = Decimal(repr(place))
    count = (Decimal(repr(value)) / unit).to_integral_value(ROUND_HALF_EVEN)
    return float(count * unit)


def to_digits(value: float, digits: int) -> float:
    """Round to so many significant digits, ties to even; 0 stays 0.

    Args: value: any finite number. digits: at least 1.
    """
    return float(f"{value:.{digits - 1}e}")


def within_place(value: float, printed: float, place: float) -> bool:
    """Tell whether a value may be printed so: at most half of the last place away, ties either way.

    Args: value: recomputed. printed: as in the document. place: worth of its last digit, same unit.
    """
    half = Decimal(repr(place)) / 2
    return abs(Decimal(repr(value)) - Decimal(repr(printed))) <= half
