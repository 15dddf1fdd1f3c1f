"""The mechanisms of the numpy model: what must be so of positions, attention, gates, experts and modules."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_shapes import EXPERTS, LATENT, MODELS, SHAPE, V2, V3, plain

from repro.calc import parameters
from repro.calc.architecture import MixtureOfExperts
from repro.calc.kv_cache import elements_per_token
from repro.errors import InputError
from repro.nano import Config, Gate, Model, Rope, Yarn, initialised, small
from repro.nano.attention import attend, grouped_attention
from repro.nano.block import attention
from repro.nano.gate import choose, route
from repro.nano.layout import leaves
from repro.nano.mla import latent_attention, latent_cache
from repro.nano.moe import dispatch, moe
from repro.nano.ops import cross_entropy, feed_forward
from repro.nano.rope import frequencies, rotate, score_scale, tables

V3_YARN = Yarn(40, 4096, mscale=1.0, mscale_all_dim=1.0)
KINDS = ["V3", "V2", "MHA", "GQA", "MQA"]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def layer_weights(config, seed=1):
    return initialised(config, seed=seed, std=0.5, dtype=np.float64).parameters["layers"]


def turned(x, start, rope):
    return rotate(x, *tables(rope, x.shape[-1], start, x.shape[-2], np.float64), interleaved=rope.interleaved)


# Positions


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.booleans())
def test_scores_depend_on_the_distance_of_positions_alone(one, other, shift, interleaved):
    rope, q, k = Rope(interleaved=interleaved), normal(1, 6), normal(1, 6, seed=1)
    near = turned(q, one, rope) @ turned(k, other, rope).T
    assert near == pytest.approx(turned(q, one + shift, rope) @ turned(k, other + shift, rope).T, abs=1e-9)


def test_a_turn_by_hand_in_both_layouts():
    x = np.array([[1.0, 0.0, 0.0, 1.0]])
    c, s = np.cos(3.0), np.sin(3.0)
    c2, s2 = np.cos(0.03), np.sin(0.03)  # the second pair is a hundred times as slow: 10,000^(-2/4)
    assert turned(x, 3, Rope()) == pytest.approx(np.array([[c, s, -s2, c2]]))
    assert turned(x, 3, Rope(interleaved=False)) == pytest.approx(np.array([[c, -s2, s, c2]]))


def test_yarn_keeps_fast_pairs_and_slows_slow_ones_by_its_factor():
    plain_ones, slowed = frequencies(Rope(), 64), frequencies(Rope(yarn=V3_YARN), 64)
    turns = 4096 * plain_ones / (2 * np.pi)
    ratio = plain_ones / slowed
    assert ratio[turns > 40] == pytest.approx(1)
    assert ratio[turns < 0.75] == pytest.approx(40)
    assert np.all(np.diff(ratio) >= -1e-9)
    assert np.allclose(frequencies(Rope(yarn=Yarn(1, 4096)), 64), plain_ones)


def test_v3s_temperature():
    assert V3_YARN.amplitude == 1
    assert score_scale(Rope(yarn=V3_YARN), 192) == pytest.approx((0.1 * np.log(40) + 1) ** 2 / np.sqrt(192))
    assert Yarn(40, 4096).amplitude == pytest.approx(0.1 * np.log(40) + 1)
    assert Yarn(40, 4096, attention_factor=0.5).amplitude == 0.5
    assert score_scale(Rope(), 192) == pytest.approx(192**-0.5)


# Attention


def test_attention_is_what_a_loop_over_queries_gives():
    q, k, v = normal(2, 2, 3, 4, 5), normal(2, 2, 6, 5), normal(2, 2, 6, 3)
    found, _ = attend(q, k, v, 0.7)
    for b, g, r, t in np.ndindex(2, 2, 3, 4):
        seen = t + 3  # the last of 4 queries stands at the last of 6 keys
        weights = np.exp(0.7 * k[b, g, :seen] @ q[b, g, r, t])
        assert found[b, g, r, t] == pytest.approx(weights @ v[b, g, :seen] / weights.sum())


@pytest.mark.parametrize("name", KINDS)
def test_later_tokens_change_nothing_before_them(name):
    config = MODELS[name]
    p, x = layer_weights(config)[0]["attention"], normal(2, 6, 8)
    before, _ = attention(x, p, config)
    x[:, 4:] = 9
    after, _ = attention(x, p, config)
    assert np.array_equal(before[:, :4], after[:, :4])
    assert not np.allclose(before[:, 4:], after[:, 4:])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.sampled_from(KINDS), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_cache_in_any_pieces_gives_what_one_call_does(pieces, name, absorbed):
    model = initialised(MODELS[name], seed=3, std=0.5, dtype=np.float64)
    tokens = np.random.default_rng(0).integers(0, 11, (2, sum(pieces)))
    caches, ends = model.new_caches(2, sum(pieces)), np.cumsum(pieces)
    parts = [model.forward(tokens[:, a:b], caches, absorbed=absorbed) for a, b in zip(ends - pieces, ends, strict=True)]
    assert np.allclose(np.concatenate(parts, axis=1), model.forward(tokens), atol=1e-10)


@given(st.integers(1, 4), st.sampled_from([None, 3]), st.integers(1, 9), st.sampled_from([2, 4]), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_absorbed_equals_expanded(heads, q_rank, rank, d_rope, d_value):
    shape = replace(LATENT, n_heads=heads, q_lora_rank=q_rank, kv_lora_rank=rank, d_rope=d_rope, d_value=d_value)
    config = Config(replace(SHAPE, attention=shape), Rope(yarn=V3_YARN), V3.gate)
    p, x = layer_weights(config)[0]["attention"], normal(2, 5, 8)
    expanded, _ = latent_attention(x, p, shape, config.rope)
    assert np.allclose(latent_attention(x, p, shape, config.rope, absorbed=True)[0], expanded, atol=1e-12)


def test_groups_are_heads_with_shared_keys_and_values():
    grouped, whole = plain(2), plain(4)
    p = layer_weights(grouped)[0]["attention"]
    repeated = {name: np.repeat(p[name].reshape(2, 4, 8), 2, axis=0).reshape(16, 8) for name in ("key", "value")}
    found, _ = grouped_attention(x := normal(2, 5, 8), p, grouped.shape.attention, grouped.rope)
    assert np.allclose(found, grouped_attention(x, p | repeated, whole.shape.attention, whole.rope)[0])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.dtype("bfloat16")])
def test_a_caches_bytes_are_those_of_the_closed_form(name, dtype):
    model = initialised(MODELS[name], seed=1)
    model.parameters["norm"] = model.parameters["norm"].astype(dtype)  # whose type caches have
    caches = model.new_caches(2, 7)
    assert (
        sum(one.bytes_per_token for one in caches) == elements_per_token(MODELS[name].shape) * np.dtype(dtype).itemsize
    )


def test_caches_that_are_full_or_of_other_sizes_are_refused():
    model = initialised(V3, seed=1)
    caches = model.new_caches(2, 3)
    model.forward(np.zeros((2, 2), int), caches)
    with pytest.raises(InputError, match="cache of 3 tokens: holds 2, 2 more do not fit"):
        model.forward(np.zeros((2, 2), int), caches)
    for wrong in (caches[:1], model.new_caches(3, 3)):
        with pytest.raises(InputError, match="caches: must be one per layer, 2, of 2 sequences"):
            model.forward(np.zeros((2, 2), int), wrong)


def test_latents_are_cached_normed_and_keys_turned():
    p, x = layer_weights(V2)[0]["attention"], normal(1, 3, 8)
    cache = latent_cache(V2.shape.attention, 1, 3, np.float64)
    latent_attention(x, p, V2.shape.attention, V2.rope, cache)
    down = x[0] @ p["kv_down"].T
    latent = down[:, :6] / np.sqrt(np.mean(down[:, :6] ** 2, axis=1, keepdims=True) + 1e-6)
    assert np.allclose(cache.arrays["latents"][0], np.concatenate([latent, turned(down[:, 6:], 0, V2.rope)], axis=1))


# Gates


def chosen_slowly(scores, gate, top_k):
    """Return the experts of one token by sorting, first groups by their best scores, then experts in them."""
    groups = np.split(np.arange(len(scores)), gate.n_groups)
    value = [sum(sorted(scores[group])[-gate.scores_per_group :]) for group in groups]
    best = sorted(range(gate.n_groups), key=lambda g: -value[g])[: gate.top_groups]
    reached = [e for g in best for e in groups[g]]
    return set(sorted(reached, key=lambda e: -scores[e])[:top_k])


@given(st.integers(0, 10**6), st.sampled_from([(1, 1), (2, 1), (4, 2), (4, 3), (6, 5)]), st.sampled_from([1, 2]))
@settings(deadline=None)
def test_experts_are_chosen_as_by_sorting(seed, groups, per_group):
    gate = Gate("sigmoid", *groups, scores_per_group=per_group)
    scores = np.random.default_rng(seed).standard_normal((5, 12))  # selection biases may make them negative
    for row, found in zip(scores, choose(scores, gate, 2), strict=True):
        assert set(found) == chosen_slowly(row, gate, 2)


def test_weights_of_both_gates_by_hand():
    x, p = np.eye(3), {"weight": np.log([[1.0, 1, 1], [2, 3, 1], [4, 1, 1], [8, 1, 1]])}
    softmax = route(x, p, Gate("softmax", scores_per_group=1, normalised=False, scale=16), 2)
    assert dict(zip(softmax.experts[0], softmax.weights[0], strict=True)) == pytest.approx({2: 64 / 15, 3: 128 / 15})
    sigmoid = route(x, p, Gate("sigmoid", scale=2.5), 2)
    total = 4 / 5 + 8 / 9
    expected = {2: 2.5 * 4 / 5 / total, 3: 2.5 * 8 / 9 / total}
    assert dict(zip(sigmoid.experts[0], sigmoid.weights[0], strict=True)) == pytest.approx(expected)


def test_a_bias_moves_the_choice_and_not_the_weights():
    x, weight = normal(20, 8), normal(6, 8)
    biased = route(x, {"weight": weight, "bias": np.array([9.0, 9, 0, 0, 0, 0])}, Gate(normalised=False), 2)
    assert all(set(row) == {0, 1} for row in biased.experts)
    scores = 1 / (1 + np.exp(-(x @ weight.T)))
    assert np.allclose(biased.weights, np.take_along_axis(scores, biased.experts, axis=1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scoring": "relu"}, "scoring = 'relu': must be softmax or sigmoid"),
        ({"n_groups": 2, "top_groups": 3}, "top_groups = 3: must be from 1 to n_groups = 2"),
        ({"top_groups": 0}, "top_groups = 0: must be from 1 to n_groups = 1"),
        ({"n_groups": 4}, "n_routed = 6: must be a multiple of n_groups = 4"),
        ({"n_groups": 6}, "scores_per_group = 2: must be from 1 to the 1 of a group"),
        ({"n_groups": 6, "scores_per_group": 1}, "top_k = 2: must be from 1 to the 1 experts reached"),
    ],
)
def test_gates_that_contradict(fields, message):
    with pytest.raises(InputError, match=message):
        Gate(**fields).check(6, 2)


# Experts


def moe_slowly(x, p, shape, gate):
    """Return the layer token by token and expert by expert: equation 12 of V3's report."""
    routing, y = route(x, p["gate"], gate, shape.top_k), np.zeros_like(x)
    for n, token in enumerate(x):
        for e, weight in zip(routing.experts[n], routing.weights[n], strict=True):
            y[n] += weight * feed_forward(token, {name: one[e] for name, one in p["experts"].items()})[0]
        y[n] += feed_forward(token, p["shared"])[0]
    return y


@pytest.mark.parametrize("name", ["V2", "V3", "V3, pairs as halves, weights not normalised"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_sorted_by_expert_or_token_by_token(name, workers):
    config = MODELS[name]
    p, x = layer_weights(config)[1]["feed_forward"], normal(17, 8)
    found, _ = moe(x, p, config.shape.experts, config.gate, workers=workers)
    assert np.allclose(found, moe_slowly(x, p, config.shape.experts, config.gate), atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 10**6))
def test_each_pair_is_sent_once_and_in_order(count, top_k, seed):
    rng = np.random.default_rng(seed)
    experts = np.array([rng.permutation(9)[:top_k] for _ in range(count)])
    sent = dispatch(experts, 9)
    pairs = [(int(token), e) for e in range(9) for token in sent.tokens[sent.of(e)]]
    assert sorted(pairs) == sorted((n, int(e)) for n, row in enumerate(experts) for e in row)
    assert all(np.all(np.diff(sent.tokens[sent.of(e)]) > 0) for e in range(9))
    assert np.array_equal(experts.reshape(-1)[sent.slots], np.repeat(np.arange(9), np.diff(sent.ends)))


def test_experts_that_are_all_alike_are_one():
    shape, one = MixtureOfExperts(6, 0, 3, 4), {"gate_up": normal(8, 5), "down": normal(5, 4)}
    p = {"gate": {"weight": normal(6, 5)}, "experts": {name: np.stack([w] * 6) for name, w in one.items()}}
    x = normal(7, 5, seed=1)
    assert np.allclose(moe(x, p, shape, Gate(scale=2.0))[0], 2 * feed_forward(x, one)[0])


def test_shared_experts_side_by_side_are_a_wide_one():
    wide = {"gate_up": normal(8, 5), "down": normal(5, 4)}
    gate, up = np.split(wide["gate_up"], 2)
    halves = [
        {"gate_up": np.concatenate([gate[h], up[h]]), "down": wide["down"][:, h]} for h in (slice(0, 2), slice(2, 4))
    ]
    x = normal(3, 5, seed=1)
    assert np.allclose(feed_forward(x, wide)[0], sum(feed_forward(x, half)[0] for half in halves))


# The whole model


@pytest.mark.parametrize("name", list(MODELS))
def test_parameters_are_as_many_as_the_closed_form_counts(name):
    config = MODELS[name]
    shape = config.shape
    modules = sum(part.total for part in parameters.mtp_parts(shape))
    found = sum(one.size for _, one in leaves(initialised(config, seed=1).parameters))
    assert found == parameters.total_parameters(shape) + modules


def test_an_untrained_head_of_zeros_knows_nothing():
    model = initialised(V3, seed=1)
    model.parameters["head"][...] = 0
    loss, _ = model.loss_and_gradients(np.arange(8).reshape(2, 4))
    assert loss.main == pytest.approx(np.log(11))
    assert loss.mtp == pytest.approx((np.log(11) * 2 / 3, np.log(11) / 3))  # 2 and 1 of 3 positions
    assert loss.total == pytest.approx(np.log(11) * (1 + 0.3 * (2 / 3 + 1 / 3) / 2))


def test_cross_entropy_by_hand():
    loss, _ = cross_entropy(np.log([[[1.0, 3.0]], [[5.0, 5.0]]]), np.array([[1], [0]]))
    assert loss == pytest.approx(-(np.log(3 / 4) + np.log(1 / 2)) / 2)


@pytest.mark.parametrize(("depth", "position"), [(0, 0), (0, 2), (1, 0), (1, 1)])
def test_a_module_reads_as_far_as_its_depth_and_no_further(depth, position):
    model = initialised(V3, seed=2, std=0.5, dtype=np.float64)
    tokens = np.array([[1, 2, 3, 4, 5, 6]])
    before = model.mtp_logits(tokens)[depth][0, position]
    for place in range(6):
        changed = tokens.copy()
        changed[0, place] = 9
        same = np.allclose(model.mtp_logits(changed)[depth][0, position], before)
        assert same == (place > position + depth + 1)


def test_modules_predict_one_token_less_each():
    assert [one.shape for one in initialised(V3, seed=1).mtp_logits(np.zeros((3, 6), int))] == [(3, 5, 11), (3, 4, 11)]


@pytest.mark.parametrize("absorbed", [False, True])
def test_generation_takes_the_likeliest_token_each_time(absorbed):
    model = initialised(V3, seed=4, std=0.5, dtype=np.float64)
    tokens = np.array([[1, 2], [3, 4]])
    found = model.generate(tokens, 5, absorbed=absorbed)
    for _ in range(5):
        tokens = np.concatenate([tokens, model.forward(tokens)[:, -1:].argmax(axis=-1)], axis=1)
    assert np.array_equal(found, tokens[:, 2:])
    assert model.generate(tokens, 0).shape == (2, 0)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([1, 2], "must be integers"),
        ([[0.5]], "must be integers"),
        ([[11]], "tokens from 11 to 11: must be from 0 to 10"),
        ([[-1, 3]], "tokens from -1 to 3"),
    ],
)
def test_tokens_that_are_none(tokens, message):
    with pytest.raises(InputError, match=message):
        initialised(V3, seed=1).forward(tokens)


def test_too_few_tokens_for_the_modules():
    with pytest.raises(InputError, match="tokens of 3: must be more than 3, with 2 modules"):
        initialised(V3, seed=1).loss_and_gradients(np.zeros((1, 3), int))


def test_the_same_seed_gives_the_same_weights():
    def weights(seed):
        return np.concatenate([one.ravel() for _, one in leaves(initialised(V3, seed=seed).parameters)])

    assert np.array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_types_are_kept(dtype):
    model = initialised(V3, seed=1, dtype=dtype)
    assert model.forward(np.zeros((1, 4), int)).dtype == dtype
    assert {one.dtype for _, one in leaves(model.loss_and_gradients(np.zeros((1, 5), int))[1])} == {np.dtype(dtype)}


def test_threads_share_the_experts_and_change_nothing():
    model = initialised(V3, seed=1, std=0.3, dtype=np.float64)
    shared = Model(model.config, model.parameters, workers=3)
    tokens = np.arange(10).reshape(2, 5)
    assert np.allclose(model.forward(tokens), shared.forward(tokens), atol=1e-12)
    for (_, one), (path, other) in zip(
        leaves(model.loss_and_gradients(tokens)[1]), leaves(shared.loss_and_gradients(tokens)[1]), strict=True
    ):
        assert np.allclose(one, other, atol=1e-12), path


def test_routings_are_those_of_each_layer_with_experts():
    model = initialised(small(n_layers=4), seed=1)
    found = model.routings(np.zeros((2, 3), int))
    assert [one.experts.shape for one in found] == [(6, 4)] * 3
    assert all(one.load.sum() == 24 for one in found)


@pytest.mark.parametrize(("fields", "message"), [({"attention": "XYZ"}, "attention = 'XYZ'"), ({"gate": "V4"}, "gate")])
def test_small_models_of_unknown_kinds(fields, message):
    with pytest.raises(InputError, match=message):
        small(**fields)


def test_the_small_mixture_is_as_wide_as_its_dense_peer():
    sparse, dense = small().shape, small(gate=None).shape
    gates = sparse.n_moe * sparse.experts.n_routed * (sparse.d_model + EXPERTS.correction_bias)
    active = parameters.active_parameters(sparse, embedding_counted=True)
    assert active - gates == parameters.total_parameters(dense)
