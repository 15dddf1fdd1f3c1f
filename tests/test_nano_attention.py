"""Positions and attention: rotary embedding, YaRN, masks, groups of heads, caches, latent attention in both forms."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_shapes import LATENT, MODELS, SHAPE, V2, V3, attend, plain

from repro.errors import InputError
from repro.nano import Config, Rope, Yarn, init_model, small_config
from repro.nano.attention import merge_heads, scaled_dot_product_attention, split_heads
from repro.nano.block import layer_cache
from repro.nano.rope import apply_rope, cos_sin_tables, rope_frequencies, softmax_scale

V3_YARN = Yarn(factor=40, original_max_position_embeddings=4096, mscale=1.0, mscale_all_dim=1.0)
KINDS = ["MHA", "GQA", "MQA", "V2", "V3", "V3, biased projections, tied", "V3, pairs as halves, weights not normalised"]
LATENT_KINDS = [name for name in KINDS if name.startswith("V")]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def weights_of(config, seed=1):
    """Return the weights of one layer's attention, gains and biases random too, so that none can be left out."""
    p = init_model(config, seed=seed, std=0.5, dtype=np.float64).params["layers"][0]["self_attn"]
    for number, one in enumerate(p.values()):
        if one.ndim == 1:
            one += 0.3 * normal(*one.shape, seed=number)
    return p


def turned(x, rope, start=0):
    return apply_rope(
        x, *cos_sin_tables(rope, x.shape[-1], start, x.shape[-2], np.float64), interleaved=rope.interleaved
    )


# Positions


@pytest.mark.parametrize("interleaved", [True, False])
@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000))
def test_scores_know_the_distance_of_positions_and_nothing_else(interleaved, one, other, shift):
    rope, q, k = Rope(interleaved=interleaved), normal(1, 8), normal(1, 8, seed=1)
    score = turned(q, rope, one) @ turned(k, rope, other).T
    assert score == pytest.approx(turned(q, rope, one + shift) @ turned(k, rope, other + shift).T, abs=1e-9)


def test_scores_do_know_the_distance():
    q, k = normal(1, 8), normal(1, 8, seed=1)
    scores = [(turned(q, Rope(), 9) @ turned(k, Rope(), 9 - far).T).item() for far in range(9)]
    assert len({round(score, 6) for score in scores}) == 9


@pytest.mark.parametrize("start", [0, 7])
def test_pairs_turn_as_complex_numbers_do(start):
    x = normal(2, 5, 6)
    turns = np.exp(1j * np.arange(start, start + 5)[:, None] * np.array([1, 100 ** (-1 / 3), 100 ** (-2 / 3)]))
    y = (x[..., ::2] + 1j * x[..., 1::2]) * turns
    assert np.allclose(turned(x, Rope(theta=100), start), np.stack([y.real, y.imag], axis=-1).reshape(x.shape))


def test_a_turn_by_hand_in_both_layouts():
    x, (c, s) = np.array([[1.0, 0.0, 0.0, 1.0]]), (math.cos(3), math.sin(3))
    slow_c, slow_s = math.cos(0.03), math.sin(0.03)  # the second pair is a hundred times as slow: 10,000^(-2/4)
    assert turned(x, Rope(), 3) == pytest.approx(np.array([[c, s, -slow_s, slow_c]]))
    assert turned(x, Rope(interleaved=False), 3) == pytest.approx(np.array([[c, -slow_s, s, slow_c]]))


def test_the_two_layouts_are_a_permutation_of_each_other():
    x, order = normal(2, 5, 8), [0, 2, 4, 6, 1, 3, 5, 7]
    assert np.array_equal(turned(x, Rope())[..., order], turned(x[..., order], Rope(interleaved=False)))


@pytest.mark.parametrize("qk_rope_head_dim", [2, 8, 64])
@pytest.mark.parametrize("theta", [100.0, 10_000.0, 5e5])
def test_frequencies_are_powers_of_theta(theta, qk_rope_head_dim):
    expected = [theta ** (-2 * i / qk_rope_head_dim) for i in range(qk_rope_head_dim // 2)]
    assert rope_frequencies(Rope(theta), qk_rope_head_dim) == pytest.approx(expected, rel=1e-12)


def test_yarn_with_factor_1_changes_nothing():
    rope = Rope(yarn=Yarn(1, 4096, mscale=0.7, mscale_all_dim=0.3))
    assert rope_frequencies(rope, 64) == pytest.approx(rope_frequencies(Rope(), 64), rel=1e-12)
    assert (rope.yarn.amplitude, softmax_scale(rope, 192)) == (1, softmax_scale(Rope(), 192))


@given(st.floats(1, 100), st.integers(64, 10**5), st.sampled_from([16, 64, 128]), st.booleans())
def test_yarn_keeps_fast_pairs_divides_slow_ones_and_stays_between(factor, context, qk_rope_head_dim, truncate):
    before = rope_frequencies(Rope(), qk_rope_head_dim)
    after = rope_frequencies(Rope(yarn=Yarn(factor, context, truncate=truncate)), qk_rope_head_dim)
    turns = context * before / (2 * math.pi)
    assert after[turns >= 32.001] == pytest.approx(before[turns >= 32.001], rel=1e-9)
    assert after[turns <= 0.999] == pytest.approx(before[turns <= 0.999] / factor, rel=1e-9)
    assert np.all(after <= before * (1 + 1e-9))
    assert np.all(after >= before / factor * (1 - 1e-9))


def test_v3s_ramp_by_hand():
    # 64 ln(4096 / 64 pi) / (2 ln 10,000) = 10.47 and 64 ln(4096 / 2 pi) / (2 ln 10,000) = 22.51
    ratio = rope_frequencies(Rope(yarn=V3_YARN), 64) / rope_frequencies(Rope(), 64)
    assert ratio[:11] == pytest.approx(1)
    assert ratio[23:] == pytest.approx(1 / 40)
    assert ratio[16] == pytest.approx(7 / 13 + 6 / 13 / 40)  # 6 of the 13 pairs from 10 to 23
    exact = rope_frequencies(Rope(yarn=replace(V3_YARN, truncate=False)), 64) / rope_frequencies(Rope(), 64)
    share = (16 - 10.4726) / (22.5136 - 10.4726)
    assert exact[16] == pytest.approx(1 - share + share / 40, rel=1e-4)


def test_the_ramp_is_cut_at_the_first_pair_and_at_the_last_dimension():
    # Over 8 tokens no pair turns 32 times, and only the first turns once: the ramp is from pair 0 to pair 1.
    assert rope_frequencies(Rope(yarn=Yarn(4, 8)), 4) == pytest.approx([1, 0.01 / 4])
    # With base 2 a pair of 4 dimensions would have to be number -1.5 to turn 32 times in 120 tokens and number 8.5 to
    # turn once: the ramp is from 0 to 3, of which pair 1 has gone a third.
    assert rope_frequencies(Rope(2, yarn=Yarn(4, 120)), 4) == pytest.approx([1, 2**-0.5 * (2 / 3 + 1 / 3 / 4)])
    # where nothing lies between the two ends, pairs beyond them are slowed whole
    assert rope_frequencies(Rope(yarn=Yarn(4, 8, beta_fast=2, beta_slow=2)), 4) == pytest.approx([1, 0.01 / 4])


def test_v3s_temperature_by_hand():
    assert V3_YARN.amplitude == 1
    assert softmax_scale(Rope(yarn=V3_YARN), 128 + 64) == pytest.approx((0.1 * math.log(40) + 1) ** 2 / math.sqrt(192))
    assert softmax_scale(Rope(), 192) == pytest.approx(1 / math.sqrt(192))


@pytest.mark.parametrize("factor", [0.25, 1])
def test_what_is_not_stretched_keeps_its_temperature(factor):
    yarn = Yarn(factor, 4096, mscale_all_dim=1.0)
    assert (yarn.amplitude, softmax_scale(Rope(yarn=yarn), 4)) == (1, 0.5)


@pytest.mark.parametrize(
    ("fields", "amplitude", "temperature"),
    [
        ({}, 0.1 * math.log(40) + 1, 1),  # Peng et al., section 3.4: on queries and keys both, the square on scores
        ({"mscale": 0.707, "mscale_all_dim": 0.707}, 1, 0.0707 * math.log(40) + 1),  # V2
        ({"mscale": 1.0, "mscale_all_dim": 0.5}, (0.1 * math.log(40) + 1) / (0.05 * math.log(40) + 1), None),
        ({"mscale": 0.5}, 0.1 * math.log(40) + 1, 1),
        ({"mscale_all_dim": 0.5}, 0.1 * math.log(40) + 1, 0.05 * math.log(40) + 1),
        ({"attention_factor": 0.5}, 0.5, 1),
    ],
)
def test_temperatures_of_yarn(fields, amplitude, temperature):
    rope = Rope(yarn=Yarn(40, 4096, **fields))
    assert rope.yarn.amplitude == pytest.approx(amplitude)
    cosine, sine = cos_sin_tables(rope, 8, 5, 3, np.float64)
    assert cosine**2 + sine**2 == pytest.approx(np.full((3, 4), amplitude**2))
    if temperature:
        assert softmax_scale(rope, 16) == pytest.approx(temperature**2 / 4)


# Scaled dot products


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (4, 4), (1, 5), (3, 7)])
def test_attend_is_a_loop_over_heads_and_positions(queries, keys):
    q, k, v = normal(2, 2, 3, queries, 4), normal(2, 2, keys, 4), normal(2, 2, keys, 5)
    found, weights = scaled_dot_product_attention(q, k, v, 0.3)
    for b, g, r, t in np.ndindex(2, 2, 3, queries):
        seen = keys - queries + t + 1
        parts = [math.exp(0.3 * sum(q[b, g, r, t] * k[b, g, s])) for s in range(seen)]
        expected = sum(part / sum(parts) * v[b, g, s] for s, part in enumerate(parts))
        assert np.allclose(found[b, g, r, t], expected, atol=1e-12)
        assert np.allclose(weights[b, g, r, t], np.array(parts + [0] * (keys - seen)) / sum(parts), atol=1e-12)


def test_a_query_that_asks_nothing_reads_the_mean_of_what_came_before():
    v = np.array([2.0, 4, 9, 1]).reshape(1, 1, 4, 1)
    found, _ = scaled_dot_product_attention(np.zeros((1, 1, 1, 4, 3)), normal(1, 1, 4, 3), v, 1.0)
    assert found.ravel() == pytest.approx([2, 3, 5, 4])


@given(st.permutations(range(6)))
def test_the_last_query_cares_for_no_order_nor_for_what_all_keys_share(order):
    q, k, v = normal(1, 1, 1, 1, 3), normal(1, 1, 6, 3), normal(1, 1, 6, 2)
    shifted = k[:, :, list(order)] + normal(3)
    assert np.allclose(
        scaled_dot_product_attention(q, shifted, v[:, :, list(order)], 0.7)[0],
        scaled_dot_product_attention(q, k, v, 0.7)[0],
        atol=1e-12,
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_scores_are_no_overflow(dtype):
    q, k = np.full((1, 1, 1, 2, 1), 1e4, dtype), np.array([1, 2], dtype).reshape(1, 1, 2, 1)
    found, weights = scaled_dot_product_attention(q, k, np.array([5, 7], dtype).reshape(1, 1, 2, 1), 1.0)
    assert found.ravel().tolist() == [5, 7]
    assert found.dtype == weights.dtype == dtype


def test_heads_come_one_after_the_other():
    x = np.arange(12.0).reshape(1, 2, 6)
    assert split_heads(x, 3)[0].tolist() == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
    assert np.array_equal(merge_heads(split_heads(x, 3)), x)


# Layers: the equations of the reports, token by token


def rms(x, gain, eps=1e-6):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps) * gain


def read_slowly(queries, keys, values, scale):
    """Return what each position of one head reads: [T, d] each."""
    found = []
    for t, query in enumerate(queries):
        weights = np.exp(scale * (keys[: t + 1] @ query))
        found.append(weights @ values[: t + 1] / weights.sum())
    return np.array(found)


def grouped_slowly(x, p, shape, rope):
    """Return plain attention over one sequence, head by head: V2's report, equations 1 to 8."""
    d, heads = shape.head_dim, []
    for head in range(shape.n_heads):
        group = head // (shape.n_heads // shape.n_kv_heads)
        rows, pair = slice(head * d, head * d + d), slice(group * d, group * d + d)
        q, k, v = x @ p["q_proj"][rows].T, x @ p["k_proj"][pair].T, x @ p["v_proj"][pair].T
        heads.append(read_slowly(turned(q, rope), turned(k, rope), v, softmax_scale(rope, d)))
    return np.concatenate(heads, axis=1) @ p["o_proj"].T


def latent_slowly(x, p, shape, rope):
    """Return latent attention over one sequence, head by head: V3's report, equations 1 to 11."""
    down = x @ p["kv_a_proj_with_mqa"].T + p.get("kv_a_proj_with_mqa_bias", 0)
    latent = rms(down[:, : shape.kv_lora_rank], p["kv_a_layernorm"])
    shared_key = turned(down[:, shape.kv_lora_rank :], rope)
    if shape.q_lora_rank is None:
        queries = x @ p["q_proj"].T
    else:
        queries = rms(x @ p["q_a_proj"].T + p.get("q_a_proj_bias", 0), p["q_a_layernorm"]) @ p["q_b_proj"].T
    heads, nope = [], shape.qk_nope_head_dim
    for head, up in enumerate(np.split(p["kv_b_proj"], shape.n_heads)):
        query = queries[:, head * shape.qk_head_dim : (head + 1) * shape.qk_head_dim]
        query = np.concatenate([query[:, :nope], turned(query[:, nope:], rope)], axis=1)
        key = np.concatenate([latent @ up[:nope].T, shared_key], axis=1)
        heads.append(read_slowly(query, key, latent @ up[nope:].T, softmax_scale(rope, shape.qk_head_dim)))
    return np.concatenate(heads, axis=1) @ p["o_proj"].T + p.get("o_proj_bias", 0)


@pytest.mark.parametrize("name", KINDS)
def test_layers_are_the_reports_equations_head_by_head(name):
    config = MODELS[name]
    slowly = latent_slowly if name in LATENT_KINDS else grouped_slowly
    p, x = weights_of(config), normal(2, 5, 8)
    expected = [slowly(sequence, p, config.arch.attention, config.rope) for sequence in x]
    assert np.allclose(attend(x, p, config)[0], expected, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("first", [1, 3, 5])
def test_later_tokens_change_nothing_before_them(name, first):
    config, x = MODELS[name], normal(2, 6, 8)
    p = weights_of(config)
    before, _ = attend(x, p, config)
    x[:, first:] += normal(2, 6 - first, 8)
    after, _ = attend(x, p, config)
    assert np.array_equal(after[:, :first], before[:, :first])
    assert not np.any(np.all(np.isclose(after[:, first:], before[:, first:]), axis=-1))


@pytest.mark.parametrize(("few", "many"), [(1, 2), (1, 4), (2, 4)])
def test_fewer_groups_are_more_groups_with_the_same_keys_and_values(few, many):
    p, x = weights_of(plain(few)), normal(2, 5, 8)
    repeated = {
        name: np.repeat(p[name].reshape(few, 4, 8), many // few, axis=0).reshape(-1, 8) for name in ("k_proj", "v_proj")
    }
    found, _ = attend(x, p, plain(few))
    assert np.allclose(found, attend(x, p | repeated, plain(many))[0], atol=1e-12)


@given(st.integers(1, 4), st.sampled_from([None, 3]), st.integers(1, 9), st.integers(0, 5), st.sampled_from([2, 6]))
@settings(max_examples=30, deadline=None)
def test_absorbed_equals_expanded(heads, q_rank, rank, qk_nope_head_dim, qk_rope_head_dim):
    shape = replace(
        LATENT,
        n_heads=heads,
        q_lora_rank=q_rank,
        kv_lora_rank=rank,
        qk_nope_head_dim=qk_nope_head_dim,
        qk_rope_head_dim=qk_rope_head_dim,
    )
    config = Config(replace(SHAPE, attention=shape), Rope(yarn=V3_YARN), V3.gate)
    p, x = weights_of(config), normal(2, 5, 8)
    assert np.allclose(attend(x, p, config, absorbed=True)[0], attend(x, p, config)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("absorbed", [True, False])
def test_latent_attention_can_be_plain_attention_with_a_shared_key(absorbed):
    # Without qk_nope_head_dim all of a key is the rotary part that heads share. Inputs of 1 and -1 have a mean square
    # of 1, and this gain undoes the norm's eps: if the way down is an identity, the latent is the input, kv_b_proj W^V.
    latent = replace(
        LATENT, n_heads=4, q_lora_rank=None, kv_lora_rank=8, qk_nope_head_dim=0, qk_rope_head_dim=4, v_head_dim=4
    )
    config = Config(replace(SHAPE, attention=latent), Rope(interleaved=False), V3.gate)
    p, x = weights_of(plain(4)), np.sign(normal(2, 6, 8))
    p["k_proj"] = np.tile(p["k_proj"][:4], (4, 1))
    same = {"q_proj": p["q_proj"], "kv_b_proj": p["v_proj"], "o_proj": p["o_proj"]}
    down = {
        "kv_a_proj_with_mqa": np.concatenate([np.eye(8), p["k_proj"][:4]]),
        "kv_a_layernorm": np.full(8, math.sqrt(1 + 1e-6)),
    }
    found, _ = attend(x, same | down, config, absorbed=absorbed)
    assert np.allclose(found, attend(x, p, plain(4))[0], atol=1e-12)


# Caches


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5),
    st.sampled_from(KINDS),
    st.integers(0, 3),
)
@settings(max_examples=50, deadline=None)
def test_any_split_of_a_sequence_gives_what_all_at_once_does(pieces, name, spare):
    config, length = MODELS[name], sum(count for count, _ in pieces)
    p, x = weights_of(config), normal(2, length, 8)
    cache, parts = layer_cache(config, 2, length + spare, np.float64), []
    for one in cache.arrays.values():
        one[...] = np.nan  # what is not filled is not read
    for count, absorbed in pieces:
        part = x[:, cache.length : cache.length + count]
        parts.append(attend(part, p, config, cache, absorbed=absorbed)[0])
    assert cache.length == length
    assert np.allclose(np.concatenate(parts, axis=1), attend(x, p, config)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_token_by_token_is_all_at_once(name):
    config = MODELS[name]
    p, x = weights_of(config), normal(3, 9, 8)
    for absorbed in (False, True):
        cache = layer_cache(config, 3, 9, np.float64)
        parts = [attend(x[:, [t]], p, config, cache, absorbed=absorbed)[0] for t in range(9)]
        assert np.allclose(np.concatenate(parts, axis=1), attend(x, p, config)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("kind", ["MLA", "MHA", "GQA", "MQA"])
def test_bytes_of_a_cached_token_are_those_counted_on_paper(kind, dtype):
    cache = layer_cache(small_config(kind), 3, 5, dtype)
    # MLA: 32 + 8; keys and values: 2 x 4, 2 or 1 heads x 16
    elements = {"MLA": 40, "MHA": 128, "GQA": 64, "MQA": 32}[kind]
    assert small_config(kind).arch.attention.cache_elements == elements
    assert cache.bytes_per_token == elements * np.dtype(dtype).itemsize
    assert sum(one.nbytes for one in cache.arrays.values()) == 3 * 5 * cache.bytes_per_token
    assert (cache.batch, cache.capacity, cache.length) == (3, 5, 0)


@pytest.mark.parametrize("name", KINDS)
def test_a_full_cache_is_refused_and_stays_as_it_was(name):
    config = MODELS[name]
    p, x, cache = weights_of(config), normal(2, 6, 8), layer_cache(config, 2, 5, np.float64)
    attend(x[:, :4], p, config, cache)
    with pytest.raises(InputError, match="cache of 5 tokens: holds 4, 2 more do not fit"):
        attend(x[:, 4:], p, config, cache)
    assert cache.length == 4
    assert np.allclose(attend(x[:, 4:5], p, config, cache)[0], attend(x, p, config)[0][:, 4:5], atol=1e-12)
    with pytest.raises(InputError, match="cache of 5 tokens: holds 5, 1 more do not fit"):
        attend(x[:, 5:], p, config, cache)


def test_caches_of_another_number_or_batch_are_refused():
    model = init_model(V3, seed=1)
    caches = model.new_caches(2, 3)
    for wrong in ([], caches[:1], caches * 2, model.new_caches(1, 3), model.new_caches(3, 3)):
        with pytest.raises(InputError, match="caches: must be one per layer, 2, of 2 sequences"):
            model.forward(np.zeros((2, 2), int), wrong)


def test_latents_are_cached_normed_and_shared_keys_turned():
    p, x, cache = weights_of(V2), normal(1, 3, 8), layer_cache(V2, 1, 3, np.float64)
    attend(x, p, V2, cache)
    down = x[0] @ p["kv_a_proj_with_mqa"].T
    expected = np.concatenate([rms(down[:, :6], p["kv_a_layernorm"]), turned(down[:, 6:], V2.rope)], axis=1)
    assert np.allclose(cache.arrays["latents"][0], expected, atol=1e-12)


def test_keys_are_cached_turned_and_values_as_they_are():
    config = plain(2)
    p, x, cache = weights_of(config), normal(1, 3, 8), layer_cache(config, 1, 3, np.float64)
    attend(x, p, config, cache)
    for name, expected in {"keys": lambda k: turned(k, config.rope), "values": lambda v: v}.items():
        rows = (x[0] @ p[f"{name[0]}_proj"].T).reshape(3, 2, 4).swapaxes(0, 1)
        assert np.allclose(cache.arrays[name][0], expected(rows), atol=1e-12)
