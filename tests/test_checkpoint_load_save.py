"""Models through folders of config.json and safetensors: exact round trips, packed weights, one line for damage."""

import json
import math
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from nano_shapes import MODELS, SHAPE, V3, plain
from shapes import LLAMA_CONFIG

from repro.errors import InputError
from repro.nano import config_from_hf, load_checkpoint, save_checkpoint
from repro.nano.checkpoint.load_save import places
from repro.nano.checkpoint.safetensors import INDEX, SINGLE
from repro.nano.config import config_to_hf
from repro.nano.model import init_model
from repro.nano.numerics.packed_weights import PackedWeight
from repro.nano.param_shapes import iter_leaves, param_shapes

PUBLISHABLE = ["V3", "V3, biased projections, tied", "V3, pairs as halves, weights not normalised", "V2"]
KINDS = {"F32": np.dtype("<f4"), "BF16": np.dtype(ml_dtypes.bfloat16), "F8_E4M3": np.dtype(np.uint8)}
OTHER_KINDS = {"F16": np.dtype("<f2"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8"), "BOOL": np.dtype(bool)}
TOKENS = np.random.default_rng(7).integers(0, SHAPE.vocab_size, (2, 7))
GATE_BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"
NORM, EMBEDDING, HEAD = "model.norm.weight", "model.embed_tokens.weight", "lm_head.weight"
QUERY = "model.layers.0.self_attn.q_a_proj.weight"


def model(name="V3"):
    """Return a model whose every weight, gain and bias shows in the logits."""
    made, rng = init_model(MODELS[name], seed=1, std=0.3), np.random.default_rng(2)
    for _, one in iter_leaves(made.params):
        one += 0.2 * rng.standard_normal(one.shape, np.float32)
    return made


def tensors_of(folder):
    """Return every tensor of a folder as the bytes in its files say."""
    found = {}
    for path in folder.glob("*.safetensors"):
        raw = path.read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:start])
        header.pop("__metadata__", None)
        for name, fields in header.items():
            begin, end = fields["data_offsets"]
            data = np.frombuffer(raw[start + begin : start + end], (KINDS | OTHER_KINDS)[fields["dtype"]])
            found[name] = data.reshape(fields["shape"])
    return found


def store(path, tensors):
    """Write tensors to one file, by hand."""
    kinds = {dtype: kind for kind, dtype in (KINDS | OTHER_KINDS).items()}
    ends = np.cumsum([0, *(one.nbytes for one in tensors.values())]).tolist()
    header = {
        name: {"dtype": kinds[one.dtype], "shape": one.shape, "data_offsets": span}
        for (name, one), span in zip(tensors.items(), pairwise(ends), strict=True)
    }
    text = json.dumps(header).encode()
    data = b"".join(one.tobytes() for one in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def configure(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def blocks(size):
    return {"quantization_config": {"quant_method": "fp8", "weight_block_size": size}}


def line(call, *arguments, **options):
    """Return the one line that a call is refused with."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.fixture
def saved(tmp_path):
    """Return a folder with the V3 model in float32."""
    save_checkpoint(model(), tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("shard_bytes", [float("inf"), 2000, 1])
@pytest.mark.parametrize("name", PUBLISHABLE)
def test_float32_comes_back_bit_by_bit(name, shard_bytes, tmp_path):
    made = model(name)
    save_checkpoint(made, tmp_path / "saved", shard_bytes=shard_bytes)
    found = load_checkpoint(str(tmp_path / "saved"))
    assert found.config == made.config
    assert np.array_equal(found.forward(TOKENS), made.forward(TOKENS))
    for one, expected in zip(found.mtp_logits(TOKENS), made.mtp_logits(TOKENS), strict=True):
        assert np.array_equal(one, expected)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", PUBLISHABLE)
def test_bfloat16_comes_back_as_rounded(name, packed, tmp_path):
    made = model(name)
    save_checkpoint(made, tmp_path / "saved", stored="bfloat16")
    found = dict(iter_leaves(load_checkpoint(tmp_path / "saved", packed=packed).params))
    for path, one in iter_leaves(made.params):
        rounded = (
            one if path.endswith("gate.e_score_correction_bias") else one.astype(ml_dtypes.bfloat16).astype(np.float32)
        )
        assert np.array_equal(np.asarray(found[path]), rounded), path
        assert np.asarray(found[path]).dtype == np.float32


def test_selection_biases_stay_float32(tmp_path):
    save_checkpoint(model(), tmp_path / "saved", stored="bfloat16")
    stored = tensors_of(tmp_path / "saved")
    kept = {name for name, one in stored.items() if one.dtype == np.float32}
    assert kept == {f"model.layers.{layer}.mlp.gate.e_score_correction_bias" for layer in (1, 2, 3)}
    assert stored[NORM].dtype == ml_dtypes.bfloat16
    assert (
        load_checkpoint(tmp_path / "saved").params["layers"][1]["mlp"]["gate"]["e_score_correction_bias"].dtype == "f4"
    )


def test_a_selection_bias_stored_in_bf16_is_read_too(saved):
    stored = tensors_of(saved)
    rounded = stored[GATE_BIAS].astype(ml_dtypes.bfloat16)
    store(saved / SINGLE, stored | {GATE_BIAS: rounded})
    found = load_checkpoint(saved).params["layers"][1]["mlp"]["gate"]["e_score_correction_bias"]
    assert np.array_equal(found, rounded.astype(np.float32))


def test_gate_and_up_lie_one_after_the_other(saved):
    stored, found = tensors_of(saved), load_checkpoint(saved).params["layers"]
    dense = found[0]["mlp"]["gate_up_proj"]
    assert np.array_equal(dense[:7], stored["model.layers.0.mlp.gate_proj.weight"])
    assert np.array_equal(dense[7:], stored["model.layers.0.mlp.up_proj.weight"])
    expert = found[1]["mlp"]["experts"]
    assert np.array_equal(expert["gate_up_proj"][5, 4:], stored["model.layers.1.mlp.experts.5.up_proj.weight"])
    assert np.array_equal(expert["down_proj"][5], stored["model.layers.1.mlp.experts.5.down_proj.weight"])


def test_shards_hold_each_tensor_once_and_no_more_than_asked(tmp_path):
    save_checkpoint(model(), tmp_path / "one")
    save_checkpoint(model(), tmp_path / "many", shard_bytes=2000)
    where = json.loads((tmp_path / "many" / INDEX).read_text())["weight_map"]
    assert list(where) == list(tensors_of(tmp_path / "one"))
    assert {path.name for path in (tmp_path / "many").iterdir()} == {*where.values(), INDEX, "config.json"}
    stored = tensors_of(tmp_path / "many")
    for shard in set(where.values()):
        assert sum(stored[name].nbytes for name in where if where[name] == shard) <= 2000


def quantized(stored, block):
    """Return random codes and scales for every matrix, and the float32 matrices that they stand for."""
    rng, codes, exact = np.random.default_rng(block), dict(stored), dict(stored)
    for name, one in stored.items():
        if one.ndim == 2:
            blocks = [-(-size // block) for size in one.shape]
            codes[name] = (rng.integers(0, 0x50, one.shape) + rng.choice([0, 128], one.shape)).astype(np.uint8)
            scales = codes[f"{name}_scale_inv"] = rng.uniform(0.01, 0.1, blocks).astype(np.float32)
            i, j = np.indices(one.shape) // block
            exact[name] = codes[name].view(ml_dtypes.float8_e4m3fn).astype(np.float32) * scales[i, j]
    return codes, exact


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("block", [1, 2, 3, 4, 5, 8, 128])
def test_fp8_is_codes_times_scales(block, packed, saved):
    codes, exact = quantized(tensors_of(saved), block)
    store(saved / SINGLE, exact)
    expected = load_checkpoint(saved)
    store(saved / SINGLE, codes)
    configure(saved, **blocks([block, block]))
    found = load_checkpoint(saved, packed=packed)
    for (path, one), (_, other) in zip(iter_leaves(found.params), iter_leaves(expected.params), strict=True):
        assert np.array_equal(np.asarray(one), other), path
    assert np.array_equal(found.forward(TOKENS), expected.forward(TOKENS))
    assert np.array_equal(found.mtp_logits(TOKENS)[1], expected.mtp_logits(TOKENS)[1])


def test_fp8_may_be_stored_anew_in_float32(saved, tmp_path):
    codes, exact = quantized(tensors_of(saved), 128)
    store(saved / SINGLE, codes)
    save_checkpoint(load_checkpoint(saved), tmp_path / "anew")
    for name, one in tensors_of(tmp_path / "anew").items():
        assert np.array_equal(one, exact[name]), name


def test_blocks_of_fp8_are_128_wide_where_nothing_says_otherwise(tmp_path):
    config = replace(V3, arch=replace(V3.arch, vocab_size=257))
    save_checkpoint(init_model(config, seed=1), tmp_path)
    codes, exact = quantized(tensors_of(tmp_path), 128)
    assert codes[f"{EMBEDDING}_scale_inv"].shape == (3, 1)
    store(tmp_path / SINGLE, codes)
    for fields in ({}, {"quantization_config": None}, {"quantization_config": {"quant_method": "fp8"}}):
        configure(tmp_path, **fields)
        assert np.array_equal(np.asarray(load_checkpoint(tmp_path).params["embed_tokens"]), exact[EMBEDDING])


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", ["<f2", "<f8"])
def test_other_floats_are_read_too(kind, packed, saved):
    expected, stored = load_checkpoint(saved).forward(TOKENS), tensors_of(saved)
    store(saved / SINGLE, {name: one.astype(kind) for name, one in stored.items()})
    found = load_checkpoint(saved, packed=packed)
    error = np.abs(found.forward(TOKENS) - expected).max()
    assert error == 0 if kind == "<f8" else 0 < error < 0.05  # 11 bits of each weight are left
    assert isinstance(found.params["lm_head"], PackedWeight) == (packed and kind == "<f2")
    assert np.array_equal(np.asarray(found.params["lm_head"]), stored[HEAD].astype(kind).astype(np.float32))


def test_float16_moves_the_logits_of_a_fresh_model_by_less_than_a_hundredth(tmp_path):
    save_checkpoint(init_model(V3, seed=1, std=0.02), tmp_path)
    expected, stored = load_checkpoint(tmp_path).forward(TOKENS), tensors_of(tmp_path)
    store(tmp_path / SINGLE, {name: one.astype(np.float16) for name, one in stored.items()})
    assert 0 < np.abs(load_checkpoint(tmp_path).forward(TOKENS) - expected).max() < 1e-2


def test_one_parameter_may_be_stored_in_several_types(saved):
    stored, gate, up = tensors_of(saved), "model.layers.0.mlp.gate_proj.weight", "model.layers.0.mlp.up_proj.weight"
    store(saved / SINGLE, stored | {gate: stored[gate].astype(np.float16), up: stored[up].astype(ml_dtypes.bfloat16)})
    found = load_checkpoint(saved).params["layers"][0]["mlp"]["gate_up_proj"]
    assert found.dtype == np.float32
    assert np.array_equal(found[:7], stored[gate].astype(np.float16))
    assert np.array_equal(found[7:], stored[up].astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize("kind", ["<f2", "<f8", ml_dtypes.bfloat16])
def test_scales_may_have_fewer_or_more_bits(kind, saved):
    codes, _ = quantized(tensors_of(saved), 128)
    scales = {name: one.astype(kind) for name, one in codes.items() if name.endswith("_scale_inv")}
    store(saved / SINGLE, codes | {name: one.astype(np.float32) for name, one in scales.items()})
    expected = load_checkpoint(saved).forward(TOKENS)
    store(saved / SINGLE, codes | scales)
    assert np.array_equal(load_checkpoint(saved).forward(TOKENS), expected)


BUFFERS = {
    "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, "<f4"),
    "model.layers.2.self_attn.rotary_emb.inv_freq": np.ones(4, "<f8"),  # of a module
    "model.rotary_emb.inv_freq": np.ones(4, "<f2"),
    "model.rotary_emb.original_inv_freq": np.ones(4, "<f4"),
    "model.layers.1.self_attn.rotary_emb.cos_cached": np.ones((9, 8), ml_dtypes.bfloat16),
    "model.layers.1.self_attn.rotary_emb.sin_cached": np.ones((9, 8), "<f4"),
    "model.embeddings.position_ids": np.arange(9)[None],
    "position_ids": np.arange(9)[None],
    "model.layers.0.self_attn.masked_bias": np.full((), -np.inf, "<f4"),
    "model.layers.1.self_attn.masked_bias": np.ones((1, 1), bool),
}


@pytest.mark.parametrize("gone", [(), ("model.layers.2.", "model.layers.3.")])
def test_buffers_that_are_no_parameters_are_skipped(gone, saved):
    store(saved / SINGLE, without(tensors_of(saved), *gone) if gone else tensors_of(saved))
    expected = load_checkpoint(saved)
    store(saved / SINGLE, tensors_of(saved) | BUFFERS)
    found = load_checkpoint(saved)
    assert found.config == expected.config  # a buffer alone makes no module
    assert np.array_equal(found.forward(TOKENS), expected.forward(TOKENS))


@pytest.mark.parametrize(
    "name", ["model.inv_freq", "model.position_ids.weight", "model.layers.0.self_attn.bias", "x_masked_bias"]
)
def test_names_that_only_look_like_buffers_are_refused(name, saved):
    store(saved / SINGLE, tensors_of(saved) | {name: np.ones(4, "<f4")})
    assert line(load_checkpoint, saved).startswith(f"{SINGLE}: {name}: belongs to no part of the model")


@pytest.mark.parametrize("first", [3, 4])
def test_fewer_layers_than_dense_ones_are_all_dense(first, tmp_path):
    layers = 2
    config = replace(V3, arch=replace(V3.arch, n_dense_layers=layers, n_moe_layers=0, n_mtp_modules=0))
    made = init_model(config, seed=1, std=0.3)
    save_checkpoint(made, tmp_path)
    configure(tmp_path, first_k_dense_replace=first)
    found = load_checkpoint(tmp_path)
    assert np.array_equal(found.forward(TOKENS), made.forward(TOKENS))


@pytest.mark.parametrize("absorbed", [False, True])
@pytest.mark.parametrize("name", PUBLISHABLE)
def test_packed_weights_give_the_same_tokens_and_logits(name, absorbed, tmp_path):
    save_checkpoint(model(name), tmp_path / "saved", stored="bfloat16")
    one, other = (load_checkpoint(tmp_path / "saved", packed=packed) for packed in (True, False))
    assert np.array_equal(one.forward(TOKENS, absorbed=absorbed), other.forward(TOKENS, absorbed=absorbed))
    assert np.array_equal(one.generate(TOKENS, 4), other.generate(TOKENS, 4))


def test_modules_wholly_absent_are_left_out(saved):
    expected = load_checkpoint(saved).forward(TOKENS)
    store(saved / SINGLE, without(tensors_of(saved), "model.layers.2.", "model.layers.3."))
    found = load_checkpoint(saved)
    assert (found.config.arch.n_mtp_modules, found.mtp_logits(TOKENS)) == (0, [])
    assert np.array_equal(found.forward(TOKENS), expected)


def without(tensors, *prefixes):
    return {name: one for name, one in tensors.items() if not name.startswith(prefixes)}


def test_a_layer_of_a_number_that_python_does_not_read(saved):
    name = f"model.layers.{'9' * 5000}.hnorm.weight"
    stored = without(tensors_of(saved), "model.layers.2.", "model.layers.3.")
    store(saved / SINGLE, stored | {name: np.ones(8, np.float32)})
    assert line(load_checkpoint, saved).startswith(f'{SINGLE}: "model.layers.9999')


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("model.layers.2.hnorm.weight", "model.layers.2.hnorm.weight: is missing from the checkpoint"),
        ("model.layers.3.eh_proj.weight", "model.layers.3.eh_proj.weight: is missing from the checkpoint"),
        ("model.layers.3.", "model.layers.3.hnorm.weight: is missing from the checkpoint"),
        ("model.layers.2.", "model.layers.2.hnorm.weight: is missing from the checkpoint"),
    ],
)
def test_modules_partly_absent(gone, message, saved):
    store(saved / SINGLE, without(tensors_of(saved), gone))
    assert line(load_checkpoint, saved) == message


def test_copies_of_embedding_and_head_in_modules_are_skipped(saved):
    expected, stored = load_checkpoint(saved).mtp_logits(TOKENS), tensors_of(saved)
    copies = {"embed_tokens": EMBEDDING, "shared_head.head": HEAD}
    for layer in (2, 3):
        stored |= {f"model.layers.{layer}.{copy}.weight": stored[name] for copy, name in copies.items()}
    store(saved / SINGLE, stored)
    for one, other in zip(load_checkpoint(saved).mtp_logits(TOKENS), expected, strict=True):
        assert np.array_equal(one, other)


def test_tied_tables_are_stored_once_and_a_copy_is_skipped(tmp_path):
    made = model("V3, biased projections, tied")
    save_checkpoint(made, tmp_path)
    stored = tensors_of(tmp_path)
    assert HEAD not in stored
    store(tmp_path / SINGLE, stored | {HEAD: stored[EMBEDDING]})
    found = load_checkpoint(tmp_path)
    assert found.head is found.params["embed_tokens"]
    assert np.array_equal(found.forward(TOKENS), made.forward(TOKENS))


F4, F8 = np.float32, np.uint8
BLOCK = np.ones((1, 1), F4)
TENSORS = {
    "a vector too long": ({NORM: np.ones(9, F4)}, f"{SINGLE}: {NORM}: has shape [9], must be [8]"),
    "a matrix turned": ({QUERY: np.ones((8, 5), F4)}, f"{SINGLE}: {QUERY}: has shape [8, 5], must be [5, 8]"),
    "one axis more": ({NORM: np.ones((1, 8), F4)}, f"{SINGLE}: {NORM}: has shape [1, 8], must be [8]"),
    "one axis less": ({QUERY: np.ones(40, F4)}, f"{SINGLE}: {QUERY}: has shape [40], must be [5, 8]"),
    "nothing in it": ({NORM: np.ones(0, F4)}, f"{SINGLE}: {NORM}: has shape [0], must be [8]"),
    "one expert": (
        {"model.layers.1.mlp.experts.5.up_proj.weight": np.ones((4, 9), F4)},
        f"{SINGLE}: model.layers.1.mlp.experts.5.up_proj.weight: has shape [4, 9], must be [4, 8]",
    ),
    "missing": ({NORM: None}, f"{NORM}: is missing from the checkpoint"),
    "unknown": (
        {"model.extra": BLOCK},
        f"{SINGLE}: model.extra: belongs to no part of the model that config.json desc",
    ),
    "a layer more": (
        {"model.layers.4.hnorm.weight": np.ones(8, F4)},
        f"{SINGLE}: model.layers.4.hnorm.weight: belongs to no part of the model",
    ),
    "a copy in no module": (
        {"model.layers.1.embed_tokens.weight": BLOCK},
        f"{SINGLE}: model.layers.1.embed_tokens.weight: belongs to no part of the model",
    ),
    "whole numbers": (
        {NORM: np.ones(8, "<i8")},
        f"{SINGLE}: {NORM}: is I64, must be F32 or BF16 or F16 or F64, as others of its parameter are",
    ),
    "fp8 beside another type": (
        {
            "model.layers.0.mlp.up_proj.weight": np.ones((7, 8), F8),
            "model.layers.0.mlp.up_proj.weight_scale_inv": BLOCK,
        },
        f"{SINGLE}: model.layers.0.mlp.up_proj.weight: is F8_E4M3, must be F32 or",
    ),
    "another type beside fp8": (
        {
            "model.layers.0.mlp.gate_proj.weight": np.ones((7, 8), F8),
            "model.layers.0.mlp.gate_proj.weight_scale_inv": BLOCK,
        },
        f"{SINGLE}: model.layers.0.mlp.up_proj.weight: is F32, must be F8_E4M3, as others of its parameter are",
    ),
    "fp8 without scales": ({QUERY: np.ones((5, 8), F8)}, f"{QUERY}_scale_inv: is missing from the checkpoint"),
    "scales without fp8": ({f"{QUERY}_scale_inv": BLOCK}, f"{SINGLE}: {QUERY}_scale_inv: belongs to no part of the"),
    "scales of nothing": (
        {"model.x_scale_inv": BLOCK},
        f"{SINGLE}: model.x_scale_inv: belongs to no part of the model",
    ),
    "scales of a wrong shape": (
        {QUERY: np.ones((5, 8), F8), f"{QUERY}_scale_inv": np.ones((5, 1), F4)},
        f"{SINGLE}: {QUERY}_scale_inv: has shape [5, 1], must be [1, 1]",
    ),
    "scales in whole numbers": (
        {QUERY: np.ones((5, 8), F8), f"{QUERY}_scale_inv": BLOCK.astype("<i8")},
        f"{SINGLE}: {QUERY}_scale_inv: is I64, must be F32 or",
    ),
    "a vector in fp8": (
        {NORM: np.ones(8, F8), f"{NORM}_scale_inv": np.ones(1, F4)},
        f"{SINGLE}: {NORM}: is F8_E4M3, which only matrices are",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_do_not_fit(case, saved):
    change, message = TENSORS[case]
    store(saved / SINGLE, {name: one for name, one in (tensors_of(saved) | change).items() if one is not None})
    assert line(load_checkpoint, saved).startswith(message)


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf, 0.0, -0.01, 7.6e35])
@pytest.mark.parametrize("name", [QUERY, "model.layers.1.mlp.experts.5.up_proj.weight"])
def test_scales_that_no_weight_can_have(name, scale, saved):
    codes, _ = quantized(tensors_of(saved), 4)
    codes[f"{name}_scale_inv"][-1, -1] = scale
    store(saved / SINGLE, codes)
    configure(saved, **blocks([4, 4]))
    expected = f"{SINGLE}: {name}_scale_inv: holds a scale of {np.float32(scale):g}: must be above 0 and below 7.6e+35"
    assert line(load_checkpoint, saved) == expected


def test_the_smallest_and_the_largest_scale(saved):
    codes, _ = quantized(tensors_of(saved), 4)
    codes[f"{QUERY}_scale_inv"][:] = [[1e-45, 7.59e35]] * 2
    store(saved / SINGLE, codes)
    configure(saved, **blocks([4, 4]))
    assert np.isfinite(np.asarray(load_checkpoint(saved).params["layers"][0]["self_attn"]["q_a_proj"])).all()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["<f4", "<f2", "<f8", ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", [NORM, GATE_BIAS, "model.layers.1.mlp.experts.5.up_proj.weight"])
def test_weights_that_are_no_numbers_are_refused_by_name(name, kind, wrong, saved):
    stored = {path: one.astype(kind) for path, one in tensors_of(saved).items()}
    stored[name][-1] = wrong
    store(saved / SINGLE, stored)
    assert line(load_checkpoint, saved) == f"{SINGLE}: {name}: holds NaN or an infinity"


def test_a_weight_in_float64_that_float32_cannot_hold(saved):
    stored = tensors_of(saved)
    store(saved / SINGLE, stored | {NORM: np.full(8, 1e39)})
    assert line(load_checkpoint, saved) == f"{SINGLE}: {NORM}: holds NaN or an infinity"


@pytest.mark.parametrize("code", [0x7F, 0xFF])
def test_a_code_of_fp8_that_is_no_number(code, saved):
    codes, _ = quantized(tensors_of(saved), 128)
    codes[QUERY][2, 3] = code
    store(saved / SINGLE, codes)
    assert line(load_checkpoint, saved) == f"{SINGLE}: {QUERY}: holds NaN or an infinity"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 12}, f"{SINGLE}: {EMBEDDING}: has shape [11, 8], must be [12, 8]"),
        ({"num_hidden_layers": 5}, "model.layers.4.input_layernorm.weight: is missing from the checkpoint"),
        ({"num_nextn_predict_layers": 1}, f"{SINGLE}: model.layers.3.hnorm.weight: belongs to no part of the model"),
        ({"attention_bias": True}, "model.layers.0.self_attn.q_a_proj.bias: is missing from the checkpoint"),
        ({"q_lora_rank": None}, "model.layers.0.self_attn.q_proj.weight: is missing from the checkpoint"),
        ({"hidden_size": 10**9, "vocab_size": 10**9}, f"{SINGLE}: {EMBEDDING}: has shape [11, 8], must be [1000000000"),
        (
            {"quantization_config": {"quant_method": "awq"}},
            'quantization_config = {"quant_method": "awq"}: is not read here; quant_method must be',
        ),
        (
            {"quantization_config": {"quant_method": "fp8", "fmt": "e5m2"}},
            'quantization_config = {"quant_method": "fp8", "fmt": "e5m2"}: is not',
        ),
        ({"quantization_config": []}, "quantization_config = []: is not read here; quant_method must be fp8, fmt e4m3"),
        (blocks([128]), "weight_block_size = [128]: must be two equal whole numbers"),
        (blocks([128, 64]), "weight_block_size = [128, 64]: must be two equal whole numbers"),
        (blocks(128), "weight_block_size = 128: must be two equal whole numbers"),
        (blocks([0, 0]), "weight_block_size = 0: must be a whole number from 1 to"),
        (blocks([1.5, 1.5]), "weight_block_size = 1.5: must be a whole number from 1 to"),
    ],
)
def test_a_configuration_of_another_model(fields, message, saved):
    configure(saved, **fields)
    assert line(load_checkpoint, saved).startswith(message)


def test_another_type(saved):
    (saved / "config.json").write_text(json.dumps(LLAMA_CONFIG))
    assert line(load_checkpoint, saved).startswith(
        "model_type = llama: is not built in numpy here; must be deepseek_v2"
    )


def test_more_layers_than_the_files_have_take_no_memory(saved):
    configure(saved, num_hidden_layers=3_000)
    assert peak_bytes(line, load_checkpoint, saved) < 5_000_000


def test_blocks_larger_than_the_matrices_take_no_memory(saved):
    store(saved / SINGLE, quantized(tensors_of(saved), 10**7)[0])
    configure(saved, **blocks([10**7, 10**7]))
    assert peak_bytes(load_checkpoint, saved) < 5_000_000


def test_a_folder_that_is_none(saved, tmp_path):
    expected = "is not a folder; give the one that holds config.json"
    assert line(load_checkpoint, tmp_path / "nowhere") == f"{tmp_path}/nowhere: {expected}"
    assert line(load_checkpoint, saved / SINGLE) == f"{saved}/{SINGLE}: {expected}"


def test_a_folder_without_configuration_or_tensors(saved):
    (saved / SINGLE).unlink()
    assert line(load_checkpoint, saved) == f"{saved}: has neither {SINGLE} nor {INDEX}"
    (saved / "config.json").unlink()
    assert line(load_checkpoint, saved) == f"{saved}/config.json: cannot be read: No such file or directory"


@pytest.mark.parametrize("name", [SINGLE, "config.json"])
def test_a_file_cut_anywhere_is_refused(name, saved):
    whole = (saved / name).read_bytes()
    cuts = np.random.default_rng(0).integers(0, len(whole) - 1, 200)  # config.json ends with a line's end
    for size in [*cuts.tolist(), len(whole) - 2]:
        (saved / name).write_bytes(whole[:size])
        assert name in line(load_checkpoint, saved)


def test_what_is_saved_needs_a_new_or_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    save_checkpoint(model(), tmp_path / "empty")
    save_checkpoint(model(), tmp_path / "new" / "folders" / "deep")  # none of which exists
    save_checkpoint(model(), tmp_path / "new" / "second")  # in one that does
    before = (tmp_path / "empty" / SINGLE).read_bytes()
    expected = "exists already; name a folder that does not, or an empty one"
    for taken in (tmp_path / "empty", tmp_path / "empty" / SINGLE):
        assert line(save_checkpoint, model("V2"), taken) == f"{taken}: {expected}"
    assert (tmp_path / "empty" / SINGLE).read_bytes() == before


@pytest.mark.parametrize("stored", ["float16", "", None, []])
def test_unknown_formats_are_refused(stored, tmp_path):
    expected = f"stored = {json.dumps(stored)}: must be one of: float32, bfloat16"
    assert line(save_checkpoint, model(), tmp_path / "new", stored=stored) == expected


@pytest.mark.parametrize("config", [plain(4), MODELS["V2, weights normalised"]])
def test_a_model_without_a_published_form_leaves_nothing(config, tmp_path):
    line(save_checkpoint, init_model(config, seed=1), tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(9,), (13, 8), (7, 8), (14, 9)])
def test_parameters_of_another_shape_are_not_written(shape, tmp_path):
    made = model()
    made.params["layers"][0]["mlp"]["gate_up_proj"] = np.ones(shape, np.float32)
    assert "layers.0.mlp.gate_up_proj: has shape" in line(save_checkpoint, made, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in line(save_checkpoint, model(), tmp_path / "file" / "new")
    assert "x" * 300 in line(save_checkpoint, model(), tmp_path / ("x" * 300))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_saving_into_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(model(), ".")
    assert np.array_equal(load_checkpoint(".").forward(TOKENS), model().forward(TOKENS))


def test_saving_into_a_link_to_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    save_checkpoint(model(), tmp_path / "link")
    assert np.array_equal(load_checkpoint(tmp_path / "link").forward(TOKENS), model().forward(TOKENS))


LARGE = config_to_hf(V3) | {
    "vocab_size": 4000,
    "hidden_size": 512,
    "intermediate_size": 1500,
    "moe_intermediate_size": 300,
    "n_routed_experts": 12,
    "kv_lora_rank": 200,
}


def peak_bytes(call, *arguments):
    """Return the most memory that a call takes at once; what numpy holds is counted."""
    tracemalloc.start()
    try:
        kept = call(*arguments)
        return tracemalloc.get_traced_memory()[1] if kept else 0
    finally:
        tracemalloc.stop()


def zeros(kind):
    """Yield name, type and shape of each tensor of a large model, its matrices stored as asked."""
    config = config_from_hf(LARGE)
    for place in places(config, param_shapes(config)):
        shape = place.holder[place.key]
        for names in place.names:
            for name in names:
                size = shape[1:] if place.stacked else shape
                size = (size[0] // len(names), *size[1:])
                if kind != "F8_E4M3" or len(size) == 1:
                    yield name, "BF16" if kind == "BF16" else "F32", size
                    continue
                yield name, kind, size
                yield f"{name}_scale_inv", "F32", [-(-one // 128) for one in size]


def store_zeros(path, tensors):
    """Write a file of zeros, which takes no room on the disk."""
    header, end = {}, 0
    for name, kind, shape in tensors:
        begin, end = end, end + int(np.prod(shape)) * KINDS[kind].itemsize
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with path.open("r+b") as file:
        file.truncate(8 + len(text) + end)
        for name, fields in header.items():
            if name.endswith("_scale_inv"):  # but for scales, which are above 0
                file.seek(8 + len(text) + fields["data_offsets"][0])
                file.write(np.ones(fields["shape"], "<f4").tobytes())
    return path.stat().st_size


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", list(KINDS))
def test_loading_takes_little_more_memory_than_the_files(kind, shards, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LARGE))
    tensors, size = list(zeros(kind)), 0
    if shards == 1:
        size = store_zeros(tmp_path / SINGLE, tensors)
    else:
        parts = {f"{number}.safetensors": tensors[number::shards] for number in range(shards)}
        size = sum(store_zeros(tmp_path / name, part) for name, part in parts.items())
        where = {one[0]: name for name, part in parts.items() for one in part}
        (tmp_path / INDEX).write_text(json.dumps({"weight_map": where}))
    assert size > 25_000_000
    assert 0.97 < peak_bytes(load_checkpoint, tmp_path) / size < 1.15


def test_saving_decodes_one_tensor_at_a_time(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LARGE))
    size = store_zeros(tmp_path / SINGLE, list(zeros("BF16")))
    model = load_checkpoint(tmp_path)
    peak = peak_bytes(lambda: save_checkpoint(model, tmp_path / "saved") is None)
    assert 0 < peak < 0.5 * size  # the whole in float32 would be twice the size
    assert (tmp_path / "saved" / SINGLE).stat().st_size > 1.9 * size
