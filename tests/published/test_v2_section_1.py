"""DeepSeek-V2 report (arXiv 2405.04434), sections 1 and 3.1.2 and appendix B: sizes of V2 and of V2-Lite."""

import pytest

from repro.calc.param_count import active_parameters, total_parameters
from repro.facts import load
from repro.models.hf_config import architecture_from_hf

FACTS = load()
V2, LITE = (architecture_from_hf(FACTS.model(name).content) for name in ("deepseek_v2", "deepseek_v2_lite"))
BOTH = {"embedding_counted": True, "head_counted": True}
HEAD = {"embedding_counted": False, "head_counted": True}
NEITHER = {"embedding_counted": False, "head_counted": False}


@pytest.mark.parametrize(
    ("shape", "layers", "d_model", "heads", "query_rank", "routed", "d_expert"),
    [(V2, 60, 5120, 128, 1536, 160, 1536), (LITE, 27, 2048, 16, None, 64, 1408)],
    ids=["section 3.1.2", "appendix B"],
)
def test_the_shape(shape, layers, d_model, heads, query_rank, routed, d_expert):
    attention, experts = shape.attention, shape.experts
    assert (shape.n_layers, shape.d_model, shape.n_dense_layers, shape.n_mtp_modules) == (layers, d_model, 1, 0)
    assert (attention.n_heads, attention.qk_nope_head_dim, attention.v_head_dim, attention.qk_rope_head_dim) == (
        heads,
        128,
        128,
        64,
    )
    assert (attention.kv_lora_rank, attention.q_lora_rank) == (512, query_rank)
    assert (experts.n_shared_experts, experts.n_routed_experts, experts.top_k, experts.d_expert) == (
        2,
        routed,
        6,
        d_expert,
    )


def test_236b_and_15_7b_in_total():
    # 235,741,434,880 and 15,706,484,224
    assert f"{total_parameters(V2) / 1e9:.0f}B" == "236B"
    assert f"{total_parameters(LITE) / 1e9:.1f}B" == "15.7B"
    assert FACTS["deepseek_v2.parameters"].value == 236e9


@pytest.mark.parametrize(("counted", "rounded"), [(BOTH, "21B"), (HEAD, "21B"), (NEITHER, "20B")])
def test_21b_active_take_the_head_with_or_without_the_embedding(counted, rounded):
    # embedding and head have 102,400 x 5120 = 0.524B each: 21.376B, 20.852B, 20.327B
    assert f"{active_parameters(V2, **counted) / 1e9:.0f}B" == rounded


@pytest.mark.parametrize(("counted", "rounded"), [(BOTH, "2.66B"), (HEAD, "2.45B"), (NEITHER, "2.24B")])
def test_no_count_of_v2_lite_rounds_to_2_4b(counted, rounded):
    # embedding and head have 102,400 x 2048 = 0.210B each
    active = active_parameters(LITE, **counted)
    assert f"{active / 1e9:.2f}B" == rounded
    assert f"{active / 1e9:.1f}B" != "2.4B"


def test_with_the_head_alone_v2_lite_comes_to_2_4b_cut_off():
    # 2,451,435,008: 1.4M more than 2.45B, from where on the digit would be 5
    active = active_parameters(LITE, **HEAD)
    assert active // 10**8 == 24
    assert active - 2_450_000_000 < 1.5e6
