"""The time of a step and of a run, worked by hand, forward and back."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.calc import step_time
from repro.calc.step_time import Overheads
from repro.errors import InputError

NONE = Overheads(
    communication_s=0, hidden_share=0, bubble_share=0, multiprocessors=132, multiprocessors_for_communication=0
)
# 6 s of arithmetic on 3 of 4 multiprocessors are 8 s; of 4 s of communication 1 s shows; 9 s are 9/10 of a step of 10 s
HAND = Overheads(
    communication_s=4, hidden_share=0.75, bubble_share=0.1, multiprocessors=4, multiprocessors_for_communication=1
)
WORK = {"flop": 12e15, "flop_per_s": 2e15}
share, positive = st.floats(0, 0.9), st.floats(0.1, 10)


@st.composite
def any_losses(draw):
    """Return losses whose hidden communication fits into 10 s of computation, some of it none."""
    return Overheads(
        communication_s=draw(st.floats(0, 10)),
        hidden_share=draw(st.floats(0, 1)),
        bubble_share=draw(share),
        multiprocessors=132,
        multiprocessors_for_communication=draw(st.integers(0, 131)),
    )


def test_parts_by_hand():
    assert step_time.compute_time(**WORK, overheads=HAND) == 8
    parts = {"computation": 8, "exposed communication": 1, "bubble": 1}
    assert step_time.step_breakdown(**WORK, overheads=HAND) == pytest.approx(parts)
    assert step_time.step_time(**WORK, overheads=HAND) == pytest.approx(10)


def test_without_losses_there_is_arithmetic_alone():
    assert step_time.step_time(**WORK, overheads=NONE) == 6


def test_what_overlap_hides_where_both_take_as_long():
    alone = step_time.step_time(**WORK, overheads=NONE)
    one_to_one = replace(NONE, communication_s=alone)
    for hidden, times in ((0, 2), (0.5, 1.5), (1, 1)):
        assert step_time.step_time(**WORK, overheads=replace(one_to_one, hidden_share=hidden)) == times * alone


def test_what_computation_is_too_short_to_hide_is_refused():
    # of 12 s beside 6 s of computation at most half is hidden: 6 + 6
    longer = replace(NONE, communication_s=12, hidden_share=0.5)
    assert step_time.step_time(**WORK, overheads=longer) == 12
    with pytest.raises(InputError) as refused:
        step_time.step_time(**WORK, overheads=replace(longer, hidden_share=0.51))
    assert str(refused.value) == "hidden_share = 0.51: must be at most the 6.0 of computation over communication_s = 12"


def test_twenty_of_132_multiprocessors_taken_literally():
    taken = replace(NONE, multiprocessors_for_communication=Fraction(20))
    slower = step_time.step_time(flop=Fraction(1), flop_per_s=1, overheads=taken)
    assert slower == Fraction(132, 112)


def test_hours_of_a_trillion_tokens():
    # 3.6e11 FLOP at 5e14 FLOP/s: 7.2e-4 s, times 1e12 over 3600 s: 200,000 h; half idle, twice that
    at = {"flop_per_token": 3.6e11, "flop_per_s": 5e14}
    assert step_time.gpu_hours_per_trillion_tokens(**at, overheads=NONE) == pytest.approx(200_000)
    half = replace(NONE, bubble_share=0.5)
    assert step_time.gpu_hours_per_trillion_tokens(**at, overheads=half) == pytest.approx(400_000)


def test_the_rate_behind_reported_hours_by_hand():
    # 180,000 h x 3600 / 1e12 = 6.48e-4 s a token; 2.592e11 FLOP in it: 4e14 FLOP/s, if nothing is lost
    reported = {"gpu_hours_per_trillion_tokens": 180_000, "flop_per_token": 2.592e11}
    assert step_time.implied_flop_per_s(**reported, overheads=NONE) == pytest.approx(4e14)
    # a tenth idle, 1.62e-4 s exposed: 4.212e-4 s left, on 3 of 4 multiprocessors: 2.592e11 / 3.159e-4
    losses = replace(HAND, communication_s=3.24e-4, hidden_share=0.5)
    assert step_time.implied_flop_per_s(**reported, overheads=losses) == pytest.approx(2.592e11 / 3.159e-4)


@given(st.floats(1e10, 1e12), any_losses())
def test_the_rate_behind_the_hours_predicts_them(flop, losses):
    # losses of a token in units of 1e-5 s, as far as 1e-4 s of computation hide them
    losses = replace(losses, communication_s=losses.communication_s * 1e-5)
    rate = flop / losses.computing_share / 1e-4
    took = step_time.gpu_hours_per_trillion_tokens(flop_per_token=flop, flop_per_s=rate, overheads=losses)
    found = step_time.implied_flop_per_s(gpu_hours_per_trillion_tokens=took, flop_per_token=flop, overheads=losses)
    assert found == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(
    ("losses", "start"),
    [
        (replace(NONE, communication_s=6.48e-4), "gpu_hours_per_trillion_tokens = 180000: must be above what idling"),
        (
            replace(NONE, communication_s=7e-4, bubble_share=0.2),
            "gpu_hours_per_trillion_tokens = 180000: must be above",
        ),
        (replace(NONE, communication_s=7e-4, hidden_share=1), "hidden_share = 1: must be at most the 0.000648"),
    ],
)
def test_hours_that_no_rate_reaches(losses, start):
    with pytest.raises(InputError) as refused:
        step_time.implied_flop_per_s(gpu_hours_per_trillion_tokens=180_000, flop_per_token=1e11, overheads=losses)
    assert str(refused.value).startswith(start)


def test_elasticities_by_hand():
    found = step_time.elasticities(**WORK, overheads=HAND)
    # of 9 s busy 8 compute and 1 shows, and 3 more are hidden; one tenth idle over nine; 1 of 4 taken over 3 left
    assert found == pytest.approx(
        {
            "flop_per_s": -8 / 9,
            "bubble_share": 1 / 9,
            "communication_s": 1 / 9,
            "hidden_share": -3 / 9,
            "multiprocessors_for_communication": 8 / 9 / 3,
        }
    )


@given(any_losses())
def test_elasticities_are_what_a_small_change_does(losses):
    # 10 s of computation and more, of which at most 10 s of communication are hidden, so that there is room
    work, small = {"flop": 20e15, "flop_per_s": 1e15}, 1e-6
    for factor, elasticity in step_time.elasticities(**work, overheads=losses).items():

        def time(times, factor=factor):
            if factor == "flop_per_s":
                return step_time.step_time(flop=20e15, flop_per_s=1e15 * times, overheads=losses)
            changed = getattr(losses, factor) * times
            return step_time.step_time(**work, overheads=unchecked(losses, **{factor: changed}))

        slope = (time(1 + small) - time(1 - small)) / (2 * small * time(1))
        assert slope == pytest.approx(elasticity, rel=1e-4, abs=1e-6)


def unchecked(losses, **changed):
    """Return changed losses that may lie just out of bounds, as a difference to both sides of a bound needs."""
    found = object.__new__(Overheads)
    for name, value in {**vars(losses), **changed}.items():
        object.__setattr__(found, name, value)
    return found


@given(any_losses(), positive)
def test_a_faster_card_alone_does_not_shorten_what_shows(losses, times):
    slow, fast = (step_time.step_breakdown(flop=20e15 * n, flop_per_s=1e15 * n, overheads=losses) for n in (1, times))
    assert slow == pytest.approx(fast)
    faster = step_time.step_breakdown(flop=20e15, flop_per_s=1e15 * min(times, 2), overheads=losses)
    assert faster["exposed communication"] == slow["exposed communication"]


def test_fractions_stay_fractions_and_arrays_arrays():
    exact = Overheads(
        communication_s=Fraction(4), hidden_share=Fraction(3, 4), bubble_share=Fraction(1, 10),
        multiprocessors=Fraction(4), multiprocessors_for_communication=Fraction(1),
    )  # fmt: skip
    assert step_time.step_time(flop=Fraction(12), flop_per_s=Fraction(2), overheads=exact) == 10
    assert step_time.elasticities(flop=Fraction(12), flop_per_s=Fraction(2), overheads=exact)[
        "hidden_share"
    ] == Fraction(-1, 3)
    hidden = np.array([0, 0.5, 0.75])
    found = step_time.step_time(**WORK, overheads=replace(HAND, hidden_share=hidden))
    assert found == pytest.approx((8 + 4 * (1 - hidden)) / 0.9)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"communication_s": -1}, "communication_s = -1: must be finite and at least 0"),
        ({"communication_s": float("inf")}, "communication_s = inf: must be finite and at least 0"),
        ({"hidden_share": 1.1}, "hidden_share = 1.1: must be from 0 to 1"),
        ({"hidden_share": -0.1}, "hidden_share = -0.1: must be from 0 to 1"),
        ({"hidden_share": float("nan")}, "hidden_share = nan: must be from 0 to 1"),
        ({"hidden_share": np.array([0, 2])}, "hidden_share = [0 2]: must be from 0 to 1"),
        ({"hidden_share": np.array([[0], [2]])}, 'hidden_share = "[[0]\\n [2]]": must be from 0 to 1'),
        ({"bubble_share": 1}, "bubble_share = 1: must be from 0 to below 1"),
        ({"bubble_share": -0.1}, "bubble_share = -0.1: must be from 0 to below 1"),
        *(
            (
                {"multiprocessors_for_communication": taken},
                f"multiprocessors_for_communication = {taken}: must be from 0 to below multiprocessors = 4",
            )
            for taken in (-1, 4, 5)
        ),
    ],
)
def test_losses_that_are_none(changed, message):
    with pytest.raises(InputError) as refused:
        replace(HAND, **changed)
    assert str(refused.value) == message


def test_a_rate_of_0_is_an_error():
    with pytest.raises(ZeroDivisionError):
        step_time.compute_time(flop=1, flop_per_s=0, overheads=NONE)


units = pint.UnitRegistry()
units.define("flop = [work]")
units.define("gpu = [device]")
units.define("token = [text]")
PER_TOKEN = units.gpu * units.second / units.token
OF_A_TOKEN = replace(HAND, communication_s=1e-4 * PER_TOKEN)
RATE = 1e15 * units.flop / units.second / units.gpu
OF = {"flop": 2.5e11 * units.flop / units.token, "flop_per_s": RATE, "overheads": OF_A_TOKEN}
HOURS = 180_000e-12 * units.gpu * units.hour / units.token


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        (step_time.compute_time(**OF), "gpu * second / token"),
        (step_time.step_breakdown(**OF)["bubble"], "gpu * second / token"),
        (step_time.step_time(**OF), "gpu * second / token"),
        (
            step_time.gpu_hours_per_trillion_tokens(flop_per_token=OF["flop"], flop_per_s=RATE, overheads=OF_A_TOKEN),
            "gpu * hour / token",
        ),
        (
            step_time.implied_flop_per_s(
                gpu_hours_per_trillion_tokens=HOURS * 1e12, flop_per_token=OF["flop"], overheads=OF_A_TOKEN
            ),
            "flop / second / gpu",
        ),
        (step_time.elasticities(**OF)["communication_s"], ""),
    ],
)
def test_dimension(quantity, unit):
    assert quantity.check(units.Unit(unit).dimensionality)
