"""Balancing: losses by the reports' sums, gradients by differences, biases by hand, dropping, and what is measured."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_shapes import V2, V3, plain

from repro.errors import InputError
from repro.nano import Gate, Recipe, batches, init_model, small_config, train
from repro.nano.balance import (
    Balance,
    auxiliary_loss,
    count_choices,
    group_load,
    idle_fraction,
    loss_free,
    max_violation,
    routed_gates,
    specialisation_bits,
    update_biases,
    v2_losses,
)
from repro.nano.gate import Routing, drop_over_capacity, route, route_backward
from repro.nano.moe import moe, moe_backward
from repro.nano.param_shapes import iter_leaves

SCOPES = ["sequence", "batch"]
GATES = {
    "V2": Gate("softmax", n_group=3, topk_group=2, scores_per_group=1, norm_topk_prob=False),
    "V3": Gate("sigmoid", n_group=3, topk_group=2),
}


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def routed(gate, n_tokens=8, top_k=2, seed=0, bias=0.0):
    p = {"weight": normal(6, 5, seed=seed), "e_score_correction_bias": bias * normal(6, seed=seed + 1)}
    return route(normal(n_tokens, 5, seed=seed + 2), p, gate, top_k)


# Losses


def v2_by_sums(routing, gate, alphas):
    """Return V2's equations 23 to 31 for the tokens of one sequence, sum by sum."""
    scores, chosen = routing.scores.tolist(), routing.experts.tolist()
    n_tokens, n_routed_experts, top_k, devices = len(scores), len(scores[0]), len(chosen[0]), gate.n_group
    size = n_routed_experts // devices
    f = [n_routed_experts / (top_k * n_tokens) * sum(i in row for row in chosen) for i in range(n_routed_experts)]
    p = [sum(row[i] for row in scores) / n_tokens for i in range(n_routed_experts)]
    inside = [range(d * size, (d + 1) * size) for d in range(devices)]
    f_device = [sum(f[j] for j in group) / size for group in inside]
    p_device = [sum(p[j] for j in group) for group in inside]
    sent = [sum(any(i in group for i in row) for row in chosen) for group in inside]
    f_sent = [devices / (gate.topk_group * n_tokens) * count for count in sent]
    parts = zip((f, f_device, f_sent), (p, p_device, p_device), strict=True)
    return sum(a * sum(x * y for x, y in zip(*pair, strict=True)) for a, pair in zip(alphas, parts, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_v2s_three_losses_are_its_equations_in_each_sequence(seed):
    gate, balance = GATES["V2"], Balance(0.3, 0.5, 0.2)
    routing = routed(gate, 12, seed=seed)
    halves = [Routing(*(one[part] for one in (routing.scores, routing.experts, routing.weights)))
              for part in (slice(0, 6), slice(6, 12))]  # fmt: skip
    expected = [v2_by_sums(one, gate, (0.3, 0.5, 0.2)) for one in halves]
    assert auxiliary_loss(routing, balance, gate, 2)[0] == pytest.approx(sum(expected) / 2, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_v3s_loss_counts_the_best_scores_before_bias_and_groups(seed):
    routing = routed(GATES["V3"], bias=3.0, seed=seed)
    s = routing.scores.tolist()
    best = [sorted(range(6), key=row.__getitem__)[-2:] for row in s]
    f = [6 / (2 * 8) * sum(i in row for row in best) for i in range(6)]
    p = [sum(row[i] / sum(row) for row in s) / 8 for i in range(6)]
    expected = 0.7 * sum(x * y for x, y in zip(f, p, strict=True))
    balance = Balance(expert=0.7, counted="scored")
    assert auxiliary_loss(routing, balance, GATES["V3"], 1)[0] == pytest.approx(expected, rel=1e-12)
    if any(set(one) != set(other) for one, other in zip(best, routing.experts.tolist(), strict=True)):
        selected = replace(balance, counted="selected")
        assert auxiliary_loss(routing, selected, GATES["V3"], 1)[0] != pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("balance", [Balance(expert=1.0), Balance(device=1.0), Balance(communication=1.0)])
def test_each_loss_is_its_weight_when_load_and_scores_are_even(balance):
    experts = np.array([[0, 2], [1, 3], [4, 0], [5, 1], [2, 4], [3, 5]])  # each expert twice, each group four times
    routing = Routing(np.full((6, 6), 1 / 6), experts, np.full((6, 2), 0.5))
    assert auxiliary_loss(routing, balance, GATES["V2"], 1)[0] == pytest.approx(1.0)


def test_a_collapsed_gate_pays_in_proportion():
    scores = np.tile([0.5, 0.5, 0, 0, 0, 0], (4, 1))
    routing = Routing(scores, np.tile([0, 1], (4, 1)), np.full((4, 2), 0.5))
    # all choices on two of six experts: f = 3 for each, P = 1/2 for each; on one device of three: f' = 3, P' = 1
    assert auxiliary_loss(routing, Balance(expert=1.0), GATES["V2"], 1)[0] == pytest.approx(3.0)
    assert auxiliary_loss(routing, Balance(device=1.0), GATES["V2"], 1)[0] == pytest.approx(3.0)
    # each token reaches one of the two devices it may: f'' = 3 / (2 · 4) · 4
    assert auxiliary_loss(routing, Balance(communication=1.0), GATES["V2"], 1)[0] == pytest.approx(1.5)


def test_a_batch_may_be_even_where_its_sequences_are_not():
    one_hot = np.eye(6)[[0, 0, 1, 1]]  # two sequences of two tokens: each on one expert, both experts used alike
    routing = Routing(one_hot, np.array([[0], [0], [1], [1]]), np.ones((4, 1)))
    in_sequence, in_batch = (
        auxiliary_loss(routing, Balance(expert=1.0, scope=scope), GATES["V3"], 2)[0] for scope in SCOPES
    )
    assert (in_sequence, in_batch) == (6.0, 3.0)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", GATES)
def test_the_gradient_through_the_gate_is_that_of_differences(name, scope):
    gate, balance = GATES[name], Balance(0.3, 0.5, 0.2, scope=scope)
    p, x = {"weight": normal(6, 5)}, normal(8, 5, seed=1)

    def loss():
        return auxiliary_loss(route(x, p, gate, 2), balance, gate, 4)[0]

    routing = route(x, p, gate, 2)
    _, d_scores = auxiliary_loss(routing, balance, gate, 4)
    d_x, d_p = route_backward(np.zeros_like(routing.weights), x, p, gate, routing, d_scores)
    for array, found in ((x, d_x), (p["weight"], d_p["weight"])):
        for place in [(0, 0), (2, 3), (5, 4)]:
            before = array[place]
            ends = []
            for array[place] in (before + 1e-6, before - 1e-6):
                ends.append(loss())
            array[place] = before
            assert found[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("config", [V2, V3], ids=["V2", "V3"])
@pytest.mark.parametrize("scope", SCOPES)
def test_the_whole_models_gradient_with_losses_in_every_gate_modules_included(config, scope):
    model = init_model(config, seed=3, std=0.4, dtype=np.float64)
    tokens = np.random.default_rng(4).integers(0, 11, (2, 7))
    balance = Balance(0.3, 0.5, 0.2, scope=scope)
    loss, gradients = model.loss_and_gradients(tokens, balance=balance)
    assert loss.total == pytest.approx(loss.main + 0.3 * sum(loss.mtp) / max(len(loss.mtp), 1) + loss.balance)
    assert len(loss.loads) == config.arch.n_moe_layers + config.arch.n_mtp_modules
    where = dict(iter_leaves(model.params))
    for path, gradient in iter_leaves(gradients):
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        before, ends = where[path][place], []
        for where[path][place] in (before + 1e-5, before - 1e-5):
            ends.append(model.loss_and_gradients(tokens, balance=balance)[0].total)
        where[path][place] = before
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=2e-6, abs=1e-9), path


def test_without_balance_nothing_is_added():
    model, tokens = init_model(V3, seed=1, dtype=np.float64), np.arange(8)[None]
    plain_loss, plain_gradients = model.loss_and_gradients(tokens)
    same, gradients = model.loss_and_gradients(tokens, balance=Balance(bias_speed=0.1))
    assert plain_loss == same
    assert plain_loss.balance == 0
    for (_, one), (_, other) in zip(iter_leaves(plain_gradients), iter_leaves(gradients), strict=True):
        assert np.array_equal(one, other)


def test_a_dense_model_has_no_load_to_balance():
    loss, _ = init_model(plain(2), seed=1).loss_and_gradients(np.arange(8)[None], balance=v2_losses())
    assert (loss.balance, loss.loads) == (0.0, ())


def test_loads_count_every_token_of_every_gate():
    loss, _ = init_model(V3, seed=1).loss_and_gradients(np.arange(10)[None])
    # nine positions in the layer, then eight and seven in the modules, two experts for each
    assert [one.sum() for one in loss.loads] == [18, 16, 14]


# Biases


def test_biases_go_down_for_the_full_and_up_for_the_empty_by_one_speed():
    parameters = init_model(replace(V3, arch=replace(V3.arch, n_mtp_modules=0)), seed=0, dtype=np.float64).params
    update_biases(parameters, [np.array([10, 2, 4, 4, 3, 1])], 0.01)  # mean 4
    assert routed_gates(parameters)[0]["e_score_correction_bias"].tolist() == [-0.01, 0.01, 0, 0, 0.01, 0.01]


def test_the_gates_of_modules_have_their_biases_moved_too():
    parameters = init_model(V3, seed=0, dtype=np.float64).params  # a layer with experts, and two modules
    update_biases(parameters, [np.eye(6)[n] for n in range(3)], 0.5)
    moved = [parameters["layers"][1], *(module["block"] for module in parameters["mtp"])]
    for n, one in enumerate(moved):
        assert one["mlp"]["gate"]["e_score_correction_bias"].tolist() == (0.5 - np.eye(6)[n]).tolist()


def test_biases_never_touch_the_weights_of_experts():
    p = {"weight": normal(6, 5), "e_score_correction_bias": np.array([0, 0, 0, 0, 0, 5.0])}
    routing = route(normal(4, 5), p, Gate("sigmoid", norm_topk_prob=False), 2)
    assert (routing.experts == 5).any(axis=1).all()
    assert np.allclose(routing.weights, np.take_along_axis(routing.scores, routing.experts, axis=1))


def test_a_gate_without_biases_is_refused():
    with pytest.raises(InputError, match="no selection bias; build the model with correction_bias"):
        update_biases(init_model(V2, seed=0).params, [np.arange(6)], 0.1)


def trained(balance, steps=60, **gate):
    config = small_config(n_layers=2)
    config = replace(config, gate=replace(config.gate, n_group=4, **gate))
    model = init_model(config, seed=0)
    return model, list(train(model, batches(8, 33, seed=0), Recipe(steps, warmup_steps=5, balance=balance)))


def test_biases_move_in_training_by_whole_speeds_and_no_gradient_moves_them():
    model, _ = trained(Balance(bias_speed=0.25), steps=7)
    moved = routed_gates(model.params)[0]["e_score_correction_bias"] / 0.25
    assert np.array_equal(moved, np.rint(moved))
    assert 1 <= np.abs(moved).max() <= 7
    still, _ = trained(Balance(expert=0.1), steps=7)
    assert not routed_gates(still.params)[0]["e_score_correction_bias"].any()


@pytest.mark.slow
@pytest.mark.parametrize("balance", [Balance(expert=0.1), Balance(expert=0.1, scope="batch"), loss_free(0.01)])
def test_each_way_evens_the_load_of_a_training(balance):
    left, kept = (
        np.mean([max_violation(step.loss.loads[0]) for step in trained(how)[1][-10:]]) for how in (None, balance)
    )
    assert kept < 0.7 * left


def test_the_presets_are_the_reports_numbers():
    assert v2_losses() == Balance(expert=0.003, device=0.05, communication=0.02)
    assert v2_losses(10).device == pytest.approx(0.5)
    assert loss_free() == Balance(expert=0.0001, counted="scored", bias_speed=0.001)


# Dropping


@given(st.integers(0, 10**6), st.sampled_from([0.3, 0.5, 1.0, 1.5, 4.0]), st.sampled_from(list(GATES)))
@settings(deadline=None)
def test_no_group_keeps_more_than_its_budget_and_what_it_drops_weighs_least(seed, capacity, name):
    gate = replace(GATES[name], capacity_factor=capacity)
    routing = routed(gate, 9, seed=seed)
    whole = routed(GATES[name], 9, seed=seed)
    budget = math.ceil(capacity * 9 * 2 / 3)
    for group in range(3):
        here = whole.experts // 2 == group
        kept, gone = whole.weights[here & routing.kept], whole.weights[here & ~routing.kept]
        assert len(kept) == min(budget, here.sum())
        assert not len(gone) or not len(kept) or gone.max() <= kept.min()
    assert np.array_equal(routing.weights, np.where(routing.kept, whole.weights, 0))
    assert np.array_equal(routing.experts, whole.experts)


def test_an_even_load_loses_nothing_at_capacity_one():
    experts = np.array([[0, 2], [1, 3], [4, 0], [5, 1], [2, 4], [3, 5]])
    routing = Routing(np.full((6, 6), 1 / 6), experts, np.full((6, 2), 0.5))
    assert drop_over_capacity(routing, replace(GATES["V2"], capacity_factor=1.0)).kept.all()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("config", [V2, V3], ids=["V2", "V3"])
def test_what_is_dropped_adds_nothing_and_learns_nothing(config, workers):
    gate = replace(config.gate, capacity_factor=0.5)
    p = init_model(config, seed=3, std=0.5, dtype=np.float64).params["layers"][1]["mlp"]
    x, d_y = normal(3, 4, 8), normal(3, 4, 8, seed=1)
    y, saved = moe(x, p, config.arch.experts, gate, workers=workers)
    routing, sent = saved.routing, saved.dispatch
    assert 0 < routing.kept.sum() < routing.kept.size
    assert (
        len(sent.tokens) == len(sent.slots) == sent.offsets[-1] == routing.kept.sum()
    )  # what is dropped is not computed
    slow = [
        sum(w * one_expert(u, p, e) for e, w in zip(chosen, weights, strict=True) if w) + shared(u, p)
        for u, chosen, weights in zip(x.reshape(-1, 8), routing.experts, routing.weights, strict=True)
    ]
    assert np.allclose(y.reshape(-1, 8), slow, rtol=0, atol=1e-12)
    d_x, d_p = moe_backward(d_y, p, gate, saved, workers=workers)
    for array, found in ((x, d_x), (p["gate"]["weight"], d_p["gate"]["weight"])):
        for place in [tuple(0 for _ in array.shape), tuple(n - 1 for n in array.shape)]:
            before, ends = array[place], []
            for array[place] in (before + 1e-6, before - 1e-6):
                ends.append(np.sum(moe(x, p, config.arch.experts, gate)[0] * d_y))
            array[place] = before
            assert found[place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_a_dropped_pair_has_no_gradient_whatever_is_asked_of_it():
    gate = replace(GATES["V3"], capacity_factor=0.5)
    p, x = {"weight": normal(6, 5)}, normal(8, 5, seed=1)
    routing = route(x, p, gate, 2)
    asked = np.ones_like(routing.weights)
    silent = np.where(routing.kept, asked, 0)
    (d_x, d_p), (d_x_kept, d_p_kept) = (route_backward(one, x, p, gate, routing) for one in (asked, silent))
    assert np.array_equal(d_x, d_x_kept)
    assert np.array_equal(d_p["weight"], d_p_kept["weight"])


def one_expert(u, p, e):
    gate, up = np.split(p["experts"]["gate_up_proj"][e] @ u, 2)
    return p["experts"]["down_proj"][e] @ (gate / (1 + np.exp(-gate)) * up)


def shared(u, p):
    gate, up = np.split(p["shared_experts"]["gate_up_proj"] @ u, 2)
    return p["shared_experts"]["down_proj"] @ (gate / (1 + np.exp(-gate)) * up)


# Measures


def test_max_violation_by_hand():
    assert max_violation(np.array([[4, 4, 4, 4], [8, 4, 2, 2], [16, 0, 0, 0], [0, 0, 0, 0]])).tolist() == [0, 1, 3, 0]


def test_loads_of_groups_and_idle_experts_by_hand():
    load = np.array([[9, 1, 5, 5], [20, 0, 0, 0], [10, 10, 10, 0]])
    assert group_load(load, 2).tolist() == [[10, 10], [20, 0], [20, 10]]
    assert idle_fraction(load).tolist() == [0, 0.75, 0.25]  # a tenth of the mean is 0.5, 0.5 and 0.75
    assert idle_fraction(np.array([[1, 1, 1, 1], [1000, 0, 0, 0]])).tolist() == [0, 0.75]  # each by its own mean


def test_counts_by_sequence():
    chosen = np.array([[0, 1], [1, 2], [2, 0], [2, 1]])
    assert count_choices(chosen, 4, 2).tolist() == [[1, 2, 1, 0], [1, 1, 2, 0]]


def test_specialisation_from_none_to_the_whole_name():
    assert specialisation_bits(np.ones((4, 8))) == pytest.approx(0, abs=1e-12)
    assert specialisation_bits(np.eye(4)) == pytest.approx(2)
    assert specialisation_bits(np.array([[1, 0], [1, 0]])) == pytest.approx(0, abs=1e-12)
    # two domains on two experts, three quarters each at home: 1 less the entropy of a quarter
    entropy = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert specialisation_bits(np.array([[3, 1], [1, 3]])) == pytest.approx(1 - entropy)


# Refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Balance(expert=-1), "expert = -1: must be a number of at least 0"),
        (lambda: Balance(bias_speed=math.nan), "bias_speed = nan: must be a number"),
        (lambda: Balance(scope="token"), "scope = 'token': must be sequence or batch"),
        (lambda: Balance(counted="all"), "counted = 'all': must be selected or scored"),
        (lambda: Gate(capacity_factor=0), "capacity_factor = 0: must be a number above 0"),
        (lambda: Recipe(5, warmup_steps=1, balance="V2"), "balance = 'V2': must be a Balance, such as loss_free"),
    ],
)
def test_what_cannot_be_balanced_by(make, message):
    with pytest.raises(InputError, match=message):
        make()
