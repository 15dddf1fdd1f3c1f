"""List prices per million tokens, typed again from the lists, and rents of GPUs.

DeepSeek-V2's repository, figures/model_price.png; GenerativeAI-Cost, README of 10 June 2024; prices of LiteLLM in its
entries for Groq and Mistral: all read on 27 November 2026. LiteLLM's entry for Mixtral 8x7B at Perplexity was not, and
is held to its ratio alone.
"""

import pytest

from repro.facts import load

PRICES = {fact.key.removeprefix("price."): fact.value for fact in load().under("price")}


@pytest.mark.parametrize(
    ("model", "read", "written"),
    [
        ("v2", 0.14, 0.28),
        ("gpt_4_turbo", 10.00, 30.00),
        ("gpt_4", 30.00, 60.00),
        ("gemini_1_5_pro", 7.00, 21.00),
        ("claude_3_opus", 15.00, 75.00),
        ("claude_3_sonnet", 3.00, 15.00),
        ("claude_3_haiku", 0.25, 1.25),
        ("abab_6_5", 4.14, 4.14),
        ("abab_6_5s", 1.38, 1.38),
        ("ernie_4", 16.56, 16.56),
        ("glm_4", 13.80, 13.80),
        ("moonshot_v1", 3.32, 3.32),
        ("qwen_1_5_72b", 2.76, 2.76),
        ("mixtral_8x22b", 2.00, 6.00),
    ],
)
def test_the_picture_in_v2s_readme(model, read, written):
    assert (PRICES[f"{model}_input"], PRICES[f"{model}_output"]) == (read, written)


@pytest.mark.parametrize(
    ("model", "read", "written"),
    [
        ("gpt_4o", 5.00, 15.00),
        ("gpt_3_5_turbo", 0.50, 1.50),
        ("llama_3_70b", 0.59, 0.79),
        ("llama_3_8b", 0.10, 0.10),
        ("gemma_7b", 0.10, 0.10),
        ("mistral_large", 8.00, 24.00),
    ],
)
def test_lists_of_others_of_may_and_june_2024(model, read, written):
    assert (PRICES[f"{model}_input"], PRICES[f"{model}_output"]) == (read, written)


def test_mixtral_8x7b_costs_four_times_as_much_to_write_as_to_read():
    assert PRICES["mixtral_8x7b_output"] == 4 * PRICES["mixtral_8x7b_input"]


def test_the_rent_of_an_h800_is_the_same_on_both_days():
    # Epoch AI, "Hardware prices.csv": CR8DL, 24 August 2024 and 3 March 2025
    assert PRICES["h800_cr8dl"] == 3.42
