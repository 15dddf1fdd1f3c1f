"""Pipeline schedules drawn in time: one row per rank, one bar per task, as figure 5 of the DeepSeek-V3 report.

All bars are one collection of polygons, so that tens of thousands draw in a second; gantt_bars reads them back from the
drawing, for tests and for the numbers that stand beside a figure.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from repro.arrays import Array
from repro.errors import InputError
from repro.lab import figures
from repro.lab.figures import BLUE, GREEN, GREY, ORANGE, use_style
from repro.sim import BACKWARD, FORWARD, INPUT, WEIGHT, Bar, Schedule, Timeline

PURPLE = "#CC79A7"
KINDS = {FORWARD: "forward", BACKWARD: "backward", INPUT: "input", WEIGHT: "weight"}  # of a task of one pass
PAIR = "overlapped"
DARK = ("backward", "input")  # their numbers are white
COLOURS = {"forward": ORANGE, "backward": GREEN, "input": BLUE, "weight": GREY, PAIR: PURPLE}
LABELS = {
    "forward": "forward",
    "backward": "backward",
    "input": "backward for input",
    "weight": "backward for weights",
    PAIR: "overlapped, forward | backward",
}
BARS = "gantt"  # the collection's id, by which gantt_bars finds it
EDGE = "#333333"
HEIGHT = 0.9  # of a bar, where rows are 1 apart
POINTS, DIGIT_WIDTH, MARGIN = 7, 0.62, 3  # a number's size, a digit's width as a share of it, room beside both
MOST_NUMBERS = 4000  # a few seconds of drawing
MOST_BARS = 100_000
ENDINGS = tuple(f".{kind}" for kind in figures.KINDS)


def draw_gantt(axes: Axes, result: Timeline, numbers: bool = True) -> None:
    """Draw each task as a bar, rank 0 on top, micro-batches that enter at the last rank in a lighter colour.

    Args:
        axes: empty and of their final size.
        result: of a simulation.
        numbers: write each micro-batch into its bar where the bar is wide enough; an overlapped pair shows two.

    Source: DeepSeek-V3 report (arXiv 2412.19437), figure 5, for the look.
    """
    bars = list(result.bars())
    kinds = [KINDS[bar.task[0].kind] if len(bar.task) == 1 else PAIR for bar in bars]
    from_last_rank = [result.schedule.direction(bar.task[0].micro_batch) for bar in bars]
    left, right, row = np.array([(bar.start, bar.end, bar.rank) for bar in bars], float).T
    top, bottom = row - HEIGHT / 2, row + HEIGHT / 2
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1).reshape(-1, 4, 2)
    colours = [_shade(kind, light) for kind, light in zip(kinds, from_last_rank, strict=True)]
    drawn = axes.add_collection(PolyCollection(list(corners), facecolors=colours, edgecolors=EDGE, gid=BARS))
    ranks = result.schedule.ranks
    axes.set(xlim=(0, float(result.makespan)), ylim=(ranks - 0.5, -0.5), xlabel="time", ylabel="rank")
    _legend(axes, set(kinds), any(from_last_rank))
    wide, high = _points(axes)
    drawn.set_linewidth(min(0.6, 0.08 * wide * float(np.median(right - left))))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=max(int(high * ranks / 14), 1)))
    if numbers and high * HEIGHT > POINTS + 1:
        dark = [kind in DARK and not light for kind, light in zip(kinds, from_last_rank, strict=True)]
        _number(axes, bars, (right - left) * wide, dark)


def gantt_bars(axes: Axes) -> list[tuple[int, float, float, str]]:
    """Read each bar from the drawing, rank by rank: rank, start, end, and its kind as COLOURS names it."""
    kind_of = {mpl.colors.to_hex(_shade(kind, light)): kind for kind in COLOURS for light in (0, 1)}
    drawn = next(collection for collection in axes.collections if collection.get_gid() == BARS)
    bars = []
    for path, colour in zip(drawn.get_paths(), np.asarray(drawn.get_facecolor()), strict=True):
        corners = np.asarray(path.vertices)[:4]
        (start, top), (end, bottom) = corners.min(axis=0), corners.max(axis=0)
        bars.append((round((top + bottom) / 2), float(start), float(end), kind_of[mpl.colors.to_hex(tuple(colour))]))
    return sorted(bars)


def check_target(name: str) -> Path:
    """Return a chart's path; InputError unless it ends in .svg or .png, its folder exists, and it is no folder."""
    path = Path(name)
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--figure {name}: must end in .svg or .png")
    if not path.parent.is_dir():
        raise InputError(f"--figure {name}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"--figure {name}: a folder of that name is there")
    return path


def check_tasks(order: Schedule) -> None:
    """Raise InputError for more tasks than a chart can show."""
    if (tasks := sum(map(len, order.orders))) > MOST_BARS:
        raise InputError(f"--figure: {tasks} tasks are too many to draw: must be at most {MOST_BARS}")


def write_gantt(result: Timeline, path: Path, title: str) -> None:
    """Write a chart as SVG or PNG, whole or not at all, or raise InputError if the file cannot be written."""
    use_style()
    # Wide and high enough for the numbers to fit, up to the size of a poster.
    shortest = min(bar.end - bar.start for bar in result.bars())
    width = min(max(float(result.makespan / shortest) * 0.18 + 1, 8.5), 24)
    figure, axes = plt.subplots(figsize=(width, min(1.7 + 0.28 * result.schedule.ranks, 20)))
    draw_gantt(axes, result)
    axes.set_title(title)
    kind = path.suffix.lower()[1:]
    beside = path.with_name(f".partial-{os.getpid()}")
    try:
        figure.savefig(beside, format=kind, **figures.KINDS[kind])
        os.replace(beside, path)
    except OSError as error:
        raise InputError(f"--figure {path}: cannot be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)
        plt.close(figure)


def _shade(kind: str, light: int) -> tuple[float, float, float]:
    """Return the colour of a kind, mixed with white for the second direction."""
    r, g, b = mpl.colors.to_rgb(COLOURS[kind])
    return ((r + 1) / 2, (g + 1) / 2, (b + 1) / 2) if light else (r, g, b)


def _points(axes: Axes) -> tuple[float, float]:
    """Return the width of a unit of time and the height of a row, in points of the figure as laid out so far."""
    figure = _figure(axes)
    figure.draw_without_rendering()
    (left, top), (right, bottom) = axes.transData.transform([(0, 0), (1, 1)])
    return (right - left) / figure.dpi * 72, (top - bottom) / figure.dpi * 72


def _figure(axes: Axes) -> Figure:
    assert isinstance(axes.figure, Figure)  # no subfigures here; get_figure(root=True) is younger than matplotlib 3.9
    return axes.figure


def _number(axes: Axes, bars: Sequence[Bar], widths: Array, dark: Sequence[bool]) -> None:
    """Write micro-batches into the bars wide enough for them (in points), unless they are too many to read."""
    texts = ["|".join(str(task.micro_batch) for task in bar.task) for bar in bars]
    fits = np.flatnonzero(widths > POINTS * DIGIT_WIDTH * np.array([len(text) for text in texts]) + MARGIN).tolist()
    for at in fits if len(fits) <= MOST_NUMBERS else ():
        bar, colour = bars[at], "white" if dark[at] else "black"
        middle = float(bar.start + bar.end) / 2
        axes.text(middle, bar.rank, texts[at], size=POINTS, color=colour, ha="center", va="center_baseline")


def _legend(axes: Axes, kinds: set[str], directions: bool) -> None:
    names = {LABELS[kind]: _shade(kind, 0) for kind in COLOURS if kind in kinds}
    if directions:
        names["lighter: entered at the last rank"] = (1.0, 1.0, 1.0)
    handles = [Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=EDGE, linewidth=0.6) for colour in names.values()]
    below = axes.transAxes + ScaledTranslation(0, -34 / 72, _figure(axes).dpi_scale_trans)
    columns = len(names) if _figure(axes).get_figwidth() > 11 else 3
    look = {"ncols": columns, "frameon": False, "fontsize": "small", "borderaxespad": 0}
    axes.legend(handles, list(names), loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, **look)
