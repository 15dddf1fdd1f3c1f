"""Model cards of Llama 4 Maverick (table of training time) and gpt-oss-120b; a word on Claude 3.5 Sonnet."""

import pytest

from repro.facts import load

FACTS = load()


@pytest.mark.parametrize(
    ("key", "printed"),
    [
        ("llama_4_maverick.gpu_hours", 2.38e6),
        ("llama_4_maverick.tokens", 22e12),
        ("llama_4_maverick.active_parameters", 17e9),
        ("gpt_oss_120b.gpu_hours", 2.1e6),
        ("claude_3_5_sonnet.training_usd", 3 * 10e6),  # "a few $10M's", a few taken as three
        ("deepseek_v4.year", 2026),
    ],
)
def test_as_printed(key, printed):
    assert FACTS[key].value == printed


def test_maverick_took_108k_hours_per_trillion_tokens_and_262_tflop_a_second():
    # 2.38e6 / 22 = 108.2e3; 6 x 17e9 x 22e12 / (2.38e6 x 3600) = 261.9e12
    maverick = {fact.key.split(".")[1]: fact.value for fact in FACTS.under("llama_4_maverick")}
    assert f"{maverick['gpu_hours'] / maverick['tokens'] * 1e12 / 1e3:.1f}K" == "108.2K"
    rate = 6 * maverick["active_parameters"] * maverick["tokens"] / (maverick["gpu_hours"] * 3600)
    assert f"{rate / 1e12:.1f}" == "261.9"


def test_v3_took_more_hours_than_either():
    assert FACTS["deepseek_v3.total_gpu_hours"].value > FACTS["llama_4_maverick.gpu_hours"].value
    assert FACTS["llama_4_maverick.gpu_hours"].value > FACTS["gpt_oss_120b.gpu_hours"].value
