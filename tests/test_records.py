"""Recorded measurements: read with their machine, and refused by name where they are not there."""

import json

import pytest

from repro.errors import InputError
from repro.lab import records as module
from repro.lab.records import Record, load_record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "benchmarks" / "recorded").mkdir(parents=True)
    monkeypatch.setattr(module, "folder", lambda: tmp_path / "notebooks")
    return tmp_path / "benchmarks" / "recorded"


def test_rows_are_found_by_their_fields(folder):
    rows = [{"case": "a", "tokens": 1, "seconds": 2.0}, {"case": "a", "tokens": 4, "seconds": 3.0}]
    (folder / "x.json").write_text(json.dumps({"machine": {}, "rows": rows}))
    assert load_record("x").row(case="a", tokens=4)["seconds"] == 3
    for wanted in ({"case": "a"}, {"case": "b"}):
        with pytest.raises(InputError, match="must be 1"):
            load_record("x").row(**wanted)


def test_results_come_in_the_order_of_seeds():
    rows = [
        {"run": {"way": "a", "seed": seed}, "status": "complete", "results": {"loss": seed / 2, "by": {"x": 3 * seed}}}
        for seed in (2, 0, 1)
    ]
    found = Record({}, [*rows, {"run": {"way": "b", "seed": 0}, "status": "diverged", "results": {}}, *rows[:1]])
    for wanted in ({"way": "a"}, {"way": "b"}, {"way": "c"}):  # a seed twice, a run that stopped, none
        with pytest.raises(InputError, match=r"must be complete|must be one of each seed"):
            found.over_seeds("loss", **wanted)
    assert Record({}, rows).over_seeds("loss", way="a") == [0, 0.5, 1]
    assert Record({}, rows).over_seeds("by.x", way="a") == [0, 3, 6]
    assert Record({}, rows).over_seeds("loss", only={1, 2, 9}, way="a") == [0.5, 1]
    assert found.over_seeds("loss", only={0}, way="a") == [0]
    assert (found.diverged_seeds(way="a"), found.diverged_seeds(way="b")) == (set(), {0})


def test_a_run_of_several_seeds_has_a_result_for_each():
    row = {"run": {"way": "a", "seeds": [7, 3]}, "status": "complete", "results": {"loss": [0.7, 0.3]}}
    assert Record({}, [row]).over_seeds("loss", way="a") == [0.3, 0.7]
    assert Record({}, [row]).over_seeds("loss", only=[7], way="a") == [0.7]
    with pytest.raises(InputError, match="one of each seed"):
        Record({}, [row, row]).over_seeds("loss", way="a")


@pytest.mark.parametrize("text", ["{}", '{"machine": [], "rows": []}', '{"machine": {}}', "[]", "{"])
def test_a_damaged_recording_is_named(folder, text):
    (folder / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json"):
        load_record("x")


def test_a_missing_recording_is_named(folder):
    with pytest.raises(InputError, match=r"y\.json: cannot be read"):
        load_record("y")


def test_what_is_committed_names_machine_versions_and_date():
    found = load_record("nano")
    assert set(found.machine) == {"date", "processor", "cores", "python", "numpy"}
    assert all(found.machine.values())
    assert found.machine_line.endswith(found.machine["date"])
    assert all(row["seconds"] > 0 and row["ratio"] > 0 for row in found.rows)
