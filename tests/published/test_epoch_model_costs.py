"""Epoch AI, training-cost-trends, model_costs.csv of July 2025: value in a cloud; amortised hardware with energy."""

import pytest

from repro.facts import load

FACTS = load()


@pytest.mark.parametrize(
    ("model", "cloud", "amortised"),
    [
        ("gpt_4", 78562016.88, 40695706.40),
        ("gemini_ultra", 198893275.08, 28309604.04),
        ("llama_3_1_405b", 169828008.28, 51040524.06),
        ("grok_3", 1164146793.78, 300872431.99),
        ("gpt_4_5", None, 185317313.05),
        ("claude_3_5_sonnet", None, 24968480.13),
    ],
)
def test_to_the_dollar(model, cloud, amortised):
    assert FACTS[f"{model}.training_usd_by_epoch_amortised"].value == round(amortised)
    if cloud:
        assert FACTS[f"{model}.training_usd_by_epoch_cloud"].value == round(cloud)


def test_the_cloud_column_is_what_the_ai_index_printed_for_gpt_4_and_4_per_cent_more_for_gemini():
    # 78.56 against 78; 198.9 against 191
    assert FACTS["gpt_4.training_usd_by_epoch_cloud"].value // 10**6 == FACTS["gpt_4.training_usd"].value // 10**6 == 78
    gemini = FACTS["gemini_ultra.training_usd_by_epoch_cloud"].value / FACTS["gemini_ultra.training_usd"].value
    assert f"{gemini - 1:.0%}" == "4%"


def test_llama_405b_at_5_51_dollars_an_hour():
    # 169.83e6 / 30.84e6
    usd = FACTS["llama_3_1_405b.training_usd_by_epoch_cloud"].value
    assert f"{usd / FACTS['llama_3_1_405b.gpu_hours'].value:.2f}" == "5.51"
