"""Counts of parameters against models that Hugging Face's transformers builds from the same configurations.

Nothing is allocated: the models stand on torch's meta device, which keeps shapes alone.
"""

import re
from collections import Counter
from math import prod

import pytest

from repro.calc.param_count import mtp_parts, parts, total_parameters
from repro.facts import load
from repro.models.hf_config import architecture_from_hf, model_type
from repro.models.inventory import inventory

torch = pytest.importorskip("torch", reason="torch is not installed; models are built with it to be counted")
transformers = pytest.importorskip("transformers", reason="transformers is not installed; it builds the models")

PUBLISHED = {key.split(".")[1]: entry.content for key, entry in load().published.items() if key.startswith("config.")}

# Sizes of three more published models: two whose head is the embedding, and one of V3's class under another name.
MORE = {
    "qwen2_5_0_5b": {
        "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
        "use_sliding_window": False, "sliding_window": 32768,
    },
    "llama_3_2_1b": {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True,
    },
    "kimi_k2": {
        "model_type": "kimi_k2", "architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 7168,
        "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "first_k_dense_replace": 1,
        "moe_layer_freq": 1, "num_attention_heads": 64, "num_key_value_heads": 64, "q_lora_rank": 1536,
        "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 384, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 1, "topk_group": 1,
        "topk_method": "noaux_tc", "num_nextn_predict_layers": 0, "vocab_size": 163840, "attention_bias": False,
        "tie_word_embeddings": False,
    },
    "qwen3_8b": {
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "attention_bias": False, "use_sliding_window": False, "tie_word_embeddings": False,
    },
    "qwen3_0_6b": {
        "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "attention_bias": False, "use_sliding_window": False, "tie_word_embeddings": True,
    },
    "glm_4_7_flash": {
        "model_type": "glm4_moe_lite", "architectures": ["Glm4MoeLiteForCausalLM"], "hidden_size": 2048,
        "intermediate_size": 10240, "moe_intermediate_size": 1536, "num_hidden_layers": 47, "first_k_dense_replace": 1,
        "num_attention_heads": 20, "num_key_value_heads": 20, "q_lora_rank": 768, "kv_lora_rank": 512,
        "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "n_routed_experts": 64,
        "n_shared_experts": 1, "num_experts_per_tok": 4, "n_group": 1, "topk_group": 1, "topk_method": "noaux_tc",
        "num_nextn_predict_layers": 1, "vocab_size": 154880, "tie_word_embeddings": False,
    },
}  # fmt: skip

# Small ones for what no published model has: biases in attention and feed-forward, heads wider than hidden_size.
SMALL_LLAMA = {
    "model_type": "llama", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50, "tie_word_embeddings": False,
}  # fmt: skip
SMALL_DEEPSEEK = {
    "model_type": "deepseek_v3", "hidden_size": 24, "intermediate_size": 40, "moe_intermediate_size": 10,
    "num_hidden_layers": 3, "first_k_dense_replace": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
    "q_lora_rank": 12, "kv_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 5,
    "n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
    "vocab_size": 50, "tie_word_embeddings": False,
}  # fmt: skip
SMALL = {
    "llama_with_biases": SMALL_LLAMA | {"attention_bias": True, "mlp_bias": True},
    "llama_with_attention_biases": SMALL_LLAMA | {"attention_bias": True, "mlp_bias": False},
    "llama_with_mlp_biases": SMALL_LLAMA | {"attention_bias": False, "mlp_bias": True},
    "llama_with_wide_heads": SMALL_LLAMA | {"head_dim": 16},
    "llama_with_narrow_heads_and_biases": SMALL_LLAMA | {"head_dim": 2, "attention_bias": True},
    "qwen2_with_multi_query": SMALL_LLAMA | {"model_type": "qwen2", "num_key_value_heads": 1},
    "mixtral_tied": SMALL_LLAMA | {
        "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None,
        "tie_word_embeddings": True,
    },
    "deepseek_v3_with_biases": SMALL_DEEPSEEK | {"attention_bias": True},
    "deepseek_v3_with_biases_and_queries_not_compressed": SMALL_DEEPSEEK | {
        "attention_bias": True, "q_lora_rank": None,
    },
    "deepseek_v3_without_dense_layers": SMALL_DEEPSEEK | {"first_k_dense_replace": 0},
    "deepseek_v3_without_experts": SMALL_DEEPSEEK | {"first_k_dense_replace": 3},
    "deepseek_v3_tied": SMALL_DEEPSEEK | {"tie_word_embeddings": True},
    "deepseek_v2_with_biases": SMALL_DEEPSEEK | {
        "model_type": "deepseek_v2", "attention_bias": True, "topk_method": "group_limited_greedy",
    },
    "deepseek_v3_with_fewer_layers_than_dense_ones": SMALL_DEEPSEEK | {"first_k_dense_replace": 5},
    "glm_with_biases_and_two_dense_layers": SMALL_DEEPSEEK | {
        "model_type": "glm4_moe_lite", "attention_bias": True, "first_k_dense_replace": 2,
        "mlp_layer_types": ["dense", "dense", "sparse"],
    },
    "qwen3_with_biases": SMALL_LLAMA | {"model_type": "qwen3", "head_dim": 10, "attention_bias": True},
    "qwen2_told_of_no_biases": SMALL_LLAMA | {"model_type": "qwen2", "attention_bias": False},
}  # fmt: skip
OPTIONAL = ("tie_word_embeddings", "attention_bias", "mlp_bias", "use_sliding_window", "moe_layer_freq", "head_dim")

MODELS = PUBLISHED | MORE | SMALL

# Where a tensor belongs by its name: the first that the name contains. Norms of MLA's latents are attention's.
PLACES = {
    "embed_tokens": "embedding",
    ".self_attn.": "attention",
    ".shared_experts.": "shared experts",
    ".experts.": "routed experts",
    ".gate.": "gate",
    ".mlp.": "dense feed-forward",
    "norm.": "norms",
    "lm_head": "head",
}


def build(config):
    """Return the model without memory behind it; sizes that transformers is not told would be its defaults."""
    fields = {name: value for name, value in config.items() if name not in ("model_type", "architectures")}
    described = transformers.AutoConfig.for_model(model_type(config), **fields)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(described)


def tensors(config):
    """Yield name and size of every trained tensor, once each: parameters, and the gate's correction biases."""
    model = build(config)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if isinstance(tensor, torch.nn.Parameter) or name.endswith("e_score_correction_bias"):
            yield name, tensor.numel()


def by_part(config):
    found = Counter()
    for name, size in tensors(config):
        found[next(part for piece, part in PLACES.items() if piece in name)] += size
    return found


# transformers lays a layer's experts, and each one's gate and up projection, in one tensor.
FUSED = re.compile(r"\.experts\.\d+\.(gate_proj|up_proj|down_proj)\.weight$")


def as_built(name, renamed):
    """Return what a published tensor is called in transformers."""
    for theirs, own in renamed:
        name = name.replace(own, theirs)
    return FUSED.sub(lambda match: f".experts.{'down' if match[1] == 'down_proj' else 'gate_up'}_proj", name)


@pytest.mark.parametrize("name", MODELS)
def test_every_published_name_is_one_of_the_librarys(name):
    arch, built = architecture_from_hf(MODELS[name]), Counter(dict(tensors(MODELS[name])))
    found = Counter()
    for row in inventory(arch):
        if row.block != "mtp" and not row.shared:
            for layer in row.layers:
                for published in row.names(layer):
                    found[as_built(published, arch.renamed)] += prod(row.shape)
    assert found == built


@pytest.mark.parametrize("name", MODELS)
def test_every_part_and_the_total_to_the_last_parameter(name):
    arch, built = architecture_from_hf(MODELS[name]), by_part(MODELS[name])
    assert {part.name: part.total for part in parts(arch) if part.total} == built
    assert total_parameters(arch) == built.total()


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        # as lists of the tensors in the published files add up, scales of FP8 and MTP left out
        ("llama_3_1_8b", 8_030_261_248),
        ("qwen2_5_0_5b", 494_032_768),
        ("qwen2_5_72b", 72_706_203_648),
        ("deepseek_v2_lite", 15_706_484_224),
        ("deepseek_v3", 671_026_419_200),
        ("kimi_k2", 1_026_408_232_448),
        # two copies of the table, 634,388,480, and the module of 643,706,176 left out too
        ("glm_4_7_flash", 31_221_488_576 - 634_388_480 - 643_706_176),
    ],
)
def test_the_total_is_that_of_the_published_weights(name, stored):
    assert total_parameters(architecture_from_hf(MODELS[name])) == stored


@pytest.mark.parametrize("name", ["llama_3_1_8b", "qwen2_5_72b", "mixtral_8x7b", "deepseek_v2_lite", "deepseek_v3"])
def test_fields_left_out_mean_what_they_mean_to_the_library(name):
    bare = {field: value for field, value in MODELS[name].items() if field not in OPTIONAL}
    assert total_parameters(architecture_from_hf(bare)) == by_part(bare).total()


def test_a_tied_head_is_in_no_part_of_its_own():
    for name in ("qwen2_5_0_5b", "qwen3_0_6b", "llama_3_2_1b", "mixtral_tied", "deepseek_v3_tied"):
        assert "head" not in by_part(MODELS[name])


def test_a_module_for_multi_token_prediction_is_one_more_layer_a_projection_and_three_norms():
    # transformers builds none: a model of 62 layers less one of 61 is its layer, 2 x 7168 x 7168 its projection
    v3 = PUBLISHED["deepseek_v3"]
    longer = by_part(v3 | {"num_hidden_layers": 62})
    longer.subtract(by_part(v3))
    longer.update({"projection": 2 * 7168 * 7168, "norms": 3 * 7168})
    module = Counter({part.name: part.total for part in mtp_parts(architecture_from_hf(v3))})
    assert +longer == +module
