"""Numbers as sentences say them."""

import pytest

from repro.claims.formatting import format_percent, format_quantity, format_scientific, format_si, format_usd


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (14.8e12, 4, "14.8T"),
        (37e9, 4, "37B"),
        (2_788_000, 4, "2.788M"),
        (2_779_915, 3, "2.78M"),
        (999_999, 4, "1M"),
        (172_800, 4, "172.8K"),
        (867_733, 2, "870K"),
        (9_999, 4, "9,999"),
        (5_000, 4, "5,000"),
        (2.0, 4, "2"),
        (1.7807, 3, "1.78"),
        (0.0952, 2, "0.095"),
        (0, 4, "0"),
        (-2_788_000, 4, "-2.788M"),
        (3.2856e24, 4, "3.286e24"),
        (3e24, 4, "3e24"),
        (1.5e-7, 4, "1.5e-7"),
    ],
)
def test_short(value, digits, text):
    assert format_si(value, digits) == text


def test_the_rest():
    assert format_usd(5_576_000) == "$5.576M"
    assert format_percent(0.33091) == "33.1%"
    assert format_percent(0.1) == "10%"
    assert format_scientific(833_754_421) == "8.338e8"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "USD", "—"),
        (2.8e6, "USD", "$2.8M"),
        (11.06, "ratio", "11.06×"),
        (0.0952, "ratio", "9.52%"),
        (8.338e8, "GPU seconds", "8.338e8 GPU seconds"),
        (180e3, "GPU hours", "180K GPU hours"),
    ],
)
def test_quantity(value, unit, text):
    assert format_quantity(value, unit) == text
