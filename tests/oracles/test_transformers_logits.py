"""Logits of the numpy model and of the transformers library's own classes, on the same random weights."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from repro.nano import load_checkpoint, save_checkpoint  # noqa: E402

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
}


def reference(kind, fields, dtype=None):
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
    return model if dtype is None else model.to(dtype)


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
