"""DeepSeek-V3 report (arXiv 2412.19437), section 4.2, and README_WEIGHTS.md of its repository: sizes and bytes."""

import pytest

from repro.calc.memory import checkpoint_bytes
from repro.calc.param_count import active_parameters, mtp_parts, parts, total_parameters
from repro.facts import load
from repro.models.hf_config import architecture_from_hf

FACTS = load()
CONFIG = FACTS.model("deepseek_v3").content
V3 = architecture_from_hf(CONFIG)
TABLE = 129_280 * 7168  # embedding, and head: 926,679,040 each
MODULE = sum(part.total for part in mtp_parts(V3))
MODULE_ACTIVE = sum(part.active for part in mtp_parts(V3)) + 2 * TABLE
PROJECTION = 2 * 7168 * 7168  # 102,760,448
STORED_BYTES = FACTS["deepseek_v3.released_bytes"].value
STORED_ELEMENTS = FACTS["deepseek_v3.released_elements"].value  # of all tensors in the weight files


def test_the_shape():
    attention, experts = V3.attention, V3.experts
    assert (V3.n_layers, V3.d_model, V3.n_dense_layers, V3.n_mtp_modules, V3.vocab_size) == (61, 7168, 3, 1, 129_280)
    assert (attention.n_heads, attention.qk_nope_head_dim, attention.v_head_dim, attention.qk_rope_head_dim) == (
        128,
        128,
        128,
        64,
    )
    assert (attention.kv_lora_rank, attention.q_lora_rank) == (512, 1536)
    assert (experts.n_shared_experts, experts.n_routed_experts, experts.top_k, experts.d_expert) == (1, 256, 8, 2048)
    assert CONFIG["topk_group"] == FACTS["deepseek_v3.nodes_per_token"].value == 4


def test_671b_in_total_without_the_module_for_multi_token_prediction():
    # 671,026,419,200; with the module 682.6B
    assert f"{total_parameters(V3) / 1e9:.0f}B" == "671B"
    assert f"{total_parameters(V3, mtp_counted=True) / 1e9:.0f}B" == "683B"
    assert FACTS["deepseek_v3.parameters"].value == 671e9


@pytest.mark.parametrize(
    ("embedding_counted", "head_counted", "rounded"),
    [(False, True, "36.6B"), (True, True, "37.6B"), (False, False, "35.7B")],
)
def test_37b_active_take_the_head_alone_and_no_count_comes_to_36_7b(embedding_counted, head_counted, rounded):
    # 36.626B, 37.552B and 35.699B; README_WEIGHTS prints 36.7B with both tables, which would be the second
    active = active_parameters(V3, embedding_counted=embedding_counted, head_counted=head_counted)
    assert f"{active / 1e9:.1f}B" == rounded != "36.7B"
    assert (f"{active / 1e9:.0f}B" == "37B") == (head_counted and not embedding_counted)


def test_36_7b_is_0_2_per_cent_above_the_count_with_the_head_alone():
    # 36.7 / 36.6256 = 1.0020
    printed = FACTS["deepseek_v3.active_parameters_of_weights"].value
    assert printed / active_parameters(V3, embedding_counted=False) == pytest.approx(1.0020, abs=5e-5)


def test_0_9b_each_for_embedding_and_head():
    tables = {part.name: part.total for part in parts(V3) if part.name in ("embedding", "head")}
    assert tables == {"embedding": TABLE, "head": TABLE}
    assert f"{TABLE / 1e9:.1f}B" == "0.9B"


def test_11_5b_of_the_module_leave_out_its_projection():
    # 11,610,068,224 - 102,760,448 = 11,507,307,776
    assert f"{MODULE / 1e9:.1f}B" == "11.6B"
    assert f"{(MODULE - PROJECTION) / 1e9:.1f}B" == "11.5B"


def test_2_4b_active_of_the_module_leave_out_its_projection_too():
    # 8 + 1 experts 396.4M, attention 187.1M, gate 1.8M, two tables 1853.4M: 2438.7M; + 102.8M = 2541.5M
    assert f"{MODULE_ACTIVE / 1e9:.1f}B" == "2.5B"
    assert f"{(MODULE_ACTIVE - PROJECTION) / 1e9:.1f}B" == "2.4B"


def test_the_weight_files_hold_what_is_counted_and_headers():
    # 688,586,727,753 - 688,574,839,360 = 11,888,393, 0.0017%
    headers = STORED_BYTES - checkpoint_bytes(V3, block=128, mtp_counted=True)
    assert 0 < headers < 1e-4 * STORED_BYTES


# One scale for 128 x 128 elements of a linear layer. All sides are multiples of 128 but the 576 of the latent and the
# rotary key, whose fifth row of blocks is half full: 5 x 56 scales where 4.5 x 56 would do, in 61 + 1 layers.
SCALED = sum(
    part.multiplied if part.name == "attention" else part.total
    for part in parts(V3) + mtp_parts(V3)
    if part.name in ("attention", "dense feed-forward", "shared experts", "routed experts")
)
SCALES = SCALED // 128**2 + 62 * 28


def test_every_stored_element_is_accounted_for():
    # 671,026,419,200 + 11,610,068,224 + 2 x 926,679,040 + 41,540,496
    assert SCALES == 41_540_496
    assert total_parameters(V3) + MODULE + 2 * TABLE + SCALES == STORED_ELEMENTS


def test_685b_are_671b_and_14b():
    # 11.61 of the module, 1.85 of its copies of both tables and 0.04 of scales make 13.50
    assert f"{STORED_ELEMENTS / 1e9:.0f}B" == "685B"
    assert STORED_ELEMENTS - total_parameters(V3) == MODULE + 2 * TABLE + SCALES == 13_504_966_800


def test_the_hub_counts_as_many_elements_of_each_format():
    # scaled elements in FP8; scales and the bias of 256 experts in 58 + 1 layers in FP32; all else in BF16
    hub = {name: FACTS[f"deepseek_v3.released_{name}_elements"].value for name in ("fp8", "bf16", "fp32")}
    assert hub == {"fp8": 680_571_043_840, "bf16": 3_918_786_560, "fp32": 41_555_600}
    assert hub == {"fp8": SCALED, "bf16": STORED_ELEMENTS - SCALED - SCALES - 256 * 59, "fp32": SCALES + 256 * 59}


def test_every_byte_but_the_headers_is_accounted_for():
    # a scaled element has 1, a scale 4, a correction bias 4 for each of 256 experts in 58 + 1 layers, all else 2
    biases = 256 * 59
    rest = STORED_ELEMENTS - SCALED - SCALES - biases
    assert checkpoint_bytes(V3, block=128, mtp_counted=True) == SCALED + 4 * SCALES + 4 * biases + 2 * rest


def test_without_the_module_its_bytes_and_those_of_its_tables_are_saved():
    # 11.505e9 scaled elements, 0.7e6 scales, 1.853e9 of two tables and 0.105e9 of projection and gate:
    # 11.505 + 0.003 + 2 x 1.958 = 15.424 GB
    saved = checkpoint_bytes(V3, block=128, mtp_counted=True) - checkpoint_bytes(V3, block=128, mtp_counted=False)
    assert saved / 1e9 == pytest.approx(15.424, abs=5e-4)
