"""GPUs, nodes and links; a pipeline; what runs at the same time."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from repro.lab.diagrams.pens import arrow, box, canvas, note
from repro.lab.figures import BLUE, GREEN, GREY, ORANGE, RED


def draw_network(
    gpus: int, nvlink: str, infiniband: str, nodes: int = 2, *, experts: Sequence[int] = (), title: str = ""
) -> Figure:
    """Draw nodes of GPUs: inside a node NVLink, between nodes one InfiniBand card for each GPU.

    Args:
        gpus: of a node.
        nvlink: its rate.
        infiniband: its rate.
        nodes: nodes drawn.
        experts: GPUs of the second node, from 0, to which a token's way from the first node's first GPU is drawn.
        title: above the nodes, in place of what a node is.
    """
    figure, axes = canvas(8.5, 3.5, columns=17, rows=7.0)
    for node in range(nodes):
        x = 0.4 + node * 9.0
        box(axes, x, 1.8, 7.2, 4.3, "", GREY)
        note(axes, x + 0.2, 5.7, f"node {node + 1}", fontweight="bold")
        box(axes, x + 0.3, 4.5, 6.6, 0.7, "" if experts else f"NVLink: {nvlink}", GREEN)
        if experts:  # makes room for the way
            note(axes, x + 6.6, 4.85, f"NVLink: {nvlink}", ha="right")
        for gpu in range(gpus):
            left = x + 0.3 + gpu * 6.6 / gpus
            box(axes, left, 3.1, 6.6 / gpus - 0.1, 0.9, "GPU", BLUE, fontsize=7)
            box(axes, left, 2.0, 6.6 / gpus - 0.1, 0.6, "card", ORANGE, fontsize=7)
            centre = left + 3.3 / gpus - 0.05
            for low, high in ((4.05, 4.45), (2.65, 3.05), (1.25, 1.95)):
                arrow(axes, (centre, low), (centre, high), mutation_scale=5, arrowstyle="<|-|>")
    box(axes, 0.4, 0.4, 16.2, 0.8, f"InfiniBand between nodes: {infiniband} for each GPU", GREEN)
    start, landing = (0.97 + 9.0 * node + 3.3 / gpus for node in range(2))  # beside the texts
    for expert in experts:
        target = landing - 0.32 + expert * 6.6 / gpus
        axes.plot([start, start, landing, landing, target], [3.05, 1.08, 1.08, 4.8, 4.8], color=RED, linewidth=2.5)
        arrow(axes, (target, 4.8), (target, 4.0), color=RED, linewidth=2.5)
    if title:
        note(axes, 0.4, 6.6, title, fontsize=12, fontweight="bold")
    else:
        note(axes, 0.4, 6.6, f"A node is a server with {gpus} GPUs, each with a network card of its own")
    return figure


def draw_pipeline(ranks: int, *, layers: int, gpus_per_rank: int) -> Figure:
    """Draw a model's layers cut into stages, and DualPipe's ranks, each with a stage from either end."""
    figure, axes = canvas(8.5, 3.0, columns=17, rows=6.2)
    width = 13.4 / ranks
    for rank in range(ranks):
        x = 3.2 + rank * width
        note(axes, x + width / 2, 4.95, f"{rank}", ha="center", fontsize=8.5)
        box(axes, x + 0.05, 3.5, width - 0.1, 1.0, f"{rank}", BLUE, fontsize=9)
        box(axes, x + 0.05, 1.9, width - 0.1, 1.0, f"{ranks - 1 - rank}", ORANGE, fontsize=9)
    note(axes, 0.3, 4.95, "rank", fontweight="bold")
    note(axes, 0.3, 4.0, "stage, from\nthe front", color=BLUE)
    note(axes, 0.3, 2.4, "stage, from\nthe back", color="#A86F00")
    arrow(axes, (3.2, 3.32), (16.6, 3.32), color=BLUE)
    arrow(axes, (16.6, 3.06), (3.2, 3.06), color="#A86F00")
    title = f"{ranks} pipeline ranks of {gpus_per_rank:g} GPUs; {layers} layers in {ranks} stages"
    note(axes, 0.3, 5.8, title, fontsize=11, fontweight="bold")
    note(axes, 3.2, 0.8, "Micro-batches enter at both ends, pass through all stages, and come back the same way.")
    return figure


def draw_overlap(lanes: dict[str, Sequence[tuple[str, float, float, str]]], title: str) -> Figure:
    """Draw what happens at the same time: for each lane, pieces with text, start, duration and colour."""
    figure, axes = canvas(8.5, 0.5 + 0.7 * len(lanes), columns=17, rows=1.1 + 1.5 * len(lanes))
    end = max(start + length for pieces in lanes.values() for _, start, length, _ in pieces)
    note(axes, 0.3, 0.7 + 1.5 * len(lanes), title, fontsize=11.5, fontweight="bold")
    for place, (lane, pieces) in enumerate(lanes.items()):
        y = 1.5 * (len(lanes) - 1 - place) + 0.2
        note(axes, 0.3, y + 0.5, lane, fontweight="bold")
        for text, start, length, colour in pieces:
            box(axes, 3.4 + 13.2 * start / end, y, 13.2 * length / end - 0.06, 1.0, text, colour, fontsize=8)
    return figure
