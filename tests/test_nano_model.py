"""The whole model: its parameters, what each logit may depend on, decoding, modules, losses, types, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_shapes import MODELS, V2, V3, attend, plain

from repro.calc.param_count import active_parameters, mtp_parts, parts, total_parameters
from repro.errors import InputError
from repro.nano import (
    Model,
    Rope,
    Yarn,
    attention,
    evaluate,
    gate,
    init_model,
    mla,
    moe,
    ops,
    rope,
    small_config,
)
from repro.nano.model import Loss
from repro.nano.ops import cross_entropy, linear, rms_norm
from repro.nano.param_shapes import iter_leaves, param_shapes
from repro.nano.serving.speculative import speculative_decode

SMALL = {
    "small, MLA, V3": small_config(n_mtp_modules=2),
    "small, MLA, V2": small_config(gate="V2", n_shared_experts=2),
    "small, GQA, V3": small_config("GQA", n_layers=2),
    "small, MHA": small_config("MHA", gate=None, n_mtp_modules=1),
    "small, MQA": small_config("MQA", gate=None, n_layers=1),
}
ALL = {**MODELS, **SMALL}
WITH_MODULES = [name for name, config in MODELS.items() if config.arch.n_mtp_modules]


def built(name, seed=3, std=0.5):
    """Return a model in float64, gains random too, so that none can be left out."""
    found = init_model(ALL[name], seed=seed, std=std, dtype=np.float64)
    rng = np.random.default_rng(seed)
    for path, one in iter_leaves(found.params):
        if path.endswith("norm"):
            one += 0.3 * rng.standard_normal(one.shape)
        elif path.endswith("bias"):
            one += 0.1 * rng.standard_normal(one.shape)
    return found


def some(*shape, seed=0, vocab_size=11):
    return np.random.default_rng([seed, *shape]).integers(0, vocab_size, shape)


def headless(one):
    """Return the same model with a head that leaves what comes before it as it is."""
    untied = replace(one.config, arch=replace(one.config.arch, tied_embeddings=False))
    return Model(untied, one.params | {"lm_head": np.eye(one.config.arch.d_model)})


# Parameters


@pytest.mark.parametrize("name", list(ALL))
def test_parameters_are_as_many_as_the_closed_form_counts(name):
    shape = ALL[name].arch
    tree = init_model(ALL[name], seed=1).params
    modules = sum(one.size for _, one in iter_leaves(tree["mtp"]))
    assert modules == sum(part.total for part in mtp_parts(shape))
    assert sum(one.size for _, one in iter_leaves(tree)) - modules == total_parameters(shape)
    assert sum(math.prod(one) for _, one in iter_leaves(param_shapes(ALL[name]))) == total_parameters(
        shape, mtp_counted=True
    )


@pytest.mark.parametrize("name", list(ALL))
def test_multiplications_done_are_those_counted(name, monkeypatch):
    found, done = init_model(ALL[name], seed=1), []

    def counting(x, weight, bias=None):
        done.append(x.size * len(weight))
        return linear(x, weight, bias)

    for module in (attention, gate, ops):
        monkeypatch.setattr(module, "linear", counting)
    found.forward(some(2, 5))
    assert sum(done) == 2 * 5 * sum(part.multiplied for part in parts(found.config.arch))


def test_weights_begin_as_the_report_has_them():
    found = dict(iter_leaves(init_model(small_config(), seed=1, std=0.006).params))
    assert all(np.all(one == 1) for path, one in found.items() if path.endswith("norm"))
    assert all(np.all(one == 0) for path, one in found.items() if path.endswith("bias"))
    rest = [one for path, one in found.items() if not path.endswith(("norm", "bias"))]
    assert [one.std() for one in rest] == pytest.approx([0.006] * len(rest), rel=0.1)
    assert np.concatenate([one.ravel() for one in rest]).mean() == pytest.approx(0, abs=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_others():
    one, same, other = (dict(iter_leaves(init_model(V3, seed=seed).params)) for seed in (1, 1, 2))
    assert all(np.array_equal(one[path], same[path]) for path in one)
    drawn = [path for path in one if not path.endswith(("norm", "bias"))]
    assert not any(np.array_equal(one[path], other[path]) for path in drawn)
    assert len({one[path].ravel()[0] for path in drawn}) == len(drawn)


def test_a_tied_head_is_the_embedding():
    tied, untied = (init_model(config, seed=1) for config in (MODELS["V3, biased projections, tied"], V3))
    assert "lm_head" not in tied.params
    assert tied.head is tied.params["embed_tokens"]
    assert untied.head is untied.params["lm_head"]
    assert "lm_head" not in tied.loss_and_gradients(some(2, 6))[1]


def test_a_tied_tables_gradient_is_what_both_uses_add_up_to():
    tied = built("V3, biased projections, tied")
    config = replace(tied.config, arch=replace(tied.config.arch, tied_embeddings=False))
    apart = Model(config, tied.params | {"lm_head": tied.params["embed_tokens"]})
    (loss, together), (same, alone) = (one.loss_and_gradients(some(2, 6)) for one in (tied, apart))
    assert loss == same
    assert np.allclose(together["embed_tokens"], alone["embed_tokens"] + alone["lm_head"], atol=1e-12)


def test_the_small_mixtures_are_as_wide_as_their_dense_peer():
    dense = total_parameters(small_config(gate=None).arch)
    for kind in ("V2", "V3"):
        sparse = small_config(gate=kind).arch
        gates = sparse.n_moe_layers * sparse.experts.n_routed_experts * (64 + sparse.experts.correction_bias)
        assert active_parameters(sparse, embedding_counted=True) - gates == dense


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attention": "XYZ"}, "attention = 'XYZ': must be one of: MLA, MHA, GQA, MQA"),
        ({"gate": "V4"}, "gate = 'V4': must be one of: V2, V3, or None"),
        ({"top_k": 17}, "top_k = 17: must be from 1 to the 16 experts reached"),
    ],
)
def test_small_models_of_unknown_kinds(fields, message):
    with pytest.raises(InputError, match=message):
        small_config(**fields)


# What logits are


def rms(x, gain, eps):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps) * gain


def layer_slowly(h, p, config):
    """Return the residual stream after one layer: V3's report, figure 2."""
    h = h + attend(rms(h, p["input_layernorm"], config.rms_norm_eps), p["self_attn"], config)[0]
    x, feed = rms(h, p["post_attention_layernorm"], config.rms_norm_eps), p["mlp"]
    if "gate" in feed:
        return h + moe.moe(x, feed, config.arch.experts, config.gate)[0]
    gate_rows, up_rows = np.split(x @ feed["gate_up_proj"].T, 2, axis=-1)
    return h + (gate_rows / (1 + np.exp(-gate_rows)) * up_rows) @ feed["down_proj"].T


@pytest.mark.parametrize("eps", [1e-6, 0.5])
@pytest.mark.parametrize("name", list(MODELS))
def test_logits_are_layers_added_up(name, eps):
    found = built(name)
    found.config, tokens = replace(found.config, rms_norm_eps=eps), some(2, 6)
    h = found.params["embed_tokens"][tokens]
    for p in found.params["layers"]:
        h = layer_slowly(h, p, found.config)
    assert np.allclose(found.forward(tokens), rms(h, found.params["norm"], eps) @ found.head.T, atol=1e-12)


@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_modules_are_a_chain_of_layers_over_the_norms_of_both(eps):
    # V3's report, equations 21 and 22; the embedding's half first, as README_WEIGHTS.md and the weights have it
    found = built("V3")
    found.config, tokens = replace(found.config, rms_norm_eps=eps), some(2, 6)
    hidden = headless(found).forward(tokens)
    for depth, p in enumerate(found.params["mtp"], start=1):
        e = rms(found.params["embed_tokens"][tokens[:, depth:]], p["enorm"], eps)
        both = np.concatenate([e, rms(hidden[:, :-1], p["hnorm"], eps)], axis=-1)
        hidden = rms(layer_slowly(both @ p["eh_proj"].T, p["block"], found.config), p["norm"], eps)
        assert np.allclose(headless(found).mtp_logits(tokens)[depth - 1], hidden, atol=1e-12)
        assert np.allclose(found.mtp_logits(tokens)[depth - 1], hidden @ found.head.T, atol=1e-12)


@pytest.mark.parametrize("name", list(MODELS))
@given(st.integers(1, 6))
@settings(max_examples=6, deadline=None)
def test_logits_know_nothing_of_later_tokens(name, first):
    found, tokens = built(name), some(2, 7)
    changed = tokens.copy()
    changed[:, first:] = (changed[:, first:] + 1) % 11
    before, after = found.forward(tokens), found.forward(changed)
    assert np.allclose(after[:, :first], before[:, :first], rtol=0, atol=1e-12)
    assert not np.any(np.all(np.isclose(after[:, first], before[:, first]), axis=-1))


@pytest.mark.parametrize("name", ["V2", "V3", "GQA"])
def test_sequences_of_a_batch_know_nothing_of_each_other(name):
    found, tokens = built(name), some(3, 5)
    alone = np.concatenate([found.forward(tokens[[row]]) for row in range(3)])
    assert np.allclose(found.forward(tokens), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("workers", [2, 5])
def test_threads_change_nothing_but_rounding(workers):
    one, tokens = built("V3"), some(3, 6)
    many = Model(one.config, one.params, workers=workers)
    assert np.allclose(one.forward(tokens), many.forward(tokens), rtol=0, atol=1e-12)
    (loss, gradients), (same, other) = (each.loss_and_gradients(tokens) for each in (one, many))
    assert loss.total == pytest.approx(same.total, rel=1e-12)
    for (path, left), (_, right) in zip(iter_leaves(gradients), iter_leaves(other), strict=True):
        assert np.allclose(left, right, rtol=0, atol=1e-12), path


@pytest.mark.parametrize("name", ["V2", "V3", "small, MLA, V3", "small, MHA"])
def test_routings_are_one_per_layer_of_experts(name):
    config = ALL[name]
    found = init_model(config, seed=1).routings(some(2, 5))
    assert len(found) == config.arch.n_moe_layers
    for one in found:
        assert one.experts.shape == one.weights.shape == (10, config.arch.experts.top_k)
        assert one.scores.shape == (10, config.arch.experts.n_routed_experts)


@pytest.mark.parametrize("name", ["V3", "GQA"])
def test_rotary_tables_are_built_once_a_pass_for_all_layers_and_modules(name, monkeypatch):
    found, tokens, built_tables, real = built(name), some(2, 6), [], rope.rope_frequencies
    monkeypatch.setattr(rope, "rope_frequencies", lambda *sizes: built_tables.append(sizes) or real(*sizes))
    caches = found.new_caches(2, 6)
    for call in (
        lambda: found.forward(tokens),
        lambda: found.forward(tokens, caches),
        lambda: found.mtp_logits(tokens),
        lambda: found.loss_and_gradients(tokens),
    ):
        built_tables.clear()
        call()
        assert len(built_tables) == 1
    built_tables.clear()
    found.generate(tokens, 4)
    assert len(built_tables) == 4


def test_speculative_decoding_builds_rotary_tables_once_for_each_models_pass(monkeypatch):
    found, built_tables, real = built("V3"), [], rope.rope_frequencies
    monkeypatch.setattr(rope, "rope_frequencies", lambda *sizes: built_tables.append(sizes) or real(*sizes))
    decoded = speculative_decode(found, some(3), 12)
    assert len(built_tables) == decoded.steps + decoded.n_drafts


# Decoding


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.sampled_from(list(MODELS)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_sequence_in_any_pieces_has_the_same_logits(pieces, name, absorbed):
    found, tokens, ends = built(name), some(2, sum(pieces)), np.cumsum(pieces)
    caches = found.new_caches(2, sum(pieces))
    spans = zip(ends - pieces, ends, strict=True)
    parts = [found.forward(tokens[:, a:b], caches, absorbed=absorbed) for a, b in spans]
    assert np.allclose(np.concatenate(parts, axis=1), found.forward(tokens), rtol=0, atol=1e-11)


@pytest.mark.parametrize("absorbed", [False, True])
@pytest.mark.parametrize("name", list(MODELS))
def test_generation_takes_the_likeliest_token_of_a_whole_forward_pass(name, absorbed):
    found, tokens = built(name), some(2, 3)
    expected = tokens
    for _ in range(6):
        likeliest = found.forward(expected)[:, -1:].argmax(axis=-1)
        expected = np.concatenate([expected, likeliest], axis=1)
    assert np.array_equal(found.generate(tokens, 6, absorbed=absorbed), expected[:, 3:])


def test_the_form_asked_for_is_the_one_that_decodes(monkeypatch):
    forms, real = [], mla._attend_absorbed
    monkeypatch.setattr(mla, "_attend_absorbed", lambda *given: forms.append(1) or real(*given))
    found = init_model(V3, seed=1)
    found.generate(some(1, 3), 4)
    assert len(forms) == 0
    found.generate(some(1, 3), 4, absorbed=True)
    assert len(forms) == 2 * 3  # of 4 tokens the first comes from the prompt, in the expanded form


@pytest.mark.parametrize("count", [0, 1])
def test_generating_little(count):
    found = init_model(V2, seed=1)
    assert found.generate(some(2, 3), count).shape == (2, count)
    assert np.issubdtype(found.generate(some(2, 3), count).dtype, np.integer)


def test_a_full_cache_and_caches_of_other_sizes_are_refused():
    found = init_model(V3, seed=1)
    caches = found.new_caches(2, 3)
    found.forward(some(2, 2), caches)
    with pytest.raises(InputError, match="cache of 3 tokens: holds 2, 2 more do not fit"):
        found.forward(some(2, 2), caches)
    for wrong in (caches[:1], [], found.new_caches(3, 3)):
        with pytest.raises(InputError, match="caches: must be one per layer, 2, of 2 sequences"):
            found.forward(some(2, 2), wrong)


def test_each_of_the_caches_is_looked_at_before_any_is_filled():
    found = init_model(V3, seed=1)
    for capacity, batch, message in [(3, 1, "caches: must be"), (1, 2, "cache of 1 tokens")]:
        caches = [found.new_caches(2, 3)[0], found.new_caches(batch, capacity)[1]]
        with pytest.raises(InputError, match=message):
            found.forward(some(2, 2), caches)
        assert [one.length for one in caches] == [0, 0]


def test_caches_of_another_kind_are_refused_and_stay_as_they_were():
    found, other = init_model(V3, seed=1), init_model(MODELS["GQA"], seed=1)
    own = found.new_caches(2, 4)
    uneven = found.new_caches(2, 4)
    uneven[1].length = 1
    cases = {
        "this model's own": [own[0], other.new_caches(2, 4)[0]],
        "one per layer": [own[0], own[0]],
        "hold 0 and 1 tokens": uneven,
        "own, as new_caches": init_model(V3, seed=1, dtype=np.float64).new_caches(2, 4),
    }
    for message, caches in cases.items():
        before = [one.length for one in caches]
        with pytest.raises(InputError, match=message):
            found.forward(some(2, 2), caches)
        assert [one.length for one in caches] == before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda found: found.mtp_logits(some(2, 2)), "tokens of 2: must be more than 2, with 2 modules"),
        (lambda found: found.generate(some(1, 2), -1), "count = -1: must be a whole number"),
        (lambda found: found.new_caches(2, -1), "capacity = -1"),
        (lambda found: found.forward([[1, 2], [3]]), "tokens of unequal lengths"),
        (lambda found: Model(found.config, found.params, workers=0), "workers = 0"),
        (lambda found: init_model(V3, seed=-1), "seed = -1"),
        (lambda found: init_model(V3, seed=1, dtype=np.int32), "must be float32 or float64"),
        (lambda found: small_config(n_layers=0), "n_layers = 0: must be a whole number of at least 1"),
        (lambda found: small_config(n_shared_experts=-1), "n_shared_experts = -1: .* of at least 0$"),
        (lambda found: small_config(d_expert=0), "d_expert = 0: must be a whole number of at least 1$"),
        (lambda found: small_config(d_ff=True), "d_ff = True: must be a whole number"),
        (lambda found: small_config(n_mtp_modules=-1), "n_mtp_modules = -1"),
        (lambda found: small_config(top_k=2.5), "top_k = 2.5"),
        (lambda found: replace(V3, rms_norm_eps=-1), "rms_norm_eps = -1"),
        (lambda found: Yarn(0, 8), "factor = 0: must be a number above 0"),
        (lambda found: Yarn(4, 8, beta_slow=0), "beta_slow = 0"),
        (lambda found: Rope(theta=1), "theta = 1: must be a number above 1"),
    ],
)
def test_what_cannot_be_is_one_line(call, message):
    with pytest.raises(InputError, match=message):
        call(init_model(V3, seed=1))


@pytest.mark.parametrize("name", list(MODELS))
def test_the_whole_models_cache_per_token(name):
    shape, found = MODELS[name].arch, init_model(MODELS[name], seed=1, dtype=np.float64)
    caches = found.new_caches(2, 9)
    assert len(caches) == shape.n_layers
    assert sum(one.bytes_per_token for one in caches) == 8 * shape.n_layers * shape.attention.cache_elements


# Modules


@pytest.mark.parametrize("name", [*WITH_MODULES, "V2", "small, MHA"])
def test_each_module_predicts_one_token_less(name):
    shape, length = ALL[name].arch, 6
    found = init_model(ALL[name], seed=1).mtp_logits(some(3, length))
    assert [one.shape for one in found] == [
        (3, length - k, shape.vocab_size) for k in range(1, shape.n_mtp_modules + 1)
    ]


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("name", WITH_MODULES)
def test_position_i_at_depth_k_sees_up_to_token_i_plus_k(name, place):
    found, tokens = built(name), some(1, 6)
    changed = tokens.copy()
    changed[0, place] = (changed[0, place] + 5) % 11
    pairs = zip(found.mtp_logits(tokens), found.mtp_logits(changed), strict=True)
    for depth, (before, after) in enumerate(pairs, start=1):
        for position in range(6 - depth):
            same = np.allclose(before[0, position], after[0, position], rtol=0, atol=1e-9)
            assert same == (place > position + depth)


# Losses


@pytest.mark.parametrize("name", list(MODELS))
def test_a_head_of_zeros_knows_nothing(name):
    found = built(name)
    found.head[...] = 0
    loss, _ = found.loss_and_gradients(some(2, 6))
    assert loss.main == pytest.approx(math.log(11))
    # the sum over T - k positions, divided by T = 5: equation 24
    assert loss.mtp == pytest.approx(
        [math.log(11) * (5 - k) / 5 for k in range(1, found.config.arch.n_mtp_modules + 1)]
    )


@pytest.mark.parametrize("mtp_weight", [0.0, 0.1, 0.3])
def test_losses_are_sums_of_logarithms_over_all_positions(mtp_weight):
    found, tokens = built("V3"), some(2, 7)
    loss, _ = found.loss_and_gradients(tokens, mtp_weight=mtp_weight)
    expected = []
    for depth, logits in enumerate([found.forward(tokens[:, :-1]), *found.mtp_logits(tokens[:, :-1])]):
        p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        picked = [p[b, i, tokens[b, i + depth + 1]] for b in range(2) for i in range(6 - depth)]
        expected.append(-sum(map(math.log, picked)) / (2 * 6))
    assert [loss.main, *loss.mtp] == pytest.approx(expected)
    assert loss.total == pytest.approx(expected[0] + mtp_weight / 2 * (expected[1] + expected[2]))  # equation 25
    assert evaluate(found, tokens) == pytest.approx(loss.main)


def test_the_total_is_the_main_loss_plus_the_weighted_mean_of_the_others():
    assert Loss(2.0).total == 2
    assert Loss(2.0, (3.0, 5.0), 0.3).total == pytest.approx(2 + 0.3 * 4)


def test_modules_of_no_weight_leave_the_main_models_gradients_alone():
    found, tokens = built("V3"), some(2, 7)
    _, gradients = found.loss_and_gradients(tokens, mtp_weight=0.0)
    arch = replace(V3.arch, n_mtp_modules=0)
    without = Model(replace(V3, arch=arch), found.params | {"mtp": []})
    _, expected = without.loss_and_gradients(tokens)
    assert not any(np.any(one) for _, one in iter_leaves(gradients.pop("mtp")))
    for (path, one), (_, other) in zip(iter_leaves(gradients), iter_leaves(expected), strict=True):
        assert np.allclose(one, other, rtol=0, atol=1e-12), path


def test_tokens_that_do_not_occur_leave_their_embedding_alone():
    _, gradients = built("V3").loss_and_gradients(np.array([[1, 2, 1, 3, 2, 7]]))
    assert np.flatnonzero(np.any(gradients["embed_tokens"], axis=1)).tolist() == [1, 2, 3]  # 7 is only predicted


def test_cross_entropy_by_hand():
    loss, d_logits = cross_entropy(np.log([[[1.0, 3.0]], [[5.0, 5.0]]]), np.array([[1], [0]]))
    assert loss == pytest.approx(-(math.log(3 / 4) + math.log(1 / 2)) / 2)
    assert np.allclose(d_logits, np.array([[[1 / 4, -1 / 4]], [[-1 / 2, 1 / 2]]]) / 2)
    assert cross_entropy(np.array([[3000.0, 0]]), np.array([1]))[0] == 3000


def test_norms_by_hand():
    assert rms_norm(np.array([3.0, 4.0]), np.array([2.0, 1.0]), 0)[0] == pytest.approx(np.array([6, 4]) / 12.5**0.5)
    assert rms_norm(np.array([3.0, 4.0]), np.ones(2), 3.5)[0] == pytest.approx([3 / 4, 1])
    assert rms_norm(np.zeros(2), np.ones(2), 1e-6)[0].tolist() == [0, 0]


# Types and refusals


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", list(MODELS))
def test_types_are_kept_throughout(name, dtype):
    found, tokens = init_model(MODELS[name], seed=1, dtype=dtype), some(2, 6)
    caches = found.new_caches(2, 7)
    logits = [found.forward(tokens), found.forward(tokens, caches), found.forward(tokens[:, :1], caches, absorbed=True)]
    _, gradients = found.loss_and_gradients(tokens)
    everything = [*logits, *found.mtp_logits(tokens), *(one for _, one in iter_leaves([found.params, gradients]))]
    everything += [one for cache in caches for one in cache.arrays.values()]
    assert {one.dtype for one in everything} == {np.dtype(dtype)} == {found.dtype}


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64, list])
def test_tokens_may_be_integers_of_any_kind(kind):
    found, tokens = init_model(V3, seed=1), some(2, 6)
    given = tokens.tolist() if kind is list else tokens.astype(kind)
    assert np.array_equal(found.forward(given), found.forward(tokens))
    assert found.loss_and_gradients(given)[0] == found.loss_and_gradients(tokens)[0]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([[0.5, 1.0]], r"tokens of shape \(1, 2\) and type float64: must be integers \[B, T\]"),
        ([[True]], "type bool: must be integers"),
        ([["a"]], "must be integers"),
        ([1, 2], r"tokens of shape \(2,\) and type int64: must be integers \[B, T\]"),
        ([[[1]]], r"tokens of shape \(1, 1, 1\)"),
        (3, r"tokens of shape \(\)"),
        ([[0, 11]], "tokens from 0 to 11: must be from 0 to 10"),
        ([[-1, 3]], "tokens from -1 to 3: must be from 0 to 10"),
    ],
)
@pytest.mark.parametrize("call", ["forward", "mtp_logits", "loss_and_gradients", "routings"])
def test_tokens_that_are_none_are_refused(call, tokens, message):
    with pytest.raises(InputError, match=message):
        getattr(init_model(V3, seed=1), call)(tokens)


@pytest.mark.parametrize(("config", "fewest"), [(V3, 4), (V2, 2), (plain(2), 2)])
def test_a_loss_needs_a_token_to_predict_at_each_depth(config, fewest):
    found = init_model(config, seed=1)
    assert np.isfinite(found.loss_and_gradients(some(2, fewest))[0].total)
    with pytest.raises(InputError, match=f"tokens of {fewest - 1}: must be more than {fewest - 1}"):
        found.loss_and_gradients(some(2, fewest - 1))


@pytest.mark.parametrize("prompt", [np.array([1, 2]), np.zeros((1, 0), int), np.array([[1.0]])])
def test_prompts_that_are_none_are_refused(prompt):
    with pytest.raises(InputError, match=r"(tokens|prompt)"):
        init_model(V3, seed=1).generate(prompt, 2)


@pytest.mark.parametrize("shape", [(1, 0), (0, 3)])
def test_no_tokens_at_all_are_refused(shape):
    with pytest.raises(InputError, match="tokens"):
        init_model(V3, seed=1).forward(np.zeros(shape, int))


@pytest.mark.parametrize("last", [-1, 11])
def test_targets_outside_the_vocabulary_are_refused(last):
    found, tokens = init_model(V3, seed=1), np.array([[1, 2, 3, 4, last]])
    for call in (found.loss_and_gradients, lambda given: evaluate(found, given)):
        with pytest.raises(InputError, match="must be from 0 to 10"):
            call(tokens)
