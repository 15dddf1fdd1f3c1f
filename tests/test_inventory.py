"""The list of a model's tensors: names as published files have them, shapes by hand, and what is derived from both."""

from dataclasses import replace
from math import prod

import pytest
import shapes
from nano_shapes import MODELS, V3
from shapes import LLAMA_CONFIG, TINY

from repro.calc.param_count import mtp_parts, total_parameters
from repro.errors import InputError
from repro.facts import load
from repro.models.architecture import GroupedQueryAttention
from repro.models.hf_config import architecture_from_hf
from repro.models.inventory import PARTS, attention_shapes, inventory
from repro.nano import Config, Rope, config_from_hf, init_model
from repro.nano.checkpoint.hf_names import places
from repro.nano.config import config_to_hf
from repro.nano.param_shapes import iter_leaves, param_shapes

BUILT_IN = {
    key.split(".")[1]: architecture_from_hf(entry.content)
    for key, entry in load().published.items()
    if key.startswith("config.")
}
ARCHITECTURES = BUILT_IN | {name: config.arch for name, config in MODELS.items()}
MLP = ("gate_proj", "up_proj", "down_proj")


def named(arch):
    """Return the shape of every tensor by its published name, each once."""
    pairs = [(name, row.shape) for row in inventory(arch) for layer in row.layers for name in row.names(layer)]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def layer_names(arch, layer=0):
    prefix = f"model.layers.{layer}."
    return {name.removeprefix(prefix) for name in named(arch) if name.startswith(prefix)}


def test_matrices_of_latent_attention():
    assert {role: shape for role, shape in attention_shapes(shapes.MLA, 4).items() if len(shape) == 2} == {
        "q_a_proj.weight": (3, 4),  # queries down
        "q_b_proj.weight": (6, 3),  # and up: 2 heads x (2 + 1)
        "kv_a_proj_with_mqa.weight": (6, 4),  # keys and values down, and the shared key: 5 + 1
        "kv_b_proj.weight": (12, 5),  # and up: 2 x (2 + 4)
        "o_proj.weight": (4, 8),  # out: from 2 x 4
    }


def test_every_name_of_a_model_as_v3():
    # README_WEIGHTS.md of the DeepSeek-V3 repository: one dense layer, two with 7 experts, and the module after them
    block = {f"{norm}_layernorm.weight" for norm in ("input", "post_attention", "self_attn.q_a", "self_attn.kv_a")}
    block |= {
        f"self_attn.{name}.weight" for name in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
    }
    experts = {
        f"mlp.{inside}.{name}.weight"
        for inside in ("shared_experts", *(f"experts.{e}" for e in range(7)))
        for name in MLP
    }
    experts |= {"mlp.gate.weight", "mlp.gate.e_score_correction_bias"}
    module = {"embed_tokens", "enorm", "hnorm", "eh_proj", "shared_head.norm", "shared_head.head"}
    assert layer_names(TINY, 0) == block | {f"mlp.{name}.weight" for name in MLP}
    assert layer_names(TINY, 1) == layer_names(TINY, 2) == block | experts
    assert layer_names(TINY, 3) == block | experts | {f"{name}.weight" for name in module}
    outside = {name for name in named(TINY) if not name.startswith("model.layers.")}
    assert outside == {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}


def test_v3s_tensors_are_few_rows():
    # 62 layers of 7 in attention and 2 norms, 3 x 3 dense, 59 x (257 x 3 + 2 of the gate), 6 of the module alone, 3
    assert len(named(BUILT_IN["deepseek_v3"])) == 558 + 9 + 59 * 773 + 6 + 3 == 46_183
    assert len(inventory(BUILT_IN["deepseek_v3"])) == 55


def test_names_of_queries_that_are_not_compressed():
    plain = replace(TINY, attention=replace(shapes.MLA, q_lora_rank=None, bias=True))
    assert {name for name in layer_names(plain) if ".q_" in name} == {"self_attn.q_proj.weight"}
    assert {name for name in layer_names(plain) if name.endswith(".bias")} == {
        "self_attn.kv_a_proj_with_mqa.bias",
        "self_attn.o_proj.bias",
    }


LLAMA_LAYER = {
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    *(f"self_attn.{name}_proj.weight" for name in "qkvo"),
    *(f"mlp.{name}.weight" for name in MLP),
}
MIXTRAL = {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 2}
EXPERTS_OF_MIXTRAL = {f"block_sparse_moe.experts.{e}.w{n}.weight" for e in range(3) for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, LLAMA_LAYER),
        (
            {"attention_bias": True, "mlp_bias": True},
            LLAMA_LAYER | {name.replace("weight", "bias") for name in LLAMA_LAYER if "norm" not in name},
        ),
        ({"model_type": "qwen2"}, LLAMA_LAYER | {f"self_attn.{name}_proj.bias" for name in "qkv"}),
        ({"model_type": "qwen3", "head_dim": 3}, LLAMA_LAYER | {f"self_attn.{name}_norm.weight" for name in "qk"}),
        (
            MIXTRAL,
            {name for name in LLAMA_LAYER if "mlp" not in name} | EXPERTS_OF_MIXTRAL | {"block_sparse_moe.gate.weight"},
        ),
    ],
)
def test_names_of_a_familys_layer(fields, names):
    assert layer_names(architecture_from_hf(LLAMA_CONFIG | fields)) == names


def test_mixtrals_second_matrix_leads_down():
    tensors = named(architecture_from_hf(LLAMA_CONFIG | MIXTRAL))
    shape = {n: tensors[f"model.layers.1.block_sparse_moe.experts.2.w{n}.weight"] for n in (1, 2, 3)}
    assert shape == {1: (5, 8), 2: (8, 5), 3: (5, 8)}  # d_expert 5, hidden_size 8


def test_shared_experts_are_stored_as_one():
    wide = replace(TINY, experts=replace(shapes.EXPERTS, n_shared_experts=3))
    assert named(wide)["model.layers.1.mlp.shared_experts.down_proj.weight"] == (4, 3 * 2)
    none = replace(TINY, experts=replace(shapes.EXPERTS, n_shared_experts=0))
    assert not any("shared_experts" in name for name in named(none))


def test_how_a_checkpoint_as_v3s_stores_each():
    kinds = {}
    for row in inventory(replace(TINY, tied_embeddings=True)):
        kinds.setdefault(row.stored, set()).add(row.part)
    assert kinds == {
        "fp8": {"attention", "dense feed-forward", "shared experts", "routed experts"},
        "bf16": {"embedding", "attention", "gate", "norms", "projection", "head of the main model"},
        "fp32": {"gate"},
        None: {"head"},
    }


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_name_is_of_a_tensor_of_its_own_and_together_they_are_the_model(name):
    arch = ARCHITECTURES[name]
    copies = 2 * arch.n_mtp_modules + arch.tied_embeddings  # of a table each
    modules = sum(part.total for part in mtp_parts(arch))
    stored = total_parameters(arch) + modules + copies * arch.vocab_size * arch.d_model
    assert sum(map(prod, named(arch).values())) == stored
    assert {row.part for row in inventory(arch)} <= set(PARTS)


@pytest.mark.parametrize("name", MODELS)
def test_the_numpy_models_arrays_are_the_tensors_fused_and_stacked(name):
    config = MODELS[name]
    model, tensors = init_model(config, seed=1), named(config.arch)
    pieces = {
        name: part.shape
        for place in places(config, model.params)
        for name, part in place.pieces(place.holder[place.key])
    }
    shared = {name for row in inventory(config.arch) if row.shared for layer in row.layers for name in row.names(layer)}
    assert pieces == {name: shape for name, shape in tensors.items() if name not in shared}


def test_arrays_of_the_numpy_model_by_hand():
    found = {path: shape for path, shape in iter_leaves(param_shapes(V3)) if path.startswith(("layers.1.mlp", "mtp.0"))}
    # width 8; six experts of width 4 and a shared one, gate and up projection in one
    experts = {
        "mlp.gate.weight": (6, 8),
        "mlp.gate.e_score_correction_bias": (6,),
        "mlp.experts.gate_up_proj": (6, 8, 8),
        "mlp.experts.down_proj": (6, 8, 4),
        "mlp.shared_experts.gate_up_proj": (8, 8),
        "mlp.shared_experts.down_proj": (8, 4),
    }
    attention = {
        "q_a_proj": (5, 8),
        "q_a_layernorm": (5,),
        "q_b_proj": (14, 5),  # 2 heads x (3 + 4)
        "kv_a_proj_with_mqa": (10, 8),  # 6 + 4
        "kv_a_layernorm": (6,),
        "kv_b_proj": (16, 6),  # 2 x (3 + 5)
        "o_proj": (8, 10),  # 2 x 5
    }
    block = {
        "input_layernorm": (8,),
        **{f"self_attn.{name}": shape for name, shape in attention.items()},
        "post_attention_layernorm": (8,),
        **experts,
    }
    module = {"hnorm": (8,), "enorm": (8,), "eh_proj": (8, 16)}
    module |= {f"block.{name}": shape for name, shape in block.items()} | {"norm": (8,)}
    expected = {f"layers.1.{name}": shape for name, shape in experts.items()}
    expected |= {f"mtp.0.{name}": shape for name, shape in module.items()}
    assert list(found.items()) == list(expected.items())  # in this order they are drawn


def test_norms_of_heads_are_refused_by_the_numpy_model():
    arch = replace(MODELS["GQA"].arch, attention=GroupedQueryAttention(4, 2, 4, qk_norm=True))
    with pytest.raises(InputError, match=r"^qk_norm: queries and keys have no norms here; must be false$"):
        Config(arch, Rope(interleaved=False))


def test_the_numpy_model_reads_a_small_v3_whose_layers_are_all_dense():
    config = config_from_hf(config_to_hf(V3) | {"first_k_dense_replace": 5, "num_nextn_predict_layers": 1})
    assert (config.arch.experts, config.gate, config.arch.n_dense_layers) == (None, None, 2)
    model = init_model(config, seed=1)
    assert set(model.params["layers"][1]["mlp"]) == {"gate_up_proj", "down_proj"}
    assert set(model.params["mtp"][0]["block"]["mlp"]) == {"gate_up_proj", "down_proj"}
    assert model.forward([[1, 2, 3]]).shape == (1, 3, V3.arch.vocab_size)
