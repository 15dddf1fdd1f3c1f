"""Figures: the data they show, their labels and units, and files equal from run to run."""

import json
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from repro.claims import count_verdicts, load_register, run_all
from repro.lab.committed import FIGURE
from repro.lab.figures import (
    VERDICT_COLOURS,
    draw_verdicts,
    label_bars,
    plain_ticks,
    show_figure,
)
from repro.lab.notebooks import folder
from repro.lab.run import FIGURES

COMMITTED = folder().parent / "figures"


pytestmark = pytest.mark.usefixtures("plain_matplotlib")


def tiles_of(figure):
    (axes,) = figure.axes
    return {tile.get_gid(): tile for tile in axes.patches}, {text.get_text(): text for text in axes.texts}


def test_a_tile_for_every_claim_in_the_colour_of_its_verdict_under_its_topic():
    results = run_all()
    figure = draw_verdicts(results)
    tiles, texts = tiles_of(figure)
    assert set(tiles) == {result.claim.id for result in results}
    register, rows = load_register(), {}
    for result in results:
        tile = tiles[result.claim.id]
        assert to_hex(tile.get_facecolor()) == to_hex(VERDICT_COLOURS[str(result.verdict)])
        x, y = tile.get_xy()
        assert texts[result.claim.label].get_position() == pytest.approx((x + 0.48, y + 0.42))
        rows.setdefault(register.topic(result.claim), []).append(y)
    bounds = [(texts[topic].get_position()[1] - 0.42, min(ys), max(ys)) for topic, ys in rows.items()]
    assert all(name == pytest.approx(first) for name, first, _ in bounds)
    ordered = sorted(bounds)
    assert all(last < following for (_, _, last), (_, following, _) in pairwise(ordered))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [f"{count} {verdict}" for verdict, count in count_verdicts(results).items()]


def test_labels_fit_into_their_tiles():
    figure = draw_verdicts(run_all())
    figure.draw_without_rendering()
    tiles, texts = tiles_of(figure)
    by_place = {tuple(np.round(tile.get_xy(), 3)): tile.get_window_extent() for tile in tiles.values()}
    for text in texts.values():
        x, y = text.get_position()
        if (place := (round(x - 0.48, 3), round(y - 0.42, 3))) in by_place:
            assert text.get_window_extent().width < by_place[place].width, text.get_text()


def test_every_verdict_has_a_colour_of_its_own():
    from repro.claims import Verdict

    assert list(VERDICT_COLOURS) == [str(verdict) for verdict in Verdict]
    assert len(set(VERDICT_COLOURS.values())) == len(Verdict)


def test_tiles_do_not_overlap():
    tiles, _ = tiles_of(draw_verdicts(run_all()))
    corners = {tuple(np.round(tile.get_xy(), 3)) for tile in tiles.values()}
    assert len(corners) == len(tiles)
    for x, y in corners:
        assert not any(0 < other - y < 0.84 for place, other in corners if place == x)


@pytest.mark.slow
def test_files_are_equal_from_run_to_run_and_nothing_is_written_outside_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv(FIGURES, raising=False)
    for name in ("one", "two"):
        figure, axes = plt.subplots()
        axes.plot([1, 2], label="$5M to $6M")
        axes.legend()
        show_figure(figure, name, "A line.")
        assert not list(tmp_path.glob("*.png"))
    monkeypatch.setenv(FIGURES, str(tmp_path))
    for name in ("one", "two"):
        figure, axes = plt.subplots()
        axes.plot([1, 2], label="$5M to $6M")
        axes.legend()
        show_figure(figure, name, "A line.")
    for ending in ("svg", "png"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    assert b"Matplotlib v" not in (tmp_path / "one.png").read_bytes()


def test_every_figure_that_a_notebook_shows_is_committed_and_no_other():
    notebooks = [json.loads(path.read_text()) for path in folder().glob("*.ipynb")]
    outputs = [one for notebook in notebooks for cell in notebook["cells"] for one in cell.get("outputs", [])]
    shown = [one["data"][FIGURE]["name"] for one in outputs if FIGURE in one.get("data", {})]
    assert len(shown) == len(set(shown)) > 40
    assert {path.name for path in COMMITTED.iterdir()} == {
        f"{name}.{end}" for name in shown for end in ("svg", "png", "json")
    }


def test_ticks_of_a_logarithmic_axis_are_written_out():
    _, axes = plt.subplots()
    axes.plot([1, 10], [1234.5, 0.00567], label="one")
    axes.axhline(3)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis, [1, 10, 1e6])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "1,000,000"]
    assert len(axes.xaxis.get_minorticklocs()) == 0


def test_the_style_leaves_room_for_long_labels():
    figure, axes = plt.subplots()
    axes.barh(["a name that is far longer than a figure's usual margin"], [1])
    figure.draw_without_rendering()
    (label,) = axes.get_yticklabels()
    assert label.get_window_extent().x0 >= 0


def test_a_label_stands_four_points_beyond_the_end_of_its_bar():
    figure, axes = plt.subplots()
    label_bars(axes, axes.barh(["a", "b"], [1, 2]), ["one", "two"])
    axes.set_xlim(0, 3)
    figure.draw_without_rendering()
    for text, length in zip(axes.texts, (1, 2), strict=True):
        end = axes.transData.transform((length, 0))[0]
        assert (text.get_window_extent().x0 - end) / figure.dpi * 72 == pytest.approx(4, abs=0.6)
