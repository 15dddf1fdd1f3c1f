"""What a GPU hour costs its owner, worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.calc.ownership import ownership_usd_per_gpu_hour, payback_years

CASE = {"lifetime_years": 4, "power_w_per_gpu": 1000, "pue": 1.5, "electricity_usd_per_kwh": 0.1, "in_use": 1}
positive = st.floats(0.1, 1e6)
use = st.floats(0.01, 1)


@pytest.mark.parametrize(
    ("changed", "usd"),
    [
        # 35,064 USD over 4 x 8766 h = 1 per hour; 1 kW x 1.5 x 0.1 = 0.15
        ({}, 1.15),
        ({"in_use": 0.5}, 2.15),  # half of the hours bear the machine; it draws power in those alone
        ({"lifetime_years": 8}, 0.65),
        ({"power_w_per_gpu": 500}, 1.075),
        ({"pue": 2}, 1.2),
        ({"electricity_usd_per_kwh": 0.3}, 1.45),
        ({"electricity_usd_per_kwh": 0}, 1),
    ],
)
def test_cost_of_an_hour(changed, usd):
    assert ownership_usd_per_gpu_hour(35_064, **{**CASE, **changed}) == pytest.approx(usd, rel=1e-15)


def test_a_machine_that_was_free_costs_its_power():
    assert ownership_usd_per_gpu_hour(0, **CASE) == pytest.approx(0.15, rel=1e-15)


def test_years_until_rent_has_paid():
    # 17,532 USD at 2 USD x 8766 h a year
    assert payback_years(17_532, 2, in_use=1) == 1
    assert payback_years(17_532, 2, in_use=0.5) == 2
    assert payback_years(17_532, 4, in_use=1) == 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda: ownership_usd_per_gpu_hour(1, **{**CASE, "lifetime_years": 0}),
        lambda: ownership_usd_per_gpu_hour(1, **{**CASE, "in_use": 0}),
        lambda: payback_years(1, 0, in_use=1),
        lambda: payback_years(1, 1, in_use=0),
    ],
)
def test_a_zero_below_the_line_is_an_error(call):
    with pytest.raises(ZeroDivisionError):
        call()


@given(positive, positive)
def test_capital_adds_up(one, other):
    free = {**CASE, "electricity_usd_per_kwh": 0}
    first, second, both = (ownership_usd_per_gpu_hour(usd, **free) for usd in (one, other, one + other))
    assert math.isclose(first + second, both, rel_tol=1e-12)


@given(positive, use, use)
def test_more_use_makes_an_hour_cheaper(capital, one, other):
    idle, busy = sorted((one, other))
    dear, cheap = (ownership_usd_per_gpu_hour(capital, **{**CASE, "in_use": share}) for share in (idle, busy))
    assert cheap <= dear


@given(positive, st.floats(0.5, 20), use)
def test_a_rent_of_the_capitals_share_pays_back_in_the_lifetime(capital, years, in_use):
    case = {**CASE, "electricity_usd_per_kwh": 0, "lifetime_years": years, "in_use": in_use}
    rent = ownership_usd_per_gpu_hour(capital, **case)
    assert math.isclose(payback_years(capital, rent, in_use=in_use), years, rel_tol=1e-12)
