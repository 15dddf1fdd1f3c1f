"""Backward passes against central differences in float64: what a gradient is, by its definition."""

import numpy as np
import pytest
from nano_shapes import MODELS, V2, V3, attend, plain, tables

from repro.nano import ops
from repro.nano.attention import scaled_dot_product_attention, scaled_dot_product_attention_backward
from repro.nano.block import attention_backward, block, block_backward
from repro.nano.gate import route, route_backward
from repro.nano.model import init_model
from repro.nano.moe import moe, moe_backward
from repro.nano.mtp import mtp_module, mtp_module_backward
from repro.nano.param_shapes import flatten, iter_leaves
from repro.nano.rope import apply_rope, apply_rope_backward, cos_sin_tables

STEP = 1e-5
LIMIT = 1e-6


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def differences(loss, array):
    """Return the gradient of a loss with respect to each element, by moving it a little up and down in place."""
    found = np.empty_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + STEP
        above = loss()
        array[place] = kept - STEP
        found[place] = (above - loss()) / (2 * STEP)
        array[place] = kept
    return found


def error(found, expected):
    """Return the distance of two arrays relative to the size of the second."""
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def agree(loss, gradients, arrays):
    """Assert that each array's gradient is what moving its elements gives."""
    found, where = dict(iter_leaves(gradients)), dict(iter_leaves(arrays))
    assert set(where) - set(found) <= {
        name for name in where if name.endswith("gate.e_score_correction_bias") or name == "e_score_correction_bias"
    }
    for name, one in found.items():
        assert error(one, differences(loss, where[name])) < LIMIT, name


def test_linear():
    x, w, d_y = normal(2, 3, 4), normal(5, 4), normal(2, 3, 5)
    d_x, d_w = ops.linear_backward(d_y, x, w)
    agree(lambda: np.sum(ops.linear(x, w) * d_y), {"x": d_x, "w": d_w}, {"x": x, "w": w})


def test_a_bias():
    x, w, b, d_y = normal(2, 3, 4), normal(5, 4), normal(5), normal(2, 3, 5)
    agree(lambda: np.sum(ops.linear(x, w, b) * d_y), {"b": ops.bias_backward(d_y)}, {"b": b})


def test_rms_norm():
    x, gain, d_y = normal(2, 3, 4), normal(4), normal(2, 3, 4, seed=1)
    d_x, d_gain = ops.rms_norm_backward(d_y, gain, ops.rms_norm(x, gain, 1e-3)[1])
    agree(lambda: np.sum(ops.rms_norm(x, gain, 1e-3)[0] * d_y), {"x": d_x, "g": d_gain}, {"x": x, "g": gain})


def test_swiglu():
    x, d_y = 3 * normal(5, 8), normal(5, 4)
    agree(
        lambda: np.sum(ops.swiglu(x) * d_y), {"x": ops.swiglu_backward(d_y, x, ops.swiglu_and_sigmoid(x)[1])}, {"x": x}
    )


def test_feed_forward():
    x, p, d_y = normal(3, 4), {"gate_up_proj": normal(10, 4), "down_proj": normal(4, 5)}, normal(3, 4, seed=1)
    d_x, d_p = ops.mlp_backward(d_y, p, ops.mlp(x, p)[1])
    agree(lambda: np.sum(ops.mlp(x, p)[0] * d_y), {"x": d_x, **d_p}, {"x": x, **p})


def test_cross_entropy():
    logits, targets = 2 * normal(2, 3, 5), np.array([[0, 4, 2], [1, 1, 3]])
    _, d_logits = ops.cross_entropy(logits, targets)
    agree(lambda: ops.cross_entropy(logits, targets)[0], {"x": d_logits}, {"x": logits})


def test_cross_entropy_leaves_out_what_is_not_to_be_predicted():
    logits, targets = normal(2, 3, 5), np.array([[1, -1, 4], [-1, -1, 0]])
    loss, d_logits = ops.cross_entropy(logits, targets)
    parts = [ops.cross_entropy(logits[b, t], targets[b, t])[0] for b, t in ((0, 0), (0, 2), (1, 2))]
    assert loss == pytest.approx(np.mean(parts))
    assert (d_logits[targets < 0] == 0).all()
    agree(lambda: ops.cross_entropy(logits, targets)[0], {"logits": d_logits}, {"logits": logits})
    assert ops.cross_entropy(logits, np.full((2, 3), -1))[0] == 0


@pytest.mark.parametrize("interleaved", [True, False])
def test_rotation(interleaved):
    cos_sin = cos_sin_tables(V3.rope, 6, 3, 4, np.float64)
    x, d_y = normal(2, 4, 6), normal(2, 4, 6, seed=1)
    d_x = apply_rope_backward(d_y, *cos_sin, interleaved=interleaved)
    agree(lambda: np.sum(apply_rope(x, *cos_sin, interleaved=interleaved) * d_y), {"x": d_x}, {"x": x})


def test_attention_over_given_queries_keys_and_values():
    q, k, v, d_o = normal(2, 2, 3, 4, 5), normal(2, 2, 6, 5), normal(2, 2, 6, 3), normal(2, 2, 3, 4, 3)
    _, weights = scaled_dot_product_attention(q, k, v, 0.7)
    d_q, d_k, d_v = scaled_dot_product_attention_backward(d_o, q, k, v, weights, 0.7)
    agree(
        lambda: np.sum(scaled_dot_product_attention(q, k, v, 0.7)[0] * d_o),
        {"q": d_q, "k": d_k, "v": d_v},
        {"q": q, "k": k, "v": v},
    )


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_groups_of_queries_in_any_number(heads):
    config = plain(heads)
    p = init_model(config, seed=1, std=0.5, dtype=np.float64).params["layers"][0]["self_attn"]
    x, d_y = normal(2, 3, 8), normal(2, 3, 8, seed=1)
    d_x, d_p = attention_backward(d_y, p, config, attend(x, p, config)[1])
    agree(lambda: np.sum(attend(x, p, config)[0] * d_y), {"x": d_x, **d_p}, {"x": x, **p})


@pytest.mark.parametrize("config", [V2, V3, MODELS["V3, biased projections, tied"]], ids=["V2", "V3", "biased"])
def test_latent_attention(config):
    p = init_model(config, seed=2, std=0.5, dtype=np.float64).params["layers"][0]["self_attn"]
    x, d_y = normal(2, 4, 8), normal(2, 4, 8, seed=1)
    d_x, d_p = attention_backward(d_y, p, config, attend(x, p, config)[1])
    agree(lambda: np.sum(attend(x, p, config)[0] * d_y), {"x": d_x, **d_p}, {"x": x, **p})


@pytest.mark.parametrize("name", ["V2", "V2, weights normalised", "V3", "V3, pairs as halves, weights not normalised"])
def test_the_gates_weights(name):
    gate, p, x = MODELS[name].gate, {"weight": normal(6, 8)}, normal(5, 8)
    routing = route(x, p, gate, 2)
    d_y = normal(5, 6)  # one per expert, so that the order of the chosen does not matter

    def loss():
        found = route(x, p, gate, 2)
        return np.sum(found.weights * np.take_along_axis(d_y, found.experts, axis=1))

    d_x, d_p = route_backward(np.take_along_axis(d_y, routing.experts, axis=1), x, p, gate, routing)
    agree(loss, {"x": d_x, **d_p}, {"x": x, **p})


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("config", [V2, V3], ids=["V2", "V3"])
def test_experts(config, workers):
    p = init_model(config, seed=3, std=0.5, dtype=np.float64).params["layers"][1]["mlp"]
    x, d_y = normal(2, 4, 8), normal(2, 4, 8, seed=1)

    def run():
        return moe(x, p, config.arch.experts, config.gate, workers=workers)

    d_x, d_p = moe_backward(d_y, p, config.gate, run()[1], workers=workers)
    agree(lambda: np.sum(run()[0] * d_y), {"x": d_x, **d_p}, {"x": x, **p})


def test_one_layer():
    p = init_model(V3, seed=4, std=0.5, dtype=np.float64).params["layers"][1]
    h, d_h = normal(2, 3, 8), normal(2, 3, 8, seed=1)
    d_x, d_p = block_backward(d_h, p, V3, block(h, p, V3, tables(V3, 3))[1])
    agree(lambda: np.sum(block(h, p, V3, tables(V3, 3))[0] * d_h), {"h": d_x, **d_p}, {"h": h, **p})


def test_one_module_of_multi_token_prediction():
    p = init_model(V3, seed=5, std=0.5, dtype=np.float64).params["mtp"][0]
    h, e, d_y = normal(2, 3, 8), normal(2, 3, 8, seed=1), normal(2, 3, 8, seed=2)
    cos_sin = tables(V3, 3)
    d_h, d_e, d_p = mtp_module_backward(d_y, p, V3, mtp_module(h, e, p, V3, cos_sin)[1])
    agree(lambda: np.sum(mtp_module(h, e, p, V3, cos_sin)[0] * d_y), {"h": d_h, "e": d_e, **d_p}, {"h": h, "e": e, **p})


def test_a_model_given_targets_of_its_own():
    model = init_model(V3, seed=6, std=0.4, dtype=np.float64)
    tokens = np.random.default_rng(7).integers(0, 11, (2, 6))
    depths = 1 + V3.arch.n_mtp_modules
    itself = [tokens[:, depth + 1 :] for depth in range(depths)]
    plain, given = (model.loss_and_gradients(tokens, targets=targets) for targets in (None, itself))
    assert plain[0] == given[0]
    assert np.array_equal(flatten(plain[1]), flatten(given[1]))
    nothing = [itself[0], *(np.full_like(targets, -1) for targets in itself[1:])]
    loss, gradients = model.loss_and_gradients(tokens, targets=nothing)
    assert loss.mtp == (0,) * (depths - 1)
    assert not flatten(gradients["mtp"]).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_the_whole_models_loss(name):
    model = init_model(MODELS[name], seed=6, std=0.4, dtype=np.float64)
    tokens = np.random.default_rng(7).integers(0, 11, (2, 6))
    _, gradients = model.loss_and_gradients(tokens)
    where, rng = dict(iter_leaves(model.params)), np.random.default_rng(8)

    def loss():
        return model.loss_and_gradients(tokens)[0].total

    for path, one in iter_leaves(gradients):
        direction = rng.standard_normal(one.shape)
        direction /= np.linalg.norm(direction)
        array, kept = where[path], where[path].copy()
        array[...] = kept + STEP * direction
        above = loss()
        array[...] = kept - STEP * direction
        slope = (above - loss()) / (2 * STEP)
        array[...] = kept
        assert abs(np.sum(one * direction) - slope) < LIMIT * np.linalg.norm(one), path


@pytest.mark.parametrize("name", list(MODELS))
def test_every_parameter_but_selection_biases_has_a_gradient(name):
    model = init_model(MODELS[name], seed=6, std=0.4)
    _, gradients = model.loss_and_gradients(np.arange(10).reshape(2, 5))
    shapes = {
        path: one.shape for path, one in iter_leaves(model.params) if not path.endswith("gate.e_score_correction_bias")
    }
    assert {path: one.shape for path, one in iter_leaves(gradients)} == shapes
    assert {one.dtype for _, one in iter_leaves(gradients)} == {np.dtype(np.float32)}


def test_the_absorbed_form_saves_nothing_and_has_no_way_back():
    p, x = init_model(V3, seed=2, dtype=np.float64).params["layers"][0]["self_attn"], normal(2, 3, 8)
    y, saved = attend(x, p, V3, absorbed=True)
    assert saved is None
    with pytest.raises(TypeError, match="the absorbed form has no backward pass"):
        attention_backward(y, p, V3, saved)
