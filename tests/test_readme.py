"""What README states is what the commands print."""

import re
from pathlib import Path

import pytest

from repro.claims import count_verdicts, run_all

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SPELT = {
    "holds": "hold",
    "holds if": "hold under",
    "imprecise": "are imprecise",
    "wrong": "wrong",
    "context": "are context",
}


def test_the_tally_of_verdicts():
    sentence = " ".join(re.search(r"All 67 are audited: .*?\.", README, re.DOTALL).group().split())
    found = {
        word: int(number)
        for number, word in re.findall(r"(\d+) (hold under|hold|are imprecise|wrong|are context)", sentence)
    }
    assert found == {SPELT[verdict]: number for verdict, number in count_verdicts(run_all()).items()}


def rows():
    table = README[README.index("| | DeepSeek-V3 | Llama 3.1 405B |") :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize(("model", "column"), [("deepseek_v3", 1), ("llama_3_1_405b", 2)])
def test_the_table_of_two_models(repro, model, column):
    printed = repro("model", model).stdout
    seen = 0
    for row in rows():
        if row[0].startswith("of these feed-forward"):  # a sum of parts
            continue
        for figure in re.findall(r"\$?\d[\d,.]*\d[TMB%]?|\d\.?\d*[TMB%]", row[column]):
            assert figure in printed, (row[0], figure)
            seen += 1
    assert seen > 15


def test_every_notebook_is_listed():
    for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.name}" in README
