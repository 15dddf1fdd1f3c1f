"""Experiments: what a watched run keeps, how a study resumes, what becomes of runs that stop, how repeats compare."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import record
from repro.experiments.record import (
    Study,
    code_version,
    describe_row,
    differences,
    load_rows,
    perform,
    perform_all,
    write_record,
)
from repro.experiments.studies import STUDIES
from repro.experiments.watch import Trace, follow
from repro.lab.records import load_record
from repro.nano import Recipe, init_model, small_config, train
from repro.nano.training.loop import TrainingDiverged
from repro.spread import confidence_interval, paired_interval

pytestmark = pytest.mark.slow

RUN = Path(__file__).resolve().parents[1] / "experiments" / "run.py"


def step(number, loss=2.0, loads=()):
    return SimpleNamespace(number=number, loss=SimpleNamespace(main=loss, loads=tuple(map(np.array, loads))))


# Watching


def test_a_trace_holds_means_and_sums_of_each_window():
    trace = Trace(every=2, keep_loads=True)
    follow([step(0, 3.0, [[4, 0]]), step(1, 2.0, [[1, 3]]), step(2, 1.5, [[2, 2]]), step(3, 1.0, [[3, 1]])], trace)
    first, second = trace.rows
    assert first == {"step": 2, "loss": 2.5, "max_violation": [0.25], "idle": [0.0], "loads": [[5, 3]]}
    assert second["loads"] == [[5, 3]]
    assert (trace.steps_done, trace.collapsed_at) == (4, None)


def test_a_router_that_collapses_is_noted_with_its_first_step_and_goes_on():
    loads = [[[5, 5, 5, 5]], [[20, 0, 0, 0]], [[20, 0, 0, 0]], [[5, 5, 5, 5]]]
    trace = Trace(every=1)
    follow([step(n, loads=load) for n, load in enumerate(loads)], trace)
    assert trace.collapsed_at == 2
    assert [row["idle"] for row in trace.rows] == [[0], [0.75], [0.75], [0]]


def test_half_of_the_experts_idle_is_no_collapse_yet():
    trace = Trace(every=1)
    follow([step(0, loads=[[10, 10, 0, 0]])], trace)
    assert trace.collapsed_at is None


def test_a_loss_that_rises_by_a_nat_stops_the_run_and_keeps_the_trace():
    trace = Trace(every=2)
    with pytest.raises(TrainingDiverged, match=r"step 5: loss 3\.100, began at 2\.000: try a lower peak_lr") as caught:
        follow([step(n, loss) for n, loss in enumerate([2, 2, 2.9, 2.9, 3.1, 3.1, 9, 9])], trace)
    assert caught.value.step == 5
    assert [row["loss"] for row in trace.rows] == [2, 2.9, 3.1]


def test_a_model_without_experts_has_a_trace_of_losses_alone():
    trace = Trace(every=1)
    follow([step(0)], trace)
    assert trace.rows == [{"step": 1, "loss": 2.0}]


# Running and resuming


@dataclass(frozen=True)
class Toy:
    """A run that counts: steps, and what happens at one of them."""

    seed: int
    fate: str = ""
    keep_loads: bool = False


def measure(run, trace):
    for number in range(6):
        if number == 4 and run.fate == "nan":
            raise TrainingDiverged(number, "loss nan, gradient norm nan")
        if number == 4 and run.fate == "by hand":
            raise KeyboardInterrupt
        if number == 4 and run.fate == "refused":
            raise InputError("steps = 0: must be more")
        trace.add(step(number))
    return {"loss": run.seed / 3, "by": {"a": [1.0, run.seed]}}


def study(*fates):
    return Study("toy", [Toy(seed, fate) for seed, fate in enumerate(fates)], measure)


@pytest.mark.parametrize(
    ("fate", "status", "reason"),
    [
        ("nan", "diverged", "step 4: loss nan, gradient norm nan: try a lower peak_lr"),
        ("by hand", "interrupted", "step 4: interrupted by hand"),
        ("refused", "refused", "steps = 0: must be more"),
    ],
)
def test_a_run_that_stops_is_marked_with_step_reason_and_partial_trace(fate, status, reason):
    row = perform(study(), Toy(7, fate), every=2)
    assert (row["status"], row["reason"], row["steps_done"], row["results"]) == (status, reason, 4, {})
    assert [one["step"] for one in row["trace"]] == [2, 4]
    line = describe_row("toy", row)
    assert line == f"toy: {status} after 4 steps ({reason}); seed=7, fate={fate}, keep_loads=False"


def test_a_real_training_that_overflows_is_marked_with_its_step():
    def explode(run, trace):
        model = init_model(small_config(n_layers=1, gate=None), seed=run.seed)
        model.params["lm_head"][:] *= 1e30
        follow(train(model, iter([np.arange(8)[None]] * 3), Recipe(3, warmup_steps=1)), trace)

    row = perform(Study("x", [], explode), Toy(0))
    assert row["status"] == "diverged"
    assert row["reason"].startswith("step 0: loss ")


def test_finished_runs_are_not_done_again_and_interrupted_ones_are(tmp_path):
    path = tmp_path / "toy.jsonl"
    first = perform_all(study("", "nan"), path, 1, bar=False)
    assert [row["status"] for row in first] == ["complete", "diverged"]
    lines = path.read_text().splitlines()
    left = json.loads(lines[0]) | {"status": "interrupted"}
    path.write_text(json.dumps(left) + "\n" + lines[1] + "\n")
    again = perform_all(study("", "nan", ""), path, 2, bar=False)
    assert [row["status"] for row in again] == ["complete", "diverged", "complete"]
    assert [json.loads(line)["run"]["seed"] for line in path.read_text().splitlines()[2:]] in ([0, 2], [2, 0])
    assert not any("code" in row for row in again)  # a resumed study gives the rows of one that ran at once


def test_rows_of_other_code_are_done_again(tmp_path):
    path = tmp_path / "toy.jsonl"
    perform_all(study(""), path, 1, bar=False)
    row = json.loads(path.read_text())
    assert row["code"] == code_version()
    path.write_text(json.dumps(row | {"code": "0" * 16, "results": {"loss": 99}}) + "\n")
    (found,) = perform_all(study(""), path, 1, bar=False)
    assert found["results"]["loss"] == 0


def test_the_fingerprint_of_code_changes_with_any_room_that_results_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "PACKAGE", tmp_path)
    seen = set()
    for room in ("calc", "experiments", "models", "nano"):
        (tmp_path / room).mkdir()
        seen.add(code_version())
        (tmp_path / room / "x.py").write_text("1")
        seen.add(code_version())
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "x.py").write_text("1")
    assert len(seen) == 5
    assert code_version() in seen


def test_a_last_line_cut_off_is_left_out_and_another_is_named(tmp_path):
    path = tmp_path / "toy.jsonl"
    path.write_text('{"code": "v", "run": {}, "status": "complete"}\n{"code": "v", "ru')
    assert len(load_rows(path, "v")) == 1
    path.write_text('{"code": "v", "ru\n{"code": "v", "run": {}, "status": "complete"}\n')
    with pytest.raises(InputError, match=r"toy\.jsonl: line 1: must be the row of a run"):
        load_rows(path, "v")


# Records


def test_a_repeat_that_equals_the_record_differs_by_rounding_alone(tmp_path):
    rows = [perform(study(), Toy(seed)) for seed in range(3)]
    write_record(study(), rows, tmp_path / "toy.json")
    found = differences(rows, tmp_path / "toy.json")
    assert set(found) == {"loss", "by"}
    assert found["loss"][0] < 1e-9
    assert found["loss"][1] == pytest.approx(2 / 3)
    rows[2]["results"]["by"]["a"][1] += 0.5
    assert differences(rows, tmp_path / "toy.json")["by"] == (0.5, 2.0)
    rows[2]["results"]["by"]["a"][1] -= 1.25  # now below the record
    assert differences(rows, tmp_path / "toy.json")["by"] == (0.75, 2.0)


def test_a_repeat_that_measures_something_else_is_named(tmp_path):
    rows = [perform(study(), Toy(0))]
    write_record(study(), rows, tmp_path / "toy.json")
    rows[0]["results"]["bits"] = 1.0
    with pytest.raises(
        InputError, match=r"toy\.json: bits: must be among the results of both the repeat and the record"
    ):
        differences(rows, tmp_path / "toy.json")


def test_a_repeat_that_ends_otherwise_or_has_another_run_is_named(tmp_path):
    rows = [perform(study(), Toy(0))]
    write_record(study(), rows, tmp_path / "toy.json")
    with pytest.raises(
        InputError, match=r"toy\.json: this run: diverged .* seed=0, fate=nan.*: in the record it is missing"
    ):
        differences([perform(study(), Toy(0, "nan"))], tmp_path / "toy.json")
    with pytest.raises(InputError, match="in the record it is complete"):
        differences([rows[0] | {"status": "diverged"}], tmp_path / "toy.json")


@pytest.mark.parametrize("name", list(STUDIES))
def test_what_is_committed_is_one_row_for_every_run_of_the_study(name):
    found, wanted = load_record(name, "experiments"), STUDIES[name].runs
    assert [record.run_key(row["run"]) for row in found.rows] == [record.run_key(record.asdict(run)) for run in wanted]
    assert set(found.machine) == {"date", "processor", "cores", "python", "numpy"}
    assert all(row["status"] in record.DONE and (row["status"] != "complete" or row["results"]) for row in found.rows)


@pytest.mark.parametrize("name", list(STUDIES))
def test_every_run_of_a_study_is_there_once(name):
    keys = [record.run_key(record.asdict(run)) for run in STUDIES[name].runs]
    assert len(set(keys)) == len(keys)
    seeds = {seed for run in STUDIES[name].runs for seed in (run.seeds if hasattr(run, "seeds") else [run.seed])}
    assert seeds == set(range(len(seeds)))


# The command


def command(*arguments, **options):
    return subprocess.run([sys.executable, str(RUN), *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("balance",), "unknown study 'balance'; did you mean balancing?"),
        (("balancing", "--workers", "0"), "--workers = 0: must be at least 1"),
        (("--workers", "two"), "argument --workers: invalid int value: 'two' (see run.py --help)"),
        (("balancing", "--runs", f"{RUN}"), f"{RUN}: File exists"),
    ],
)
def test_mistakes_get_one_line(arguments, message):
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"experiments: error: {message}\n"


@pytest.mark.skipif(os.name != "posix", reason="interrupts by signal")
def test_an_interrupted_study_keeps_marked_partial_rows(tmp_path):
    started = subprocess.Popen(
        [sys.executable, str(RUN), "recall", "--runs", str(tmp_path), "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    while not (tmp_path / "recall.jsonl").exists() and started.poll() is None:
        time.sleep(0.1)
    time.sleep(1.5)  # the first run is training now: it takes longer
    os.killpg(started.pid, signal.SIGINT)
    try:
        printed, errors = started.communicate(timeout=60)
    finally:
        started.kill()  # its workers end with it
    assert started.returncode == 1
    assert errors.splitlines()[-1] == "experiments: interrupted; finished runs are kept, call again to go on"
    rows = [json.loads(line) for line in (tmp_path / "recall.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["interrupted"]
    (line,) = [line for line in printed.splitlines() if not line.startswith("recall: plan: ")]
    assert line.startswith("recall: interrupted after ")
    assert rows[0]["trace"][-1]["step"] <= rows[0]["steps_done"]


# Spread


def test_an_interval_by_hand():
    # mean 3, deviation sqrt(2.5), t of 4 degrees 2.776445: half-width 2.776445 · sqrt(2.5 / 5)
    found = confidence_interval([1, 2, 3, 4, 5])
    assert (found.mean, found.half) == (3, pytest.approx(2.776445 * np.sqrt(0.5), rel=1e-6))
    assert (found.low, found.high, found.sign) == (pytest.approx(1.036757, rel=1e-5), pytest.approx(4.963243), 1)


def test_pairs_of_equal_seeds_have_the_spread_of_their_differences():
    found = paired_interval([1.1, 2.2, 3.3], [1.0, 2.0, 3.0])
    assert found.mean == pytest.approx(0.2)
    assert found.sign == 0
    assert paired_interval([1.0, 2.0, 3.0], [1.1, 2.11, 3.1]).sign == -1


def test_too_few_values_and_unequal_lists_are_refused():
    with pytest.raises(InputError, match="number of seeds = 1: must be at least 2"):
        confidence_interval([1.0])
    with pytest.raises(InputError, match="3 values and a baseline of 2: must be one of each for every seed"):
        paired_interval([1, 2, 3], [1, 2])
