"""Rounding to printed places, on values that a reader can check by eye."""

import pytest

from repro.calc.rounding import printed_digits, to_digits, within_place


@pytest.mark.parametrize(
    ("value", "digits", "rounded"),
    [
        (3.2856e24, 2, 3.3e24),
        (833_754_421, 3, 834e6),
        (3.645e25, 3, 3.64e25),  # a tie goes to the even digit
        (3.655e25, 3, 3.66e25),
        (2_779_915, 3, 2.78e6),
        (0.0996, 2, 0.1),
        (-1.26, 2, -1.3),
        (0, 3, 0),
    ],
)
def test_to_digits(value, digits, rounded):
    assert to_digits(value, digits) == rounded


@pytest.mark.parametrize(
    ("printed", "place", "digits"),
    [(3.3e24, 1e23, 2), (3.958e15, 1e12, 4), (180e3, 1e3, 3), (2.79, 0.01, 3), (5, 1, 1)],
)
def test_printed_digits(printed, place, digits):
    assert printed_digits(printed, place) == digits


@pytest.mark.parametrize(
    ("value", "printed", "place", "agrees"),
    [
        (5_576_000, 6e6, 1e6, True),
        (5_576_000, 5.5e6, 1e5, False),  # it rounds to 5.6
        (3.645e25, 3.64e25, 1e23, True),  # a tie agrees with both neighbours
        (3.645e25, 3.65e25, 1e23, True),
        (2.55, 2.5, 0.1, True),  # in binary 2.55 lies above the tie; on paper it is one
        (2.5501, 2.5, 0.1, False),
    ],
)
def test_within_place(value, printed, place, agrees):
    assert within_place(value, printed, place) is agrees
