"""DeepSeek-V2 report (arXiv 2405.04434), section 3.2.3: GPU hours per trillion tokens, against DeepSeek 67B."""

from repro.calc import run_cost
from repro.facts import load

FACTS = load()
V2 = FACTS["deepseek_v2.gpu_hours_per_trillion_tokens"].value
DENSE = FACTS["deepseek_67b.gpu_hours_per_trillion_tokens"].value


def test_the_rates_as_printed():
    assert f"{V2 / 1e3:.1f}K" == "172.8K"
    assert f"{DENSE / 1e3:.1f}K" == "300.6K"


def test_42_5_per_cent_saved():
    # 1 - 172.8 / 300.6 = 0.42515
    assert f"{100 * (1 - V2 / DENSE):.1f}" == "42.5"


def test_the_whole_run_which_the_report_does_not_state():
    # 172,800 x 8.1 = 1,399,680
    assert run_cost.gpu_hours_from_rate(V2, FACTS["deepseek_v2.tokens"].value) == 1_399_680
