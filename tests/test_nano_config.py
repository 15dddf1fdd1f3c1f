"""Published configurations read as numpy models, and models written as published configurations."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nano_shapes import LATENT, MODELS, SHAPE, V2, V3, plain
from shapes import LLAMA_CONFIG

from repro.errors import InputError
from repro.facts import load
from repro.nano import Config, Gate, Rope, Yarn, config_from_hf
from repro.nano.config import config_to_hf

PUBLISHABLE = ["V3", "V3, biased projections, tied", "V3, pairs as halves, weights not normalised", "V2"]
YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}
PLAIN = config_to_hf(replace(V3, rope=Rope()))
SOFTMAX = config_to_hf(V2)


def line(fields):
    """Return the one line that a configuration is refused with."""
    with pytest.raises(InputError) as caught:
        config_from_hf(fields)
    assert str(caught.value).isprintable()
    return str(caught.value)


def config_of(name):
    return load().published[f"config.{name}"].content


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("deepseek_v3", Gate("sigmoid", 8, 4, scores_per_group=2, norm_topk_prob=True, routed_scaling_factor=2.5)),
        ("deepseek_v2", Gate("softmax", 8, 3, scores_per_group=1, norm_topk_prob=False, routed_scaling_factor=16.0)),
        ("deepseek_v2_lite", Gate("softmax", 1, 1, scores_per_group=1, norm_topk_prob=False)),
    ],
)
def test_gates_of_the_published_models(name, gate):
    assert config_from_hf(config_of(name)).gate == gate


@pytest.mark.parametrize(
    ("name", "mscale"), [("deepseek_v3", 1.0), ("deepseek_v2", 0.707), ("deepseek_v2_lite", 0.707)]
)
def test_positions_of_the_published_models(name, mscale):
    rope = config_from_hf(config_of(name)).rope
    assert rope == Rope(10_000, interleaved=True, yarn=Yarn(40, 4096, 32, 1, mscale, mscale))
    assert rope.yarn.amplitude == 1
    assert rope.yarn.temperature(1) == pytest.approx(1.3689, abs=1e-4)  # 0.1 ln 40 + 1


@pytest.mark.parametrize("name", ["deepseek_v2", "deepseek_v2_lite", "deepseek_v3"])
def test_published_models_survive_being_published_here(name):
    config = config_from_hf(config_of(name))
    assert config_from_hf(config_to_hf(config)) == config


@pytest.mark.parametrize("name", PUBLISHABLE)
def test_small_models_survive_being_published(name):
    assert config_from_hf(json.loads(json.dumps(config_to_hf(MODELS[name])))) == MODELS[name]


SIZES = st.integers(1, 5)
NUMBERS = st.floats(0.01, 100)
YARNS = st.builds(
    Yarn,
    NUMBERS,
    st.integers(1, 10**6),
    NUMBERS,
    NUMBERS,
    *[st.none() | NUMBERS] * 3,
    st.booleans(),
)


@given(
    groups=SIZES,
    reached=SIZES,
    per_group=st.integers(2, 5),
    layers=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)).filter(lambda n: n[0] + n[1]),
    rank=st.none() | SIZES,
    flags=st.tuples(*[st.booleans()] * 4),
    rope=st.tuples(st.floats(2, 1e7), st.none() | YARNS),
    scale=NUMBERS,
    eps=st.floats(1e-8, 1e-2),
)
def test_any_model_survives_being_published(groups, reached, per_group, layers, rank, flags, rope, scale, eps):
    sigmoid, tied, bias, normalised = flags
    experts = replace(SHAPE.experts, n_routed_experts=groups * per_group, top_k=per_group, correction_bias=sigmoid)
    attention = replace(LATENT, q_lora_rank=rank, bias=bias)
    n_dense_layers, n_moe_layers, n_mtp_modules = layers
    sizes = {
        "n_dense_layers": n_dense_layers,
        "n_moe_layers": n_moe_layers,
        "n_mtp_modules": n_mtp_modules,
        "tied_embeddings": tied,
    }
    shape = replace(SHAPE, attention=attention, experts=experts, **sizes)
    reached = min(reached, groups)
    gate = Gate("sigmoid", groups, reached, norm_topk_prob=normalised, routed_scaling_factor=scale)
    if not sigmoid:
        gate = Gate("softmax", groups, reached, scores_per_group=1, norm_topk_prob=False, routed_scaling_factor=scale)
    config = Config(shape, Rope(rope[0], interleaved=normalised or not sigmoid, yarn=rope[1]), gate, rms_norm_eps=eps)
    assert config_from_hf(json.loads(json.dumps(config_to_hf(config)))) == config


def test_a_context_beyond_what_is_read_is_stored_as_the_longest():
    config = replace(V3, rope=Rope(yarn=Yarn(4, 10**9)))
    assert config_from_hf(json.loads(json.dumps(config_to_hf(config)))) == config


@pytest.mark.parametrize("scaling", [{}, YARN, YARN | {"beta_fast": 16, "mscale": 0.7, "truncate": False}])
def test_the_new_and_the_old_name_of_rope_read_the_same(scaling):
    kind = {"rope_type": scaling.get("type", "default")}
    new = PLAIN | {"rope_theta": None, "rope_parameters": {**scaling, **kind, "rope_theta": 5e5}}
    old = PLAIN | {"rope_theta": 5e5, "rope_scaling": scaling or None}
    assert config_from_hf(new).rope == config_from_hf(old).rope
    assert config_from_hf(new).rope.theta == 5e5


def test_yarn_fills_what_is_left_out():
    rope = config_from_hf(PLAIN | {"max_position_embeddings": 64, "rope_scaling": {"type": "yarn", "factor": 8}}).rope
    assert rope.yarn == Yarn(8, 64, 32, 1, None, None, None, True)
    given = {"type": "yarn", "original_max_position_embeddings": 16}
    assert config_from_hf(PLAIN | {"max_position_embeddings": 64, "rope_scaling": given}).rope.yarn.factor == 4


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"rope_interleave": False}, False),
        ({"rope_interleave": None}, False),
        ({"rope_interleave": True}, True),
        ({}, True),
    ],
)
def test_v3_has_neighbours_unless_it_says_otherwise(change, found):
    fields = {name: value for name, value in PLAIN.items() if name != "rope_interleave"}
    assert config_from_hf(fields | change).rope.interleaved is found


def test_v2_greedy_has_no_groups():
    fields = SOFTMAX | {"topk_method": "greedy"}
    assert (V2.gate.n_group, config_from_hf(fields).gate.n_group) == (3, 1)
    assert config_from_hf({**fields, "n_group": None, "topk_group": None}).gate.n_group == 1


def scaled(**change):
    return {"rope_scaling": YARN | change}


V3_LINES = {
    "activation": ({"hidden_act": "gelu"}, 'hidden_act = "gelu": is not counted here; must be "silu"'),
    "every other layer": ({"moe_layer_freq": 2}, "moe_layer_freq = 2: is not counted here; must be 1"),
    "feed-forward bias": ({"mlp_bias": True}, "mlp_bias = true: is not counted here; must be false"),
    "softmax in V3": ({"scoring_func": "softmax"}, 'scoring_func = "softmax": is not counted here; must be "sigmoid"'),
    "greedy in V3": ({"topk_method": "greedy"}, 'topk_method = "greedy": is not counted here; must be "noaux_tc"'),
    "indexer": ({"index_topk": 4}, "index_topk = 4: is not counted here; must be null"),
    "groups missing": ({"n_group": None}, "n_group = null: must be a whole number from 1 to 1,000,000,000"),
    "normalised": ({"norm_topk_prob": 1}, "norm_topk_prob = 1: must be true or false"),
    "pairs": ({"rope_interleave": "no"}, 'rope_interleave = "no": must be true or false'),
    "scale": ({"routed_scaling_factor": "2"}, 'routed_scaling_factor = "2": must be a number'),
    "eps a flag": ({"rms_norm_eps": True}, "rms_norm_eps = true: must be a number"),
    "eps infinite": ({"rms_norm_eps": 1e999}, "rms_norm_eps = Infinity: must be a number"),
    "eps below 0": ({"rms_norm_eps": -1}, "rms_norm_eps = -1: must be"),
    "theta a list": ({"rope_theta": []}, "rope_theta = []: must be a number"),
    "theta 0": ({"rope_theta": 0}, "rope_theta = 0: must be"),
    "theta below 0": ({"rope_theta": -10}, "rope_theta = -10: must be"),
    "theta 1, whose logarithm is 0": ({"rope_theta": 1} | scaled(), "rope_theta = 1: must be"),
    "theta beyond floats": ({"rope_theta": 10**400}, "rope_theta = 1000"),
    "length beyond floats": ({"max_position_embeddings": 10**400} | scaled(factor=None), "max_position_embeddings = 1"),
    "odd rotary width": ({"qk_rope_head_dim": 3}, "qk_rope_head_dim = 3: must be even: RoPE rotates pairs"),
    "part of the width": (
        {"partial_rotary_factor": 0.5},
        "partial_rotary_factor = 0.5: is not counted here; must be 1",
    ),
    "the same, inside": ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor = 0.5: "),
    "new name a list": ({"rope_parameters": [1]}, "rope_parameters = [1]: must be an object"),
    "old name a list": ({"rope_scaling": [1]}, "rope_scaling = [1]: must be an object"),
    "new name false": ({"rope_parameters": False}, "rope_parameters = false: must be an object"),
    "linear": ({"rope_parameters": {"rope_type": "linear"}}, 'rope_type = "linear": is not built here; must be'),
    "no factor": (
        {"max_position_embeddings": None} | scaled(factor=None),
        "original_max_position_embeddings, max_position_embeddings: one is missing",
    ),
    "factor 0": (scaled(factor=0), "factor = 0: must be a number from 0.001"),
    "factor text": (scaled(factor="4"), 'factor = "4": must be a number'),
    "context missing": (
        {"max_position_embeddings": None, "rope_scaling": {"type": "yarn", "factor": 4}},
        "original_max_position_embeddings, max_position_embeddings: one is missing",
    ),
    "turns below 0": (scaled(beta_fast=-1), "beta_fast = -1: must be a number from 1e-06"),
    "truncate": (scaled(truncate=1), "truncate = 1: must be true or false"),
    "mscale": (scaled(mscale="1"), 'mscale = "1": must be a number'),
    "mscale of all": (scaled(mscale_all_dim=[]), "mscale_all_dim = []: must be a number"),
    "amplitude": (scaled(attention_factor=True), "attention_factor = true: must be a number"),
    "more groups than experts": ({"n_group": 12}, "n_routed_experts = 6: must be a multiple of n_group = 12"),
    "groups of one expert": ({"n_group": 6}, "scores_per_group = 2: must be from 1 to 1, a group's experts"),
}


@pytest.mark.parametrize("case", V3_LINES)
def test_what_is_not_built_is_refused(case):
    change, message = V3_LINES[case]
    assert line(PLAIN | change).startswith(message)


def test_another_type_is_refused():
    assert line(LLAMA_CONFIG) == "model_type = llama: is not built in numpy here; must be deepseek_v2 or deepseek_v3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scoring_func": "sigmoid"}, 'scoring_func = "sigmoid": is not counted here; must be "softmax"'),
        ({"topk_method": "noaux_tc"}, 'topk_method = "noaux_tc": is not counted here; must be "greedy" or "group_'),
        ({"n_group": None}, "n_group = null: must be a whole number"),
    ],
)
def test_what_is_refused_in_v2(change, message):
    assert line(SOFTMAX | change).startswith(message)


NEEDED = [
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "first_k_dense_replace",
    "num_attention_heads",
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "n_routed_experts",
    "num_experts_per_tok",
    "n_group",
    "topk_group",
    "moe_intermediate_size",
    "n_shared_experts",
]


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_size_is_named(name):
    assert line({key: value for key, value in PLAIN.items() if key != name}) == f"{name}: is missing"


def test_everything_else_has_a_default():
    found = config_from_hf({name: PLAIN[name] for name in [*NEEDED, "model_type"]})
    assert found.gate == Gate("sigmoid", 3, 2, scores_per_group=2, norm_topk_prob=True, routed_scaling_factor=2.5)
    assert (found.rope, found.rms_norm_eps) == (Rope(10_000, interleaved=True, yarn=None), 1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (plain(4), "only models with MLA and experts have a published form here"),
        (replace(V3, gate=replace(V3.gate, scores_per_group=1)), "gate: is neither V2's nor V3's"),
        (replace(V2, gate=replace(V2.gate, norm_topk_prob=True)), "gate or rope: V2's weights are not normalised"),
        (replace(V2, rope=Rope(interleaved=False)), "gate or rope: V2's weights are not normalised and its pairs"),
        (replace(V2, arch=replace(V2.arch, experts=SHAPE.experts)), "gate: is neither V2's nor V3's"),
    ],
)
def test_a_model_without_a_published_form(config, message):
    with pytest.raises(InputError, match=message):
        config_to_hf(config)


@pytest.mark.parametrize(
    ("shape", "gate", "message"),
    [
        ({"experts": None, "n_mtp_modules": 0}, None, "experts"),
        ({"experts": None}, V3.gate, "experts and gate: must be given both, or neither"),
        ({}, None, "experts and gate: must be given both, or neither"),
        ({"attention": replace(LATENT, qk_rope_head_dim=3)}, V3.gate, "qk_rope_head_dim = 3: must be even"),
        ({"dense": replace(SHAPE.dense, bias=True)}, V3.gate, "mlp_bias: the feed-forward has no bias here"),
        ({"attention": replace(plain(4).arch.attention, n_kv_heads=3)}, V3.gate, "must be a multiple of n_kv_heads"),
        ({"attention": replace(plain(4).arch.attention, qkv_bias=True)}, V3.gate, "plain attention has no biases here"),
        ({}, replace(V3.gate, n_group=4), "n_routed_experts = 6: must be a multiple of n_group = 4"),
        ({"experts": replace(SHAPE.experts, top_k=5)}, V3.gate, "top_k = 5: must be from 1 to the 4 experts reached"),
    ],
)
def test_parts_that_do_not_fit(shape, gate, message):
    with pytest.raises(InputError, match=message):
        Config(replace(SHAPE, **shape), Rope(), gate)
