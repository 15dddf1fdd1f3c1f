"""Charts of schedules: what they show is what was simulated, at any number of bars."""

from collections import Counter
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from repro.errors import InputError
from repro.lab import gantt
from repro.lab.gantt import COLOURS, check_target, check_tasks, draw_gantt, gantt_bars, write_gantt
from repro.sim import BACKWARD, FORWARD, INPUT, SCHEDULES, WEIGHT, Durations, schedule, simulate

pytestmark = pytest.mark.slow

LASTING = Durations(forward=1, backward=2.5, weight=1, overlapped=3)
KIND = {FORWARD: "forward", BACKWARD: "backward", INPUT: "input", WEIGHT: "weight"}


pytestmark = pytest.mark.usefixtures("plain_matplotlib")


def run(name, ranks, micro_batches, lasting=LASTING):
    return simulate(schedule(name, ranks=ranks, micro_batches=micro_batches), lasting)


def drawn(result, size=(12, 4), **options):
    _, axes = plt.subplots(figsize=size)
    draw_gantt(axes, result, **options)
    return axes


def texts(axes):
    return [one.get_text() for one in axes.texts]


@pytest.mark.parametrize("name", SCHEDULES)
def test_bars_are_those_of_the_simulation(name):
    result = run(name, 4, 8)
    expected = [
        (bar.rank, bar.start, bar.end, KIND[bar.task[0].kind] if len(bar.task) == 1 else "overlapped")
        for bar in result.bars()
    ]
    assert gantt_bars(drawn(result)) == sorted(expected)


def test_idle_time_can_be_read_from_a_chart():
    result = run("DualPipe", 8, 20)
    busy = Counter()
    for rank, start, end, _ in gantt_bars(drawn(result)):
        busy[rank] += end - start
    assert [result.makespan - busy[rank] for rank in range(8)] == result.bubble


def test_one_row_per_rank_from_the_top_and_the_axes_are_named():
    axes = drawn(run("1F1B", 4, 8))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time", "rank")
    assert axes.get_xlim() == (0, 11 * 3.5)  # 8 micro-batches, 3 more until the last rank begins and has ended
    assert axes.get_ylim() == (3.5, -0.5)
    ticks = [tick for tick in axes.get_yticks() if 0 <= tick <= 3]
    assert ticks == [0, 1, 2, 3]


def test_micro_batches_by_hand():
    # Two ranks of 1F1B: rank 0 runs F0 F1 B0 B1, rank 1 F0 B0 F1 B1.
    axes = drawn(run("1F1B", 2, 2))
    assert texts(axes) == ["0", "1", "0", "1", "0", "0", "1", "1"]
    assert texts(drawn(run("1F1B", 2, 2), numbers=False)) == []
    # DualPipe's rank 0: F0 F2 F1 B2, then the forward of 3 with the backward of 0, then B3 I1 W1.
    assert texts(drawn(run("DualPipe", 2, 4)))[:8] == ["0", "2", "1", "2", "3|0", "3", "1", "1"]


def test_numbers_only_where_they_fit():
    result = run("GPipe", 2, 12)
    assert len(texts(drawn(result, size=(12, 4)))) == 48
    few = texts(drawn(result, size=(4, 4)))
    assert 0 < len(few) < 48
    for axes in (drawn(result, size=(4, 4)), drawn(result, size=(12, 4))):
        boxes = {}
        for rank, start, end, _ in gantt_bars(axes):
            boxes.setdefault(rank, []).append(axes.transData.transform([(start, rank), (end, rank)])[:, 0])
        for one in axes.texts:
            x, rank = one.get_position()
            extent = one.get_window_extent()
            middle = axes.transData.transform((x, rank))[0]
            left, right = next(box for box in boxes[round(rank)] if box[0] < middle < box[1])
            assert left <= extent.x0
            assert extent.x1 <= right
    assert texts(drawn(run("GPipe", 64, 2), size=(30, 4))) == []  # rows too low


def test_micro_batches_from_the_other_end_are_lighter():
    axes = drawn(run("DualPipe", 4, 8))
    collection = next(one for one in axes.collections if one.get_gid() == "gantt")
    full = {mpl.colors.to_hex(colour) for colour in COLOURS.values()}
    found = [mpl.colors.to_hex(colour) in full for colour in collection.get_facecolors()]
    bars = list(run("DualPipe", 4, 8).bars())
    assert found == [bar.task[0].micro_batch < 4 for bar in bars]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [*gantt.LABELS.values(), "lighter: entered at the last rank"]


def test_a_legend_names_only_what_is_there():
    labels = [text.get_text() for text in drawn(run("ZB1P", 4, 8)).get_legend().get_texts()]
    assert labels == ["forward", "backward for input", "backward for weights"]


def test_all_colours_differ():
    shades = {gantt._shade(kind, light) for kind in COLOURS for light in (0, 1)}
    assert len(shades) == 2 * len(COLOURS)


def test_thousands_of_bars_are_one_collection_and_bear_no_more_numbers_than_can_be_read():
    result = run("DualPipe", 16, 1000)
    axes = drawn(result)
    assert len(axes.collections) == 1
    assert len(gantt_bars(axes)) == sum(map(len, result.schedule.orders)) > 16_000
    assert len(axes.texts) <= gantt.MOST_NUMBERS


def test_more_numbers_than_can_be_read_are_left_out(monkeypatch):
    monkeypatch.setattr(gantt, "MOST_NUMBERS", 7)
    assert texts(drawn(run("1F1B", 2, 2))) == []  # 8
    monkeypatch.setattr(gantt, "MOST_NUMBERS", 8)
    assert len(texts(drawn(run("1F1B", 2, 2)))) == 8


def test_numbers_are_white_on_dark_colours():
    axes = drawn(run("DualPipe", 2, 4))
    kinds = [kind for *_, kind in gantt_bars(axes)]
    # Rank 0: of its backwards those of micro-batches 2 and 3 came from the other end, and are light.
    found = dict(zip(zip(kinds, texts(axes), strict=True), (one.get_color() for one in axes.texts), strict=True))
    assert found["input", "1"] == "white"
    assert (
        found["backward", "2"] == found["forward", "0"] == found["weight", "1"] == found["overlapped", "3|0"] == "black"
    )


def test_a_chart_of_more_tasks_than_can_be_shown_is_refused():
    check_tasks(schedule("GPipe", ranks=100, micro_batches=500))
    with pytest.raises(InputError, match="--figure: 100200 tasks are too many to draw: must be at most 100000"):
        check_tasks(schedule("GPipe", ranks=100, micro_batches=501))


@pytest.mark.parametrize("ending", ["svg", "png", "SVG"])
def test_files_are_equal_from_run_to_run(tmp_path, ending):
    for name in ("one", "two"):
        write_gantt(run("DualPipe", 4, 8), check_target(str(tmp_path / f"{name}.{ending}")), "title")
    one, two = sorted(tmp_path.iterdir())  # and nothing else is left
    assert one.read_bytes() == two.read_bytes()
    assert plt.get_fignums() == []


def test_a_drawing_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    target = tmp_path / "chart.svg"
    target.write_text("before", encoding="utf-8")

    def half(figure, path, **options):
        path.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half)
    with pytest.raises(KeyboardInterrupt):
        write_gantt(run("1F1B", 2, 2), target, "title")
    assert [path.name for path in tmp_path.iterdir()] == ["chart.svg"]
    assert target.read_text(encoding="utf-8") == "before"
    assert plt.get_fignums() == []


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(figure, path, **options):
        path.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(InputError, match=r"^--figure .*chart.svg: cannot be written: No space left on device$"):
        write_gantt(run("1F1B", 2, 2), tmp_path / "chart.svg", "title")
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_a_file_may_have(tmp_path):
    target = tmp_path / f"{'a' * 251}.svg"
    write_gantt(run("1F1B", 2, 2), target, "title")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("width", "rows"), [(12, 1), (8, 2)])
def test_a_wide_chart_names_its_colours_in_one_row_a_narrow_one_three_to_a_row(width, rows):
    axes = drawn(run("DualPipe", 4, 8), size=(width, 4))  # five colours and the note on lighter ones
    axes.get_figure().draw_without_rendering()
    heights = sorted(text.get_window_extent().y0 for text in axes.get_legend().get_texts())
    assert len(heights) == 6
    assert 1 + sum(high - low > 5 for low, high in pairwise(heights)) == rows  # letters below the line differ by less
