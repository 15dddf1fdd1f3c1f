"""DeepSeek-V3/R1 inference system overview (open-infra-index, day 6): the statistics of one day."""

import pytest

from repro.calc import run_cost
from repro.calc.rounding import within_place
from repro.facts import load

FACTS = load()
DAY = {fact.key.split(".")[1]: fact.value for fact in FACTS.under("inference_day")}
SECONDS = DAY["hours"] * 3600
PRICES = [FACTS[f"price.r1_{kind}"].value for kind in ("input_cached", "input", "output")]


def revenue(cached, read, written):
    tokens = (cached, read - cached, written)
    return sum(count / 1e6 * price for count, price in zip(tokens, PRICES, strict=True))


PRINTED = revenue(DAY["cached_input_tokens"], DAY["input_tokens"], DAY["output_tokens"])


def test_87_072_dollars_of_rent():
    # 226.75 x 8 x 24 = 43,536 GPU hours at 2 dollars
    gpu_hours = DAY["nodes"] * DAY["gpus_per_node"] * DAY["hours"]
    assert run_cost.rental_usd(gpu_hours, 2) == DAY["cost_usd"] == 87_072


def test_the_prices_as_printed():
    assert PRICES == [0.14, 0.55, 2.19]


def test_the_printed_tokens_bring_562_100_dollars_and_not_562_027():
    # 342,000 x 0.14 = 47,880; 266,000 x 0.55 = 146,300; 168,000 x 2.19 = 367,920
    assert pytest.approx(562_100) == PRINTED
    assert DAY["revenue_usd"] == 562_027


def test_562_027_dollars_lie_within_the_rounding_of_the_tokens():
    # each count is printed to a billion, so up to half of one off: 1095 dollars of output alone
    half = 0.5e9
    low, high = (
        revenue(
            DAY["cached_input_tokens"] - side * half,
            DAY["input_tokens"] + side * half,
            DAY["output_tokens"] + side * half,
        )
        for side in (-1, 1)
    )
    assert low < DAY["revenue_usd"] < high
    assert (low, high) == pytest.approx((562_100 - 1_575, 562_100 + 1_575))


def test_545_per_cent_follow_from_the_printed_dollars_and_546_from_the_printed_tokens():
    # 474,955 / 87,072 = 5.4547; 475,028 / 87,072 = 5.4556
    assert f"{DAY['revenue_usd'] / DAY['cost_usd'] - 1:.0%}" == "545%"
    assert f"{PRINTED / DAY['cost_usd'] - 1:.0%}" == "546%"
    assert DAY["margin"] == 5.45


def test_56_3_per_cent_from_the_cache_is_a_tie():
    # 342 / 608 = 56.25%
    share = 100 * DAY["cached_input_tokens"] / DAY["input_tokens"]
    assert share == 56.25
    assert within_place(share, 56.3, 0.1)


def test_a_mean_over_all_nodes_is_31_0k_and_8_6k_and_not_the_printed_rates():
    # 608e9 / 226.75 / 86,400 and 168e9 / 226.75 / 86,400
    means = [DAY[f"{way}_tokens"] / DAY["nodes"] / SECONDS for way in ("input", "output")]
    assert [f"{mean / 1e3:.1f}k" for mean in means] == ["31.0k", "8.6k"]
    assert [DAY[f"{way}_tokens_per_node_s"] for way in ("input", "output")] == [73.7e3, 14.8e3]


def test_the_printed_rates_are_of_95_nodes_that_read_and_131_that_write_all_nodes_of_the_day():
    # 608e9 / 86,400 / 73,700 = 95.48; 168e9 / 86,400 / 14,800 = 131.38; together 226.86 of 226.75
    read, written = (DAY[f"{way}_tokens"] / SECONDS / DAY[f"{way}_tokens_per_node_s"] for way in ("input", "output"))
    assert (read, written) == pytest.approx((95.48, 131.38), abs=5e-3)
    assert read + written == pytest.approx(DAY["nodes"], rel=1e-3)
    means = [
        DAY[f"{way}_tokens"] / nodes / SECONDS for way, nodes in (("input", read), ("output", DAY["nodes"] - read))
    ]
    assert [f"{mean / 1e3:.1f}k" for mean in means] == ["73.7k", "14.8k"]
