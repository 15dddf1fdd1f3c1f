"""The price cuts of May 2024 that followed DeepSeek-V2, as the press listed them on 22 May 2024."""

import pytest

from repro.facts import load

FACTS = load()


@pytest.mark.parametrize(
    ("key", "yuan"),
    [("v2_input_cny", 1.0), ("doubao_pro_input_cny", 0.8), ("qwen_long_input_cny", 0.5)],
)
def test_input_prices_as_printed(key, yuan):
    assert FACTS[f"price.{key}"].value == yuan


def test_two_models_were_made_free():
    # ERNIE Speed and ERNIE Lite
    assert FACTS["price.free_models_2024"].value == 2


def test_v2s_price_in_yuan_is_its_price_in_dollars():
    # $0.14 for 1 yuan is 7.14 yuan a dollar; the central parity of May 2024 was 7.1
    assert FACTS["price.v2_input_cny"].value / FACTS["price.v2_input"].value == pytest.approx(7.1, rel=0.01)
