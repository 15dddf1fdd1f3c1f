"""From a claim to its code, its tests and its cells: what the trace prints is there when one opens it."""

import ast
import json
import re
from pathlib import Path

import pytest

from repro.claims import load_register
from repro.claims.audit import AUDITS
from repro.claims.locate import _tests_of_line, audit_location, cells_showing, guarding_tests

ROOT = Path(__file__).parents[1]
CLAIMS = [claim.id for claim in load_register().claims]


def line_at(location):
    path, number = location.split()[0].split(":")
    return (ROOT / path).read_text(encoding="utf-8").splitlines()[int(number) - 1]


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_code_is_where_it_says(claim):
    assert f'@audit("{claim}"' in line_at(audit_location(claim))


@pytest.mark.parametrize("claim", CLAIMS)
def test_some_test_names_each_claim_on_the_line_that_is_said(claim):
    found = guarding_tests(claim)
    assert found
    assert all(claim in line_at(location) for location in found)
    assert any("test_value_and_verdict" in location for location in found)


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_notebook_that_argues_a_claim_has_a_cell_that_shows_it(claim):
    cells = cells_showing(claim)
    assert any(AUDITS[claim].notebook in cell for cell in cells)
    for cell in cells:
        path, count = re.fullmatch(r"(\S+) In \[(\d+)\]", cell).groups()
        notebook = json.loads((ROOT / path).read_text(encoding="utf-8"))
        (shown,) = [one for one in notebook["cells"] if one.get("execution_count") == int(count)]
        assert claim in json.dumps(shown)


def test_a_line_belongs_to_its_function_or_to_the_tests_that_read_its_table():
    table = "TABLE = [\n    'A01',\n]\n"
    decorated = "@decorated('A02')\ndef test_one():\n    TABLE\n"
    other = "def test_two():\n    pass\n"
    tree = ast.parse(f"{table}\n\n{decorated}\n\n{other}")
    assert _tests_of_line(tree, 2) == ["test_one"]
    assert _tests_of_line(tree, 6) == ["test_one"]
    assert _tests_of_line(tree, 12) == ["test_two"]
