"""Tables of scores in DeepSeek's papers, DeepSeekMoE to R1 (arXiv 2401.06066 to 2501.12948), against their prints."""

import pytest

from repro.facts import load

FACTS = load()
TABLES = {key.split(".")[1]: entry.content for key, entry in FACTS.published.items() if key.startswith("scores.")}
NO_PERCENTAGE = {"Rating": (0, 4000), "BPB": (0, 8)}  # of Elo's kind; bits per byte


def scores(row):
    return {model: text for model, text in row.items() if model not in ("area", "benchmark", "metric")}


@pytest.mark.parametrize(
    ("table", "rows", "models", "blank"),
    [
        ("v3_table_4", 10, 4, 0),
        ("v3_table_5", 10, 4, 0),
        ("v3_table_6", 22, 7, 2),  # SWE Verified and Aider-Polyglot of V2
        ("v3_table_7", 2, 6, 0),
        ("r1_table_4", 21, 6, 10),  # of o1-1217, whose scores are OpenAI's own
        ("v2_table_8", 4, 3, 0),
        ("v2_table_9", 4, 4, 0),
        ("deepseekmoe_figure_3", 6, 4, 0),
    ],
)
def test_rows_models_and_blanks(table, rows, models, blank):
    content = TABLES[table]
    assert len(content) == rows
    assert {len(scores(row)) for row in content} == {models}
    assert sum(text == "-" for row in content for text in scores(row).values()) == blank


def test_every_table_is_tested():
    v2, v3 = {"v2_table_8", "v2_table_9"}, {"v3_table_4", "v3_table_5", "v3_table_6", "v3_table_7"}
    assert set(TABLES) == v2 | v3 | {"r1_table_4", "deepseekmoe_figure_3"}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_benchmark_and_metric_stand_once(table):
    rows = [(row["benchmark"], row["metric"]) for row in TABLES[table]]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("table", sorted(TABLES))
def test_scores_are_numbers_on_the_scale_of_their_metric(table):
    for row in TABLES[table]:
        low, high = NO_PERCENTAGE.get(row["metric"], (0, 100))
        for model, text in scores(row).items():
            assert text == "-" or low < float(text) < high, (row["benchmark"], model)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_percentages_have_one_decimal_as_printed(table):
    for row in TABLES[table]:
        if row["metric"] not in NO_PERCENTAGE:
            assert all(text == "-" or len(text.split(".")[1]) == 1 for text in scores(row).values()), row["benchmark"]


@pytest.mark.parametrize(
    ("table", "benchmark", "metric", "model", "printed"),
    [
        ("v3_table_4", "Pile-test", "BPB", "Large MoE w/ MTP", "0.657"),
        ("v3_table_4", "HumanEval", "Pass@1", "Large MoE Baseline", "44.5"),
        ("v3_table_4", "MMLU", "EM", "Large MoE w/ MTP", "66.6"),
        ("v3_table_4", "GSM8K", "EM", "Small MoE w/ MTP", "31.4"),
        ("v3_table_5", "Pile-test", "BPB", "Small MoE Aux-Loss-Based", "0.727"),
        ("v3_table_5", "MMLU", "EM", "Large MoE Aux-Loss-Free", "67.2"),
        ("v3_table_5", "MBPP", "Pass@1", "Small MoE Aux-Loss-Free", "35.8"),
        ("v3_table_6", "MMLU", "EM", "DeepSeek-V3", "88.5"),
        ("v3_table_6", "GPQA-Diamond", "Pass@1", "Claude-3.5-Sonnet-1022", "65.0"),
        ("v3_table_6", "SWE Verified", "Resolved", "DeepSeek-V2-0506", "-"),
        ("v3_table_6", "LiveCodeBench", "Pass@1-COT", "DeepSeek-V3", "40.5"),
        ("v3_table_6", "LiveCodeBench", "Pass@1", "GPT-4o-0513", "34.2"),
        ("v3_table_6", "MATH-500", "EM", "Qwen2.5-72B-Inst.", "80.0"),
        ("v3_table_6", "C-Eval", "EM", "LLaMA-3.1-405B-Inst.", "61.5"),
        ("v3_table_7", "Arena-Hard", "win rate", "DeepSeek-V3", "85.5"),
        ("v3_table_7", "AlpacaEval 2.0", "length-controlled win rate", "LLaMA-3.1 405B", "40.5"),
        ("v2_table_8", "MMLU", "Acc.", "Dense 7B w/ MHA", "45.2"),
        ("v2_table_8", "BBH", "EM", "Dense 7B w/ MQA", "33.2"),
        ("v2_table_9", "C-Eval", "Acc.", "Small MoE w/ MLA", "50.9"),
        ("v2_table_9", "BBH", "EM", "Large MoE w/ MLA", "50.7"),
        ("deepseekmoe_figure_3", "HellaSwag", "Acc.", "1 shared and 7 of 63", "54.8"),
        ("r1_table_4", "AIME 2024", "Pass@1", "DeepSeek-R1", "79.8"),
        ("r1_table_4", "MATH-500", "Pass@1", "OpenAI-o1-1217", "96.4"),
        ("r1_table_4", "Codeforces", "Rating", "DeepSeek-R1", "2029"),
        ("r1_table_4", "Codeforces", "Percentile", "OpenAI-o1-mini", "93.4"),
        ("r1_table_4", "SimpleQA", "Correct", "GPT-4o-0513", "38.2"),
        ("r1_table_4", "IF-Eval", "Prompt Strict", "OpenAI-o1-1217", "-"),
        ("r1_table_4", "Aider-Polyglot", "Acc.", "OpenAI-o1-1217", "61.7"),
    ],
)
def test_a_score_as_printed(table, benchmark, metric, model, printed):
    (row,) = [row for row in TABLES[table] if (row["benchmark"], row["metric"]) == (benchmark, metric)]
    assert row[model] == printed


def test_both_reports_give_the_models_they_share_the_same_scores_but_on_three_benchmarks():
    again = {(row["benchmark"], row["metric"]): row for row in TABLES["r1_table_4"]}
    shared = [row for row in TABLES["v3_table_6"] if (row["benchmark"], row["metric"]) in again]
    moved = {
        row["benchmark"]
        for row in shared
        for model in ("DeepSeek-V3", "GPT-4o-0513", "Claude-3.5-Sonnet-1022")
        if again[row["benchmark"], row["metric"]][model] != row[model]
    }
    assert len(shared) == 16
    assert moved == {"LiveCodeBench", "Codeforces", "C-SimpleQA"}  # such as V3's 40.5, 51.6 and 64.8: 36.2, 58.7, 68.0
