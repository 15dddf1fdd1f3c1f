"""Shared experts: what the two kinds of layer have in common, what they learn from, and where the shared one pays."""

from dataclasses import asdict
from itertools import islice

import numpy as np
import pytest

from repro.experiments import shared_experts, watch
from repro.experiments.shared_experts import COMMON_SHARES, RUNS, SharedExpertRun, build, measure
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.nano.param_shapes import iter_leaves

KINDS = [SharedExpertRun(shared, 0.5, seed=3) for shared in (0, 1)]


def test_both_kinds_have_equal_parameters_and_work_but_for_a_row_of_the_gate():
    sizes, active = [], []
    for run in KINDS:
        _, layer = build(run)
        arrays = {path: a for path, a in iter_leaves(layer.params) if "bias" not in path}
        sizes.append(sum(a.size for a in arrays.values()))
        active.append((layer.experts.top_k + layer.experts.n_shared_experts) * layer.experts.d_expert)
    assert sizes[0] - sizes[1] == 24  # d_model: 16 of the input and 8 of the domain's embedding
    assert sizes[1] == 16 * 3 * 8 * 24 + 15 * 24
    assert active == [32, 32]


def test_both_kinds_learn_from_one_teacher():
    (one, _), (other, _) = map(build, KINDS)
    x = np.random.default_rng(0).standard_normal((8, 4, 16))
    assert np.array_equal(one.outputs(x, np.arange(8)), other.outputs(x, np.arange(8)))


def test_a_share_is_one_of_the_variance():
    teacher, _ = build(SharedExpertRun(0, 0.9, seed=1))
    x = np.random.default_rng(0).standard_normal((8, 4000, 16))
    y = teacher.outputs(x, np.arange(8))  # [D, L, d_input]
    common = np.sqrt(0.9) * teacher.common.outputs(x)
    assert np.var(y - common) / np.var(y) == pytest.approx(0.1, abs=0.01)


def test_every_pair_of_runs_is_there():
    keys = {(run.common_share, run.seed, run.peak_lr): set() for run in RUNS}
    for run in RUNS:
        keys[run.common_share, run.seed, run.peak_lr].add(run.n_shared_experts)
    assert set(map(tuple, keys.values())) == {(0, 1)}
    assert {share for share, *_ in keys} == set(COMMON_SHARES)


@pytest.mark.slow
def test_a_shared_expert_pays_where_nearly_all_is_common_and_not_where_nothing_is(monkeypatch):
    monkeypatch.setattr(shared_experts, "N_EXPERTS", 8)
    monkeypatch.setattr(shared_experts, "TOP_K", 2)
    found = {
        share: [measure(SharedExpertRun(kind, share, 5, steps=250), Trace())["log_error"] for kind in (0, 1)]
        for share in (0.0, 1.0)
    }
    assert found[1.0][1] < found[1.0][0] - 0.1
    assert found[0.0][1] > found[0.0][0] - 0.1


def test_the_record_begins_as_a_run_made_now_does(monkeypatch):
    monkeypatch.setattr(shared_experts, "follow", lambda steps, trace: watch.follow(islice(steps, 30), trace))
    trace = Trace()
    measure(RUNS[-1], trace)
    row = load_record("shared_experts", "experiments").rows[-1]
    assert row["run"] == asdict(RUNS[-1])
    assert trace.rows[0]["loss"] == pytest.approx(row["trace"][0]["loss"], rel=1e-6)
