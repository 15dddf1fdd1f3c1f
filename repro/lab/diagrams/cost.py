"""From FLOPs to dollars, and what a published sum contains."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from repro.lab.diagrams.pens import arrow, box, canvas, note
from repro.lab.figures import BLUE, GREY, ORANGE


def draw_cost_path(
    steps: Sequence[tuple[str, str]], operations: Sequence[str], notes: Sequence[tuple[str, str]] = (), title: str = ""
) -> Figure:
    """Draw the way from FLOPs to dollars.

    Args:
        steps: what each box holds, with its figure.
        operations: what is done between a box and the next.
        notes: what is to be said under each box, with its colour.
        title: above the boxes.
    """
    figure, axes = canvas(8.5, 2.3 if notes else 1.85, columns=17, rows=4.6)
    axes.set_ylim(0 if notes else 0.9, 4.6)
    note(axes, 0.3, 4.3, title, fontsize=12, fontweight="bold")
    width = (16.4 - 1.5 * (len(steps) - 1)) / len(steps)
    for place, (name, text) in enumerate(steps):
        x, last = 0.3 + place * (width + 1.5), place == len(steps) - 1
        box(axes, x, 1.3, width, 1.5, f"{name}\n{text}", ORANGE if last else BLUE)
        if not last:
            arrow(axes, (x + width + 0.1, 2.05), (x + width + 1.4, 2.05))
            note(axes, x + width + 0.75, 3.4, operations[place], ha="center", fontsize=9)
        if notes:
            told, colour = notes[place]
            note(axes, x + width / 2, 0.6, told, ha="center", color=colour, fontweight="bold")
    return figure


def draw_sum(inside: dict[str, str], outside: Sequence[str], title: str) -> Figure:
    """Draw what a published sum contains, with each part's figure, and what it leaves out."""
    figure, axes = canvas(8.5, 3.4, columns=17, rows=6.8)
    note(axes, 0.4, 6.4, title, fontsize=12, fontweight="bold")
    box(axes, 0.3, 0.4, 8.4, 5.4, "", ORANGE)
    step = 5.0 / len(inside)
    for place, (name, value) in enumerate(inside.items()):
        box(axes, 0.7, 5.5 - step * (place + 1) + 0.1, 7.6, step - 0.2, f"{name}: {value}", BLUE)
    note(axes, 9.3, 5.6, "Not in the sum:", fontweight="bold")
    for place, name in enumerate(outside):
        row, column = divmod(place, 2)
        box(axes, 9.3 + 3.8 * column, 4.2 - 1.2 * row, 3.6, 1.0, name, GREY, fontsize=9)
    return figure
