"""The verdict rule on small claims made for the purpose."""

import pytest

from repro.claims import Case, Printed, Verdict, judge
from repro.claims.verdict import RIGHT_SIZE

COST = Printed(name="cost", text="$5.5M", value=5.5e6, unit="USD", place=1e5)
RANGE = Printed(name="cost", text="$2M to $5M", value=2e6, high=5e6, unit="USD", place=1e6, relation="range")
BOUND = Printed(name="months", text="less than two", value=2, unit="months", place=1, relation="<")


def case(value, name="cost", assumption="as read"):
    return Case(assumption, value, {} if value is None else {name: value})


@pytest.mark.parametrize(
    ("figure", "value", "verdict"),
    [
        (COST, 5.5e6, Verdict.HOLDS),
        (COST, 5.54e6, Verdict.HOLDS),  # rounds to 5.5
        (COST, 5.576e6, Verdict.IMPRECISE),  # rounds to 5.6, 1.4% away
        (COST, 5.0e6, Verdict.IMPRECISE),  # 10% of 5.0 away, the limit
        (COST, 4.9e6, Verdict.WRONG),  # 12% of 4.9 away
        (COST, 2.8e6, Verdict.WRONG),
        (RANGE, 2.8e6, Verdict.HOLDS),
        (RANGE, 1.5e6, Verdict.HOLDS),  # rounds to 2
        (RANGE, 1.4e6, Verdict.WRONG),  # the nearer end is 43% away
        (RANGE, 5.5e6, Verdict.HOLDS),  # rounds to 5 or 6, a tie
        (RANGE, 5.51e6, Verdict.IMPRECISE),  # 9.3% above the upper end
        (RANGE, 6.88e6, Verdict.WRONG),
        (BOUND, 1.99, Verdict.HOLDS),
        (BOUND, 2.0, Verdict.IMPRECISE),  # not less than two, but of the right size
        (BOUND, 2.5, Verdict.WRONG),
    ],
)
def test_one_figure(figure, value, verdict):
    assert judge([figure], [case(value, figure.name)]) is verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([5.5e6, 5.5e6], Verdict.HOLDS),
        ([5.5e6, 9e6], Verdict.HOLDS_IF),
        ([9e6, 5.5e6], Verdict.HOLDS_IF),
        ([5.5e6, None], Verdict.HOLDS_IF),  # one reading has no public data
        ([5.576e6, 9e6], Verdict.IMPRECISE),
        ([9e6, 1e6], Verdict.WRONG),
        ([None, 9e6], Verdict.WRONG),
        ([None, None], Verdict.NOT_CHECKABLE),
    ],
)
def test_several_readings(values, verdict):
    assert judge([COST], [case(value) for value in values]) is verdict


def test_the_worst_figure_of_a_reading_decides():
    tokens = Printed(name="tokens", text="15T", value=15e12, unit="tokens", place=1e12)
    good, bad = {"cost": 5.5e6, "tokens": 15e12}, {"cost": 5.5e6, "tokens": 30e12}
    assert judge([COST, tokens], [Case("", 5.5e6, good)]) is Verdict.HOLDS
    assert judge([COST, tokens], [Case("", 5.5e6, bad)]) is Verdict.WRONG


def test_a_comparison_is_true_or_false():
    assert judge([], [Case("", 1.0, is_true=True)]) is Verdict.HOLDS
    assert judge([], [Case("", 1.0, is_true=False)]) is Verdict.WRONG
    assert judge([COST], [Case("", 5.5e6, {"cost": 5.5e6}, is_true=False)]) is Verdict.WRONG


def test_a_wrong_word_makes_right_figures_imprecise():
    assert judge([COST], [Case("", 5.5e6, {"cost": 5.5e6}, wording_ok=False)]) is Verdict.IMPRECISE
    assert judge([COST], [Case("", 9e6, {"cost": 9e6}, wording_ok=False)]) is Verdict.WRONG


def test_an_audit_that_recomputes_nothing_or_something_else_is_a_mistake():
    with pytest.raises(ValueError, match="at least one case"):
        judge([COST], [])
    with pytest.raises(ValueError, match="recomputes nothing"):
        judge([COST], [Case("", 1.0)])
    with pytest.raises(ValueError, match="prints no figure named price"):
        judge([COST], [Case("", 1.0, {"price": 2.0})])


def test_right_size_means_within_ten_per_cent():
    assert RIGHT_SIZE == 0.10
