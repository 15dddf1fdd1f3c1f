"""NVIDIA Megatron Bridge, performance archive: DeepSeek-V3, Llama 3.1 405B, and how NVIDIA counts FLOP.

Rates are printed whole, so a quotient of two is known to half a unit of each. NVIDIA's function (flop_utils.py) counts
a causal matrix as half of the square, and no gates of the mixture of experts, which are 0.25% of V3.
"""

import pytest

from repro.calc.flops import counted_flop_per_token
from repro.calc.param_count import mtp_parts, parts
from repro.facts import load
from repro.models.hf_config import architecture_from_hf

FACTS = load()
V3, LLAMA = (architecture_from_hf(FACTS.model(name).content) for name in ("deepseek_v3", "llama_3_1_405b"))


def gates(mtp_counted):
    # 58 layers of 256 x 7168, and one of the module
    return sum(part.multiplied for part in parts(V3) + mtp_parts(V3) * mtp_counted if part.name == "gate")


def v3_flop(mtp_counted, gates_counted):
    counted = counted_flop_per_token(V3, 4096, causal=True, mtp_counted=mtp_counted)
    return counted if gates_counted else counted - 6 * gates(mtp_counted)


def between(tflop_per_s, tokens_per_s):
    """Return the least and the most FLOP per token that print as these two."""
    return (tflop_per_s - 0.5) * 1e12 / (tokens_per_s + 0.5), (tflop_per_s + 0.5) * 1e12 / (tokens_per_s - 0.5)


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        ("nvidia_v3.gpus", 1024),
        ("nvidia_v3.tokens_per_gpu_s", 1297),
        ("nvidia_v3.flop_per_gpu_s", 338e12),
        ("nvidia_v3.flop_per_gpu_s_block_scales", 330e12),
        ("nvidia_v3.gb300_bf16_tokens_per_gpu_s", 3848),
        ("nvidia_v3.gb300_bf16_flop_per_gpu_s", 961e12),
        ("nvidia_v3.gb300_mxfp8_tokens_per_gpu_s", 4357),
        ("nvidia_v3.gb300_mxfp8_flop_per_gpu_s", 1088e12),
        ("nvidia_llama_405b.tokens_per_gpu_s", 302),
        ("nvidia_llama_405b.flop_per_gpu_s", 763e12),
    ],
)
def test_as_printed(key, printed):
    assert FACTS[key].value == printed


def test_gates_are_a_four_hundredth_of_v3():
    # 58 x 256 x 7168 = 106,430,464; with the module's 108,265,472
    assert (gates(False), gates(True)) == (106_430_464, 108_265_472)
    assert 1 - v3_flop(True, False) / v3_flop(True, True) == pytest.approx(0.0025, abs=5e-5)


def test_h100_338_at_1297_is_our_count_with_multi_token_prediction():
    # 338 / 1297 = 260.60e9; we count 260.65e9 with gates, and without multi-token prediction 250.46e9
    low, high = between(338, 1297)
    assert low < v3_flop(True, True) < high
    assert f"{v3_flop(True, True) / 1e9:.1f}" == f"{338e12 / 1297 / 1e9:.1f}" == "260.6"
    assert not low < v3_flop(False, True) < high


@pytest.mark.parametrize(("tflop_per_s", "tokens_per_s"), [(961, 3848), (1088, 4357)])
def test_gb300_is_our_count_without_the_module_and_without_gates(tflop_per_s, tokens_per_s):
    # 961 / 3848 = 249.74e9, 1088 / 4357 = 249.71e9; we count 250.457e9, less 6 x 106.43e6 of gates 249.819e9
    low, high = between(tflop_per_s, tokens_per_s)
    assert low < v3_flop(False, False) < high < v3_flop(False, True)


@pytest.mark.parametrize(("tflop_per_s", "tokens_per_s"), [(1648, 6338), (1670, 6422), (1292, 4969)])
def test_in_2026_it_is_our_count_with_the_module_and_without_gates(tflop_per_s, tokens_per_s):
    # the container 26.06: 260.0e9 where we count 260.649e9, less 6 x 108.27e6 of gates 260.000e9
    low, high = between(tflop_per_s, tokens_per_s)
    assert low < v3_flop(True, False) < high < v3_flop(True, True)


def test_llama_763_at_302_is_our_count_at_8192_tokens():
    # 6 x 403.748e9 + 6 x 126 x 128 x 256 x 4096.5 = 2523.97e9; 763 / 302 = 2526.5e9
    low, high = between(763, 302)
    assert low < counted_flop_per_token(LLAMA, 8192, causal=True, mtp_counted=False) < high


def test_a_trillion_tokens_take_214k_h100_hours_and_the_reports_180k_h800_hours_a_sixth_less():
    # 1e12 / 1297 / 3600 = 214.2e3; 180 / 214.2 = 0.840
    hours = 1e12 / FACTS["nvidia_v3.tokens_per_gpu_s"].value / 3600
    assert f"{hours / 1e3:.1f}K" == "214.2K"
    assert FACTS["deepseek_v3.gpu_hours_per_trillion_tokens"].value / hours == pytest.approx(0.840, abs=5e-4)


def test_v3s_scales_cost_2_4_per_cent_and_mxfp8_gains_13():
    # 330 / 338 = 0.9763; 4357 / 3848 = 1.1323
    value = {key: fact.value for key, fact in FACTS.items() if key.startswith("nvidia_v3.")}
    assert f"{1 - value['nvidia_v3.flop_per_gpu_s_block_scales'] / value['nvidia_v3.flop_per_gpu_s']:.1%}" == "2.4%"
    gain = value["nvidia_v3.gb300_mxfp8_tokens_per_gpu_s"] / value["nvidia_v3.gb300_bf16_tokens_per_gpu_s"] - 1
    assert f"{gain:.1%}" == "13.2%"
