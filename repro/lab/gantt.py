"""Pipeline schedules drawn in time, one row per rank, and what such a drawing shows read back from it."""

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from repro.errors import InputError
from repro.lab import figures
from repro.lab.figures import BLUE, GREEN, GREY, ORANGE, use_style
from repro.sim import BACKWARD, FORWARD, INPUT, WEIGHT, Bar, Result, Schedule

PURPLE = "#CC79A7"
KINDS = {(FORWARD,): "forward", (BACKWARD,): "backward", (INPUT,): "input", (WEIGHT,): "weight"}
PAIR = "overlapped"
DARK = ("backward", "input")  # colours that bear white numbers
COLOURS = {"forward": ORANGE, "backward": GREEN, "input": BLUE, "weight": GREY, PAIR: PURPLE}
LABELS = {
    "forward": "forward",
    "backward": "backward",
    "input": "backward for input",
    "weight": "backward for weights",
    PAIR: "overlapped, forward | backward",
}
BARS = "gantt"  # by which the reader finds them
EDGE = "#333333"
HEIGHT = 0.9  # of a bar, where rows are 1 apart
POINTS, LETTER = 7, 0.62  # size of a number, and the width of a digit in it
MOST_NUMBERS = 4000  # a few seconds of drawing
MOST_BARS = 100_000
ENDINGS = tuple(f".{kind}" for kind in figures.KINDS)


def draw_gantt(axes: Axes, result: Result, numbers: bool = True) -> None:
    """Draw each task as a bar, rank 0 on top, micro-batches that enter at the last rank in a lighter colour.

    Args: axes: empty, in the size that it is to have. result: of a simulation. numbers: whether each bar that is wide
        enough bears its micro-batch, an overlapped pair that of its forward and that of its backward.
    Source: after figure 5 of the DeepSeek-V3 report (arXiv 2412.19437).
    """
    bars = list(result.bars())
    kinds = [KINDS.get(tuple(one.kind for one in bar.task), PAIR) for bar in bars]
    later = [result.schedule.direction(bar.task[0].micro_batch) for bar in bars]
    left, right, row = np.array([(bar.start, bar.end, bar.rank) for bar in bars], float).T
    top, bottom = row - HEIGHT / 2, row + HEIGHT / 2
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1).reshape(-1, 4, 2)
    colours = [_shade(kind, light) for kind, light in zip(kinds, later, strict=True)]
    drawn = axes.add_collection(PolyCollection(corners, facecolors=colours, edgecolors=EDGE, gid=BARS))
    ranks = result.schedule.ranks
    axes.set(xlim=(0, float(result.makespan)), ylim=(ranks - 0.5, -0.5), xlabel="time", ylabel="rank")
    _legend(axes, set(kinds), any(later))
    wide, high = _points(axes)
    drawn.set_linewidth(min(0.6, 0.08 * wide * float(np.median(right - left))))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=max(int(high * ranks / 14), 1)))
    if numbers and high * HEIGHT > POINTS + 1:
        dark = [kind in DARK and not light for kind, light in zip(kinds, later, strict=True)]
        _number(axes, bars, (right - left) * wide, dark)


def gantt_bars(axes: Axes) -> list[tuple[int, float, float, str]]:
    """Return rank, start, end and kind of each bar, rank by rank, read from the drawing itself.

    Kinds are forward, backward, input, weight and overlapped.
    Args: axes: as draw_gantt leaves it.
    """
    kind_of = {mpl.colors.to_hex(_shade(kind, light)): kind for kind in COLOURS for light in (0, 1)}
    drawn = next(one for one in axes.collections if one.get_gid() == BARS)
    found = []
    for path, colour in zip(drawn.get_paths(), drawn.get_facecolors(), strict=True):
        (start, top), (end, bottom) = path.vertices[:4].min(axis=0), path.vertices[:4].max(axis=0)
        found.append((round((top + bottom) / 2), float(start), float(end), kind_of[mpl.colors.to_hex(colour)]))
    return sorted(found)


def check_target(name: str) -> Path:
    """Return the file that a chart is to be written to.

    Raises: InputError where its ending is none of a figure, or its folder is not there.
    """
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
    tasks = sum(map(len, order.orders))
    if tasks > MOST_BARS:
        raise InputError(f"--figure: {tasks} tasks are too many to draw: must be at most {MOST_BARS}")


def write_gantt(result: Result, path: Path, title: str) -> None:
    """Write a chart as SVG or PNG, whole or not at all.

    Args: result: of a simulation. path: as check_target returns it. title: above the chart.
    Raises: InputError where the file cannot be written.
    """
    use_style()
    # Wide and high enough for numbers, where that makes no poster.
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
    """Return the colour of a kind, half of it white for the second direction."""
    colour = mpl.colors.to_rgb(COLOURS[kind])
    return tuple((one + 1) / 2 for one in colour) if light else colour


def _points(axes: Axes) -> tuple[float, float]:
    """Return how many points a unit of time is wide, and a row is high, in the figure as laid out so far."""
    figure = axes.figure
    figure.draw_without_rendering()
    (left, top), (right, bottom) = axes.transData.transform([(0, 0), (1, 1)])
    return (right - left) / figure.dpi * 72, (top - bottom) / figure.dpi * 72


def _number(axes: Axes, bars: Sequence[Bar], widths: np.ndarray, dark: Sequence[bool]) -> None:
    """Write micro-batches into the bars that are wide enough, in points; none where they would be too many to read."""
    texts = ["|".join(str(one.micro_batch) for one in bar.task) for bar in bars]
    fits = np.flatnonzero(widths > POINTS * LETTER * np.array([len(text) for text in texts]) + 1)
    for at in fits if len(fits) <= MOST_NUMBERS else ():
        bar, colour = bars[at], "white" if dark[at] else "black"
        middle = float(bar.start + bar.end) / 2
        axes.text(middle, bar.rank, texts[at], size=POINTS, color=colour, ha="center", va="center_baseline")


def _legend(axes: Axes, kinds: set[str], directions: bool) -> None:
    """Name the colours below the time axis."""
    names = [(LABELS[kind], _shade(kind, 0)) for kind in COLOURS if kind in kinds]
    if directions:
        names += [("lighter: entered at the last rank", "white")]
    handles = [Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=EDGE, linewidth=0.6) for _, colour in names]
    below = axes.transAxes + ScaledTranslation(0, -34 / 72, axes.figure.dpi_scale_trans)
    axes.legend(
        handles,
        [name for name, _ in names],
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below,
        ncols=len(names) if axes.get_figure().get_figwidth() > 11 else 3,
        frameon=False,
        fontsize="small",
        borderaxespad=0,
    )
