"""Aider's own polyglot leaderboard (polyglot_leaderboard.yml) against table 6 of the DeepSeek-V3 report."""

import pytest

from repro.facts import load

FACTS = load()
TASKS = 225
REPORT = next(row for row in FACTS.published["scores.v3_table_6"].content if row["benchmark"] == "Aider-Polyglot")


@pytest.mark.parametrize(
    ("key", "passed", "printed", "column", "in_report"),
    [
        ("claude_3_5_sonnet", 116, 51.6, "Claude-3.5-Sonnet-1022", 45.3),
        ("deepseek_v3", 109, 48.4, "DeepSeek-V3", 49.6),
    ],
)
def test_passed_of_225_tasks(key, passed, printed, column, in_report):
    # 116 / 225 = 51.56%, 109 / 225 = 48.44%
    assert f"{100 * passed / TASKS:.1f}" == str(printed)
    assert FACTS[f"aider.{key}_percent"].value == printed
    assert float(REPORT[column]) == in_report


def test_the_leaderboard_has_claude_3_2_ahead_where_the_report_has_v3_4_3_ahead():
    ours = FACTS["aider.deepseek_v3_percent"].value - FACTS["aider.claude_3_5_sonnet_percent"].value
    assert ours == pytest.approx(-3.2)
    assert float(REPORT["DeepSeek-V3"]) - float(REPORT["Claude-3.5-Sonnet-1022"]) == pytest.approx(4.3)
