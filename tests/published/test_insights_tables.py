"""Insights into DeepSeek-V3 (arXiv 2505.09343), tables 1, 2, 4, figure 7: cache, FLOP, a day, all-to-all."""

import pytest

from repro.calc import kv_cache, run_cost
from repro.calc.flops import counted_flop_per_token
from repro.calc.param_count import active_parameters
from repro.facts import load
from repro.models.hf_config import architecture_from_hf

FACTS = load()
LENGTH = FACTS["deepseek_v3.sequence_length"].value
TOKENS_PER_DAY = FACTS["deepseek_v3.tokens_per_day"].value
GPU_HOURS_PER_DAY = FACTS["deepseek_v3.gpus"].value * 24
PEAK = FACTS["h800_sxm.bf16_dense_flop_per_s"].value


def shape(name):
    return architecture_from_hf(FACTS.model(name).content)


def cache_bytes(name):
    return kv_cache.bytes_per_token(kv_cache.elements_per_token(shape(name)), bits_per_element=16)


def flop(name, *, causal=True, mtp_counted=False):
    return counted_flop_per_token(shape(name), LENGTH, causal=causal, mtp_counted=mtp_counted)


def rate(**counted):
    return run_cost.flop_per_gpu_second(flop("deepseek_v3", **counted) * TOKENS_PER_DAY, GPU_HOURS_PER_DAY)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("deepseek_v3", "70.272 KB"),  # 61 x 576 x 2
        ("qwen2_5_72b", "327.680 KB"),  # 80 x 2 x 8 x 128 x 2
        ("llama_3_1_405b", "516.096 KB"),  # 126 x 2 x 8 x 128 x 2
    ],
)
def test_table_1_in_kilobytes_of_1000(name, printed):
    assert f"{cache_bytes(name) / 1000:.3f} KB" == printed


def test_table_1_multiplies_by_4_66_and_by_7_34_where_7_28_is_printed():
    # 327.680 / 70.272 = 4.663; 516.096 / 70.272 = 7.344
    v3 = cache_bytes("deepseek_v3")
    assert f"{cache_bytes('qwen2_5_72b') / v3:.2f}x" == "4.66x"
    assert f"{cache_bytes('llama_3_1_405b') / v3:.2f}x" == "7.34x"


def test_table_2_counts_v2_and_v3_with_causal_attention():
    # V2 155.31e9; V3 250.46e9
    assert f"{flop('deepseek_v2') / 1e9:.0f}" == "155"
    assert f"{flop('deepseek_v3') / 1e9:.0f}" == "250"
    assert FACTS["insights.v2_flop_per_token"].value == 155e9
    assert FACTS["insights.v3_flop_per_token"].value == 250e9


@pytest.mark.parametrize(
    ("causal", "mtp_counted", "rounded"), [(True, True, "261"), (False, False, "281"), (False, True, "292")]
)
def test_table_2_counts_neither_multi_token_prediction_nor_the_whole_attention_matrix(causal, mtp_counted, rounded):
    assert f"{flop('deepseek_v3', causal=causal, mtp_counted=mtp_counted) / 1e9:.0f}" == rounded


@pytest.mark.parametrize(
    ("name", "fact", "printed", "counted", "above"),
    [
        # matrix products 6 x 71.458e9 = 428.75e9, attention 6 x 80 x 64 x 256 x 2048.5 = 16.11e9
        ("qwen2_5_72b", "qwen_72b", 394e9, 444.9e9, "12.9%"),
        # 6 x 403.748e9 = 2422.49e9, 6 x 126 x 128 x 256 x 2048.5 = 50.75e9
        ("llama_3_1_405b", "llama_405b", 2448e9, 2473.2e9, "1.0%"),
    ],
)
def test_table_2_is_below_the_count_for_dense_models(name, fact, printed, counted, above):
    assert flop(name) == pytest.approx(counted, abs=5e7)
    assert FACTS[f"insights.{fact}_flop_per_token"].value == printed
    assert f"{flop(name) / printed - 1:.1%}" == above


def test_no_count_of_qwen_72b_is_as_low_as_394():
    # six per parameter, embedding and head left out, is the lowest: 6 x 70.215e9 = 421.3e9
    model = shape("qwen2_5_72b")
    assert 6 * active_parameters(model, embedding_counted=False, head_counted=False) > 421e9


@pytest.mark.parametrize(
    ("causal", "way", "printed", "share"), [(True, "causal", 385e12, 0.3894), (False, "full", 432e12, 0.4373)]
)
def test_table_4_fits_without_multi_token_prediction(causal, way, printed, share):
    # 250.457e9 x 272.8e9 / 86,400 / 2048 = 386.1e12, 0.29% above; 281.152e9 gives 433.5e12, 0.34% above
    assert printed < rate(causal=causal) < 1.004 * printed
    # 386.1 / 989.4 = 39.03%, 433.5 / 989.4 = 43.81%: within a tenth of a point
    found = run_cost.mfu(flop("deepseek_v3", causal=causal) * TOKENS_PER_DAY, GPU_HOURS_PER_DAY, PEAK)
    assert found == pytest.approx(share, abs=1e-3)
    assert FACTS[f"deepseek_v3.achieved_{way}_flop_per_s"].value == printed
    assert FACTS[f"deepseek_v3.mfu_{way}"].value == share


@pytest.mark.parametrize(("causal", "printed", "above"), [(True, 385e12, "4.4%"), (False, 432e12, "4.2%")])
def test_table_4_does_not_fit_with_it(causal, printed, above):
    # 260.649e9 gives 401.8e12; 291.847e9 gives 449.9e12
    assert f"{rate(causal=causal, mtp_counted=True) / printed - 1:.1%}" == above


def test_table_4_rates_and_shares_print_together_at_a_peak_of_989_not_of_989_4():
    # 0.3894 x 989 = 385.12, 0.4373 x 989 = 432.49; 0.4373 x 989.4 = 432.66
    causal, full = (FACTS[f"deepseek_v3.mfu_{kind}"].value for kind in ("causal", "full"))
    assert f"{causal * 989:.0f}" == "385"
    assert f"{full * 989:.0f}" == "432"
    assert f"{full * PEAK / 1e12:.0f}" == "433"


def test_table_4_a_step_of_15360_sequences_in_19_926_s_makes_272_80b_tokens_a_day():
    # 15,360 x 4096 = 62,914,560 tokens; x 86,400 / 19.926 = 272.80e9; the batch by the V3 report, section 4.2
    step = 15_360 * LENGTH
    assert f"{step * 86_400 / FACTS['deepseek_v3.step_s'].value / 1e9:.2f}" == "272.80"


def test_table_4_agrees_with_the_180k_hours_per_trillion_tokens_of_the_v3_report():
    # 2048 x 24 / 0.2728 = 180.2e3
    hours = run_cost.rate_from_gpu_hours(GPU_HOURS_PER_DAY, TOKENS_PER_DAY)
    assert f"{hours / 1e3:.0f}K" == "180K"
    assert f"{run_cost.wall_days(hours, FACTS['deepseek_v3.gpus'].value):.1f}" == "3.7"


def test_figure_7_eight_bars_between_41_6_and_58_02_gb_a_second_all_above_40():
    bars = [58.02, 50.58, 43.05, 56.96, 45.34, 48.54, 41.6, 42.47]
    assert FACTS["insights.all_to_all_low_bytes_per_s"].value == min(bars) * 1e9
    assert FACTS["insights.all_to_all_high_bytes_per_s"].value == max(bars) * 1e9
    assert FACTS["h800_sxm.all_to_all_in_training_bytes_per_s"].value == 40e9 < min(bars) * 1e9
