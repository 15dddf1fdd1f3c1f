"""Long sums: what a running sum of few bits cuts off, by hand; what each scheme adds up; and short runs."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import long_sums
from repro.experiments.long_sums import FEATURES, SCHEMES, TOKENS, UNITS, SumsRun
from repro.experiments.record import run_key
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.nano.training.mixed_precision import QuantizedWeight


def measured(run):
    trace = Trace()
    results = long_sums.measure(run, trace)
    assert trace.steps_done == run.steps
    return results


def test_each_document_pulls_the_loud_token_its_way_and_the_pulls_cancel():
    rng = np.random.default_rng(0)
    task = long_sums.draw_task(rng)
    assert (task.features >= 0).all()
    batch = long_sums.draw_batch(task, rng)
    loud = batch.contexts == 0
    assert [loud[:2048].sum(), loud[2048:].sum()] == [1024, 1024]
    assert (batch.targets[:2048][loud[:2048]] == 1 - batch.targets[2048:][loud[2048:]]).all()
    assert np.array_equal(batch.targets[~loud], task.labels[batch.contexts[~loud]])
    gradient = long_sums.output_gradient(np.zeros((4096, 8)), batch, 0.0)
    assert np.abs(gradient[~loud]).max() == 0
    assert np.allclose(gradient.sum(axis=0), 0, atol=1e-15)


def test_what_a_running_sum_cuts_off_by_hand():
    # With 4 bits the last bit beside 1 is 2^-3, so that 0.25 is left of 0.3; beside 0.3 itself it is 2^-5: 0.28125.
    products, quiet = np.array([[1.0], [0.3], [-1.0], [0.3]]), np.array([False, True, False, True])
    assert long_sums.predicted_kept_share(products, quiet, 4, bits=4) == pytest.approx((0.25 + 0.28125) / 0.6)
    assert long_sums.predicted_kept_share(products, quiet, 2, bits=4) == pytest.approx(0.5 / 0.6)
    assert long_sums.predicted_kept_share(products, quiet, 1, bits=4) == pytest.approx(0.5625 / 0.6)


@pytest.mark.parametrize(("scheme", "every"), [("never promoted", 4096), ("promoted", 128)])
def test_exact_running_sums_predict_what_the_emulated_sum_keeps(scheme, every):
    products, quiet = long_sums.first_products(4, 1e-3)
    run = SumsRun(f"rows of 4,096, {scheme}", 1e-3, seeds=(4,), steps=10)
    (kept,) = measured(run)["kept_first"]
    assert kept == pytest.approx(long_sums.predicted_kept_share(products, quiet, every), abs=0.1)


def test_without_emulated_sums_the_whole_pull_is_kept():
    rng = np.random.default_rng(4)
    task = long_sums.draw_task(rng)
    batch = long_sums.draw_batch(task, rng)
    x = task.features[batch.contexts]
    d_logits = long_sums.output_gradient(x @ task.weight.T, batch, 1e-3)
    weight = QuantizedWeight.cast(task.weight, SCHEMES["BF16"])
    assert long_sums.kept_share(weight, x, d_logits, batch.contexts > 0) == pytest.approx(1, abs=0.01)


def test_the_two_schemes_differ_in_promotion_alone():
    promoted, never = (SCHEMES[f"rows of 4,096, {way}promoted"] for way in ("", "never "))
    assert replace(never, accumulation=promoted.accumulation) == promoted
    assert (promoted.accumulation.promote_every, never.accumulation.promote_every) == (128, 4096)
    assert promoted.accumulation.bits == never.accumulation.bits == 14


def test_held_out_losses_of_contexts_and_coin_by_hand():
    task = long_sums.draw_task(np.random.default_rng(5))
    assert long_sums.held_out_losses(np.zeros((9, 8)), task) == pytest.approx(
        dict.fromkeys(("quiet_loss", "loud_loss"), np.log(2))
    )
    right = np.where(task.labels == 1, 50.0, -50.0)
    assert long_sums.held_out_losses(right, task) == pytest.approx({"quiet_loss": 0, "loud_loss": 25})


@pytest.mark.slow
def test_a_short_study_that_sums_without_promotion_lose():
    run = SumsRun("rows of 4,096, promoted", 1e-3, seeds=(0,), steps=15)
    losses = {scheme: measured(replace(run, scheme=scheme))["quiet_loss"][0] for scheme in SCHEMES}
    assert losses["rows of 4,096, never promoted"] > losses["rows of 4,096, promoted"] + 0.02
    assert losses["rows of 4,096, promoted"] == pytest.approx(losses["rows of 4,096, exact sums"], abs=0.03)


@pytest.mark.parametrize(
    ("scheme", "total"),
    [
        ("BF16", 3939),
        ("rows of 128, promoted (V3)", 3937),
        ("rows of 4,096, exact sums", 3937),
        ("rows of 4,096, promoted", 3937),
        ("rows of 4,096, never promoted", 3936),
    ],
)
def test_what_each_scheme_adds_up_by_hand(scheme, total):
    # In each of 31 blocks of 128 tokens two have a factor of 448, E4M3's largest number, so that the scale is 1, beside
    # a factor of 0; the other 126 add 1 each. Two of them are 17 instead, once in either factor: 16 in E4M3. The last
    # block adds eight times 1/8, which the sum cuts off if it did not start anew: above 2,048 it keeps 14 bits, or 1/4.
    x, d_logits = np.zeros((TOKENS, FEATURES)), np.zeros((TOKENS, UNITS))
    x[:, 0], d_logits[:, 0] = 1, 1
    d_logits[-126:, 0] = 0
    d_logits[-8:, 0] = 1 / 8
    x[::128, 0], d_logits[::128, 0] = 448, 0
    x[1::128, 0], d_logits[1::128, 0] = 0, 448
    x[2, 0], d_logits[3, 0] = 17, 17
    d_logits[:, 1] = 2.0**-20 * d_logits[:, 0]  # a quiet unit, which no scale along tokens holds beside the loud one
    weight = QuantizedWeight.cast(np.zeros((UNITS, FEATURES)), SCHEMES[scheme])
    found = long_sums.weight_gradient(weight, x, d_logits)
    assert found[:2, 0] == pytest.approx([total, 2.0**-20 * total], rel=1e-6)
    assert not found[2:].any()
    assert not found[:, 1:].any()


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_the_record_begins_as_a_run_made_now_does(scheme):
    run = SumsRun(scheme, 1e-3)
    (row,) = [
        row for row in load_record("long_sums", "experiments").rows if run_key(row["run"]) == run_key(asdict(run))
    ]
    steps = 10 if "promoted" in scheme else run.steps  # sums of few bits take time: what they keep at first is compared
    for name, (value,) in measured(replace(run, seeds=(3,), steps=steps)).items():
        if steps == run.steps or name == "kept_first":
            assert value == pytest.approx(row["results"][name][3], rel=1e-5), name


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (SumsRun("FP4", 1.0), "unknown scheme 'FP4'"),
        (SumsRun("BF16", 1.0, order="sorted"), "order = 'sorted': must be documents or shuffled"),
    ],
)
def test_unknown_schemes_and_orders(run, message):
    with pytest.raises(InputError, match=message):
        long_sums.measure(run, Trace())


def test_the_plan_has_the_power_it_needs():
    (plan,) = long_sums.PLANS
    assert plan.power > 0.9
    assert {len(run.seeds) for run in long_sums.RUNS} == {plan.seeds}
