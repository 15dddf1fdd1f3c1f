"""Loud and quiet tokens: what casts do to the faint half of a gradient, by hand, and short runs."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import loud_tokens
from repro.experiments.loud_tokens import PER_TENSOR, SCHEMES, SQUARE, V3, LoudRun
from repro.experiments.record import run_key
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.nano.numerics import E4M3, E5M2
from repro.nano.numerics.recipes import bf16_recipe
from repro.nano.training.mixed_precision import QuantizedWeight


def measured(run):
    trace = Trace()
    results = loud_tokens.measure(run, trace)
    assert trace.steps_done == run.steps
    return results


def test_the_cut_is_half_of_the_smallest_number_over_the_largest():
    # E4M3: 2^-9 / 2 / 448; E5M2: 2^-16 / 2 / 57,344, which is 2^7 · 2^7 times further down.
    assert loud_tokens.cut_share(E4M3) == 2.0**-10 / 448
    assert loud_tokens.cut_share(E4M3) / loud_tokens.cut_share(E5M2) == 16_384


@pytest.mark.parametrize("form", [E4M3, E5M2])
def test_an_element_at_the_cut_becomes_0_and_one_just_above_does_not(form):
    scheme = {E4M3: PER_TENSOR, E5M2: loud_tokens.E5M2_GRADIENTS}[form]
    rows = np.array([False, True, True])
    cut = loud_tokens.cut_share(form)
    gradient = np.array([[1.0, 0.5], [cut, 0], [0, 1.01 * cut]])  # the zeros of ReLU do not count
    assert loud_tokens.lost_share(gradient, rows, SCHEMES[scheme]) == 0.5
    assert loud_tokens.lost_share(gradient, rows, SCHEMES["BF16"]) == 0
    assert loud_tokens.lost_share(gradient, rows, SCHEMES[V3]) == 0


def test_square_blocks_lose_quiet_rows_only_beside_loud_ones():
    loud, quiet = np.ones((128, 128)), np.full((128, 128), 1e-7)
    rows = np.arange(256) >= 128
    apart = np.concatenate([loud, quiet])
    assert loud_tokens.lost_share(apart, rows, SCHEMES[SQUARE]) == 0
    mixed = np.arange(256) % 2 == 1
    assert loud_tokens.lost_share(np.where(mixed[:, None], 1e-7, 1.0) * np.ones(128), mixed, SCHEMES[SQUARE]) == 1


def test_the_gradient_behind_the_layer_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    task = loud_tokens.draw_task(rng)
    inputs, targets = loud_tokens.draw_batch(task, rng)
    weights = rng.random(len(inputs))
    passed = loud_tokens.forward(task.embed, QuantizedWeight.cast(task.inner, bf16_recipe()), task.head, inputs)
    gradient = loud_tokens.gradient_behind_layer(passed, task.head, targets, weights)

    def loss(pre):
        logits = np.maximum(pre, 0) @ task.head.T
        chosen = logits[np.arange(len(inputs)), targets]
        return np.mean(weights * (np.log(np.exp(logits).sum(axis=1)) - chosen))

    step = np.zeros_like(passed.pre)
    open_, shut = np.argwhere(passed.pre > 0.1), np.argwhere(passed.pre < -0.1)  # ReLU lets through, and does not
    for row, column in (open_[0], open_[-1], shut[0], shut[-1]):
        step[:] = 0
        step[row, column] = 1e-5
        slope = (loss(passed.pre + step) - loss(passed.pre - step)) / 2e-5
        assert gradient[row, column] == pytest.approx(slope, abs=1e-9)
    assert np.all(gradient[tuple(shut.T)] == 0)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_what_reaches_outputs_and_embedding_in_each_scheme_by_hand(scheme):
    # 448 is E4M3's largest number, so that beside it the scale is 1 (E5M2's is 2^-7): 17 then becomes 16, and what is
    # smaller by 2^-20 becomes 0 in E4M3. 448 · 448 + 16 is 448² in BF16, whose numbers there lie 1,024 apart.
    sizes = np.where(np.arange(loud_tokens.TOKENS) % 2 == 0, 1.0, 2.0**-20)  # each loud row beside a quiet one
    rows = np.outer(sizes, [448.0, 17.0] + [0.0] * (loud_tokens.D_MODEL - 2))
    inner = 448 * np.eye(loud_tokens.D_MODEL)
    inner[[0, 1], [1, 0]] = 1
    weight = QuantizedWeight.cast(inner, SCHEMES[scheme])
    exact, rounded = [448**2, 448 + 448 * 17], [448**2, 448 + 448 * 16]
    quiet_is_lost = np.where(sizes == 1, 1.0, 0.0)
    forwards, backwards = {
        "BF16": ((exact, sizes), (exact, sizes)),
        "per tensor, E5M2 gradients": ((rounded, quiet_is_lost), (rounded, sizes)),
        "per tensor, E4M3": ((rounded, quiet_is_lost), (rounded, quiet_is_lost)),
        "square blocks, E4M3": ((rounded, sizes), (rounded, quiet_is_lost)),
        "rows of 128, E4M3 (V3)": ((rounded, sizes), (rounded, sizes)),
    }[scheme]
    found = weight.product(rows), weight.product_backward(rows, weight.save_for_backward(rows), None)[0]
    for product, (row, kept) in zip(found, (forwards, backwards), strict=True):
        assert np.array_equal(product[:, :2], np.outer(kept, row))
        assert not product[:, 2:].any()


def test_half_of_a_batch_is_loud_and_quiet_tokens_have_one_successor_each():
    rng = np.random.default_rng(1)
    task = loud_tokens.draw_task(rng)
    assert sorted(task.successor) == list(range(32, 64))
    inputs, targets = loud_tokens.draw_batch(task, rng)
    quiet = inputs >= 32
    assert quiet.sum() == 128
    assert np.array_equal(targets[quiet], task.successor[inputs[quiet] - 32])
    assert (targets[~quiet] < 32).all()
    inputs, _ = loud_tokens.draw_batch(task, rng, "sorted")
    assert ((inputs >= 32) == (np.arange(256) >= 128)).all()


def test_held_out_losses_by_hand():
    task = loud_tokens.draw_task(np.random.default_rng(2))
    losses = loud_tokens.held_out_losses(np.zeros((64, 64)), task)
    assert losses == pytest.approx({"quiet_loss": np.log(64), "loud_loss": np.log(64)})
    knows = np.full((64, 64), -1e3)
    knows[:32, :32] = 0  # all loud successors alike
    knows[np.arange(32, 64), task.successor] = 0
    assert loud_tokens.held_out_losses(knows, task) == pytest.approx({"quiet_loss": 0, "loud_loss": np.log(32)})


@pytest.mark.parametrize("weight", [1e-4, 1e-5, 3e-6])
def test_counting_sizes_predicts_what_the_cast_loses(weight):
    gradient, quiet = loud_tokens.first_gradient(7)
    predicted = loud_tokens.predicted_lost_share(gradient, quiet, weight, E4M3)
    (found,) = measured(LoudRun(PER_TENSOR, weight, seeds=(7,), steps=10))["lost_first"]
    assert found == pytest.approx(predicted, abs=0.02)


def test_below_the_predicted_threshold_all_is_lost_and_just_above_it_is_not():
    gradient, quiet = loud_tokens.first_gradient(3)
    threshold = loud_tokens.predicted_threshold(gradient, quiet, E4M3)
    assert loud_tokens.predicted_lost_share(gradient, quiet, threshold * 0.999, E4M3) == 1
    assert loud_tokens.predicted_lost_share(gradient, quiet, threshold * 1.001, E4M3) < 1
    ratio = threshold / loud_tokens.predicted_threshold(gradient, quiet, E5M2)
    assert ratio == pytest.approx(16_384)


def test_where_a_loss_crosses_a_level():
    # From 1e-4 to 1e-6 the loss rises by 4; a quarter of the way up is half a decade down.
    assert loud_tokens.crossing([1e-2, 1e-4, 1e-6], [0, 0, 4], 1.0) == pytest.approx(10**-4.5)
    with pytest.raises(InputError, match=r"losses from 0 to 0\.5: must cross 1"):
        loud_tokens.crossing([1e-2, 1e-4], [0, 0.5], 1.0)


def test_a_short_study_that_one_scale_loses_and_rows_and_sorted_blocks_do_not():
    run = LoudRun("BF16", 1e-6, seeds=(0,), steps=40)
    runs = {scheme: replace(run, scheme=scheme) for scheme in SCHEMES}
    runs["sorted"] = replace(run, scheme=SQUARE, order="sorted")
    losses = {name: measured(one)["quiet_loss"][0] for name, one in runs.items()}
    lost = {name for name, loss in losses.items() if loss > 3}
    assert lost == {PER_TENSOR, SQUARE}
    assert all(loss < 0.1 for name, loss in losses.items() if name not in lost)


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_the_record_is_what_a_run_made_now_gives(scheme):
    run = LoudRun(scheme, 1e-5)
    (row,) = [
        row for row in load_record("loud_tokens", "experiments").rows if run_key(row["run"]) == run_key(asdict(run))
    ]
    for name, (value,) in measured(replace(run, seeds=(3,))).items():
        assert value == pytest.approx(row["results"][name][3], rel=1e-5, abs=1e-6), name


def test_seeds_side_by_side_are_those_seeds_alone():
    run = LoudRun(V3, 1e-3, seeds=(0, 1), steps=10)
    together, alone = measured(run), measured(replace(run, seeds=(1,)))
    assert {name: [values[1]] for name, values in together.items()} == alone


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (LoudRun("FP4", 1.0), "unknown scheme 'FP4'"),
        (LoudRun("BF16", 1.0, order="random"), "order = 'random': must be mixed or sorted"),
    ],
)
def test_unknown_schemes_and_orders(run, message):
    with pytest.raises(InputError, match=message):
        loud_tokens.measure(run, Trace())


def test_the_plan_has_the_power_it_needs():
    (plan,) = loud_tokens.PLANS
    assert plan.power > 0.9
    assert {len(run.seeds) for run in loud_tokens.RUNS} == {plan.seeds}
