"""Reading a model's shape from its config.json: families, missing, wrong and contradictory fields, damaged files."""

import json
import math
from math import prod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import LLAMA_CONFIG as LLAMA

from repro.calc.kv_cache import elements_per_token
from repro.calc.param_count import active_parameters, mtp_parts, total_parameters
from repro.errors import InputError
from repro.facts import load
from repro.models.architecture import GroupedQueryAttention, MixtureOfExperts
from repro.models.hf_config import FAMILIES as KNOWN
from repro.models.hf_config import architecture_from_hf, model_type, read_config
from repro.models.inventory import inventory

QWEN = {**LLAMA, "model_type": "qwen2"}
MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 6,
    "hidden_size": 8,
    "intermediate_size": 5,
    "vocab_size": 10,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 3,
    "kv_lora_rank": 5,
    "qk_nope_head_dim": 2,
    "qk_rope_head_dim": 1,
    "v_head_dim": 2,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 2,
    "n_group": 4,
    "topk_group": 2,
    "topk_method": "noaux_tc",
    "num_nextn_predict_layers": 1,
}
DEEPSEEK_V2 = {**DEEPSEEK, "model_type": "deepseek_v2", "topk_method": "greedy"}
QWEN_3 = {**LLAMA, "model_type": "qwen3", "head_dim": 3}
GLM = {**DEEPSEEK, "model_type": "glm4_moe_lite"}
FAMILIES = {
    "llama": LLAMA,
    "qwen2": QWEN,
    "mixtral": MIXTRAL,
    "deepseek_v2": DEEPSEEK_V2,
    "deepseek_v3": DEEPSEEK,
    "qwen3": QWEN_3,
    "glm4_moe_lite": GLM,
}

R1 = {
    **DEEPSEEK,
    "architectures": ["DeepseekV3ForCausalLM"],
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "vocab_size": 129280,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "first_k_dense_replace": 3,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "n_group": 8,
    "topk_group": 4,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    "attention_bias": False,
    "tie_word_embeddings": False,
}
KIMI_K2 = {
    **R1,
    "model_type": "kimi_k2",
    "vocab_size": 163840,
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "first_k_dense_replace": 1,
    "n_routed_experts": 384,
    "n_group": 1,
    "topk_group": 1,
    "num_nextn_predict_layers": 0,
}
QWEN_2_5_0_5B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "num_hidden_layers": 24,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "sliding_window": 32768,
    "use_sliding_window": False,
    "tie_word_embeddings": True,
}
QWEN_3_8B = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "vocab_size": 151936,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "attention_bias": False,
    "use_sliding_window": False,
    "sliding_window": None,
    "max_window_layers": 36,
    "tie_word_embeddings": False,
}
QWEN_3_0_6B = {
    **QWEN_3_8B,
    "num_hidden_layers": 28,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "tie_word_embeddings": True,
}
QWEN_3_1_7B = {**QWEN_3_0_6B, "hidden_size": 2048, "intermediate_size": 6144}
GLM_4_7_FLASH = {
    "architectures": ["Glm4MoeLiteForCausalLM"],
    "model_type": "glm4_moe_lite",
    "num_hidden_layers": 47,
    "hidden_size": 2048,
    "intermediate_size": 10240,
    "moe_intermediate_size": 1536,
    "vocab_size": 154880,
    "first_k_dense_replace": 1,
    "num_attention_heads": 20,
    "num_key_value_heads": 20,
    "q_lora_rank": 768,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64,
    "v_head_dim": 256,
    "n_routed_experts": 64,
    "n_shared_experts": 1,
    "num_experts_per_tok": 4,
    "n_group": 1,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "num_nextn_predict_layers": 1,
    "tie_word_embeddings": False,
}
LLAMA_3_2_1B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": True,
}


def without(config, name):
    return {key: value for key, value in config.items() if key != name}


def refusal(config):
    with pytest.raises(InputError) as caught:
        architecture_from_hf(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("config", "total"),
    [
        # attention 7168x1536 + 1536 + 1536x12288 + 7168x576 + 512 + 512x16384 + 8192x7168 = 101,124,096;
        # experts 385 x 3 x 7168x2048 = 16,955,473,920; gate 384 x 7169 = 2,752,896;
        # 61 x (attention + two norms of 7168) + 60 x (experts + gate) + 3 x 7168x18432 + 2 x 163840x7168 + 7168
        (KIMI_K2, 1_026_408_232_448),
        # the same with 128 heads, 257 experts in 58 layers, 3 dense layers and V3's vocabulary
        (R1, 671_026_419_200),
        # a layer: 2 x 896x896 + 2 x 896x128 + biases 896 + 2 x 128 + 3 x 896x4864 + 2 x 896 = 14,912,384;
        # 24 of them, 896 and one table of 151936x896 = 136,134,656
        (QWEN_2_5_0_5B, 494_032_768),
        # a layer: 2 x 2048x2048 + 2 x 2048x512 + 3 x 2048x8192 + 2 x 2048 = 60,821,504; 16 of them, 2048 and one
        # table of 128256x2048 = 262,668,288
        (LLAMA_3_2_1B, 1_235_814_400),
        # as transformers builds them; a layer of 8B: 2 x 4096x4096 + 2 x 4096x1024 + 3 x 4096x12288 + norms of heads
        # 2 x 128 and of the stream 2 x 4096 = 192,946,432; 36 of them, 4096 and two tables of 151936x4096
        (QWEN_3_8B, 8_190_735_360),
        (QWEN_3_0_6B, 596_049_920),
        (QWEN_3_1_7B, 1_720_574_976),
        # as transformers builds it, with 46 x 64 biases of gates beside
        (GLM_4_7_FLASH, 29_943_393_920),
    ],
)
def test_a_published_configuration_gives_the_models_total(config, total):
    assert total_parameters(architecture_from_hf(config)) == total


@pytest.mark.parametrize(
    ("name", "total"),
    [
        # the elements of all released tensors, scales of FP8 and copies for multi-token prediction left out
        ("deepseek_v3", 671_026_419_200),
        ("deepseek_v2_lite", 15_706_484_224),
        ("llama_3_1_8b", 8_030_261_248),
        ("qwen2_5_72b", 72_706_203_648),
        # 32 x (8 x 3 x 4096x14336 + 8x4096 + 2 x 4096x4096 + 2 x 4096x1024 + 2 x 4096) + 2 x 32000x4096 + 4096
        ("mixtral_8x7b", 46_702_792_704),
    ],
)
def test_a_built_in_model_has_its_total(name, total):
    assert total_parameters(architecture_from_hf(load().model(name).content)) == total


def test_glm_4_7_flashs_module_and_what_its_checkpoint_holds():
    arch = architecture_from_hf(GLM_4_7_FLASH)
    module = sum(part.total for part in mtp_parts(arch))
    assert module == 643_706_176
    # the published files hold the module and its copies of two tables of 154880 x 2048 too
    assert total_parameters(arch) + module + 2 * 154_880 * 2048 == 31_221_488_576
    assert sum(prod(row.shape) * row.experts * len(row.layers) for row in inventory(arch)) == 31_221_488_576
    assert elements_per_token(arch) == 27_072  # 47 x (512 + 64)


def test_qwen_3s_cache():
    assert elements_per_token(architecture_from_hf(QWEN_3_8B)) == 73_728  # 36 x 2 x 8 x 128


def test_a_small_copy_of_v3_with_fewer_layers_than_v3_has_dense_ones_is_dense():
    tiny = {
        **R1,
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "intermediate_size": 32,
        "vocab_size": 300,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    arch = architecture_from_hf(tiny)
    assert (arch.n_dense_layers, arch.n_moe_layers, arch.experts) == (2, 0, None)
    # a layer: queries 8x1536 + 1536 + 1536x384, keys and values 8x576 + 512 + 512x512, out 256x8, feed-forward
    # 3 x 8x32, two norms of 8 = 873,744; two of them, 8, and two tables of 300x8; as transformers builds it
    assert total_parameters(arch) == 1_752_296
    # a module after them is layer 2 of 3 dense ones: projection 2 x 8x8 and three norms of 8 around such a layer
    assert sum(part.total for part in mtp_parts(arch)) == 873_744 + 128 + 24


def test_kimi_k2s_active_parameters():
    # of 384 routed experts 376 are idle: 376 x 44,040,192 x 60 layers = 993,546,731,520
    arch = architecture_from_hf(KIMI_K2)
    assert active_parameters(arch, embedding_counted=True) == 1_026_408_232_448 - 993_546_731_520
    assert arch.n_mtp_modules == 0


def test_v3s_module_for_multi_token_prediction():
    # the released layer 61 without its copies of embedding and head
    assert sum(part.total for part in mtp_parts(architecture_from_hf(R1))) == 11_610_068_224


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_by_its_type_or_by_its_class(name):
    classes = {
        "llama": "LlamaForCausalLM",
        "qwen2": "Qwen2ForCausalLM",
        "mixtral": "MixtralForCausalLM",
        "deepseek_v2": "DeepseekV2ForCausalLM",
        "deepseek_v3": "DeepseekV3ForCausalLM",
        "qwen3": "Qwen3ForCausalLM",
        "glm4_moe_lite": "Glm4MoeLiteForCausalLM",
    }
    assert set(classes) == set(KNOWN)
    alias = {**FAMILIES[name], "model_type": "of_its_own", "architectures": [classes[name]]}
    assert model_type(FAMILIES[name]) == model_type(alias) == model_type(without(alias, "model_type")) == name
    assert architecture_from_hf(FAMILIES[name]) == architecture_from_hf(alias)


def test_heads_of_llama():
    assert architecture_from_hf(LLAMA).attention == GroupedQueryAttention(4, 2, head_dim=2)  # 8 / 4
    assert architecture_from_hf({**LLAMA, "num_key_value_heads": None}).attention.n_kv_heads == 4
    assert architecture_from_hf({**LLAMA, "head_dim": None}).attention.head_dim == 2
    assert architecture_from_hf({**LLAMA, "head_dim": 3}).attention.head_dim == 3
    assert architecture_from_hf({**LLAMA, "hidden_size": 9, "head_dim": 3}).d_model == 9


def test_biases():
    llama, biased = (
        architecture_from_hf(LLAMA),
        architecture_from_hf({**LLAMA, "attention_bias": True, "mlp_bias": True}),
    )
    # of 2 layers: queries 8, keys and values 4 each, output 8; feed-forward 5 + 5 + 8
    assert total_parameters(biased) - total_parameters(llama) == 2 * (8 + 4 + 4 + 8 + 5 + 5 + 8)
    # Qwen2 has those of queries, keys and values, whatever it says
    assert total_parameters(architecture_from_hf({**QWEN, "attention_bias": False})) - total_parameters(llama) == 2 * 16
    # Qwen3 has all four where it says so
    qwen, biased = architecture_from_hf(QWEN_3), architecture_from_hf({**QWEN_3, "attention_bias": True})
    assert total_parameters(biased) - total_parameters(qwen) == 2 * (12 + 6 + 6 + 8)
    # MLA: of both down-projections, 3 and 5 + 1, and of the output, 8, in 6 layers
    deepseek, biased = architecture_from_hf(DEEPSEEK), architecture_from_hf({**DEEPSEEK, "attention_bias": True})
    assert total_parameters(biased) - total_parameters(deepseek) == 6 * (3 + 6 + 8)


def test_a_head_is_tied_only_where_it_says_so():
    for config in FAMILIES.values():
        assert not architecture_from_hf(config).tied_embeddings
        tied = architecture_from_hf({**config, "tie_word_embeddings": True})
        assert total_parameters(architecture_from_hf(config)) - total_parameters(tied) == 80  # 10 x 8


def test_experts_of_mixtral():
    arch = architecture_from_hf(MIXTRAL)
    assert (arch.n_dense_layers, arch.n_moe_layers, arch.experts) == (0, 2, MixtureOfExperts(4, 0, 2, d_expert=5))
    assert arch.attention == GroupedQueryAttention(4, 2, head_dim=2)


def test_heads_of_qwen_3_have_norms_and_a_size_of_their_own():
    assert architecture_from_hf(QWEN_3).attention == GroupedQueryAttention(4, 2, head_dim=3, qk_norm=True)


def test_glm_is_v3_by_another_name():
    assert architecture_from_hf(GLM) == architecture_from_hf(DEEPSEEK)
    kinds = ["dense"] + ["sparse"] * 5  # as transformers writes it beside
    assert architecture_from_hf({**GLM, "mlp_layer_types": kinds}) == architecture_from_hf(GLM)


def test_the_gate_of_v3_has_biases_and_that_of_v2_none():
    assert architecture_from_hf(DEEPSEEK).experts == MixtureOfExperts(8, 1, 4, d_expert=2, correction_bias=True)
    assert architecture_from_hf(DEEPSEEK_V2).experts == MixtureOfExperts(8, 1, 4, d_expert=2, correction_bias=False)


@pytest.mark.parametrize(
    ("first", "every", "n_moe_layers"),
    [
        (0, 1, 6),
        (1, 1, 5),
        (6, 1, 0),
        (0, 2, 3),  # layers 0, 2, 4
        (1, 2, 2),  # 2 and 4
        (3, 3, 1),  # 3
        (4, 3, 0),
    ],
)
def test_layers_with_experts(first, every, n_moe_layers):
    arch = architecture_from_hf({**DEEPSEEK, "first_k_dense_replace": first, "moe_layer_freq": every})
    assert (arch.n_moe_layers, arch.n_dense_layers) == (n_moe_layers, 6 - n_moe_layers)


def test_what_deepseek_may_leave_out():
    given = without(without(DEEPSEEK, "moe_layer_freq"), "num_nextn_predict_layers")
    given = without(without(given, "topk_method"), "num_key_value_heads")
    arch = architecture_from_hf({**given, "q_lora_rank": None, "n_group": None, "n_shared_experts": None})
    assert (arch.n_moe_layers, arch.n_mtp_modules, arch.experts.n_shared_experts, arch.attention.q_lora_rank) == (
        5,
        0,
        0,
        None,
    )
    null = dict.fromkeys(("moe_layer_freq", "num_nextn_predict_layers", "topk_method", "num_key_value_heads"))
    assert architecture_from_hf({**DEEPSEEK, **null}) == architecture_from_hf(given)
    assert architecture_from_hf({**given, "num_attention_heads": 3}).attention.n_heads == 3


@pytest.mark.parametrize(
    ("family", "name"),
    [
        *((family, name) for family in ("llama", "qwen2") for name in without(LLAMA, "model_type")),
        *(("mixtral", name) for name in without(MIXTRAL, "model_type")),
        *(("qwen3", name) for name in without(QWEN_3, "model_type")),
        *(
            (family, name)
            for family in ("deepseek_v2", "deepseek_v3", "glm4_moe_lite")
            for name in DEEPSEEK
            if name
            not in {
                "model_type",
                "num_key_value_heads",
                "moe_layer_freq",
                "n_group",
                "topk_group",
                "topk_method",
                "num_nextn_predict_layers",
            }
        ),
    ],
)
def test_a_missing_field_is_named(family, name):
    assert refusal(without(FAMILIES[family], name)) == f"{name}: is missing"


COUNTS = {
    **{("llama", name): 1 for name in ("num_hidden_layers", "hidden_size", "head_dim", "num_key_value_heads")},
    **{("mixtral", name): 1 for name in ("num_local_experts", "num_experts_per_tok", "intermediate_size")},
    ("qwen3", "head_dim"): 1,
    **{("deepseek_v3", name): 1 for name in ("kv_lora_rank", "q_lora_rank", "moe_layer_freq", "n_group", "vocab_size")},
    **{("deepseek_v3", name): 0 for name in ("first_k_dense_replace", "n_shared_experts", "num_nextn_predict_layers")},
}
# Null means none, or what is usual: a key and a value for each head, experts in every layer.
OPTIONAL = (
    "head_dim",
    "num_key_value_heads",
    "q_lora_rank",
    "n_group",
    "n_shared_experts",
    "moe_layer_freq",
    "num_nextn_predict_layers",
)


@pytest.mark.parametrize(("family", "name"), COUNTS)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        ("61", '"61"'),
        (3.0, "3.0"),
        (None, "null"),
        (-1, "-1"),
        (0, "0"),
        (10**30, "1" + "0" * 30),
        (10**9 + 1, "1000000001"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        ([4], "[4]"),
        ({}, "{}"),
    ],
)
def test_a_value_of_the_wrong_kind_is_shown_with_what_would_be_right(family, name, value, shown):
    least = COUNTS[family, name]
    if (value is None and name in OPTIONAL and family != "qwen3") or value == least == 0:
        architecture_from_hf({**FAMILIES[family], name: value})
        return
    line = refusal({**FAMILIES[family], name: value})
    assert line == f"{name} = {shown}: must be a whole number from {least} to 1,000,000,000"


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("llama", "attention_bias"),
        ("llama", "mlp_bias"),
        ("qwen2", "use_sliding_window"),
        ("qwen3", "use_sliding_window"),
        ("qwen3", "attention_bias"),
        *((family, "tie_word_embeddings") for family in FAMILIES),
        ("deepseek_v3", "attention_bias"),
    ],
)
def test_a_flag_is_true_or_false(family, name):
    for value, shown in ((1, "1"), ("true", '"true"'), ([], "[]")):
        assert refusal({**FAMILIES[family], name: value}) == f"{name} = {shown}: must be true or false"
    assert architecture_from_hf({**FAMILIES[family], name: None}) == architecture_from_hf(
        {**FAMILIES[family], name: False}
    )


@pytest.mark.parametrize(
    ("family", "fields", "line"),
    [
        (
            "llama",
            {"num_key_value_heads": 3},
            "num_attention_heads = 4: must be a multiple of num_key_value_heads = 3",
        ),
        (
            "llama",
            {"num_key_value_heads": 8},
            "num_attention_heads = 4: must be a multiple of num_key_value_heads = 8",
        ),
        ("qwen2", {"hidden_size": 9}, "hidden_size = 9: must be a multiple of num_attention_heads = 4"),
        ("mixtral", {"num_experts_per_tok": 5}, "num_experts_per_tok = 5: must be at most num_local_experts = 4"),
        ("deepseek_v3", {"num_experts_per_tok": 9}, "num_experts_per_tok = 9: must be at most n_routed_experts = 8"),
        ("deepseek_v3", {"n_group": 3}, "n_routed_experts = 8: must be a multiple of n_group = 3"),
        ("deepseek_v3", {"topk_group": 5}, "topk_group = 5: must be at most n_group = 4"),
        # 2 of 4 groups hold 2 experts each
        (
            "deepseek_v2",
            {"num_experts_per_tok": 5, "topk_method": "group_limited_greedy"},
            "num_experts_per_tok = 5: must be at most the experts of topk_group groups = 4",
        ),
        (
            "deepseek_v2",
            {"first_k_dense_replace": 7, "num_nextn_predict_layers": 2},  # one module before layer 7, one from there on
            "first_k_dense_replace = 7: must be at most num_hidden_layers = 6",
        ),
        (
            "deepseek_v3",
            {"num_key_value_heads": 3},
            "num_attention_heads = 4: must be a multiple of num_key_value_heads = 3",
        ),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window = true: is not counted here; must be false"),
        ("mixtral", {"sliding_window": 4096}, "sliding_window = 4096: is not counted here; must be null"),
        ("deepseek_v3", {"topk_method": "greedy"}, 'topk_method = "greedy": is not counted here; must be "noaux_tc"'),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window = true: is not counted here; must be false"),
        (
            "glm4_moe_lite",
            {"mlp_layer_types": ["dense"] * 2 + ["sparse"] * 4},
            'mlp_layer_types = ["dense", "dense", "sparse", "sparse", "sparse", "sparse"]: must be 1 dense and then '
            "5 sparse, by first_k_dense_replace",
        ),
        (
            "glm4_moe_lite",
            {"mlp_layer_types": "dense", "num_hidden_layers": 10**9},
            'mlp_layer_types = "dense": must be 1 dense and then 999999999 sparse, by first_k_dense_replace',
        ),
        ("llama", {"num_local_experts": 8}, "num_local_experts = 8: is not counted here; must be null"),
        ("llama", {"n_routed_experts": 8}, "n_routed_experts = 8: is not counted here; must be null"),
        ("qwen3", {"num_experts": 128}, "num_experts = 128: is not counted here; must be null"),
        ("qwen2", {"num_experts": 60}, "num_experts = 60: is not counted here; must be null"),
        # a second, small attention that picks what the first one sees
        ("deepseek_v3", {"index_n_heads": 64}, "index_n_heads = 64: is not counted here; must be null"),
        ("deepseek_v3", {"index_head_dim": 128}, "index_head_dim = 128: is not counted here; must be null"),
        ("deepseek_v3", {"index_topk": 2048}, "index_topk = 2048: is not counted here; must be null"),
        (
            "deepseek_v2",
            {"topk_method": "noaux_tc"},
            'topk_method = "noaux_tc": is not counted here; must be "greedy" or "group_limited_greedy"',
        ),
    ],
)
def test_fields_that_contradict_each_other_are_both_named(family, fields, line):
    assert refusal({**FAMILIES[family], **fields}) == line


def test_the_largest_number_taken():
    assert architecture_from_hf({**LLAMA, "vocab_size": 10**9}).vocab_size == 10**9
    assert architecture_from_hf({**DEEPSEEK, "num_hidden_layers": 10**9}).n_moe_layers == 10**9 - 1
    # without a walk through them: of attention 2 x 8x8 + 2 x 8x4, feed-forward 3 x 8x5 and two norms of 8 each
    assert total_parameters(architecture_from_hf({**LLAMA, "num_hidden_layers": 10**9})) == 328 * 10**9 + 8 + 2 * 80


def test_what_just_does_not_contradict():
    assert architecture_from_hf({**DEEPSEEK, "topk_group": 4, "num_experts_per_tok": 8}).experts.top_k == 8
    assert architecture_from_hf({**DEEPSEEK_V2, "topk_method": "group_limited_greedy"}).experts.top_k == 4
    assert architecture_from_hf({**MIXTRAL, "sliding_window": None, "num_experts_per_tok": 4}).experts.top_k == 4
    assert architecture_from_hf({**QWEN, "sliding_window": 4096}).n_layers == 2


TYPES = "deepseek_v2, deepseek_v3, llama, qwen2, mixtral, qwen3, glm4_moe_lite"


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"model_type": "deepseek_v33"}, f'model_type = "deepseek_v33": is not known; must be one of: {TYPES}'),
        ({"model_type": "Llama"}, f'model_type = "Llama": is not known; must be one of: {TYPES}'),
        ({"model_type": ""}, f'model_type = "": is not known; must be one of: {TYPES}'),
        ({"model_type": 3}, f"model_type = 3: must be one of: {TYPES}"),
        ({"model_type": ["llama"]}, f'model_type = ["llama"]: must be one of: {TYPES}'),
        ({}, f"model_type: is missing; must be one of: {TYPES}"),
        ({"model_type": None}, f"model_type: is missing; must be one of: {TYPES}"),
        (
            {"text_config": LLAMA},
            f"model_type: is missing; must be one of: {TYPES}; "
            "the one inside text_config is not read, give it as a file",
        ),
        # cut after 60 letters, the quotation mark among them
        ({"model_type": "x" * 58}, f'model_type = "{"x" * 58}": is not known; must be one of: {TYPES}'),
        ({"model_type": "x" * 59}, f'model_type = "{"x" * 59}…: is not known; must be one of: {TYPES}'),
    ],
)
def test_an_unknown_type_gets_the_known_ones(config, line):
    assert refusal(config) == line


@pytest.mark.parametrize("given", [["GPT2LMHeadModel"], "LlamaForCausalLM", [], ["LlamaForCausalLM"] * 2, {}, [3]])
@pytest.mark.parametrize("config", [LLAMA, {"model_type": "gpt2"}, {}])
def test_a_class_that_is_not_known_is_shown(config, given):
    line = refusal({**config, "architectures": given})
    assert line.startswith(f"architectures = {json.dumps(given)}: must name one of: DeepseekV2ForCausalLM, ")


def test_a_list_within_the_list_of_classes_is_shown():
    line = refusal({**LLAMA, "architectures": [["LlamaForCausalLM"]]})
    assert line == (
        'architectures = [["LlamaForCausalLM"]]: must name one of: DeepseekV2ForCausalLM, DeepseekV3ForCausalLM, '
        "LlamaForCausalLM, Qwen2ForCausalLM, MixtralForCausalLM, Qwen3ForCausalLM, Glm4MoeLiteForCausalLM"
    )


def test_a_class_of_another_family_contradicts_the_type():
    line = refusal({**LLAMA, "architectures": ["Qwen2ForCausalLM"]})
    assert line == 'architectures = ["Qwen2ForCausalLM"]: contradicts model_type = "llama"'


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(sorted(FAMILIES)), st.data())
def test_any_value_is_taken_or_refused_by_name(family, data):
    name = data.draw(st.sampled_from([*FAMILIES[family], "tie_word_embeddings", "attention_bias", "architectures"]))
    config = {**FAMILIES[family], name: data.draw(anything)}
    try:
        line = "" if total_parameters(architecture_from_hf(config)) > 0 else "no parameters"
    except InputError as error:
        line = str(error)
    assert line == "" or name in line
    assert "\n" not in line


def test_a_configuration_from_a_file_or_from_its_folder(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA), encoding="utf-8")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(QWEN), encoding="utf-8")
    assert read_config(path) == read_config(tmp_path) == LLAMA
    assert read_config(other) == QWEN


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[1, 2]", "must hold one JSON object, not a list"),
        (b"null", "must hold one JSON object, not a NoneType"),
        (b"{", "is not valid JSON: "),
        (b"", "is not valid JSON: "),
        (b"\xff\xfe", "is not valid JSON: "),
        (b"[" * 100_000, "is not valid JSON: "),
        (b'{"hidden_size": ' + b"9" * 5000 + b"}", "is not valid JSON: "),
        (b'{"hidden_size": 1, "vocab_size": 2, "hidden_size": 1}', "is not valid JSON: hidden_size is there twice"),
        (b'{"a": "' + b"a" * 10_000_000 + b'"}', "has more than 10,000,000 bytes, too large for what is read here"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, line):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: {line}")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8-sig")
    assert read_config(tmp_path) == LLAMA


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path, name in ((tmp_path, "config.json"), (tmp_path / "none.json", "none.json")):
        with pytest.raises(InputError) as caught:
            read_config(path)
        assert str(caught.value) == f"{tmp_path / name}: cannot be read: No such file or directory"


def test_what_is_no_regular_file_is_not_read():
    with pytest.raises(InputError, match=r"^/dev/null: must be a regular file of JSON$"):
        read_config(Path("/dev/null"))


def test_greedy_selection_knows_no_groups_so_they_may_contradict():
    # Three groups do not divide the experts, and one of them could not hold the chosen ones: only grouped gates care.
    groups = {"n_group": 3, "topk_group": 1}
    assert architecture_from_hf({**DEEPSEEK_V2, **groups}) == architecture_from_hf(DEEPSEEK_V2)
    for config in ({**DEEPSEEK_V2, "topk_method": "group_limited_greedy"}, {**DEEPSEEK, "model_type": "deepseek_v3"}):
        with pytest.raises(InputError, match=r"n_routed_experts = .*: must be a multiple of n_group = 3"):
            architecture_from_hf({**config, **groups})
