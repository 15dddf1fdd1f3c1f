"""Memorising: what students are made of, who chooses experts, bits by hand, and which routers cannot store facts."""

from dataclasses import asdict, replace
from itertools import islice

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import memorising, watch
from repro.experiments.memorising import (
    MIXTURE,
    STUDENTS,
    Facts,
    Layer,
    MemorisingRun,
    Student,
    draw_facts,
    init_layer,
    known,
    measure,
    mixture,
)
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.nano.ops import cross_entropy, mlp
from repro.nano.param_shapes import iter_leaves

GRANULARITIES = ["1 of 8", "softmax gate", "4 of 32", "8 of 64"]


def small(**options):
    """Return a mixture of 8 experts of width 2, 2 for each key."""
    return Student(2, 8, 2, **options)


def test_sizes_of_students_by_hand():
    # 16 experts of width 4: 3 · 8 · 4 = 96 parameters each, and a gate of 16 · 8; a key passes 2 of them.
    assert (MIXTURE.total_parameters, MIXTURE.active_parameters) == (16 * 96 + 128, 2 * 96 + 128)
    assert [STUDENTS[name].width for name in ("dense, active", "dense, total")] == [13, 69]  # 320 / 24, 1,664 / 24
    assert STUDENTS["hash of the key"].total_parameters == 16 * 96


def test_dense_students_have_the_mixtures_sizes_to_three_per_cent():
    assert STUDENTS["dense, active"].active_parameters == pytest.approx(MIXTURE.active_parameters, rel=0.03)
    assert STUDENTS["dense, total"].total_parameters == pytest.approx(MIXTURE.total_parameters, rel=0.03)


def test_finer_experts_have_equal_parameters_and_work_but_for_the_gate():
    sizes = [STUDENTS[name] for name in GRANULARITIES]
    assert {s.total_parameters - s.gate_parameters for s in sizes} == {1536}
    assert {s.active_parameters - s.gate_parameters for s in sizes} == {192}
    assert [s.gate_parameters for s in sizes] == [64, 128, 256, 512]


@pytest.mark.parametrize("name", list(STUDENTS))
def test_parameters_are_those_of_the_arrays(name):
    student = STUDENTS[name]
    arrays = {path: a for path, a in iter_leaves(init_layer(student, 8, 0).params) if "bias" not in path}
    if not student.gate_parameters:
        arrays = {path: a for path, a in arrays.items() if "gate.weight" not in path}
    assert sum(a.size for a in arrays.values()) == student.total_parameters


@pytest.mark.parametrize("count", [12, 128])
def test_mixtures_that_cannot_be_cut_are_refused(count):
    with pytest.raises(InputError, match=f"n_routed_experts = {count}: must be a multiple of 8 that divides 64"):
        mixture(count)


def test_fewer_facts_are_the_first_of_more():
    few, many = draw_facts(5, 3), draw_facts(9, 3)
    assert np.array_equal(few.keys, many.keys[:5])
    assert np.array_equal(few.values, many.values[:5])
    assert not np.array_equal(draw_facts(5, 4).values, few.values)


@pytest.mark.parametrize("name", list(STUDENTS))
def test_gradients_against_finite_differences(name):
    facts = draw_facts(12, 1)
    student = STUDENTS[name]
    if student.router == "random":
        student = replace(student, router="hash")  # of which each loss asks the same experts
    layer = init_layer(student, 12, 1)
    logits, saved = layer.forward(facts.keys)
    found = dict(iter_leaves(layer.backward(cross_entropy(logits, facts.values)[1], saved)))
    rng = np.random.default_rng(0)
    for path, array in iter_leaves(layer.params):
        if path not in found:
            continue
        direction, eps, losses = rng.standard_normal(array.shape), 1e-5, []
        for sign in (1, -2, 1):
            array += sign * eps * direction
            losses.append(cross_entropy(layer.forward(facts.keys)[0], facts.values)[0])
        slope = (losses[0] - losses[1]) / (2 * eps)
        assert slope == pytest.approx(np.sum(found[path] * direction), rel=1e-5, abs=1e-8), path
    assert any("gate.weight" in path for path in found) == (student.router == "trained" and student.top_k > 0)


def test_a_hash_gives_each_fact_its_experts_for_good_and_chance_anew():
    facts = draw_facts(64, 0)
    for router, equal in {"hash": True, "random": False}.items():
        layer = init_layer(small(scoring="sigmoid, normalised", router=router), 64, 0)
        first, second = (layer.forward(facts.keys)[1].routing for _ in range(2))
        assert np.array_equal(np.sort(first.experts), np.sort(second.experts)) == equal
        assert np.allclose(first.weights, 1 / 2)
        assert len({tuple(sorted(row)) for row in first.experts.tolist()}) > 20  # of 28 pairs


def test_a_router_that_collapses_leaves_a_dense_layer_of_the_chosen_experts():
    facts = draw_facts(10, 2)
    layer = init_layer(small(scoring="sigmoid, normalised", router="hash"), 10, 2)
    layer.params["gate"]["e_score_correction_bias"] = np.array([10.0, 0, 0, 10.0, 0, 0, 0, 0])
    gate_up, down = (layer.params["experts"][name] for name in ("gate_up_proj", "down_proj"))
    halves = [gate_up[[0, 3], part].reshape(4, 8) for part in (slice(2), slice(2, 4))]
    side_by_side = {"gate_up_proj": np.concatenate(halves), "down_proj": np.concatenate(down[[0, 3]], axis=1) / 2}
    assert np.allclose(layer.forward(facts.keys)[0], mlp(facts.keys, side_by_side)[0], rtol=0, atol=1e-12)


def test_v3s_gate_has_nothing_to_learn_where_a_key_passes_one_expert():
    facts = draw_facts(20, 0)
    layer = init_layer(mixture(8, scoring="sigmoid, normalised"), 20, 0)
    logits, saved = layer.forward(facts.keys)
    gradients = layer.backward(cross_entropy(logits, facts.values)[1], saved)
    assert np.abs(gradients["gate"]["weight"]).max() < 1e-12  # a weight divided by itself is 1


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_weights_sum_to_about_one_at_the_start(scoring):
    layer = init_layer(small(scoring=scoring), 200, 0)
    routing = layer.forward(draw_facts(200, 0).keys)[1].routing
    assert routing.weights.sum(axis=1).mean() == pytest.approx(1.3, abs=0.3)  # the chosen score above the mean


def test_bits_by_hand():
    facts = Facts(np.zeros((4, 8)), np.arange(4))
    says = {
        "nothing": (np.zeros((4, 8)), 0.0),
        "one of two": (np.repeat([[0.0, 0.0] + [-1e3] * 6], 4, axis=0), 0.0),  # right for two facts, hopeless for two
        "all": (1e3 * np.eye(8)[:4], 12.0),
        "the right half": (np.where(np.arange(8) < 4, 0.0, -1e3) * np.ones((4, 1)), 4.0),  # one bit of each
    }
    for name, (logits, bits) in says.items():
        layer = Layer(Student(1), {}, np.random.default_rng(0))
        layer.forward = lambda keys, logits=logits: (logits, None)
        assert known(layer, facts)["bits"] == pytest.approx(bits), name
    assert known(layer, facts)["facts"] == 1


def test_an_unknown_student_is_named():
    with pytest.raises(InputError, match="student = 'sparse': must be one of: dense, active"):
        measure(MemorisingRun("sparse", 16), Trace())


@pytest.mark.slow
def test_who_stores_facts_in_a_short_run():
    found = {
        name: measure(MemorisingRun(name, 512, seed=1, steps=200), Trace())
        for name in ("dense, active", "softmax gate", "hash of the key", "chance, each time")
    }
    bits = {name: one["bits"] for name, one in found.items()}
    assert bits["hash of the key"] > 1.5 * bits["dense, active"]
    assert bits["softmax gate"] > 1.5 * bits["dense, active"]
    assert bits["chance, each time"] < bits["dense, active"]  # each expert meets every fact
    assert all(0 <= value <= 512 * 3 for value in bits.values())
    assert found["softmax gate"]["idle"] == 0


def test_biases_even_out_the_load_of_a_gate_that_is_not_trained():
    run = MemorisingRun("frozen gate", 512, seed=1, steps=60)
    layer = init_layer(STUDENTS[run.student], 512, 1)
    facts = draw_facts(512, 1)
    before, weight = known(layer, facts)["max_violation"], layer.params["gate"]["weight"].copy()
    for _ in memorising.train(layer, facts, run.steps):
        pass
    assert known(layer, facts)["max_violation"] < before / 2
    assert np.array_equal(layer.params["gate"]["weight"], weight)


@pytest.mark.parametrize("name", ["V3's gate", "frozen gate"])
def test_biases_move_in_the_first_half_of_training_and_then_stand_still(name):
    facts, layer = draw_facts(101, 1), init_layer(STUDENTS[name], 101, 1)  # 202 choices: no expert of 16 has the mean
    biases = [np.zeros(16)]
    for _ in memorising.train(layer, facts, 12):
        biases.append(layer.params["gate"]["e_score_correction_bias"].copy())
    assert np.allclose(np.abs(np.diff(biases, axis=0)), [[memorising.BIAS_SPEED]] * 6 + [[0]] * 6)


@pytest.mark.parametrize("name", ["dense, total", "softmax gate"])
def test_the_record_begins_as_a_run_made_now_does(name, monkeypatch):
    monkeypatch.setattr(memorising, "follow", lambda steps, trace: watch.follow(islice(steps, 40), trace))
    run, trace = MemorisingRun(name, 256, seed=2), Trace()
    measure(run, trace)
    (row,) = [row for row in load_record("memorising", "experiments").rows if row["run"] == asdict(run)]
    assert trace.rows[0]["loss"] == pytest.approx(row["trace"][0]["loss"], rel=1e-6)


def test_comparisons_are_of_students_that_ran():
    assert {name for pair in memorising.COMPARISONS for name in pair} <= set(STUDENTS)
    assert {run.student for run in memorising.RUNS} == set(STUDENTS)
    assert memorising.PLAN.power > 0.8
