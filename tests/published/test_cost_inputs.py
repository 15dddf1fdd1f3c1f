"""Inputs of the costs, typed again from their sources or held to what else those sources print.

Epoch AI's repository training-cost-trends: "Hardware prices.csv", and the constants of cost_analysis_standalone.py, the
code of arXiv 2405.21015; the README of DeepSeek LLM; the DeepSeek-V2 report, appendix B; the inference day (day 6 of
open-infra-index). The second version of R1's paper, B.4.4. Read as others quote them: Wikipedia on DeepSeek, the Wall
Street Journal on GPT-5 (notebookcheck.net), the essay on Nvidia's stock. All read on 27 November 2026. Table 4 of
Llama's paper was not, and is held to its own rates; the life of a server is a convention.
"""

import pytest

from repro.calc import run_cost, utilisation
from repro.calc.flops import counted_flop_per_token
from repro.calc.param_count import active_parameters
from repro.calc.rounding import within_place
from repro.facts import load
from repro.models.hf_config import architecture_from_hf

FACTS = load()
VALUES = {key: fact.value for key, fact in FACTS.items()}


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        ("server.h100_usd_per_gpu", 37080.50),
        ("server.low_usd_per_gpu", 31904.63),
        ("server.h800_usd_per_gpu", 44750.00),
        ("server.network_overhead", round(1 / (1 - 0.19), 2)),  # the network is 19% of the cluster
        ("server.power_w_per_gpu", 10_200 / 8),  # DGX H100: 10.2 kW at most
    ],
)
def test_prices_and_power_of_a_server_to_the_unit_or_the_cent(key, printed):
    assert VALUES[key] == pytest.approx(printed, abs=0.5 if printed > 2 else 0.005)


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        ("server.power_share", 0.75),
        ("server.pue", 1.25),
        ("server.electricity_usd_per_kwh", 0.0771),
        ("server.lifetime_years", 4),
        ("deepseek_67b.tokens", 2e12),
        ("deepseek_v2_lite.tokens", 5.7e12),
        ("inference_day.tokens_per_user_s", 20),
        ("fire_flyer_2.gpu_hours_2022", 56.74e6),
        ("fire_flyer_2.use_2022", 0.96),
        ("gpt_5.training_run_usd", 500e6),
        ("forty_five_times.ratio", 45),
        ("deepseek_r1.data_gpu_hours", 5000),
    ],
)
def test_as_printed(key, printed):
    assert VALUES[key] == printed


def test_r1_took_147k_gpu_hours_and_294k_dollars():
    # 198 x 512 = 101,376 and 80 x 512 = 40,960; with 5,000 for the data 147,336, at 2 dollars 294,672
    hours = {stage: VALUES[f"deepseek_r1.{stage}"] * VALUES["deepseek_r1.gpus"] for stage in ("zero_hours", "hours")}
    total = sum(hours.values()) + VALUES["deepseek_r1.data_gpu_hours"]
    assert hours == {"zero_hours": 101_376, "hours": 40_960}
    assert int(run_cost.rental_usd(total, VALUES["price.h800_v3_report"]) / 1e3) == 294
    assert VALUES["deepseek_r1.own_training_usd"] == 294e3


@pytest.mark.parametrize(("key", "tflop_per_s"), [("low", 380), ("in_run", 400), ("high", 430)])
def test_llama_table_4_shares_are_its_rates_over_the_dense_bf16_peak(key, tflop_per_s):
    # 38.4%, 40.4% and 43.5% of 989.4; printed 38%, 41% and 43%, which may be of another peak
    share = tflop_per_s * 1e12 / VALUES["h100_sxm.bf16_dense_flop_per_s"]
    assert abs(VALUES[f"llama_3_1_405b.utilisation_{key}"] - share) < 0.006
    assert VALUES[f"llama_3_1_405b.utilisation_{key}"] in [percent / 100 for percent in range(30, 50)]


def test_llama_trains_on_sequences_of_8k():
    assert VALUES["llama_3_1_405b.sequence_length"] == 8 * 1024


@pytest.mark.parametrize("key", ["mla.year", "deepseekmoe.year", "export_rules.first_year", "export_rules.h800_year"])
def test_a_year_is_that_of_its_source(key):
    assert str(VALUES[key]) == FACTS.references[FACTS[key].source].date[:4]


def test_every_public_utilisation_of_v3_follows_from_a_convention():
    v3 = architecture_from_hf(FACTS.model("deepseek_v3").content)
    length = VALUES["deepseek_v3.sequence_length"]
    flop_per_token = {
        "forward alone": 2 * VALUES["deepseek_v3.active_parameters"],
        "as rounded": 6 * VALUES["deepseek_v3.active_parameters"],
        "head counted": 6 * active_parameters(v3, embedding_counted=False),
        "causal": counted_flop_per_token(v3, length, causal=True, mtp_counted=False),
        "all": counted_flop_per_token(v3, length, causal=False, mtp_counted=True),
    }
    hours = {name: VALUES[f"deepseek_v3.{name}_gpu_hours"] for name in ("pre_training", "total")}
    peaks = {f"{card} {name}": VALUES[f"{card}.{name}_flop_per_s"] for card in ("h100_sxm", "h100_pcie")
             for name in ("bf16_dense", "fp8_dense")}  # fmt: skip
    shares = utilisation.utilisation_by_convention(flop_per_token, VALUES["deepseek_v3.tokens"], hours, peaks)
    expected = {
        1: ("forward alone", "total", "h100_pcie fp8_dense"),
        2: ("as rounded", "total", "h100_sxm fp8_dense"),
        3: ("as rounded", "pre_training", "h100_sxm fp8_dense"),
        4: ("causal", "pre_training", "h100_sxm fp8_dense"),
        5: ("head counted", "total", "h100_pcie fp8_dense"),
        6: ("all", "total", "h100_sxm fp8_dense"),
        7: ("causal", "pre_training", "h100_sxm bf16_dense"),
    }
    for number, way in expected.items():
        place = 0.01 if number == 7 else 0.001
        assert within_place(shares[way], VALUES[f"mfu_of_v3.calculator_{number}"], place), way
    assert VALUES["mfu_of_v3.calculator_7"] == round(VALUES["deepseek_v3.mfu_causal"], 2)


def test_the_scaling_book_gets_21_7_per_cent_from_a_rate_of_the_pcie_card():
    # 6 x 37e9 x 14.8e12, rounded to 3.3e24, over 2.79e6 x 1.513e15 x 3600, rounded to 1.52e25; unrounded 21.6%
    assert f"{3.3e24 / 1.52e25:.1%}" == "21.7%" == f"{VALUES['mfu_of_v3.calculator_6']:.1%}"
    assert VALUES["h100_pcie.fp8_dense_flop_per_s"] == 1.513e15
    assert f"{6 * 37e9 * 14.8e12 / (2.788e6 * 3600 * 1.513e15):.1%}" == "21.6%"
