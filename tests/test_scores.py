"""Benchmark scores compared: which rows count, who wins, and by how much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.calc.scores import Comparison, compare, tally
from repro.errors import InputError
from repro.facts import load

TABLE = [
    {"area": "mathematics", "benchmark": "AIME", "metric": "EM", "Ours": "39.2", "Theirs": "23.3", "Third": "-"},
    {"area": "mathematics of children", "benchmark": "GSM", "metric": "EM", "Ours": "89.3", "Theirs": "89.0",
     "Third": "1.0"},
    {"area": "code", "benchmark": "Aider", "metric": "Acc.", "Ours": "49.6", "Theirs": "50.1", "Third": "-"},
    {"area": "knowledge", "benchmark": "MMLU", "metric": "EM", "Ours": "-", "Theirs": "88.3", "Third": "2.0"},
]  # fmt: skip
score = st.floats(0, 100).map(lambda points: round(points, 1))


def row(ours, theirs):
    return Comparison("code", "Aider", "Acc.", ours, theirs)


def test_a_row_counts_where_both_have_a_score():
    assert compare(TABLE, "Ours", "Theirs") == [
        Comparison("mathematics", "AIME", "EM", 39.2, 23.3),
        Comparison("mathematics of children", "GSM", "EM", 89.3, 89.0),
        Comparison("code", "Aider", "Acc.", 49.6, 50.1),
    ]
    assert [one.benchmark for one in compare(TABLE, "Theirs", "Third")] == ["GSM", "MMLU"]
    assert [one.benchmark for one in compare(TABLE, "Third", "Ours")] == ["GSM"]


@pytest.mark.parametrize(
    ("areas", "benchmarks"),
    [
        (["code"], ["Aider"]),
        (["math"], ["AIME", "GSM"]),  # by the beginning of the name
        (["mathematics of", "code"], ["GSM", "Aider"]),
        (["children"], []),
        ([], ["AIME", "GSM", "Aider"]),
    ],
)
def test_only_the_areas_asked_for(areas, benchmarks):
    assert [one.benchmark for one in compare(TABLE, "Ours", "Theirs", areas)] == benchmarks
    assert [one.benchmark for one in compare(TABLE, "Ours", "Theirs", iter(areas))] == benchmarks


@pytest.mark.parametrize(("model", "rival"), [("Hers", "Ours"), ("Ours", "Hers")])
def test_a_model_that_the_table_has_not_is_named(model, rival):
    with pytest.raises(InputError, match=r"^the table has no model 'Hers'; it has: Ours, Theirs, Third$"):
        compare(TABLE, model, rival)


def test_a_margin_has_the_digits_that_tables_print():
    assert row(89.3, 89.0).margin == 0.3  # not 0.29999999999999716
    assert row(0.657, 0.658).margin == -0.001
    assert row(1, 1).margin == 0


@pytest.mark.parametrize(
    ("ours", "theirs", "tie_points", "outcome"),
    [
        (89.3, 89.0, 0, "won"),
        (89.0, 89.3, 0, "lost"),
        (89.0, 89.0, 0, "tied"),
        (89.3, 89.0, 0.3, "tied"),  # a gap of just so many points
        (89.0, 89.3, 0.3, "tied"),
        (89.4, 89.0, 0.3, "won"),
        (89.0, 89.4, 0.3, "lost"),
    ],
)
def test_outcome(ours, theirs, tie_points, outcome):
    assert row(ours, theirs).outcome(tie_points=tie_points) == outcome


def test_tally():
    # margins 15.9, 0.3 and -0.5
    found = compare(TABLE, "Ours", "Theirs")
    assert tally(found, tie_points=0) == {"won": 2, "tied": 0, "lost": 1}
    assert tally(found, tie_points=0.3) == {"won": 1, "tied": 1, "lost": 1}
    assert tally(found, tie_points=0.5) == {"won": 1, "tied": 2, "lost": 0}
    assert tally([], tie_points=0) == {"won": 0, "tied": 0, "lost": 0}


def test_v3_against_gpt_4o_on_open_ended_tasks():
    # V3 report, table 7: Arena-Hard 85.5 and 80.4, AlpacaEval 70.0 and 51.1
    found = compare(load().published["scores.v3_table_7"].content, "DeepSeek-V3", "GPT-4o-0513")
    assert [one.margin for one in found] == [5.1, 18.9]
    assert tally(found, tie_points=0) == {"won": 2, "tied": 0, "lost": 0}


@given(score, score, st.floats(0, 10))
def test_one_wins_where_the_other_loses(ours, theirs, tie_points):
    mirror = {"won": "lost", "lost": "won", "tied": "tied"}
    outcome = row(ours, theirs).outcome(tie_points=tie_points)
    assert row(theirs, ours).outcome(tie_points=tie_points) == mirror[outcome]


@given(st.lists(st.builds(row, score, score)), st.floats(0, 10), st.floats(0, 10))
def test_every_row_is_counted_once_and_wider_ties_take_from_both_sides(rows, one, other):
    narrow, wide = (tally(rows, tie_points=points) for points in sorted((one, other)))
    assert sum(narrow.values()) == sum(wide.values()) == len(rows)
    assert wide["tied"] >= narrow["tied"]
    assert wide["won"] <= narrow["won"]
    assert wide["lost"] <= narrow["lost"]
