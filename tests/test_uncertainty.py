"""Cost under uncertainty: ranges, one row worked by hand, even samples, and which input matters."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.errors import InputError
from repro.facts import load
from repro.uncertainty.cost import TrainingRun, costs, first_order_indices, required, sample, tornado
from repro.uncertainty.ranges import Range, cost_ranges

# 3.6e21 FLOP at half of 1e15 FLOP/s: 7.2e6 s = 2000 h
RUN = TrainingRun(
    flop=3.6e21,
    peak_flop_per_s=1e15,
    gpus=8,
    power_w_per_gpu=1000,
    pue=1.2,
    electricity_usd_per_kwh=0.1,
    network_overhead=1.5,
)
MIDDLE = {
    "rent": 2,
    "utilisation": 0.5,
    "overhead": 0.25,
    "failed_runs": 0.2,
    "development": 2,
    "staff": 0.25,
    "capital": 11_688,
    "lifetime": 4,
    "in_use": 0.5,
}
COSTS = {
    "rent of the final run": 5000,  # 2000 x 1.25 = 2500 h at 2 USD
    "with failed runs": 6000,  # 3000 h
    "with development": 12_000,  # 6000 h
    "with staff": 16_000,  # a quarter of it
    # 11,688 x 1.5 = 17,532 USD over 4 x 8766 h, half of them in use: 1 USD, and 1 kW x 1.2 x 0.1 = 0.12;
    # 6000 x 1.12 = 6720, three quarters of the whole
    "with staff, machines owned": 8960,
    "the cluster bought": 140_256,  # 8 x 17,532
}
USED = {
    "rent of the final run": {"rent", "utilisation", "overhead"},
    "with failed runs": {"rent", "utilisation", "overhead", "failed_runs"},
    "with development": {"rent", "utilisation", "overhead", "failed_runs", "development"},
    "with staff": {"rent", "utilisation", "overhead", "failed_runs", "development", "staff"},
    "with staff, machines owned": set(MIDDLE) - {"rent"},
    "the cluster bought": {"capital"},
}
ENDS = {
    "rent": (1, 3),
    "utilisation": (0.4, 0.6),
    "overhead": (0, 0.5),
    "failed_runs": (0, 0.4),
    "development": (1, 3),
    "staff": (0.2, 0.3),
    "capital": (10_000, 13_376),
    "lifetime": (3, 5),
    "in_use": (0.4, 0.6),
}
SHARES = ("utilisation", "staff", "in_use")  # of something, so at most 1
RANGES = {
    name: Range(name, *ends, "unit", "even", "assumed", *((1,) if name in SHARES else ()))
    for name, ends in ENDS.items()
}


def even(low, high):
    return Range("rent", low, high, "USD", "even", "assumed")


def logarithmic(low, high):
    return Range("rent", low, high, "USD", "even in logarithm", "assumed")


@pytest.mark.parametrize(
    ("one", "share", "value"),
    [
        (even(2, 6), 0, 2),
        (even(2, 6), 0.25, 3),
        (even(2, 6), 0.5, 4),
        (even(2, 6), 1, 6),
        (even(0, 6), 0, 0),
        # equal shares are equal factors: 1, 10, 100
        (logarithmic(1, 100), 0, 1),
        (logarithmic(1, 100), 0.5, 10),
        (logarithmic(1, 100), 0.25, math.sqrt(10)),
        (logarithmic(1, 100), 1, 100),
        (logarithmic(2, 16), 1 / 3, 4),
    ],
)
def test_the_value_below_which_a_share_lies(one, share, value):
    assert one.ppf(share) == pytest.approx(value, rel=1e-14)


def test_medians_and_arrays():
    assert even(2, 6).median == 4
    assert logarithmic(2, 8).median == pytest.approx(4, rel=1e-15)
    np.testing.assert_allclose(even(2, 6).ppf([[0, 0.5], [0.75, 1]]), [[2, 4], [5, 6]], rtol=1e-15)
    np.testing.assert_allclose(logarithmic(1, 16).ppf(np.array([0.25, 0.75])), [2, 8], rtol=1e-14)


@pytest.mark.parametrize(
    ("low", "high"),
    [(3, 2), (2, 2), (-1, 2), (math.nan, 2), (1, math.nan), (1, math.inf), (-math.inf, 1)],
)
@pytest.mark.parametrize("range_of", [even, logarithmic])
def test_ends_out_of_order_are_named(range_of, low, high):
    with pytest.raises(InputError) as caught:
        range_of(low, high)
    lowest = "0 or more" if range_of is even else "above 0"
    assert str(caught.value) == f"rent = {low:g} to {high:g} USD: must run from {lowest} to a higher finite value"


def test_zero_is_an_end_of_an_even_range_alone():
    assert even(0, 1).low == 0
    assert logarithmic(1e-9, 1).low == 1e-9
    with pytest.raises(InputError, match=r"^rent = 0 to 1 USD: must run from above 0 to a higher finite value$"):
        logarithmic(0, 1)


def test_ends_from_the_facts():
    ranges = cost_ranges(load())
    assert list(ranges) == list(MIDDLE)
    assert all(name == one.name and one.basis and one.unit for name, one in ranges.items())
    ends = {name: (one.low, one.high) for name, one in ranges.items()}
    assert ends["rent"][0] == 2  # as the V3 report assumes
    assert ends["utilisation"] == (0.38, 0.43)  # Llama 3.1, table 4
    # 119,000 and 5,000 later hours over 2,664,000
    assert ends["overhead"] == (pytest.approx(0.0465465, abs=5e-8), 0.25)
    # 0.1 lost for 0.9 at work
    assert ends["failed_runs"] == (0, pytest.approx(1 / 9, rel=1e-12))
    assert ends["staff"] == (0.29, 0.49)
    assert ends["lifetime"] == (3, 6)
    assert ends["in_use"] == (0.5, 0.95)
    assert ends["capital"][0] < ends["capital"][1]
    assert ends["development"] == (1.2, 4)  # Epoch (arXiv 2405.21015), appendix A.6


@pytest.mark.parametrize(
    ("name", "unit", "shape"),
    [
        ("rent", "USD per GPU hour", "even in logarithm"),
        ("utilisation", "share", "even"),
        ("overhead", "share of the hours", "even"),
        ("failed_runs", "share of the hours", "even"),
        ("development", "all compute over the final run", "even in logarithm"),
        ("staff", "share of all cost", "even"),
        ("capital", "USD per GPU", "even in logarithm"),
        ("lifetime", "years", "even"),
        ("in_use", "share of hours", "even"),
    ],
)
def test_prices_and_ratios_spread_by_factors_and_shares_by_differences(name, unit, shape):
    one = cost_ranges(load())[name]
    assert (one.unit, one.shape) == (unit, shape)


@pytest.mark.parametrize("scope", COSTS)
def test_costs_of_one_row(scope):
    found = costs(RUN, MIDDLE)
    assert list(found) == list(COSTS)
    assert found[scope] == pytest.approx(COSTS[scope], rel=1e-14)


def test_costs_of_many_rows_are_those_of_each():
    rows = sample(RANGES, power_of_two=3, seed=5)
    together = costs(RUN, rows)
    for index in range(8):
        alone = costs(RUN, {name: float(values[index]) for name, values in rows.items()})
        for scope, usd in alone.items():
            assert together[scope][index] == pytest.approx(usd, rel=1e-14)


@pytest.mark.parametrize("scope", COSTS)
@pytest.mark.parametrize("name", MIDDLE)
def test_a_scope_depends_on_its_inputs_alone(scope, name):
    changed = float(costs(RUN, MIDDLE | {name: 1.1 * MIDDLE[name]})[scope])
    if name in USED[scope]:
        assert abs(changed / COSTS[scope] - 1) > 0.005
    else:
        assert changed == pytest.approx(COSTS[scope], rel=1e-14)


@pytest.mark.parametrize(
    ("name", "value", "usd"),
    [
        ("rent", 3, 24_000),
        ("utilisation", 0.25, 32_000),
        ("overhead", 0, 12_800),  # 2000 x 1.2 x 2 x 2 / 0.75
        ("failed_runs", 0, 13_333.333),
        ("development", 1, 8000),
        ("staff", 0.5, 24_000),
    ],
)
def test_one_input_changed(name, value, usd):
    assert float(costs(RUN, MIDDLE | {name: value})["with staff"]) == pytest.approx(usd, abs=5e-4)


@given(st.sampled_from(sorted(COSTS)), st.floats(0.1, 10))
def test_each_wider_scope_costs_no_less_and_all_rents_are_linear(scope, times):
    given_rent = MIDDLE | {"rent": 2 * times}
    found = costs(RUN, given_rent)
    expected = COSTS[scope] * (times if "rent" in USED[scope] else 1)
    assert math.isclose(float(found[scope]), expected, rel_tol=1e-12)
    rented = [float(usd) for usd in list(found.values())[:4]]
    assert rented == sorted(rented)


@pytest.mark.parametrize("power", [1, 5, 10])
def test_a_sample_has_its_rows_within_the_ranges(power):
    rows = sample(cost_ranges(load()), power_of_two=power, seed=1)
    for name, one in cost_ranges(load()).items():
        assert rows[name].shape == (2**power,)
        assert rows[name].min() >= one.low * (1 - 1e-12)
        assert rows[name].max() <= one.high * (1 + 1e-12)


def test_a_sample_is_even_one_row_in_each_part_of_every_range():
    rows = sample({"rent": even(2, 6), "capital": logarithmic(1, 2.0**64)}, power_of_two=6, seed=3)
    assert sorted(np.floor((rows["rent"] - 2) / 4 * 64)) == list(range(64))
    assert sorted(np.floor(np.log2(rows["capital"]))) == list(range(64))


def test_inputs_are_sampled_apart():
    # in two dimensions a quarter of the rows lies in each quarter
    rows = sample({"rent": even(0, 2), "capital": even(0, 2)}, power_of_two=8, seed=3)
    quarters = 2 * np.floor(rows["rent"]) + np.floor(rows["capital"])
    assert np.bincount(quarters.astype(int)).tolist() == [64, 64, 64, 64]


def test_equal_seeds_give_equal_samples():
    first, again, other = (sample(RANGES, power_of_two=4, seed=seed) for seed in (7, 7, 8))
    for name in RANGES:
        assert (first[name] == again[name]).all()
        assert not (first[name] == other[name]).any()


@pytest.mark.parametrize("power", [-1, 0, 25, 10**9])
def test_a_power_out_of_range_is_refused(power):
    with pytest.raises(InputError, match=f"^power_of_two = {power}: must be a whole number from 1 to 24$"):
        sample(RANGES, power_of_two=power, seed=1)


def test_a_tornado_has_the_costs_at_both_ends():
    found = tornado(RUN, RANGES, "with staff")
    assert found["rent"] == pytest.approx((8000, 24_000))
    assert found["utilisation"] == pytest.approx((20_000, 13_333.333), abs=5e-4)  # dearer at the low end
    assert found["overhead"] == pytest.approx((12_800, 19_200))
    assert found["staff"] == pytest.approx((15_000, 17_142.857), abs=5e-4)  # 12,000 / 0.8 and / 0.7
    assert found["capital"] == pytest.approx((16_000, 16_000))


def test_the_widest_range_comes_first():
    # widths 16,000 twice, 6667, 6400, 5333, 2143, and three inputs without effect
    found = tornado(RUN, RANGES, "with staff")
    assert set(list(found)[:2]) == {"rent", "development"}
    assert list(found)[2:6] == ["utilisation", "overhead", "failed_runs", "staff"]
    assert next(iter(tornado(RUN, RANGES, "the cluster bought"))) == "capital"


@pytest.mark.parametrize("scope", COSTS)
def test_first_order_indices(scope):
    found = first_order_indices(RUN, RANGES, scope, power_of_two=10, seed=1)
    assert list(found) == list(RANGES)
    assert {name for name, index in found.items() if index != 0} == USED[scope]
    assert 0.8 < sum(found.values()) < 1.02
    assert found == first_order_indices(RUN, RANGES, scope, power_of_two=10, seed=1)


def test_two_equal_factors_explain_as_much_each():
    # Rent even from 1 to 3, and 1 + overhead too: each has mean 2, variance 1/3, so 1/12 of its squared mean. Of
    # their product's variance, (13/12)^2 - 1 = 25/144, each alone explains 12/144; utilisation hardly varies
    ranges = RANGES | {
        "overhead": Range("overhead", 0, 2, "unit", "even", "assumed"),
        "utilisation": Range("utilisation", 0.5, 0.500001, "unit", "even", "assumed"),
    }
    found = first_order_indices(RUN, ranges, "rent of the final run", power_of_two=14, seed=1)
    assert (found["rent"], found["overhead"]) == pytest.approx((0.48, 0.48), abs=0.005)
    assert found["utilisation"] == pytest.approx(0, abs=1e-5)


def test_a_single_input_explains_all():
    found = first_order_indices(RUN, RANGES, "the cluster bought", power_of_two=12, seed=1)
    assert found["capital"] == pytest.approx(1, abs=0.005)


def test_the_value_that_an_input_needs():
    # 24,000 USD with staff is half more than 16,000
    found = required(RUN, RANGES, "with staff", 24_000)
    assert [name for name, value in found.items() if value is None] == ["capital", "lifetime", "in_use"]
    assert {name: value for name, value in found.items() if value is not None} == pytest.approx(
        {
            "rent": 3,
            "utilisation": 1 / 3,
            "overhead": 0.875,  # 1.25 x 1.5 - 1
            "failed_runs": 0.8,  # 1.2 x 1.5 - 1
            "development": 3,
            "staff": 0.5,  # 12,000 / (1 - 0.5)
        },
        rel=1e-6,
    )


def test_the_price_that_an_owned_machine_needs():
    # 17,920 USD, twice 8960: 2.24 per hour, of it 2.12 for the machine
    found = required(RUN, RANGES, "with staff, machines owned", 17_920)
    assert found["capital"] == pytest.approx(11_688 * 2.12, rel=1e-6)
    assert found["lifetime"] == pytest.approx(4 / 2.12, rel=1e-6)
    assert found["in_use"] == pytest.approx(0.5 / 2.12, rel=1e-6)
    assert found["rent"] is None


@pytest.mark.parametrize("times", [0.5, 0.9, 1.1, 3])
@pytest.mark.parametrize("scope", COSTS)
def test_the_value_gives_the_cost(scope, times):
    target = COSTS[scope] * times
    found = required(RUN, RANGES, scope, target)
    assert list(found) == list(RANGES)
    assert any(value is not None for value in found.values())
    for name, value in found.items():
        if value is not None:
            assert float(costs(RUN, MIDDLE | {name: value})[scope]) == pytest.approx(target, rel=1e-4)


def test_an_input_that_a_scope_does_not_use_cannot_be_what_it_needs():
    # half a dollar off, to tell it from a root
    found = required(RUN, RANGES, "with staff", 16_000.5)
    assert [found[name] for name in ("capital", "lifetime", "in_use")] == [None, None, None]
    assert found["rent"] == pytest.approx(2 * 16_000.5 / 16_000, rel=1e-9)


def test_no_value_where_none_reaches_the_cost():
    # without staff it is 12,000, without overhead 12,800, without failed runs 13,333
    cheap = required(RUN, RANGES, "with staff", 11_000)
    assert [cheap[name] for name in ("staff", "overhead", "failed_runs")] == [None, None, None]
    assert cheap["rent"] == pytest.approx(1.375, rel=1e-6)
    # electricity alone is 6000 x 0.12 / 0.75 = 960, whatever the machine costs
    assert required(RUN, RANGES, "with staff, machines owned", 900)["capital"] is None


@pytest.mark.parametrize(
    ("name", "target", "value"),
    [
        # rent from 1/1e6 to 3 x 1e6, at 3000 h
        ("rent", 1.1e-6 * 3000, 1.1e-6),
        ("rent", 0.9e-6 * 3000, None),
        ("rent", 2.9e6 * 3000, 2.9e6),
        ("rent", 3.1e6 * 3000, None),
        # failed runs from 0.4/1e6, since their low end is 0, on 5000 USD
        ("failed_runs", 5000 * 1.0000005, 0.0000005),
        ("failed_runs", 5000 * 1.0000003, None),
        ("failed_runs", 5000 * 390_001, 390_000),
        ("failed_runs", 5000 * 410_001, None),
    ],
)
def test_values_are_sought_within_a_factor_of_a_million(name, target, value):
    found = required(RUN, RANGES, "with failed runs", target)[name]
    assert found == (None if value is None else pytest.approx(value, rel=1e-5))


def test_a_share_of_staff_stays_below_one():
    # 12,000 / (1 - 0.9999)
    assert required(RUN, RANGES, "with staff", 1.2e8)["staff"] == pytest.approx(0.9999, rel=1e-9)


def test_no_share_is_sought_above_one_and_no_input_without_effect():
    rent = required(RUN, RANGES, "rent of the final run", 2000)
    assert rent["utilisation"] is None
    middle = {name: one.median for name, one in RANGES.items()}
    exactly = float(costs(RUN, middle)["rent of the final run"])
    found = required(RUN, RANGES, "rent of the final run", exactly)
    assert (found["development"], found["staff"], found["lifetime"]) == (None, None, None)
    assert found["rent"] == pytest.approx(middle["rent"], rel=1e-5)
