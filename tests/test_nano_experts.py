"""Gates and experts: the reports' equations token by token, groups, biases, and who is sent where."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_shapes import EXPERTS, MODELS, V2, V3

from repro.calc.param_count import parts
from repro.errors import InputError
from repro.models.architecture import MixtureOfExperts
from repro.nano import Gate, gate, init_model, moe, ops
from repro.nano.gate import route, select_experts
from repro.nano.moe import dispatch, moe_backward
from repro.nano.ops import mlp, sigmoid, softmax, swiglu

GROUPS = [(1, 1), (2, 1), (3, 2), (3, 3), (4, 2), (4, 3), (6, 5)]  # of 12 experts, and how many are reached
MIXTURES = ["V2", "V2, weights normalised", "V3", "V3, pairs as halves, weights not normalised"]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def layer(config, seed=1):
    """Return the weights of one layer of experts, with biases for selection where it has them."""
    p = init_model(config, seed=seed, std=0.5, dtype=np.float64).params["layers"][1]["mlp"]
    if "e_score_correction_bias" in p["gate"]:
        p["gate"]["e_score_correction_bias"] += 0.5 * normal(6)
    return p


def output(x, p, config, **options):
    return moe.moe(x, p, config.arch.experts, config.gate, **options)[0]


def by_expert(routing):
    """Return the weight of each chosen expert, one dictionary per token."""
    return [dict(zip(*row, strict=True)) for row in zip(routing.experts.tolist(), routing.weights, strict=True)]


# The gate


def route_slowly(token, p, how, top_k):
    """Return the chosen experts with their weights: V2's report, section 2.2, and V3's, equations 13 to 16."""
    logits = [sum(row * token) for row in p["weight"]]
    if how.scoring_func == "sigmoid":
        scores = [1 / (1 + math.exp(-one)) for one in logits]
    else:
        scores = [math.exp(one) / sum(map(math.exp, logits)) for one in logits]
    rank = [
        score + bias for score, bias in zip(scores, p.get("e_score_correction_bias", [0] * len(scores)), strict=True)
    ]
    size = len(scores) // how.n_group
    groups = [range(start, start + size) for start in range(0, len(scores), size)]
    groups.sort(key=lambda group: sum(sorted((rank[e] for e in group), reverse=True)[: how.scores_per_group]))
    reached = [e for group in groups[-how.topk_group :] for e in group]
    chosen = sorted(reached, key=lambda e: rank[e])[-top_k:]
    total = sum(scores[e] for e in chosen) if how.norm_topk_prob else 1
    return {e: how.routed_scaling_factor * scores[e] / total for e in chosen}


@given(
    st.integers(0, 10**6),
    st.sampled_from(["softmax", "sigmoid"]),
    st.sampled_from(GROUPS),
    st.integers(1, 2),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None)
def test_routes_are_the_reports_equations(seed, scoring, groups, per_group, top_k, normalised, biased):
    rng = np.random.default_rng(seed)
    how = Gate(scoring, *groups, scores_per_group=per_group, norm_topk_prob=normalised, routed_scaling_factor=2.5)
    p = {"weight": rng.standard_normal((12, 5))} | (
        {"e_score_correction_bias": rng.standard_normal(12)} if biased else {}
    )
    x = rng.standard_normal((4, 5))
    for token, found in zip(x, by_expert(route(x, p, how, top_k)), strict=True):
        assert found == pytest.approx(route_slowly(token, p, how, top_k), rel=1e-9)


def test_both_scores_by_hand():
    x, p = np.eye(3), {"weight": np.log([[1.0, 1, 1], [2, 3, 1], [4, 1, 1], [8, 1, 1]])}
    shares = route(x, p, Gate("softmax", norm_topk_prob=False, routed_scaling_factor=16.0), 2)
    assert by_expert(shares)[0] == pytest.approx({2: 16 * 4 / 15, 3: 16 * 8 / 15})
    each = route(x, p, Gate(routed_scaling_factor=2.5), 2)  # sigmoid of ln 4 and ln 8
    assert by_expert(each)[0] == pytest.approx({2: 2.5 * 36 / 76, 3: 2.5 * 40 / 76})


@pytest.mark.parametrize(
    ("per_group", "best", "best_two"),
    [
        (1, 0, {0, 3}),  # 9, 5 and 4
        (2, 1, {0, 3}),  # 9, 9.9 and 7.9
        (3, 2, {3, 6}),  # 9, 9.9 and 11.7
    ],
)
def test_groups_by_hand(per_group, best, best_two):
    scores = np.array([[9.0, 0, 0, 5, 4.9, 0, 4, 3.9, 3.8]])
    how = Gate(n_group=3, scores_per_group=per_group)
    assert select_experts(scores, how, 1).tolist() == [[3 * best]]
    reached = select_experts(scores, replace(how, topk_group=2), 6)[0]
    assert {3 * (e // 3) for e in reached} == best_two


@given(st.integers(0, 10**6), st.sampled_from(GROUPS), st.integers(1, 2), st.integers(1, 4))
def test_a_token_reaches_no_more_groups_than_it_may(seed, groups, per_group, top_k):
    found = select_experts(
        np.random.default_rng(seed).standard_normal((20, 12)), Gate("sigmoid", *groups, per_group), top_k
    )
    for row in found:
        assert len(set(row)) == top_k
        assert len({e // (12 // groups[0]) for e in row}) <= groups[1]


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 4, 6]), st.integers(1, 12))
def test_with_all_groups_in_reach_the_best_experts_are_chosen(seed, groups, top_k):
    scores = np.random.default_rng(seed).standard_normal((20, 12))
    found = select_experts(scores, Gate(n_group=groups, topk_group=groups), top_k)
    assert np.array_equal(np.sort(found), np.sort(np.argsort(scores)[:, 12 - top_k :]))


def test_the_best_of_all_may_be_out_of_reach():
    scores = np.array([[10.0, 0, 7, 6]])
    assert set(select_experts(scores, Gate(n_group=2), 1)[0]) == {2}  # 7 + 6 before 10 + 0
    assert set(select_experts(scores, Gate(n_group=2, scores_per_group=1), 1)[0]) == {0}


@given(st.floats(-100, 100))
def test_a_bias_that_all_share_changes_nothing(bias):
    x, weight, how = normal(30, 8), normal(12, 8), Gate("sigmoid", 4, 2)
    plain, biased = (
        route(x, {"weight": weight} | more, how, 3) for more in ({}, {"e_score_correction_bias": np.full(12, bias)})
    )
    for one, other in zip(by_expert(plain), by_expert(biased), strict=True):
        assert one == pytest.approx(other)


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_a_bias_moves_the_choice_and_not_the_weights(scoring):
    x, weight, how = normal(30, 8), normal(6, 8), Gate(scoring, norm_topk_prob=False, routed_scaling_factor=1.0)
    biased = route(x, {"weight": weight, "e_score_correction_bias": np.array([0, 9.0, 0, 0, 9.0, 0])}, how, 2)
    assert all(set(row) == {1, 4} for row in biased.experts)
    everyone = by_expert(route(x, {"weight": weight}, how, 6))
    assert all(one.items() <= other.items() for one, other in zip(by_expert(biased), everyone, strict=True))
    assert np.array_equal(biased.load, [0, 30, 0, 0, 30, 0])


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_normalised_weights_add_up_to_the_scale(scoring, scale):
    found = route(normal(30, 8), {"weight": normal(12, 8)}, Gate(scoring, 4, 2, routed_scaling_factor=scale), 3)
    assert found.weights.sum(axis=1) == pytest.approx(scale)


def test_weights_of_softmax_are_the_probabilities():
    x, weight = normal(30, 8), normal(6, 8)
    found = route(x, {"weight": weight}, Gate("softmax", norm_topk_prob=False), 6)
    shares = np.exp(x @ weight.T) / np.exp(x @ weight.T).sum(axis=1, keepdims=True)
    assert found.weights.sum(axis=1) == pytest.approx(1)
    assert np.allclose(found.weights, np.take_along_axis(shares, found.experts, axis=1))


def test_softmax_normalised_over_the_chosen_knows_the_chosen_alone():
    x, weight = normal(30, 8), normal(6, 8)
    found = route(x, {"weight": weight}, Gate("softmax"), 2)
    assert np.allclose(found.weights, softmax(np.take_along_axis(x @ weight.T, found.experts, axis=1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_nothing_give_weights_of_nothing(dtype):
    found = route(np.ones((1, 1), dtype), {"weight": np.full((4, 1), -2000, dtype)}, Gate(), 2)
    assert found.weights.tolist() == [[0, 0]]
    assert found.weights.dtype == dtype


def test_renamed_experts_are_chosen_under_their_new_names():
    x, p, order = (
        normal(30, 8),
        {"weight": normal(6, 8), "e_score_correction_bias": normal(6)},
        np.array([4, 2, 0, 5, 1, 3]),
    )
    before, after = (by_expert(route(x, one, Gate(), 2)) for one in (p, {k: w[order] for k, w in p.items()}))
    for one, other in zip(before, after, strict=True):
        assert {int(order[e]): weight for e, weight in other.items()} == pytest.approx(one)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scoring_func": "relu"}, "scoring_func = 'relu': must be softmax or sigmoid"),
        ({"n_group": 2, "topk_group": 3}, "topk_group = 3: must be from 1 to n_group = 2"),
        ({"topk_group": 0}, "topk_group = 0: must be from 1 to n_group = 1"),
        ({"n_group": 4}, "n_routed_experts = 6: must be a multiple of n_group = 4"),
        ({"n_group": 6}, "scores_per_group = 2: must be from 1 to 1, a group's experts"),
        ({"n_group": 2, "scores_per_group": 0}, "scores_per_group = 0: must be from 1 to 3, a group's experts"),
        ({"n_group": 6, "scores_per_group": 1}, "top_k = 2: must be from 1 to the 1 experts reached"),
    ],
)
def test_gates_that_contradict(fields, message):
    with pytest.raises(InputError, match=message):
        Gate(**fields).check(6, 2)


@pytest.mark.parametrize("top_k", [0, 7])
def test_as_many_experts_as_there_are_and_at_least_one(top_k):
    Gate().check(6, 1)
    Gate().check(6, 6)
    Gate(n_group=3, topk_group=2).check(6, 4)
    with pytest.raises(InputError, match=f"top_k = {top_k}: must be from 1 to the 6 experts reached"):
        Gate().check(6, top_k)


# Who is sent where


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 4))
def test_each_pair_is_sent_exactly_once(seed, count, top_k):
    rng = np.random.default_rng(seed)
    experts = np.array([rng.permutation(7)[:top_k] + 1 for _ in range(count)])  # of 9, the first and last have none
    sent = dispatch(experts, 9)
    expected = [(e, n) for e in range(9) for n in range(count) if e in experts[n]]
    assert [(e, int(n)) for e in range(9) for n in sent.tokens[sent.pairs_of(e)]] == expected
    assert [experts[divmod(slot, top_k)] for slot in sent.slots] == [e for e, _ in expected]
    assert sorted(sent.slots) == list(range(count * top_k))
    assert len(sent.offsets) == 10
    assert (sent.offsets[0], sent.offsets[1], sent.offsets[8], sent.offsets[9]) == (0, 0, count * top_k, count * top_k)


def test_dispatch_by_hand():
    sent = dispatch(np.array([[2, 0], [0, 3], [3, 2]]), 5)
    assert sent.tokens.tolist() == [0, 1, 0, 2, 1, 2]
    assert sent.slots.tolist() == [1, 2, 0, 5, 3, 4]
    assert sent.offsets.tolist() == [0, 2, 2, 4, 6, 6]


@pytest.mark.parametrize("n_routed_experts", [300, 2**16 + 5])
def test_experts_beyond_one_byte_and_beyond_two(n_routed_experts):
    experts = np.random.default_rng(1).integers(0, n_routed_experts, (50, 1))
    sent = dispatch(experts, n_routed_experts)
    assert np.array_equal(experts[sent.tokens, 0], np.sort(experts[:, 0]))


def test_more_experts_than_small_numbers_name():
    sent = dispatch(np.array([[70_000, 1], [65_536, 70_000]]), 70_001)
    assert sent.tokens.tolist() == [0, 1, 0, 1]
    assert sent.tokens[sent.pairs_of(70_000)].tolist() == [0, 1]


# The layer


def moe_slowly(x, p, config):
    """Return the layer token by token and expert by expert: V3's report, equation 12."""
    y = np.zeros_like(x)
    for n, token in enumerate(x):
        for e, weight in route_slowly(token, p["gate"], config.gate, config.arch.experts.top_k).items():
            gate_rows, up_rows = np.split(p["experts"]["gate_up_proj"][e] @ token, 2)
            y[n] += weight * p["experts"]["down_proj"][e] @ (gate_rows / (1 + np.exp(-gate_rows)) * up_rows)
        if "shared_experts" in p:
            y[n] += mlp(token, p["shared_experts"])[0]
    return y


@pytest.mark.parametrize("workers", [1, 2, 5, 9])
@pytest.mark.parametrize("name", MIXTURES)
def test_sorted_by_expert_or_token_by_token(name, workers):
    config = MODELS[name]
    p, x = layer(config), normal(17, 8)
    expected = moe_slowly(x, p, config)
    assert np.allclose(output(x, p, config, workers=workers), expected, rtol=0, atol=1e-12)
    found = output(x.reshape(17, 1, 8), p, config, workers=workers, save=False)
    assert np.allclose(found[:, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("workers", [2, 5])
@pytest.mark.parametrize("config", [V2, V3], ids=["V2", "V3"])
def test_threads_share_the_experts_back_too(config, workers):
    p, x, d_y = layer(config), normal(17, 8), normal(17, 8, seed=1)
    _, saved = moe.moe(x, p, config.arch.experts, config.gate)
    alone, together = (moe_backward(d_y, p, config.gate, saved, workers=n) for n in (1, workers))
    assert np.allclose(alone[0], together[0], atol=1e-12)
    assert np.array_equal(alone[1]["experts"]["gate_up_proj"], together[1]["experts"]["gate_up_proj"])
    assert np.array_equal(alone[1]["gate"]["weight"], together[1]["gate"]["weight"])


@given(st.permutations(range(10)))
@settings(deadline=None)
def test_tokens_in_another_order_come_out_in_that_order(order):
    p, x = layer(V3), normal(10, 8)
    assert np.allclose(output(x[list(order)], p, V3), output(x, p, V3)[list(order)], atol=1e-12)


@given(st.permutations(range(6)))
@settings(deadline=None)
def test_experts_under_other_names_do_the_same(order):
    ungrouped = replace(V3, gate=Gate(routed_scaling_factor=2.5))
    p, x, order = layer(ungrouped), normal(10, 8), list(order)
    renamed = {part: {name: one[order] for name, one in p[part].items()} for part in ("gate", "experts")}
    assert np.allclose(output(x, p | renamed, ungrouped), output(x, p, ungrouped), atol=1e-12)


def test_an_experts_twin_may_take_its_place():
    ungrouped = replace(V3, gate=Gate(routed_scaling_factor=2.5))
    p, x, found = layer(ungrouped), normal(30, 8), []
    for one in (*p["experts"].values(), *p["gate"].values()):
        one[1] = one[0]
    for chosen in (0, 1):
        bias = p["gate"]["e_score_correction_bias"] + 1e-9 * (np.arange(6) == chosen)  # breaks the tie to either side
        found.append(moe.moe(x, p | {"gate": p["gate"] | {"e_score_correction_bias": bias}}, EXPERTS, ungrouped.gate))
    (first, to_first), (second, to_second) = found
    assert to_first.routing.load[0] > to_second.routing.load[0]
    assert np.allclose(first, second, atol=1e-12)


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_experts_that_are_all_alike_are_one(scoring):
    shape, one = MixtureOfExperts(6, 0, 3, 4), {"gate_up_proj": normal(8, 5), "down_proj": normal(5, 4)}
    p = {"gate": {"weight": normal(6, 5)}, "experts": {name: np.stack([w] * 6) for name, w in one.items()}}
    x = normal(7, 5, seed=1)
    assert np.allclose(moe.moe(x, p, shape, Gate(scoring))[0], mlp(x, one)[0], atol=1e-12)
    doubled = Gate(scoring, routed_scaling_factor=2.0)
    assert np.allclose(moe.moe(x, p, shape, doubled)[0], 2 * mlp(x, one)[0], atol=1e-12)


def test_all_experts_by_their_probabilities_are_a_weighted_mean():
    shape, x = replace(EXPERTS, top_k=6), normal(9, 8)
    p, how = layer(V2), Gate("softmax", norm_topk_prob=False)
    each = [mlp(x, {name: one[e] for name, one in p["experts"].items()})[0] for e in range(6)]
    shares = softmax(x @ p["gate"]["weight"].T)
    expected = sum(shares[:, [e]] * each[e] for e in range(6)) + mlp(x, p["shared_experts"])[0]
    assert np.allclose(moe.moe(x, p, shape, how)[0], expected, atol=1e-12)


def test_shared_experts_side_by_side_are_a_wide_one():
    wide = {"gate_up_proj": normal(12, 5), "down_proj": normal(5, 6)}
    gate_rows, up_rows = np.split(wide["gate_up_proj"], 2)
    thirds = [slice(0, 2), slice(2, 4), slice(4, 6)]
    narrow = [
        {"gate_up_proj": np.concatenate([gate_rows[h], up_rows[h]]), "down_proj": wide["down_proj"][:, h]}
        for h in thirds
    ]
    x = normal(3, 5, seed=1)
    assert np.allclose(mlp(x, wide)[0], sum(mlp(x, one)[0] for one in narrow))


def test_shared_experts_see_every_token_unweighted():
    p, x = layer(V3), normal(9, 8)
    p["experts"]["down_proj"][...] = 0
    assert np.allclose(output(x, p, V3), mlp(x, p["shared_experts"])[0], atol=1e-12)


def test_experts_without_tokens_learn_nothing():
    p, x = layer(V3), normal(9, 8)
    p["gate"]["e_score_correction_bias"] = np.array([0.0, 0, 0, 0, 9, 9])
    _, saved = moe.moe(x, p, V3.arch.experts, V3.gate)
    _, gradients = moe_backward(normal(9, 8, seed=1), p, V3.gate, saved)
    learned = [bool(np.any(one)) for one in gradients["experts"]["down_proj"]]
    assert learned == [False, False, False, False, True, True]


@pytest.mark.parametrize("name", MIXTURES)
def test_multiplications_done_are_those_counted_as_active(name, monkeypatch):
    config, done = MODELS[name], []

    def counting(x, weight, bias=None):
        done.append(x.size * len(weight))
        return (x.reshape(-1, x.shape[-1]) @ weight.T).reshape(*x.shape[:-1], len(weight))

    for module in (gate, ops):
        monkeypatch.setattr(module, "linear", counting)
    output(normal(11, 8), layer(config), config)
    moe_parts = [part for part in parts(config.arch) if part.name in ("gate", "shared experts", "routed experts")]
    assert config.arch.n_moe_layers == 1
    assert sum(done) == 11 * sum(part.multiplied for part in moe_parts)


@pytest.mark.parametrize("keep", [True, False])
def test_what_going_back_needs_is_kept_where_asked(keep):
    _, saved = moe.moe(normal(9, 8), layer(V3), V3.arch.experts, V3.gate, save=keep)
    assert set(saved.gate_up) == (set(saved.routing.experts.ravel()) if keep else set())
    assert saved.routing.load.sum() == 9 * 2


@pytest.mark.parametrize("workers", [1, 3])
def test_types_are_kept(workers):
    p = init_model(V3, seed=1, std=0.5).params["layers"][1]["mlp"]
    assert output(normal(9, 8).astype(np.float32), p, V3, workers=workers).dtype == np.float32


# What they are made of


def test_swiglu_by_hand():
    # sigmoid(ln 3) = 3/4 and sigmoid(-ln 3) = 1/4
    x = np.array([math.log(3), -math.log(3), 0, 2, 4, 7])
    assert swiglu(x) == pytest.approx([1.5 * math.log(3), -math.log(3), 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_there_is_no_overflow(dtype):
    assert sigmoid(np.array([-2000, 0, 2000], dtype)).tolist() == [0, 0.5, 1]
    assert swiglu(np.array([-2000, 2000, 3, 3], dtype)).tolist() == [0, 6000]
    assert softmax(np.array([-2000, 2000, 2000], dtype)).tolist() == [0, 0.5, 0.5]
