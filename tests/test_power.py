"""Power: the textbook's numbers of pairs, and the three outcomes of a comparison."""

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments.power import (
    Plan,
    compare_settings,
    detection_probability,
    null_probability,
    seeds_needed,
    smallest_detectable,
)

PLAN = Plan("loss", "nats", smallest_effect=0.5, pilot_sd=1.0, seeds=34)
TEN = Plan("loss", "nats", smallest_effect=0.5, pilot_sd=1.0, seeds=10)


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_pairs_are_those_of_published_tables(effect, pairs):
    # Two-sided paired t, 5%, power 0.8: the numbers that G*Power prints for Cohen's small, medium and large effects.
    assert seeds_needed(effect, 1) == pairs
    assert seeds_needed(10 * effect, 10) == pairs  # only the ratio of effect to spread counts


def test_power_is_the_share_of_simulated_studies_that_find_the_effect():
    differences = np.random.default_rng(0).normal(0.5, 1, (20_000, 34))
    t = differences.mean(axis=1) / differences.std(axis=1, ddof=1) * np.sqrt(34)
    found = np.mean(t > 2.0345)  # Student's 97.5% point at 33 degrees of freedom
    assert detection_probability(0.5, 1, 34) == pytest.approx(found, abs=0.01)
    assert PLAN.power == detection_probability(0.5, 1, 34)


def test_the_power_of_a_null_is_the_share_of_simulated_studies_that_find_none():
    differences = np.random.default_rng(1).normal(0, 1, (20_000, 34))
    half = 2.0345 * differences.std(axis=1, ddof=1) / np.sqrt(34)
    within = np.mean(np.abs(differences.mean(axis=1)) + half < 0.5)
    assert null_probability(0.5, 1, 34) == pytest.approx(within, abs=0.01)
    assert PLAN.null_power == null_probability(0.5, 1, 34)
    assert null_probability(0.3, 1, 34) < 0.1  # the interval alone is mostly wider


def test_a_comparison_has_the_seeds_of_its_plan():
    base = np.arange(10.0)
    with pytest.raises(InputError, match="9 pairs and 0 left out: must be the 10 seeds of the plan"):
        compare_settings(base[:9], base[:9], TEN)
    differences = alternate(1.0, 0.2)[:9]
    assert compare_settings(base[:9] + differences, base[:9], TEN, left_out=1).outcome == "higher"


def test_the_smallest_detectable_effect_has_the_power_asked_for():
    assert detection_probability(smallest_detectable(2.0, 12), 2.0, 12) == pytest.approx(0.8)
    assert PLAN.detectable == pytest.approx(0.495, abs=5e-4)


def test_intervals_widen_with_the_number_of_comparisons():
    five = Plan("loss", "nats", 0.5, 1.0, seeds=34, comparisons=5)
    assert five.level_of_each == pytest.approx(0.99)  # five intervals at 99% hold together at least at 95%
    assert five.power < PLAN.power


def test_a_plan_reads_as_a_sentence():
    told = "loss: 34 seeds find a difference of 0.5 nats with a chance of 81%, and that there is none with 62%"
    assert str(PLAN) == told
    five = Plan("loss", "nats", 2.0, 1.0, seeds=34, comparisons=5)
    assert str(five).endswith("with a chance of 100%, and that there is none with 100%, 5 comparisons allowed for")


def alternate(mean, spread):
    """Return ten differences with this mean, alternating around it."""
    return mean + spread * np.tile([-1.0, 1.0], 5)


@pytest.mark.parametrize(
    ("differences", "outcome"),
    [
        (alternate(1.0, 0.2), "higher"),
        (alternate(-1.0, 0.2), "lower"),
        (alternate(0.05, 0.2), "no difference that matters"),  # half of the interval is 0.15
        (alternate(0.2, 0.2), "higher, but too little to matter"),
        (alternate(-0.2, 0.2), "lower, but too little to matter"),
        (alternate(0.4, 0.8), "undecided"),
    ],
)
def test_what_a_comparison_can_tell(differences, outcome):
    base = np.arange(10.0)
    assert compare_settings(base + differences, base, TEN).outcome == outcome
    assert str(compare_settings(base + differences, base, TEN)).endswith(outcome)


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(InputError, match="smallest_effect"):
        Plan("loss", "nats", 0, 1, seeds=3)
    with pytest.raises(InputError, match="seeds"):
        Plan("loss", "nats", 1, 1, seeds=1)
    with pytest.raises(InputError, match="too few"):
        seeds_needed(1e-4, 1)
