"""What the README and the page of commands state is what the commands print."""

import re
from collections import Counter
from pathlib import Path

import pytest

from repro.claims import count_verdicts, load_register, run_all
from repro.lab import notebooks
from scripts.reading import PATHS, load_of, path_load

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = (Path(__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")
SPELT = {
    "holds": "hold",
    "mostly holds": "mostly hold",
    "misleading": "are misleading",
    "imprecise": "imprecise",
    "wrong": "wrong",
    "not settled": "are not settled",
    "context": "are context",
}


def line_of(position):
    return f"README.md line {README.count(chr(10), 0, position) + 1}"


def test_the_tally_of_verdicts():
    sentence = re.search(r"All (\d+) are audited: .*?\.", README, re.DOTALL)
    counts = count_verdicts(run_all())
    stated = {
        verdict: int(number[1])
        for verdict, words in SPELT.items()
        if (number := re.search(rf"(\d+) {words}\b", " ".join(sentence[0].split())))
    }
    assert stated == counts, f"{line_of(sentence.start())}: the audits give {counts}"
    assert int(sentence[1]) == sum(counts.values()), line_of(sentence.start())


def test_every_number_of_claims_is_the_registers():
    claims = load_register().claims
    numbers = {len(claims), *Counter(claim.document for claim in claims).values()}
    for match in re.finditer(r"(\d+) claims\b", README):
        assert int(match[1]) in numbers, f"{line_of(match.start())}: {match[0]}; the register has {sorted(numbers)}"


def test_each_finding_has_the_verdict_that_is_computed():
    verdicts = {result.claim.id: str(result.verdict) for result in run_all()}
    table = README[README.index("| claim | verdict | why |") :].split("\n\n")[0]
    found = re.findall(r"\(([AB]\d\d)\) \| ([a-z ]+) \|", table)
    assert len(found) == 8
    assert dict(found) == {claim: verdicts[claim] for claim, _ in found}


def test_it_is_read_in_five_minutes():
    words = [word for word in re.sub(r"\]\([^)]*\)", "]", README).split() if re.search(r"\w", word)]
    assert len(words) <= 950


def test_the_paths_are_as_long_as_it_says():
    for name, path in PATHS.items():
        (words,) = re.findall(rf"\*\*{name.capitalize()}\*\* \(([\d,]+) words\)", README)
        load = path_load(path)
        assert abs(load.words - int(words.replace(",", ""))) <= 100, (name, load.words)
        assert load.minutes <= {"half an hour": 30, "an hour": 60}[name]
    (everything,) = re.findall(r"\*\*Everything\*\*: ([\d,]+) words", README)
    total = sum(load_of(path).words for path in notebooks.find([]))
    assert abs(total - int(everything.replace(",", ""))) <= 500, total


def rows():
    table = COMMANDS[COMMANDS.index("| | DeepSeek-V3 | Llama 3.1 405B |") :].split("\n\n")[0]
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
