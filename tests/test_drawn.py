"""A figure's numbers are read from the drawing, and a committed picture that was changed is named."""

import base64
import copy
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from repro.lab import figures
from repro.lab.committed import FIGURE, METADATA, complaints
from repro.lab.drawn import MOST, figure_data
from repro.lab.prose import PROSE
from repro.lab.run import FIGURES, canonical

pytestmark = pytest.mark.usefixtures("plain_matplotlib")


def test_bars_lines_points_and_images_are_read_as_drawn():
    figure, (bars, lines, image) = plt.subplots(1, 3)
    bars.barh(["x", "y"], [1, 2.34567], label="cost")
    bars.set(xlabel="USD", title="T")
    lines.plot([1, 2], [3, 4.00049], label="one")
    lines.scatter([1], [7])
    lines.fill_between([1, 2], [0, 1], [2, 3])
    image.imshow([[1, 2], [3, np.nan]])
    image.annotate("here", (0, 0))
    first, second, third = figure_data(figure)["axes"]
    assert first["bars"] == [{"label": "cost", "boxes": [[0, -0.4, 1, 0.8], [0, 0.6, 2.346, 0.8]]}]
    assert (first["title"], first["x"], first["ticks"]) == ("T", "USD", [["x", "y"]])
    assert second["lines"] == [{"label": "one", "x": [1, 2], "y": [3, 4], "colour": "#1f77b4"}]
    assert second["points"] == [{"x": [1], "y": [7]}]
    assert second["areas"] == [{"count": 1, "boxes": [[1, 0, 2, 3]]}]
    assert third["images"] == [{"shape": [2, 2], "rows": [[1, 2], [3, "nan"]]}]
    assert third["texts"] == ["here"]


def test_a_changed_bar_changes_the_numbers_and_a_long_line_is_thinned_with_both_ends():
    figure, axes = plt.subplots()
    (bar,) = axes.bar([0], [1.0])
    before = figure_data(figure)
    bar.set_height(1.01)
    assert figure_data(figure) != before
    (line,) = axes.plot(np.arange(1000))
    xs = figure_data(figure)["axes"][0]["lines"][0]["x"]
    assert (len(xs), xs[0], xs[-1]) == (MOST, 0, 999)
    assert line is not None


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Return a notebook of one figure, as it is committed, its figure's files beside it in tmp_path."""
    shown = {}
    monkeypatch.setattr(figures, "display", lambda data, metadata, raw: shown.update(data=data, metadata=metadata))
    monkeypatch.setenv(FIGURES, str(tmp_path))
    figure, axes = plt.subplots()
    axes.bar([0, 1], [1.0, 2.0])
    figures.show_figure(figure, "one", "Two bars.")
    data = shown["data"] | {"image/png": base64.b64encode(shown["data"]["image/png"]).decode()}
    output = {"output_type": "display_data", "data": data, "metadata": shown["metadata"]}
    listed = {"output_type": "display_data", "data": {PROSE: {}}, "metadata": {}}
    cell = {"cell_type": "code", "source": "", "execution_count": 1, "metadata": {}, "outputs": [output, listed]}
    return {"cells": [cell], "metadata": copy.deepcopy(METADATA)}


def output_of(notebook):
    return notebook["cells"][0]["outputs"][0]


def other_picture():
    figure, axes = plt.subplots()
    axes.bar([0, 1], [2.0, 1.0])
    return figures._picture(figure, "png")


def test_what_was_drawn_is_accepted_and_its_text_stands_where_programs_look(notebook, tmp_path):
    import nbformat

    assert complaints(notebook, tmp_path) == []
    node = canonical(nbformat.from_dict(notebook | {"nbformat": 4, "nbformat_minor": 5}))
    assert node.cells[0].metadata == {"alt": "Two bars.", "mystnb": {"image": {"alt": "Two bars."}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda out, _: out["data"].pop("image/png"), "do not stand in one output"),
        (lambda out, _: out["data"].pop(FIGURE), "do not stand in one output"),
        (lambda out, _: out["data"].update({"image/png": base64.b64encode(other_picture()).decode()}),
         "figure one: the picture is not the one that was drawn"),
        (lambda out, _: out["metadata"].clear(), "figure one: the picture is not the one that was drawn"),
        (lambda out, _: out["metadata"]["image/png"].pop("alt"), "the text for those who cannot see it is missing"),
        (lambda out, _: out["data"][FIGURE]["axes"][0]["bars"][0]["boxes"][0].reverse(), "other numbers than"),
        (lambda _, folder: (folder / "one.png").write_bytes(other_picture()), "one.png is not the one"),
        (lambda _, folder: (folder / "one.svg").write_text("<svg/>"), "one.svg is not the one"),
        (lambda _, folder: (folder / "one.png").unlink(), "missing or damaged"),
        (lambda _, folder: (folder / "one.json").write_text("{"), "missing or damaged"),
    ],
)  # fmt: skip
def test_a_picture_that_was_changed_is_named(change, message, notebook, tmp_path):
    change(output_of(notebook), tmp_path)
    assert any(message in line for line in complaints(notebook, tmp_path))


def test_the_files_of_a_figure_say_what_it_shows(notebook, tmp_path):
    described = json.loads((tmp_path / "one.json").read_text())
    assert described["axes"][0]["bars"][0]["boxes"][1] == [0.6, 0.0, 0.8, 2.0]
    assert set(described["sha256"]) == {"svg", "png"}
