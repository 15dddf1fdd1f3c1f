"""Training in the numbers of a recipe: what products read, what stays precise, what is kept, how far gradients move."""

import math
from dataclasses import astuple, replace

import ml_dtypes
import numpy as np
import pytest
from nano_shapes import MODELS, V3

from repro.calc import memory
from repro.errors import InputError
from repro.facts import load
from repro.nano import Recipe, batches, evaluate, init_model, small_config, train
from repro.nano.moe import moe, moe_backward
from repro.nano.numerics.accumulation import Accumulation
from repro.nano.numerics.formats import E4M3, E5M2, E5M6
from repro.nano.numerics.recipes import (
    BF16,
    FP32,
    PrecisionRecipe,
    bf16_recipe,
    per_tensor_recipe,
    square_gradients_recipe,
    v3_recipe,
)
from repro.nano.numerics.scaling import WHOLE_TENSOR, quantize
from repro.nano.param_shapes import iter_leaves
from repro.nano.presets import wide_config
from repro.nano.training import mixed_precision
from repro.nano.training.memory import GATE, INPUTS, NORMS, OUTPUT, QKV, SWIGLU, WEIGHTS, activation_bytes, state_bytes
from repro.nano.training.mixed_precision import QuantizedWeight, Role, cast_model
from repro.nano.training.optimizer import AdamW

RECIPES = {
    "BF16": bf16_recipe(),
    "V3": v3_recipe(4),
    "per tensor": per_tensor_recipe(),
    "square": square_gradients_recipe(4),
}


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def to_bf16(x):
    return x.astype(ml_dtypes.bfloat16).astype(x.dtype)


def some(batch=2, length=8):
    return np.random.default_rng(5).integers(0, 11, (batch, length))


@pytest.mark.parametrize(
    ("recipe", "formats", "group", "powers_of_two", "square_gradients", "attention_output", "moments"),
    [
        (PrecisionRecipe(""), (None, None, None), None, False, False, None, BF16),
        (bf16_recipe(), (None, None, None), None, False, False, None, FP32),
        (per_tensor_recipe(), (E4M3, E4M3, E5M2), None, False, False, None, FP32),
        (v3_recipe(), (E4M3, E4M3, E4M3), 128, True, False, E5M6, BF16),
        (v3_recipe(16), (E4M3, E4M3, E4M3), 16, True, False, E5M6, BF16),
        (square_gradients_recipe(), (E4M3, E4M3, E4M3), 128, True, True, E5M6, BF16),
        (square_gradients_recipe(8), (E4M3, E4M3, E4M3), 8, True, True, E5M6, BF16),
    ],
)
def test_recipes_field_by_field(recipe, formats, group, powers_of_two, square_gradients, attention_output, moments):
    given = PrecisionRecipe(
        recipe.name, *formats, group, powers_of_two, square_gradients, attention_output, None, moments
    )
    assert astuple(recipe) == astuple(given)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bf16_rounds_operands_and_outputs(dtype):
    x, w, d_y = (normal(*size).astype(dtype) for size in ((5, 8), (7, 8), (5, 7)))
    weight = QuantizedWeight.cast(w, bf16_recipe())
    assert np.array_equal(weight.product(x), to_bf16(to_bf16(x) @ to_bf16(w).T))
    d_x, d_w = weight.product_backward(d_y, weight.save_for_backward(x), None)
    assert np.array_equal(d_x, to_bf16(to_bf16(d_y) @ to_bf16(w)))
    assert np.allclose(d_w, to_bf16(d_y).T @ to_bf16(x), rtol=1e-6)
    assert {one.dtype for one in (d_x, d_w)} == {np.dtype(dtype)}


def test_v3s_three_products_tile_by_tile():
    x, w, d_y = normal(10, 8), normal(7, 8), normal(10, 7)
    weight = QuantizedWeight.cast(w, v3_recipe(4))
    q_x, q_w = quantize(x, E4M3, (1, 4)).values, quantize(w, E4M3, (4, 4)).values
    assert np.array_equal(weight.product(x), to_bf16(q_x.astype(float) @ q_w.T.astype(float)))
    out = np.empty((7, 8))
    d_x, d_w = weight.product_backward(d_y, weight.save_for_backward(x), out)
    assert np.array_equal(d_x, to_bf16(quantize(d_y, E4M3, (1, 4)).values.astype(float) @ q_w.astype(float)))
    # Wgrad: 4 tokens of a column share a scale, and the kept input is cast from what was kept
    across = quantize(d_y, E4M3, (4, 1)).values.astype(float).T, quantize(q_x, E4M3, (4, 1)).values.astype(float)
    assert d_w is out
    assert np.allclose(out, across[0] @ across[1], rtol=0, atol=1e-12)


def test_v3s_groups_of_128_by_hand():
    # E4M3's largest number is 448, so that the scale is 1 in every group of 128 that holds it: 17 becomes 16 there. In
    # a group of its own 17 stays, and in one with 2^-20 · 448 so do numbers as small as that. 448 · I copies rows.
    signal = np.zeros((256, 256))
    signal[0, [0, 1, 128, 129]] = 448, 17, 2.0**-20 * 448, 2.0**-20 * 17
    signal[1, 0] = 17
    along_rows, along_columns = signal.copy(), signal.copy()
    along_rows[0, [1, 129]] = 16, 2.0**-20 * 16
    along_columns[1, 0] = 16
    copies = 448 * np.eye(256)
    weight = QuantizedWeight.cast(copies, v3_recipe())
    d_x, d_w = weight.product_backward(signal, weight.save_for_backward(copies), None)
    assert np.allclose(weight.product(signal), 448 * along_rows, rtol=1e-6, atol=0)
    assert np.allclose(d_x, 448 * along_rows, rtol=1e-6, atol=0)
    assert np.allclose(d_w, 448 * along_columns.T, rtol=1e-6, atol=0)
    _, d_w = weight.product_backward(copies, weight.save_for_backward(signal), None)
    along_columns[0, [1, 129]] = 16, 2.0**-20 * 16  # a kept input has been cast along rows before
    assert np.allclose(d_w, 448 * along_columns, rtol=1e-6, atol=0)


def test_square_blocks_are_of_dgrad_alone():
    w, d_y = 448 * np.eye(4), np.zeros((4, 4))
    d_y[:, 0], d_y[:, 1] = 448, 2.0**-20 * 448  # a loud and a quiet feature of every token
    weight = QuantizedWeight.cast(w, square_gradients_recipe(4))
    d_x, d_w = weight.product_backward(d_y, weight.save_for_backward(w), None)
    assert np.array_equal(d_x, 448 * d_y * [1, 0, 1, 1])  # both share a block, in which the quiet one becomes 0
    assert np.array_equal(d_w, 448 * d_y.T)  # each has a scale of its own


def test_the_other_recipes_differ_in_the_gradients_operand():
    w, d_y = normal(8, 8), normal(8, 8) * np.logspace(-3, 0, 8)[:, None]
    for precision, form, tile in (
        (per_tensor_recipe(), E5M2, WHOLE_TENSOR),
        (square_gradients_recipe(4), E4M3, (4, 4)),
    ):
        weight = QuantizedWeight.cast(w, precision)
        d_x, _ = weight.product_backward(d_y, weight.save_for_backward(normal(8, 8)), None)
        expected = quantize(d_y, form, tile).values.astype(float) @ weight.values
        assert np.array_equal(d_x, to_bf16(expected))


def test_per_tensor_wgrad_by_hand():
    x, w, d_y = normal(10, 8), normal(7, 8), normal(10, 7)
    weight = QuantizedWeight.cast(w, per_tensor_recipe())
    _, d_w = weight.product_backward(d_y, weight.save_for_backward(x), None)
    kept = quantize(quantize(x, E4M3, WHOLE_TENSOR).values, E4M3, WHOLE_TENSOR).values.astype(float)
    assert np.allclose(d_w, quantize(d_y, E5M2, WHOLE_TENSOR).values.astype(float).T @ kept, rtol=0, atol=1e-12)


def test_moments_of_each_recipe():
    assert [precision.moments for precision in (v3_recipe(), square_gradients_recipe())] == [BF16, BF16]
    assert [precision.moments for precision in (bf16_recipe(), per_tensor_recipe())] == [np.float32, np.float32]


def test_the_input_after_attention_is_kept_in_twelve_bits():
    x = normal(4, 8)
    kept = QuantizedWeight.cast(normal(3, 8), v3_recipe(4), Role.AFTER_ATTENTION).save_for_backward(x)
    assert kept.form is E5M6
    assert np.array_equal(kept.scales, 2.0 ** np.rint(np.log2(kept.scales)))
    assert QuantizedWeight.cast(normal(3, 8), v3_recipe(4)).save_for_backward(x).form is E4M3


def test_powers_of_two_are_where_the_report_has_them(monkeypatch):
    powers = []
    real = mixed_precision.quantize
    monkeypatch.setattr(mixed_precision, "quantize", lambda *a, power_of_two: powers.append(power_of_two) or real(*a))
    found = {}
    for role in Role:
        one = QuantizedWeight.cast(normal(7, 8), v3_recipe(4), role)
        powers.clear()
        one.product(normal(10, 8))
        one.product_backward(normal(10, 7), one.save_for_backward(normal(10, 8)), None)
        found[role] = list(powers)  # Fprop, kept, Dgrad's gradient, Wgrad's gradient, Wgrad's input
    assert found[Role.LINEAR] == [False] * 5
    assert found[Role.AFTER_ATTENTION] == found[Role.EXPERT_UP] == [True, True, False, False, True]
    assert found[Role.EXPERT_DOWN] == [False, False, True, True, False]


def test_casting_along_tokens_adds_little_where_scales_are_powers_of_two():
    x = normal(256, 256)
    errors = {}
    for power in (False, True):
        once = quantize(x, tile=(1, 128), power_of_two=power).values
        twice = quantize(once.T, tile=(1, 128), power_of_two=power).values.T
        errors[power] = [np.linalg.norm(one - x) / np.linalg.norm(x) for one in (once, twice)]
    assert errors[False][1] > 1.3 * errors[False][0]
    assert errors[True][1] < 1.1 * errors[True][0]


@pytest.mark.parametrize("name", [one for one in MODELS if one.startswith("V")])
def test_what_is_cast_and_what_is_not(name):
    model = init_model(MODELS[name], seed=1)
    cast = dict(iter_leaves(cast_model(model, v3_recipe(4)).params))
    for path, one in iter_leaves(model.params):
        last = path.split(".")[-1]
        if path == "embed_tokens" or ".gate." in path or one.ndim == 1:
            assert cast[path] is one, path
        elif last in ("lm_head", "eh_proj"):
            assert cast[path].precision.activation is None, path
        else:
            assert cast[path].stored.form is E4M3, path
            up, down = (".experts." in path and last == one for one in ("gate_up_proj", "down_proj"))
            role = Role.AFTER_ATTENTION if last == "o_proj" else Role.EXPERT_UP if up else Role.EXPERT_DOWN
            assert cast[path].role == (role if last == "o_proj" or up or down else Role.LINEAR), path


# No experts: rounding moves some tokens to others, and then everything.
DENSE = {"GQA": MODELS["GQA"], "MLA": small_config("MLA", gate=None, n_layers=2)}


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("model", list(DENSE))
def test_gradients_stay_near_the_precise_ones(model, name):
    found, tokens = init_model(DENSE[model], seed=1, std=0.3, dtype=np.float64), some()
    _, precise = found.loss_and_gradients(tokens)
    _, rounded = cast_model(found, RECIPES[name]).loss_and_gradients(tokens)
    one, other = (np.concatenate([x.ravel() for _, x in iter_leaves(tree)]) for tree in (precise, rounded))
    assert 0 < np.linalg.norm(one - other) / np.linalg.norm(one) < (0.03 if name == "BF16" else 0.4)


@pytest.mark.parametrize("name", list(RECIPES))
def test_experts_stay_near_the_precise_ones(name):
    p = init_model(V3, seed=1, std=0.5, dtype=np.float64).params["layers"][1]["mlp"]
    cast = cast_model(init_model(V3, seed=1, std=0.5, dtype=np.float64), RECIPES[name]).params["layers"][1]
    x, d_y, limit = normal(40, 8), normal(40, 8, seed=1), 0.01 if name == "BF16" else 0.15
    results = []
    for weights in (p, cast["mlp"]):
        y, saved = moe(x, weights, V3.arch.experts, V3.gate, workers=2)
        d_x, gradients = moe_backward(d_y, weights, V3.gate, saved, workers=2)
        results.append({"y": y, "x": d_x, **dict(iter_leaves(gradients))})
    for path, one in results[0].items():
        assert 0 < np.linalg.norm(results[1][path] - one) < limit * np.linalg.norm(one), path


def test_more_bits_of_the_sums_are_nearer_to_the_exact_ones():
    x, w, d_y = normal(20, 128), normal(64, 128), normal(20, 64)
    exact = QuantizedWeight.cast(w, v3_recipe(64))
    errors = []
    for bits in (4, 8, 14, 40):
        precision = replace(v3_recipe(64), accumulation=Accumulation(bits, promote_every=64))
        few, out = QuantizedWeight.cast(w, precision), np.empty((64, 128))
        found = few.product(x), *few.product_backward(d_y, few.save_for_backward(x), out)
        assert found[2] is out
        expected = exact.product(x), *exact.product_backward(d_y, exact.save_for_backward(x), None)
        errors.append([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, expected, strict=True)])
    assert np.all(np.diff(errors, axis=0) < 0)
    assert max(errors[-1]) < 1e-4 < 0.01 < min(errors[0])


def test_the_precise_model_is_not_changed():
    found = init_model(V3, seed=1)
    before = {path: one.copy() for path, one in iter_leaves(found.params)}
    cast_model(found, v3_recipe(4)).loss_and_gradients(some())
    assert all(np.array_equal(one, before[path]) for path, one in iter_leaves(found.params))


def test_moments_in_bf16_by_hand():
    parameters, gradients = {"w": np.zeros((1, 1))}, {"w": np.full((1, 1), 0.3)}
    optimizer = AdamW(Recipe(steps=3, warmup_steps=0, weight_decay=0, precision=v3_recipe()))
    optimizer.step(parameters, gradients)
    first, second = optimizer.moments["w"]
    assert first.dtype == second.dtype == BF16
    assert first.astype(float) == to_bf16(np.array([[0.03]]))
    optimizer.step(parameters, gradients)
    assert first.astype(float) == to_bf16(0.9 * to_bf16(np.array([[0.03]])) + 0.1 * 0.3)
    assert second.astype(float) == to_bf16(0.95 * to_bf16(np.array([[0.05 * 0.09]])) + 0.05 * 0.09)


@pytest.mark.parametrize("name", list(RECIPES))
def test_forty_steps_learn_in_every_scheme(name):
    model = init_model(small_config(n_layers=2), seed=1, dtype=np.float64)
    held_out = next(batches(8, 33, seed=9))
    before = evaluate(model, held_out)
    for _ in train(model, batches(4, 33, seed=1), Recipe(40, precision=RECIPES[name])):
        pass
    assert evaluate(model, held_out) < before - 2


def test_the_same_seed_gives_the_same_losses_to_the_last_bit():
    def losses():
        model = init_model(V3, seed=1, dtype=np.float64)
        return [
            one.loss
            for one in train(model, (some() for _ in range(3)), Recipe(3, warmup_steps=0, precision=v3_recipe(4)))
        ]

    assert losses() == losses()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: v3_recipe(0), "group = 0: must be a whole number of at least 1"),
        (lambda: replace(bf16_recipe(), accumulation=Accumulation()), "accumulation: is of eight-bit products"),
        (
            lambda: replace(v3_recipe(), accumulation=Accumulation()),
            "promote_every = None: must divide the 128 elements",
        ),
        (
            lambda: replace(v3_recipe(48), accumulation=Accumulation(promote_every=32)),
            "promote_every = 32: must divide",
        ),
    ],
)
def test_schemes_that_contradict(make, message):
    with pytest.raises(InputError, match=message):
        make()


# Bytes


@pytest.mark.parametrize(("precision", "name"), [(v3_recipe(), "v3"), (bf16_recipe(), "bf16_mixed")])
def test_bytes_of_state_are_those_of_the_closed_form(precision, name):
    found, facts = state_bytes(init_model(wide_config(), seed=1), next(batches(4, 33, seed=1)), precision), load()
    for part, size in found.items():
        expected = facts[f"bytes.{name}.{part}"].value
        if name == "bf16_mixed" and part == "gradients":
            expected = 4  # FP32 here, as in V3's recipe
        assert size > expected if part == "weights" and name == "v3" else size == expected, part
    if name == "v3":  # a scale for each square block, those at the edges whole
        found_matrices = dict(iter_leaves(cast_model(init_model(wide_config(), seed=1), precision).params))
        cast = [
            one for one in found_matrices.values() if isinstance(one, QuantizedWeight) and one.precision is precision
        ]
        blocks = sum(
            math.prod(s[:-2]) * math.ceil(s[-2] / 128) * math.ceil(s[-1] / 128) for s in (m.shape for m in cast)
        )
        assert found["weights"] == 1 + 4 * blocks / sum(math.prod(one.shape) for one in cast)


@pytest.mark.parametrize(
    ("precision", "each", "output"), [(v3_recipe(), 1 + 4 / 128, 1.5 + 4 / 128), (bf16_recipe(), 2, 2)]
)
def test_bytes_of_what_is_kept_are_elements_times_bytes_of_one(precision, each, output):
    tokens = next(batches(4, 32, seed=1))
    dense, experts = activation_bytes(cast_model(init_model(wide_config(), seed=1), precision), tokens)
    assert dense[INPUTS] == 4 * 128 * each  # of attention, query's and key's latents, of the feed-forward
    assert dense[OUTPUT] == 128 * output
    assert dense[SWIGLU] == 2 * 128 * each
    assert experts[SWIGLU] == (2 + 1) * 2 * 128 * each
    # the gate's input stays precise beside the experts' and the shared one's
    assert experts[INPUTS] == 5 * 128 * each


@pytest.mark.parametrize("precision", [v3_recipe(), bf16_recipe(), None])
def test_the_rest_of_what_is_kept_by_hand(precision):
    model, tokens = init_model(wide_config(), seed=1), next(batches(4, 32, seed=1))
    dense, experts = activation_bytes(cast_model(model, precision) if precision else model, tokens)
    for layer in (dense, experts):
        assert layer[NORMS] == 4 * 4 * (128 + 1)  # before attention and feed-forward, and of both latents
        assert layer[QKV] == 4 * 4 * (64 + 64 + 32)
        assert layer[WEIGHTS] == 4 * 4 * 32
    assert dense[GATE] == 0
    own_input = 4 * 128 if precision else 0  # beside the rounded one; else the same array serves both
    assert experts[GATE] == pytest.approx(own_input + 16 + 2 * (8 + 4 + 8 + 8) + 5 * 8 / tokens.size)


def test_the_reports_elements_are_those_of_the_closed_form():
    model = init_model(wide_config(), seed=1)
    fp8 = 1 + 4 / 128
    closed = memory.activation_bytes(
        model.config.arch, bytes_per_element=fp8, attention_output_bytes=1.5, recomputed=True
    )
    dense, _ = activation_bytes(cast_model(model, v3_recipe()), next(batches(4, 32, seed=1)))
    # kept here: the inputs of both down-projections; there instead the residual stream and the rotary key
    here = dense[INPUTS] + dense[SWIGLU] + dense[OUTPUT]
    assert closed.dense - here == pytest.approx(2 * 2 * 128 + (32 - 128) * fp8 - 128 * 4 / 128)


def test_only_latent_attention_is_taken_apart():
    with pytest.raises(InputError, match="attention: must be latent"):
        activation_bytes(init_model(MODELS["GQA"], seed=1), some())


def test_state_is_measured_in_float32_alone():
    with pytest.raises(InputError, match="model in float64: must be float32"):
        state_bytes(init_model(V3, seed=1, dtype=np.float64), some(), v3_recipe())
