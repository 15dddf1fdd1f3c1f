"""Rounding to printed places, on values that a reader can check by eye."""

import pytest

from repro.calc.rounding import to_digits, to_place, within_place


@pytest.mark.parametrize(
    ("value", "place", "rounded"),
    [
        (3.2856e24, 1e23, 3.3e24),
        (833_754_421, 1e6, 834e6),
        (3.645e25, 1e23, 3.64e25),  # a tie goes to the even digit
        (3.655e25, 1e23, 3.66e25),
        (2.5, 1, 2),
        (-1.26, 0.1, -1.3),
        (0, 10, 0),
    ],
)
def test_to_place(value, place, rounded):
    assert to_place(value, place) == rounded


@pytest.mark.parametrize(("value", "digits", "rounded"), [(2_779_915, 3, 2.78e6), (0.0996, 2, 0.1), (0, 3, 0)])
def test_to_digits(value, digits, rounded):
    assert to_digits(value, digits) == rounded


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
