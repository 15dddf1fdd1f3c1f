"""Figures: the data they show, their labels and units, and files equal from run to run."""

import json

import matplotlib.pyplot as plt
import pytest

from repro.claims import count_verdicts, run_all
from repro.lab.committed import FIGURE
from repro.lab.diagrams import draw_kv_caches, draw_pipeline, draw_training_memory
from repro.lab.figures import (
    VERDICT_COLOURS,
    bar_lengths,
    draw_tiles,
    label_bars,
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
    assert labels == [f"{verdict}: {count}" for verdict, count in count_verdicts(results).items()]


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

    texts = [path.read_text() for path in folder().glob("*.ipynb")]
    saved = {name for text in texts for name in re.findall(r"save\(figure, \\\"([^\\]+)", text)}
    outputs = [one for text in texts for cell in json.loads(text)["cells"] for one in cell.get("outputs", [])]
    shown = {one["data"][FIGURE]["name"] for one in outputs if FIGURE in one.get("data", {})}
    assert saved | shown
    files = {f"{name}.{end}" for name in saved | shown for end in ("svg", "png")} | {f"{name}.json" for name in shown}
    assert {path.name for path in COMMITTED.iterdir()} == files


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


def test_where_tiles_lie():
    # 25 claims of A in rows of 12: two full rows and one; then a gap of 0.4, then B's one row.
    _, axes = plt.subplots()
    draw_tiles(axes, {f"A{n:02d}": "holds" for n in range(1, 26)} | {"B01": "wrong"})
    corners = {tile.get_gid(): tile.get_xy() for tile in axes.patches}
    assert (corners["A01"], corners["A12"], corners["A13"], corners["A25"]) == ((0, 0), (11, 0), (0, 1), (0, 2))
    assert corners["B01"] == pytest.approx((0, 3.4))
    centres = {text.get_text(): text.get_position() for text in axes.texts}
    assert centres == {name: pytest.approx((x + 0.92 / 2, y + 0.86 / 2)) for name, (x, y) in corners.items()}
    # The axes end just outside the tiles, 0.92 wide and 0.86 high.
    assert axes.get_xlim() == pytest.approx((-0.1, 12))
    bottom, top = axes.get_ylim()
    assert (top, bottom) == pytest.approx((-0.1, 3.4 + 0.86 + 0.24))


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_diagram_of_caches_writes_what_each_keeps():
    sizes = {"MHA": 32768, "GQA": 2048, "MQA": 256, "MLA": 576}
    assert [f"{size:,}" for size in sizes.values()] == [t for t in texts_of(draw_kv_caches(sizes)) if t[0].isdigit()]
    assert not any(text[0].isdigit() for text in texts_of(draw_kv_caches()))


def test_a_diagram_of_training_memory_sums_the_bytes_of_each_scheme():
    sizes = {"master_weights": (4, 4), "weights": (1, 2), "gradients": (4, 2), "moments": (4, 8)}
    texts = texts_of(draw_training_memory(sizes, ("V3", "BF16")))
    assert {"V3: 13", "BF16: 16", "1 byte"} <= set(texts)


def test_in_a_diagram_of_a_pipeline_each_rank_faces_its_mirror_image():
    numbers = [int(text) for text in texts_of(draw_pipeline(4, layers=8, gpus_per_rank=2)) if text.isdigit()]
    assert numbers == [0, 0, 3, 1, 1, 2, 2, 2, 1, 3, 3, 0]  # rank, stage from the front, stage from the back
