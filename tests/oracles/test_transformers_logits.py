"""Logits of the numpy model and of the transformers library's own classes, on the same random weights."""

import json

import numpy as np
import pytest

from repro.nano import config_from_hf, load_checkpoint, save_checkpoint
from repro.nano.model import init_model

torch = pytest.importorskip("torch", reason="torch is not installed; the library's models are built with it")
transformers = pytest.importorskip("transformers", reason="transformers is not installed; it builds the models")

pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # without shared experts

YARN = {
    "type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 0.707,
    "mscale_all_dim": 0.707,
}
COMMON = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_routed_experts": 16,
    "num_experts_per_tok": 4,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 12,
    "first_k_dense_replace": 1,
    "max_position_embeddings": 64,
    "rope_theta": 10000.0,
}
V2_LITE = COMMON | {"q_lora_rank": None, "n_shared_experts": 2, "topk_method": "greedy", "rope_scaling": YARN}
V2 = COMMON | {
    "q_lora_rank": 24,
    "n_shared_experts": 2,
    "topk_method": "group_limited_greedy",
    "n_group": 4,
    "topk_group": 2,
    "routed_scaling_factor": 16.0,
    "rope_scaling": YARN,
}
V3 = COMMON | {
    "q_lora_rank": 24,
    "n_shared_experts": 1,
    "n_group": 4,
    "topk_group": 2,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "rope_scaling": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
}
CASES = {
    "V2-Lite": ("V2", V2_LITE),
    "V2": ("V2", V2),
    "V2, no YaRN": ("V2", V2 | {"rope_scaling": None}),
    "V2, one temperature": ("V2", V2 | {"rope_scaling": YARN | {"mscale": 1.3}}),
    "V2, biased projections": ("V2", V2 | {"attention_bias": True}),
    "V2, weights said to be normalised": ("V2", V2 | {"norm_topk_prob": True}),
    "V3": ("V3", V3),
    "V3, no YaRN": ("V3", V3 | {"rope_scaling": None}),
    "V3, YaRN's own temperature": ("V3", V3 | {"rope_scaling": YARN | {"mscale": None, "mscale_all_dim": None}}),
    "V3, YaRN's ramp not truncated": ("V3", V3 | {"rope_scaling": YARN | {"truncate": False}}),
    "V3, queries not compressed": ("V3", V3 | {"q_lora_rank": None}),
    "V3, pairs as halves": ("V3", V3 | {"rope_interleave": False}),
    "V3, weights not normalised": ("V3", V3 | {"norm_topk_prob": False}),
    "V3, one group": ("V3", V3 | {"n_group": 1, "topk_group": 1}),
    "V3, biased projections": ("V3", V3 | {"attention_bias": True}),
    "V3, all layers dense": ("V3", V3 | {"first_k_dense_replace": 3}),
    "V3, tied tables": ("V3", V3 | {"tie_word_embeddings": True}),
    "V3, no shared expert": ("V3", V3 | {"n_shared_experts": 0}),
    "V3, another eps": ("V3", V3 | {"rms_norm_eps": 1e-2}),
    "V2, another eps": ("V2", V2 | {"rms_norm_eps": 1e-2}),
    "V3, other turns": ("V3", V3 | {"rope_scaling": YARN | {"beta_fast": 4, "beta_slow": 0.25}}),
    "V3, amplitude given": ("V3", V3 | {"rope_scaling": YARN | {"attention_factor": 0.7}}),
    "V2, no stretching": ("V2", V2 | {"rope_scaling": YARN | {"factor": 1.0}}),
    "V2, no dense layer": ("V2", V2 | {"first_k_dense_replace": 0}),
    "V3, no dense layer": ("V3", V3 | {"first_k_dense_replace": 0}),
    "V2, tied tables": ("V2", V2 | {"tie_word_embeddings": True}),
    "V2, no shared expert": ("V2", V2 | {"n_shared_experts": 0}),
    "V2, greedy with groups": ("V2", V2_LITE | {"n_group": 3, "topk_group": 1}),
}


def reference(kind, fields):
    """Return the library's model with weights large enough that every part shows in the logits."""
    torch.manual_seed(0)
    config = getattr(transformers, f"Deepseek{kind}Config")(
        **{k: v for k, v in fields.items() if v is not None or k == "q_lora_rank"}
    )
    model = getattr(transformers, f"Deepseek{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, one in model.named_parameters():
            one.copy_(1 + 0.3 * torch.randn_like(one) if "norm" in name else 0.15 * torch.randn_like(one))
        for name, one in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                one.copy_(0.2 * torch.randn_like(one))
    return model


def load_theirs(name, folder):
    """Return the library's model from a folder, in float32; it must find each tensor there and no other."""
    cls = getattr(transformers, f"Deepseek{CASES[name][0]}ForCausalLM")
    model, report = cls.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    empty = [one for one, value in model.named_parameters() if value.numel() == 0]
    assert set(report["missing_keys"]) <= set(empty)
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


def tokens(batch=2, length=40, seed=1):
    return np.random.default_rng(seed).integers(0, COMMON["vocab_size"], (batch, length))


def logits_of(model, given):
    with torch.no_grad():
        return model(torch.from_numpy(given)).logits.float().numpy()


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request, tmp_path):
    kind, fields = CASES[request.param]
    model = reference(kind, fields)
    model.save_pretrained(tmp_path / "saved")
    return model, tmp_path


def test_logits_equal_the_librarys(case):
    model, folder = case
    given = tokens()
    expected = logits_of(model, given)
    found = load_checkpoint(folder / "saved").forward(given)
    assert found.dtype == np.float32
    assert np.abs(expected).max() > 1
    assert np.abs(found - expected).max() < 1e-4


def test_in_any_number_of_shards(tmp_path):
    model = reference("V3", V3)
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert np.abs(load_checkpoint(tmp_path).forward(tokens()) - logits_of(model, tokens())).max() < 1e-4


@pytest.mark.parametrize("name", ["V2", "V3"])
@pytest.mark.parametrize("packed", [True, False])
def test_stored_in_bf16(name, packed, tmp_path):
    reference(*CASES[name]).to(torch.bfloat16).save_pretrained(tmp_path)
    model = load_theirs(name, tmp_path)
    found = load_checkpoint(tmp_path, packed=packed).forward(tokens())
    assert np.abs(found - logits_of(model, tokens())).max() < 1e-4


def quantized(weight, block):
    """Return codes and scales of a matrix, each square block's largest value at the format's."""
    rows, columns = weight.shape
    scales = torch.empty(-(-rows // block), -(-columns // block))
    codes = torch.empty_like(weight, dtype=torch.float8_e4m3fn)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            here = np.s_[i * block : (i + 1) * block, j * block : (j + 1) * block]
            scales[i, j] = weight[here].abs().max() / 448
            codes[here] = (weight[here] / scales[i, j]).to(torch.float8_e4m3fn)
    return codes, scales


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("block", [128, 16])
def test_stored_in_fp8_with_scales_per_block(block, packed, tmp_path):
    from safetensors.torch import load_file, save_file

    wide = V3 | {"hidden_size": 160, "intermediate_size": 200, "moe_intermediate_size": 136, "kv_lora_rank": 144}
    model = reference("V3", wide)
    model.save_pretrained(tmp_path)
    stored = {}
    for name, one in load_file(tmp_path / "model.safetensors").items():
        linear = name.endswith("proj.weight") or name.endswith("proj_with_mqa.weight")
        if linear:
            stored[name], stored[f"{name}_scale_inv"] = quantized(one, block)
            scales = stored[f"{name}_scale_inv"].repeat_interleave(block, 0).repeat_interleave(block, 1)
            decoded = stored[name].float() * scales[: one.shape[0], : one.shape[1]]
            set_parameter(model, name, decoded)
        else:
            stored[name] = one
    save_file(stored, tmp_path / "model.safetensors")
    fields = json.loads((tmp_path / "config.json").read_text())
    fields["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [block, block]}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    found = load_checkpoint(tmp_path, packed=packed).forward(tokens())
    assert np.abs(found - logits_of(model, tokens())).max() < 1e-4


def set_parameter(model, name, value):
    """Write one published tensor into the library's model, whose experts are stacked."""
    path, _, part = name.rpartition(".experts.")
    with torch.no_grad():
        if not path:
            model.get_parameter(name).copy_(value)
            return
        number, which, _ = part.split(".")
        stack = model.get_submodule(f"{path}.experts")
        half = value.shape[0]
        rows = {"gate_proj": slice(0, half), "up_proj": slice(half, None)}
        if which == "down_proj":
            stack.down_proj[int(number)] = value
        else:
            stack.gate_up_proj[int(number), rows[which]] = value


@pytest.mark.parametrize("stored", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", list(CASES))
def test_the_library_loads_what_is_saved_here(name, stored, tmp_path):
    reference(*CASES[name]).save_pretrained(tmp_path / "theirs")
    model = load_checkpoint(tmp_path / "theirs")
    save_checkpoint(model, tmp_path / "ours", stored=stored, shard_bytes=80_000)
    loaded = load_theirs(name, tmp_path / "ours")
    again = load_checkpoint(tmp_path / "ours").forward(tokens())
    assert np.abs(again - logits_of(loaded, tokens())).max() < 1e-4
    if stored == "float32":
        assert np.array_equal(again, model.forward(tokens()))


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("absorbed", [False, True])
def test_decoding_token_by_token_with_a_cache(name, absorbed, tmp_path):
    model = reference(*CASES[name])
    model.save_pretrained(tmp_path)
    own, given = load_checkpoint(tmp_path), tokens(length=12)
    caches = own.new_caches(len(given), 12)
    with torch.no_grad():
        out = model(torch.from_numpy(given[:, :7]), use_cache=True)
        found = own.forward(given[:, :7], caches, absorbed=absorbed)
        assert np.abs(found - out.logits.numpy()).max() < 1e-4
        for place in range(7, 12):
            now = given[:, place : place + 1]
            out = model(torch.from_numpy(now), cache=out.cache, use_cache=True)
            found = own.forward(now, caches, absorbed=absorbed)
            assert np.abs(found - out.logits.numpy()).max() < 1e-4


def test_greedy_generation(tmp_path):
    model = reference("V3", V3)
    model.save_pretrained(tmp_path)
    prompt = tokens(length=6)
    expected = model.generate(
        torch.from_numpy(prompt), max_new_tokens=10, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    own = load_checkpoint(tmp_path)
    for absorbed in (False, True):
        assert np.array_equal(own.generate(prompt, 10, absorbed=absorbed), expected[:, 6:].numpy())


@pytest.mark.parametrize("depths", [1, 2])
def test_modules_for_multi_token_prediction(depths, tmp_path):
    from transformers.modeling_layers import MtpModel

    own = init_model(
        config_from_hf(V3 | {"model_type": "deepseek_v3", "num_nextn_predict_layers": depths}), seed=3, std=0.15
    )
    save_checkpoint(own, tmp_path / "saved")
    main = transformers.DeepseekV3ForCausalLM.from_pretrained(tmp_path / "saved").eval()
    main._keys_to_ignore_on_load_unexpected = [r"model\.layers\.[34].*"]  # where it looks for modules: V3's 61 else
    modules = MtpModel.from_pretrained(main).eval()
    given, loaded = tokens(), load_checkpoint(tmp_path / "saved")
    with torch.no_grad():
        hidden = main.model(torch.from_numpy(given)).last_hidden_state
        for depth, found in enumerate(loaded.mtp_logits(given)):
            ahead = torch.from_numpy(given[:, depth + 1 :])
            # Position by position as the library drafts: hidden states of the depth before, tokens one further.
            places = torch.arange(depth + 1, given.shape[1])[None]
            hidden = modules.forward_layer(depth, hidden[:, :-1], places, None, input_ids=ahead)
            assert np.abs(found - main.lm_head(hidden).numpy()).max() < 1e-4
