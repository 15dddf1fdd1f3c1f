"""Figures: the data they show, their labels and units, and files equal from run to run."""

import matplotlib.pyplot as plt
import pytest

from repro.claims import counts, run_all
from repro.lab.figures import (
    VERDICT_COLOURS,
    bar_lengths,
    draw_tiles,
    line_heights,
    plain_ticks,
    save,
    tile_verdicts,
)
from repro.lab.notebooks import folder
from repro.lab.run import FIGURES

COMMITTED = folder().parent / "figures"


pytestmark = pytest.mark.usefixtures("plain_matplotlib")


def test_bars_are_read_back_in_either_direction():
    figure, (across, up) = plt.subplots(1, 2)
    across.barh(["a", "b"], [1.23456, 2])
    up.bar([0, 1, 2], [3, 4, 5.5])
    assert bar_lengths(across) == [1.235, 2]
    assert bar_lengths(up, 2) == [3, 4, 5.5]
    assert figure is not None


def test_a_tile_for_every_claim_in_the_colour_of_its_verdict():
    results = run_all()
    _, axes = plt.subplots()
    verdicts = {result.claim.id: str(result.verdict) for result in results}
    draw_tiles(axes, verdicts)
    assert tile_verdicts(axes) == verdicts
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [f"{verdict}: {count}" for verdict, count in counts(results).items()]


def test_every_verdict_has_a_colour_of_its_own():
    from repro.claims import Verdict

    assert list(VERDICT_COLOURS) == [str(verdict) for verdict in Verdict]
    assert len(set(VERDICT_COLOURS.values())) == len(Verdict)


def test_tiles_do_not_overlap():
    _, axes = plt.subplots()
    draw_tiles(axes, {f"A{n:02d}": "holds" for n in range(1, 26)} | {"B01": "wrong"})
    corners = [tile.get_xy() for tile in axes.patches]
    assert len(set(corners)) == len(corners) == 26


@pytest.mark.slow
def test_files_are_equal_from_run_to_run_and_nothing_is_written_outside_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv(FIGURES, raising=False)
    for name in ("one", "two"):
        figure, axes = plt.subplots()
        axes.plot([1, 2], label="$5M to $6M")
        axes.legend()
        save(figure, name)
        assert not list(tmp_path.glob("*.png"))
    monkeypatch.setenv(FIGURES, str(tmp_path))
    for name in ("one", "two"):
        figure, axes = plt.subplots()
        axes.plot([1, 2], label="$5M to $6M")
        axes.legend()
        save(figure, name)
    for ending in ("svg", "png"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (tmp_path / f"two.{ending}").read_bytes()
    assert b"Matplotlib v" not in (tmp_path / "one.png").read_bytes()


def test_every_figure_that_a_notebook_saves_is_committed_and_no_other():
    import re

    saved = {
        name
        for path in folder().glob("*.ipynb")
        for name in re.findall(r"save\(figure, \\\"([^\\]+)", path.read_text())
    }
    assert saved
    assert {path.name for path in COMMITTED.iterdir()} == {f"{name}.{end}" for name in saved for end in ("svg", "png")}


def test_labelled_lines_are_read_back_as_texts_and_ticks_written_out():
    _, axes = plt.subplots()
    axes.plot([1, 10], [1234.5, 0.00567], label="one")
    axes.axhline(3)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis, [1, 10, 1e6])
    assert line_heights(axes) == {"one": ["1,200", "0.0057"]}
    assert line_heights(axes, 4) == {"one": ["1,234", "0.00567"]}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "10", "1,000,000"]
    assert len(axes.xaxis.get_minorticklocs()) == 0
