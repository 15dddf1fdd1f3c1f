"""The study of balancing in small: what gates do, that a wrong mechanism loses, that the record can be made again."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import balancing, watch
from repro.experiments.balancing import COMPARISONS, REPEATED, SCENES, BalancingRun, build, measure, train_run
from repro.experiments.power import compare_settings, seeds_needed
from repro.experiments.record import asdict
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.nano.balance import Balance
from repro.nano.gate import Gate, drop_over_capacity, route, select_experts

pytestmark = pytest.mark.slow


def test_groups_of_the_gate_limit_no_choice():
    scores = np.random.default_rng(0).random((2000, 16))
    grouped, free = (select_experts(scores, gate, 2) for gate in (balancing.V3_GATE, Gate()))
    assert np.array_equal(np.sort(grouped), np.sort(free))


def test_a_gate_with_capacity_keeps_an_even_share_of_the_best_and_chooses_as_before():
    scene = SCENES["equal domains"]
    limited = balancing.with_capacity(scene.gate, scene.experts)
    p = {"weight": np.random.default_rng(1).standard_normal((16, 24))}
    x = np.random.default_rng(0).standard_normal((64, 24))
    free, dropped = route(x, p, scene.gate, 2), route(x, p, limited, 2)
    assert np.array_equal(np.sort(free.experts), np.sort(dropped.experts))
    assert np.array_equal(free.load, dropped.load)
    for expert in range(16):  # 64 tokens of 2 choices make 8 for each of 16 experts
        chosen = dropped.experts == expert
        assert np.sum(chosen & dropped.kept) == min(chosen.sum(), 8)
        left = drop_over_capacity(free, scene.gate).weights[free.experts == expert]
        kept = np.sort(dropped.weights[chosen & dropped.kept])
        assert kept == pytest.approx(np.sort(left)[-8:])
    assert not dropped.kept.all()


def test_the_layers_of_all_scenes_multiply_the_same():
    for name, (_, experts, _) in SCENES.items():
        assert experts.top_k * experts.d_expert == 16, name


def test_each_method_is_what_its_name_says():
    strength = dict.fromkeys(balancing.METHODS, 0.2) | {"V2's losses": 2.0}
    expected = {
        "none": None,
        "V2's losses": Balance(expert=0.006, device=0.1, communication=0.04),
        "sequence-wise loss": Balance(expert=0.2, scope="sequence"),
        "batch-wise loss": Balance(expert=0.2, scope="batch"),
        "biases": Balance(bias_speed=0.2),
        "biases and tiny loss": Balance(expert=1e-4, scope="sequence", counted="scored", bias_speed=0.2),
    }
    assert balancing.METHODS.keys() == expected.keys()
    for name, balance in expected.items():
        assert build(BalancingRun(name, strength[name]))[1].balance == balance, name


def test_a_loss_over_the_batch_lets_sequences_differ_and_one_over_sequences_does_not():
    names = ("sequence-wise loss", "batch-wise loss")
    sequence, batch = (measure(BalancingRun(name, 1.0, steps=60), Trace()) for name in names)
    assert sequence["specialisation_bits"] < 0.3 < batch["specialisation_bits"]
    assert sequence["sequence"] < batch["sequence"] / 2


def test_a_loss_within_sequences_costs_error_and_biases_do_not():
    settings = {"none": ("none", 0), "biases": ("biases", 0.01), "sequence": ("sequence-wise loss", 1)}
    found = {name: measure(BalancingRun(*setting, steps=250), Trace()) for name, setting in settings.items()}
    assert found["sequence"]["error"] > 1.5 * found["none"]["error"]
    assert found["biases"]["error"] < 1.1 * found["none"]["error"]
    assert found["biases"]["global"] < found["none"]["global"] / 1.5
    assert found["sequence"]["sequence"] < found["biases"]["sequence"] / 2
    assert found["sequence"]["specialisation_bits"] < 0.3 < 1 < found["biases"]["specialisation_bits"]


def test_a_gate_blind_to_domains_cannot_specialise_and_one_that_sees_nothing_else_does_fully():
    blind = measure(BalancingRun("biases", 0.01, gate_sees="input", steps=100), Trace())
    assert blind["specialisation_bits"] < 0.02
    alone = measure(BalancingRun("biases", 0.01, gate_sees="domain", steps=100), Trace())
    assert alone["sequence"] == pytest.approx(7)  # all tokens of a sequence choose the same two of sixteen
    assert np.count_nonzero(alone["loads"], axis=1).tolist() == [2] * 8


def test_without_balancing_a_common_direction_idles_experts():
    found = {name: measure(BalancingRun(name, speed, scene="common direction", steps=200), Trace())
             for name, speed in (("none", 0), ("biases", 0.01))}  # fmt: skip
    assert found["none"]["idle"] > 0.4
    assert found["biases"]["idle"] < 0.1
    assert found["none"]["error"] > 1.1 * found["biases"]["error"]


def first_seeds(setting):
    """Return the errors of a setting's runs of the first plan, in the order of their seeds."""
    record = load_record("balancing", "experiments")
    return record.over_seeds("error", only=range(balancing.SEEDS), **balancing.setting_fields(setting))


def test_the_repeat_is_planned_from_the_spread_of_the_first_seeds():
    needed = Counter()
    for name, (setting, baseline, plan) in REPEATED.items():
        errors, baselines = first_seeds(setting), first_seeds(baseline)[: len(first_seeds(setting))]
        assert plan.pilot_sd == pytest.approx(np.std(np.subtract(errors, baselines), ddof=1), rel=2e-3), name
        alone = seeds_needed(plan.smallest_effect, plan.pilot_sd, level=1 - 0.05 / len(REPEATED), power=0.8)
        needed[baseline] = max(needed[baseline], alone)
    for name, (_, baseline, plan) in REPEATED.items():
        assert (plan.seeds, plan.comparisons) == (needed[baseline], len(REPEATED)), name


def test_the_seeds_of_the_repeat_are_fresh_and_those_of_a_pair_equal():
    for name, (setting, baseline, plan) in REPEATED.items():
        for run in (setting, baseline):
            fields = balancing.setting_fields(run)
            seeds = [one.seed for one in balancing.RUNS if balancing.setting_fields(one) == fields]
            assert seeds[-plan.seeds :] == list(range(14, 14 + plan.seeds)), name
            assert max(seeds[: -plan.seeds]) < 14, name
    for name in COMPARISONS.keys() & REPEATED.keys():
        assert REPEATED[name].plan.smallest_effect == COMPARISONS[name].plan.smallest_effect, name


def test_the_diverged_run_does_not_decide_what_a_common_direction_costs():
    setting, baseline, plan = REPEATED["common direction: none minus biases"]
    record = load_record("balancing", "experiments")
    fields = [balancing.setting_fields(run) for run in (setting, baseline)]
    (diverged,) = record.diverged_seeds(**fields[1])
    fresh = set(range(balancing.SEEDS, balancing.SEEDS + plan.seeds))
    without, with_biases = (record.over_seeds("error", only=fresh - {diverged}, **one) for one in fields)
    pairs = compare_settings(without, with_biases, plan, left_out=1)
    worst = compare_settings(
        [*without, *record.over_seeds("error", only={diverged}, **fields[0])],
        [*with_biases, 1.0],  # what a layer that says nothing would have
        plan,
    )
    assert pairs.outcome == worst.outcome == "higher"
    assert (round(worst.interval.mean, 3), round(worst.interval.half, 3)) == (0.077, 0.057)  # as notebook 12 says


def test_dropping_is_part_of_the_training_and_of_what_is_measured():
    plain, limited = (measure(BalancingRun("none", dropping=drops, steps=60), Trace()) for drops in (False, True))
    assert limited["error"] == limited["error_dropping"] != plain["error_dropping"] > plain["error"]
    assert 0 < limited["dropped"] < 0.5


def test_the_record_begins_as_a_run_made_now_does(monkeypatch):
    monkeypatch.setattr(balancing, "follow", lambda steps, trace: watch.follow(islice(steps, 50), trace))
    row, trace = load_record("balancing", "experiments").rows[0], Trace()
    train_run(balancing.RUNS[0], trace)
    assert row["run"] == asdict(balancing.RUNS[0])
    assert trace.rows[0]["loss"] == pytest.approx(row["trace"][0]["loss"], rel=1e-6)
    assert trace.rows[0]["max_violation"] == pytest.approx(row["trace"][0]["max_violation"], abs=0.02)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (BalancingRun("all"), "unknown method 'all'; there are: none, V2's losses"),
        (BalancingRun("none", scene="rare"), "unknown scene 'rare'; did you mean rare domains?"),
    ],
)
def test_unknown_methods_and_scenes(run, message):
    with pytest.raises(InputError, match=message):
        build(run)
