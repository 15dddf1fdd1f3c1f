"""Loud and quiet tokens, and long sums: what casts and cut sums do to the faint half of a gradient, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import long_sums, loud_tokens
from repro.experiments.loud_tokens import PER_TENSOR, SCHEMES, SQUARE, V3, LoudRun
from repro.experiments.watch import Trace
from repro.nano.numerics import E4M3, E5M2
from repro.nano.numerics.recipes import bf16_recipe
from repro.nano.training.mixed_precision import QuantizedWeight


def measured(run, module=loud_tokens):
    trace = Trace()
    results = module.measure(run, trace)
    assert trace.steps_done == run.steps
    return results


# Loud tokens


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


def test_seeds_side_by_side_are_those_seeds_alone():
    run = LoudRun(V3, 1e-3, seeds=(0, 1), steps=10)
    together, alone = measured(run), measured(replace(run, seeds=(1,)))
    assert {name: [values[1]] for name, values in together.items()} == alone


# Long sums


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
    run = long_sums.SumsRun(f"rows of 4,096, {scheme}", 1e-3, seeds=(4,), steps=10)
    (kept,) = measured(run, long_sums)["kept_first"]
    assert kept == pytest.approx(long_sums.predicted_kept_share(products, quiet, every), abs=0.1)


def test_without_emulated_sums_the_whole_pull_is_kept():
    rng = np.random.default_rng(4)
    task = long_sums.draw_task(rng)
    batch = long_sums.draw_batch(task, rng)
    x = task.features[batch.contexts]
    d_logits = long_sums.output_gradient(x @ task.weight.T, batch, 1e-3)
    weight = QuantizedWeight.cast(task.weight, long_sums.SCHEMES["BF16"])
    assert long_sums.kept_share(weight, x, d_logits, batch.contexts > 0) == pytest.approx(1, abs=0.01)


def test_the_two_schemes_differ_in_promotion_alone():
    promoted, never = (long_sums.SCHEMES[f"rows of 4,096, {way}promoted"] for way in ("", "never "))
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
    run = long_sums.SumsRun("rows of 4,096, promoted", 1e-3, seeds=(0,), steps=15)
    losses = {scheme: measured(replace(run, scheme=scheme), long_sums)["quiet_loss"][0] for scheme in long_sums.SCHEMES}
    assert losses["rows of 4,096, never promoted"] > losses["rows of 4,096, promoted"] + 0.02
    assert losses["rows of 4,096, promoted"] == pytest.approx(losses["rows of 4,096, exact sums"], abs=0.03)


@pytest.mark.parametrize(
    ("module", "run", "message"),
    [
        (loud_tokens, LoudRun("FP4", 1.0), "unknown scheme 'FP4'"),
        (loud_tokens, LoudRun("BF16", 1.0, order="random"), "order = 'random': must be mixed or sorted"),
        (long_sums, long_sums.SumsRun("FP4", 1.0), "unknown scheme 'FP4'"),
        (long_sums, long_sums.SumsRun("BF16", 1.0, order="sorted"), "order = 'sorted': must be documents or shuffled"),
    ],
)
def test_unknown_schemes_and_orders(module, run, message):
    with pytest.raises(InputError, match=message):
        module.measure(run, Trace())


def test_plans_name_results_and_have_the_power_they_need():
    for module in (loud_tokens, long_sums):
        (plan,) = module.PLANS
        assert plan.power > 0.9
        assert {len(run.seeds) for run in module.RUNS} == {plan.seeds}
