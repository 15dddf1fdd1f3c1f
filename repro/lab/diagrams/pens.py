"""What diagrams are drawn with: boxes, cells, arrows and notes, in the look of all figures."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from repro.lab.figures import BLUE, GREEN, GREY, ORANGE, RED

PALE = {BLUE: "#D6E6F2", ORANGE: "#FBE7C6", GREEN: "#CFEBE2", GREY: "#EEEEEE", RED: "#F7DDCC"}
INK = "#333333"


def canvas(width: float, height: float, *, columns: float, rows: float) -> tuple[Figure, Axes]:
    """Return an empty figure of this size in inches, whose axes measure `columns` by `rows`, from the lower left."""
    figure, axes = plt.subplots(figsize=(width, height))
    axes.set(xlim=(0, columns), ylim=(0, rows))
    axes.axis("off")
    return figure, axes


def box(axes: Axes, x: float, y: float, w: float, h: float, text: str = "", colour: str = GREY, **style: Any) -> None:
    """Draw a box with its lower left corner at (x, y), a text in its middle."""
    patch = FancyBboxPatch((x, y), w, h, boxstyle="round,pad=0,rounding_size=0.08", facecolor=PALE[colour],
                           edgecolor=colour, linewidth=1.4)  # fmt: skip
    axes.add_patch(patch)
    axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", color=INK, **{"fontsize": 10, **style})


def cells(axes: Axes, x: float, y: float, colours: Iterable[str], *, size: float, gap: float = 0.0) -> None:
    """Draw filled squares in a row from (x, y)."""
    for place, colour in enumerate(colours):
        axes.add_patch(Rectangle((x + place * (size + gap), y), size, size, facecolor=colour, edgecolor="white"))


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str = "", **style: Any) -> None:
    """Draw an arrow, its text beside the middle."""
    options = {"color": INK, "linewidth": 1.2, "arrowstyle": "-|>", "mutation_scale": 12, **style}
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **options))
    if text:
        note(axes, (start[0] + end[0]) / 2 + 0.1, (start[1] + end[1]) / 2, text)


def note(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text whose left end is at (x, y), unless the style says otherwise."""
    axes.text(x, y, text, **{"ha": "left", "va": "center", "fontsize": 9.5, "color": INK, **style})
