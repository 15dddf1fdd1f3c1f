"""The committed notebooks: whole, runnable anywhere, in step with the audits, and safe for a browser."""

import json
import re

import nbformat
import pytest

from repro import FINDING
from repro.claims import load_register
from repro.claims.assumptions import ASSUMPTIONS
from repro.claims.audit import AUDITS
from repro.facts import load
from repro.lab import notebooks
from repro.lab.committed import complaints
from repro.lab.prose import PROSE
from repro.lab.run import HIDDEN
from scripts.reading import load_of
from scripts.stale_outputs import FIGURES, main

PATHS = notebooks.find([])
FORBIDDEN = re.compile(r"/(home|root|work|tmp|usr|var)/|0x[0-9a-f]{6,}|\d{4}-\d\d-\d\dT\d\d:|\bUserWarning\b")


def named(paths):
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


def code(node):
    return [cell for cell in node.cells if cell.cell_type == "code"]


def hidden(cell):
    return HIDDEN in cell.metadata.get("tags", [])


def shows(cell, mimetype):
    return any(mimetype in output.get("data", {}) for output in cell.get("outputs", []))


def tagged(node):
    return [cell for cell in code(node) if "parameters" in cell.metadata.get("tags", [])]


@named(PATHS)
def test_outputs_are_those_of_one_run_from_top_to_bottom(path):
    nbformat.validate(nbformat.read(path, 4))
    assert complaints(json.loads(path.read_text()), FIGURES) == []


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
    assert any(message in line for line in capsys.readouterr().err.splitlines())


@named(PATHS)
def test_one_parameters_cell_that_derives_nothing_and_imports_come_before_it(path):
    node = nbformat.read(path, 4)
    (parameters,) = tagged(node)
    for line in parameters.source.splitlines():
        assert re.fullmatch(r"\w+: (float|int|str|bool) = \S+  # [^;]+; [^;]+; .+", line), line
    first, *between = code(node)[: code(node).index(parameters)]
    assert first.source.startswith(("import ", "from "))
    assert all(HIDDEN in cell.metadata.get("tags", []) for cell in between)  # a picture above the answer


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
def test_no_dollar_in_prose_that_a_browser_takes_for_a_formula(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            assert "$" not in re.sub(r"\$\$.*?\$\$", "", cell.source, flags=re.DOTALL), cell.source
        for output in cell.get("outputs", []):
            html = str(output.get("data", {}).get("text/html", ""))
            assert html.count("$") == html.count("<span>$</span>")


def test_every_audit_is_argued_in_the_notebook_that_it_names():
    for claim_id, audit in AUDITS.items():
        (path,) = notebooks.find([audit.notebook])
        assert f'"{claim_id}"' in path.read_text().replace("\\", ""), claim_id


def test_the_scoreboard_lists_every_claim_once():
    (path,) = notebooks.find(["00"])
    listed = [
        claim
        for cell in code(nbformat.read(path, 4))
        if "scoreboard(" in cell.source
        for output in cell.outputs
        for claim in re.findall(r"<tr><td [^>]*>([AB]\d\d)</td>", output["data"]["text/html"])
    ]
    assert sorted(listed) == sorted(claim.id for claim in load_register().claims)


HEADINGS = ["## The answer", "## Assumptions", "## What would change the answer", "## What to remember", "## Try it"]


@named(PATHS)
def test_a_reader_finds_the_same_places_in_every_notebook(path):
    node = nbformat.read(path, 4)
    top = node.cells[0].source
    assert re.search(r"\*\*For\*\* .+ · \*\*\d+ minutes\*\* · \*\*Know first\*\* .+", top.replace("\n", " ")), top
    text = "\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")
    places = [text.find(heading) for heading in HEADINGS]
    assert -1 not in places, HEADINGS[places.index(-1)]
    assert places == sorted(places)
    assert len(re.findall(r"(?m)^- ", text.split("## What to remember")[1].split("## ")[0])) == 3
    assert shows(code(node)[-1], PROSE)


@named(PATHS)
def test_a_notebook_is_read_in_twenty_minutes(path):
    load = load_of(path)
    assert load.cells <= 30
    assert load.lines <= 60
    assert load.minutes <= 20
    stated = int(re.search(r"\*\*(\d+) minutes\*\*", nbformat.read(path, 4).cells[0].source).group(1))
    assert stated - 3 <= load.minutes <= stated + 1, load.minutes


@named(PATHS)
def test_what_only_draws_is_hidden_and_what_is_in_view_is_short(path):
    for cell in code(nbformat.read(path, 4)):
        drawn = shows(cell, "image/png")
        needed = drawn or cell.source.startswith(("import ", "from ")) or shows(cell, PROSE)
        allowed = needed or not cell.outputs or "explore(" in cell.source
        assert hidden(cell) if needed else allowed or not hidden(cell), cell.source
        assert drawn == ("show_figure(" in cell.source), cell.source
        if not hidden(cell):
            assert len(cell.source.splitlines()) <= 14, cell.source
        for function in re.findall(r"(?m)^def .*(?:\n(?:[ \t].*|))*", cell.source):
            assert len(function.strip().splitlines()) <= 10, function


@named(PATHS)
def test_tables_in_view_are_small(path):
    for cell in code(nbformat.read(path, 4)):
        for output in cell.outputs:
            html = str(output.get("data", {}).get("text/html", ""))
            html = re.sub(r"<details>.*?</details>", "", html, flags=re.DOTALL)
            for table in re.findall(r"<table>.*?</table>", html, flags=re.DOTALL):
                rows = table.count("<tr>") - 1
                assert rows <= 10, cell.source
                assert table.count("<th ") <= 6, cell.source


def test_a_claim_is_shown_as_a_card_once():
    cards = [
        output["data"]["text/plain"].split()[0]
        for path in PATHS
        for cell in code(nbformat.read(path, 4))
        for output in cell.outputs
        if FINDING in output.get("data", {}) and "<details>" in output["data"]["text/html"]
    ]
    assert len(cards) == len(set(cards))
