"""The committed notebooks: whole, runnable anywhere, in step with the audits, and safe for a browser."""

import json
import re

import nbformat
import pytest

from repro.claims import load_register
from repro.claims.assumptions import ASSUMPTIONS
from repro.claims.audit import AUDITS
from repro.facts import load
from repro.lab import notebooks
from scripts.stale_outputs import complaints, main

PATHS = notebooks.find([])
FORBIDDEN = re.compile(r"/(home|root|work|tmp|usr|var)/|0x[0-9a-f]{6,}|\d{4}-\d\d-\d\dT\d\d:|\bUserWarning\b")


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def code(node):
    return [cell for cell in node.cells if cell.cell_type == "code"]


def tagged(node):
    return [cell for cell in code(node) if "parameters" in cell.metadata.get("tags", [])]


@named(PATHS)
def test_outputs_are_those_of_one_run_from_top_to_bottom(path):
    nbformat.validate(nbformat.read(path, 4))
    assert complaints(json.loads(path.read_text())) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cells: cells[2].update(execution_count=7), "not run once each"),
        (lambda cells: [cell.update(outputs=[]) for cell in cells], "have no output"),
        (lambda cells: cells[1]["outputs"].append({"output_type": "error"}), "ended in an error"),
    ],
)
def test_stale_outputs_are_refused(change, message, tmp_path, capsys):
    notebook = json.loads(PATHS[0].read_text())
    change([cell for cell in notebook["cells"] if cell["cell_type"] == "code"])
    path = tmp_path / "stale.ipynb"
    path.write_text(json.dumps(notebook))
    assert main([str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@named(PATHS)
def test_one_parameters_cell_that_derives_nothing_and_imports_come_before_it(path):
    node = nbformat.read(path, 4)
    (parameters,) = tagged(node)
    for line in parameters.source.splitlines():
        assert re.fullmatch(r"\w+: (float|int|str|bool) = \S+  # [^;]+; [^;]+; .+", line), line
    assert code(node)[0].source.startswith(("import ", "from "))
    assert code(node)[1] is parameters


@named(PATHS)
def test_parameters_are_the_assumptions_of_the_audits_or_of_experiments(path):
    facts = load()
    for name, parameter in notebooks.read(path).parameters.items():
        if name not in ASSUMPTIONS and path.stem >= "09":  # where models are built and trained
            continue
        expected = ASSUMPTIONS[name].user_input(facts)
        assert parameter.default == expected.default, name
        assert parameter.type == expected.type, name
        assert parameter.domain == expected.domain, name


@named(PATHS)
def test_every_parameter_is_used_below(path):
    below = "\n".join(cell.source for cell in code(nbformat.read(path, 4))[2:])
    for name in notebooks.read(path).parameters:
        assert re.search(rf"\b{name}\b", below), name


@named(PATHS)
def test_outputs_name_no_machine_and_no_moment(path):
    for cell in code(nbformat.read(path, 4)):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            data = {**output.get("data", {}), "stream": output.get("text", "")}
            for kind, text in data.items():
                if not kind.startswith("image/"):
                    assert not FORBIDDEN.search(str(text)), (kind, FORBIDDEN.search(str(text)))


@named(PATHS)
def test_no_cell_asks_to_be_ignored_and_none_ends_in_a_semicolon(path):
    for cell in code(nbformat.read(path, 4)):
        assert "nbval" not in str(cell.metadata).lower()
        assert "NBVAL" not in cell.source
        assert not cell.source.rstrip().endswith(";")


@named(PATHS)
def test_beside_each_figure_stands_its_data_as_numbers(path):
    cells = code(nbformat.read(path, 4))
    readers = ("bar_lengths(", "stack_lengths(", "get_ydata()", "line_heights(", "get_array()")
    readers += ("tile_verdicts(", "gantt_bars(")
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert "save(figure, " in cell.source
            assert any(reader in after.source for reader in readers)
            assert after.outputs


@named(PATHS)
def test_no_dollar_in_prose_that_a_browser_takes_for_a_formula(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            assert "$" not in re.sub(r"\$\$.*?\$\$", "", cell.source, flags=re.DOTALL), cell.source
        for output in cell.get("outputs", []):
            html = str(output.get("data", {}).get("text/html", ""))
            assert html.count("$") == html.count("<span>$</span>")


@named(PATHS)
def test_cells_are_short_and_prose_lines_too(path):
    node = nbformat.read(path, 4)
    lengths = sorted(len(cell.source.splitlines()) for cell in code(node))
    assert lengths[len(lengths) // 2] <= 9
    assert lengths[-1] <= 20
    assert "def " not in "".join(cell.source for cell in code(node))


def test_every_audit_is_argued_in_the_notebook_that_it_names():
    for claim_id, audit in AUDITS.items():
        (path,) = notebooks.find([audit.notebook])
        assert f'"{claim_id}"' in path.read_text().replace("\\", ""), claim_id


def test_the_scoreboard_lists_every_claim():
    (path,) = notebooks.find(["00"])
    tables = [
        output["data"]["text/html"]
        for cell in code(nbformat.read(path, 4))
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    assert max(table.count("<tr>") for table in tables) == 1 + len(load_register().claims)
