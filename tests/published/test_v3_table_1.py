"""DeepSeek-V3 report (arXiv 2412.19437), section 1 and table 1: training costs, to the last printed digit."""

import pytest

from repro.calc import run_cost
from repro.facts import load

FACTS = load()
PRICE = FACTS["price.h800_v3_report"].value


@pytest.mark.parametrize(
    ("stage", "printed_hours", "printed_usd"),
    [
        ("pre_training", "2664K", "$5.328M"),
        ("context_extension", "119K", "$0.238M"),
        ("post_training", "5K", "$0.01M"),
        ("total", "2788K", "$5.576M"),
    ],
)
def test_each_column(stage, printed_hours, printed_usd):
    hours = FACTS[f"deepseek_v3.{stage}_gpu_hours"].value
    assert f"{hours / 1e3:.0f}K" == printed_hours
    decimals = len(printed_usd.strip("$M").split(".")[1])
    assert f"${run_cost.rental_usd(hours, PRICE) / 1e6:.{decimals}f}M" == printed_usd


def test_the_stages_add_up():
    stages = ("pre_training", "context_extension", "post_training")
    assert sum(FACTS[f"deepseek_v3.{stage}_gpu_hours"].value for stage in stages) == 2_788_000
    assert FACTS["deepseek_v3.total_usd"].value == 5_576_000


def test_rate_times_tokens_is_the_first_column():
    rate, tokens = (FACTS[f"deepseek_v3.{key}"].value for key in ("gpu_hours_per_trillion_tokens", "tokens"))
    assert run_cost.gpu_hours_from_rate(rate, tokens) == 2_664_000


def test_a_trillion_tokens_take_3_7_days_on_2048_gpus():
    rate, gpus = (FACTS[f"deepseek_v3.{key}"].value for key in ("gpu_hours_per_trillion_tokens", "gpus"))
    assert f"{run_cost.wall_days(rate, gpus):.1f}" == "3.7"
    assert FACTS["deepseek_v3.days_per_trillion_tokens"].value == 3.7


def test_pre_training_takes_less_than_two_months():
    assert run_cost.wall_days(2_664_000, 2048) < 2 * 28  # even of the shortest months
