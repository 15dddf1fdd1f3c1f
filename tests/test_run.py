"""Runs through papermill: parameters drive the results, and a run is complete or not there."""

import nbformat
import pytest

from repro import FINDING
from repro.errors import InputError
from repro.lab import notebooks
from repro.lab.run import canonical, run_notebook, writable

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dear(tmp_path_factory):
    """Return notebook 02 run at another price, with its folder."""
    folder = tmp_path_factory.mktemp("runs")
    notebook = notebooks.read(notebooks.find(["02"])[0])
    return run_notebook(notebook, {"price_usd_per_gpu_hour": 3.57, "utilisation": 0.3}, folder, folder / "figures")


def findings_of(path):
    outputs = (output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", []))
    return {o["data"][FINDING]["id"]: o["data"][FINDING] for o in outputs if FINDING in o.get("data", {})}


def test_the_price_drives_dollars_and_verdicts(dear):
    at_two = findings_of(notebooks.find(["02"])[0])
    at_more = {finding["id"]: finding for finding in dear.findings}
    assert (at_two["A46"]["value"], at_two["A46"]["verdict"]) == (5_576_000, "holds")
    # 2,788,000 x 3.57 and 1,399,680 x 3.57, to six digits; A46 states its own rent
    assert (at_more["A46"]["value"], at_more["A46"]["verdict"]) == (5_576_000, "holds")
    assert (at_more["A08"]["value"], at_more["A08"]["verdict"]) == (9_953_160, "wrong")
    assert (at_more["B16"]["value"], at_more["B16"]["verdict"]) == (4_996_860, "mostly holds")
    assert at_two["B17"] == at_more["B17"]


def test_every_printed_dollar_follows_the_price(dear):
    text = dear.notebook.read_text()
    assert "$9.953M" in text
    assert "$7.129M" not in text  # a stage would cost this at another price
    cells = [cell.source for cell in nbformat.read(dear.notebook, 4).cells]
    assert any(source.startswith("# Parameters") and "3.57" in source for source in cells)


def test_figures_go_where_they_are_asked_to(dear):
    names = sorted(path.name for path in dear.figures)
    drawn = ("baselines", "cost-by-rent", "inside-the-sum", "whose-hours")
    assert names == [f"02-{name}.{end}" for name in drawn for end in ("json", "png", "svg")]
    assert all(path.stat().st_size > 1000 for path in dear.figures if path.suffix != ".json")


def test_nothing_else_is_left(dear):
    folder = dear.notebook.parent
    assert sorted(path.name for path in folder.iterdir()) == ["02_gpu_hours_to_dollars.ipynb", "figures"]


def test_a_run_has_no_times_paths_or_versions(dear):
    node = nbformat.read(dear.notebook, 4)
    assert node.metadata["papermill"] == {"parameters": {"price_usd_per_gpu_hour": 3.57}}
    assert node.metadata["language_info"] == {"name": "python"}
    known = {"tags", "jupyter", "alt", "mystnb"}
    assert all(set(cell.metadata) <= known for cell in node.cells)
    assert str(dear.notebook.parent) not in dear.notebook.read_text()


def test_the_same_run_twice_gives_the_same_bytes(dear, tmp_path):
    again = run_notebook(
        notebooks.read(notebooks.find(["02"])[0]), {"price_usd_per_gpu_hour": 3.57}, tmp_path, tmp_path
    )
    assert again.notebook.read_bytes() == dear.notebook.read_bytes()
    assert [path.read_bytes() for path in again.figures] == [path.read_bytes() for path in dear.figures]


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_cell_that_fails_is_named_and_leaves_nothing(tmp_path):
    source = write_notebook(tmp_path / "09_bad.ipynb", "x: float = 1.0  # m; > 0; length", "1 / (x - x)")
    with pytest.raises(InputError, match=r"^09_bad: cell \[2\] failed: ZeroDivisionError: float division by zero$"):
        run_notebook(notebooks.read(source), {}, tmp_path / "new" / "deep", tmp_path / "new" / "figures")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["09_bad.ipynb"]


def test_a_failed_run_keeps_the_one_before(tmp_path):
    source = write_notebook(tmp_path / "09_bad.ipynb", "x: float = 1.0  # m; > 0; length", "1 / x")
    kept = run_notebook(notebooks.read(source), {}, tmp_path / "out", tmp_path / "out").notebook
    before = kept.read_bytes()
    write_notebook(source, "x: float = 1.0  # m; > 0; length", "1 / (x - x)")
    with pytest.raises(InputError):
        run_notebook(notebooks.read(source), {}, tmp_path / "out", tmp_path / "out")
    assert kept.read_bytes() == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["09_bad.ipynb"]


@pytest.mark.parametrize("where", ["file/out", "file"])
def test_a_folder_that_cannot_be_written_is_one_line(refuses, tmp_path, where):
    (tmp_path / "file").write_text("not a folder")
    assert refuses("run", "02", "-o", tmp_path / where).startswith("cannot write to ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_made_for_nothing_is_taken_away(tmp_path):
    def fail():
        with writable(tmp_path / "a" / "b", tmp_path / "c"):
            assert (tmp_path / "a" / "b").is_dir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    ["x: float = 1.0", "x: float = 1.0  # metres", "x: float = 1  # m; > 0; length", "x: float = y  # m; > 0; l"],
)
def test_a_parameter_line_that_says_too_little_is_refused(tmp_path, line):
    with pytest.raises(InputError, match=r"09_bad.ipynb: x: "):
        notebooks.read(write_notebook(tmp_path / "09_bad.ipynb", line))


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "09_bad.ipynb").write_text("{}")
    with pytest.raises(InputError, match=r"09_bad.ipynb: is not a notebook"):
        notebooks.read(tmp_path / "09_bad.ipynb")


def test_canonical_keeps_tags_and_outputs():
    cell = nbformat.v4.new_code_cell("1", metadata={"tags": ["parameters"], "papermill": {"duration": 1}})
    node = canonical(nbformat.v4.new_notebook(cells=[cell], metadata={"papermill": {"input_path": "/elsewhere/x"}}))
    assert node.cells[0].metadata == {"tags": ["parameters"]}
    assert "papermill" not in node.metadata
