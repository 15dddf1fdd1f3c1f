"""Diagrams of the mechanisms, drawn by code from the numbers they show, in the look of all figures.

A diagram stands where a mechanism is first named. Each function takes the figures that it writes, so that a picture
follows its assumptions, and returns a matplotlib figure that `save` writes like any other. What is kept in memory is
orange, what is computed is blue, what travels is green, what is left out is grey.
"""

from collections.abc import Iterable, Sequence
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


def draw_kv_caches(n_heads: int = 8, n_groups: int = 2) -> Figure:
    """Draw what MHA, GQA, MQA and MLA keep of a token: keys and values of every head, a group or all, or a latent."""
    figure, axes = canvas(8.5, 3.6, columns=17, rows=6.6)
    kinds = {"MHA": n_heads, "GQA": n_groups, "MQA": 1, "MLA": 0}
    says = {
        "MHA": "a key and a value\nfor every head",
        "GQA": f"{n_groups} keys and values,\neach shared by a group",
        "MQA": "one key and value\nfor all heads",
        "MLA": "one short vector, and\na small key with the position",
    }
    for place, (kind, groups) in enumerate(kinds.items()):
        x = 0.4 + 4.2 * place
        note(axes, x, 6.2, kind, fontsize=13, fontweight="bold")
        cells(axes, x, 4.9, [BLUE] * n_heads, size=0.4)
        middle = x + 0.2 * n_heads
        if groups:
            share = n_heads // groups
            for group in range(groups):
                at = x + 0.4 * share * (group + 0.5)
                cells(axes, at - 0.2, 2.9, [ORANGE], size=0.4)
                cells(axes, at - 0.2, 2.4, [ORANGE], size=0.4)
                for head in range(share):
                    arrow(axes, (x + 0.4 * (group * share + head) + 0.2, 4.85), (at, 3.35), linewidth=0.7,
                          mutation_scale=5)  # fmt: skip
        else:
            box(axes, x, 3.7, 0.4 * n_heads, 0.55, "keys and values, recomputed", BLUE, fontsize=7.5)
            arrow(axes, (middle, 4.85), (middle, 4.3), mutation_scale=7)
            cells(axes, x + 0.2, 2.65, [ORANGE] * 4, size=0.4)
            cells(axes, x + 2.3, 2.65, [ORANGE], size=0.4)
            arrow(axes, (middle, 3.65), (middle - 0.4, 3.1), mutation_scale=7)
        note(axes, middle, 1.35, says[kind], ha="center")
    note(axes, 0.4, 0.2, "blue: queries, one per head", color=BLUE)
    note(axes, 6.4, 0.2, "orange: what stays in the cache, for every token and layer", color="#A86F00")
    return figure


def draw_moe_token(
    scores: Sequence[Sequence[float]], *, topk_group: int, top_k: int, scores_per_group: int = 2
) -> Figure:
    """Draw a token's way through the gate: the best nodes by the sum of their best scores, then the best experts there.

    Args:
        scores: of each node's experts, from 0 to 1.
        topk_group: nodes that the token may reach.
        top_k: experts that it visits.
        scores_per_group: how many of a node's best scores are summed to rank it.
    """
    ranked = [sum(sorted(node)[-scores_per_group:]) for node in scores]
    nodes = sorted(range(len(scores)), key=lambda node: ranked[node])[-topk_group:]
    reached = [(score, node, e) for node in nodes for e, score in enumerate(scores[node])]
    chosen = {(node, e) for _, node, e in sorted(reached)[-top_k:]}
    figure, axes = canvas(8.5, 3.8, columns=17, rows=7.6)
    box(axes, 0.2, 3.4, 1.6, 0.9, "token", BLUE)
    box(axes, 2.9, 3.4, 1.8, 0.9, "gate", BLUE)
    arrow(axes, (1.85, 3.85), (2.85, 3.85))
    width = 10.2 / len(scores)
    for node, values in enumerate(scores):
        x, is_reached = 5.6 + node * width, node in nodes
        box(axes, x, 2.5, width - 0.3, 3.6, "", GREEN if is_reached else GREY)
        note(axes, x + 0.15, 5.75, f"node {node + 1}: {ranked[node]:.1f}", fontsize=9)
        for e, score in enumerate(values):
            y = 4.9 - 0.72 * e
            box(axes, x + 0.2, y, width - 0.7, 0.58, f"{score:.1f}", ORANGE if (node, e) in chosen else GREY,
                fontsize=9)  # fmt: skip
    arrow(axes, (4.75, 3.85), (5.5, 3.85))
    box(axes, 5.6, 0.7, 10.0, 0.9, "shared expert: every token", ORANGE)
    arrow(axes, (1.0, 3.35), (5.5, 1.15))
    note(axes, 5.6, 7.1, f"1. The {topk_group} nodes whose {scores_per_group} best scores sum to most (green)")
    note(axes, 5.6, 6.5, f"2. The {top_k} best experts there (orange), their outputs weighed by score")
    return figure


def draw_bits(fields: dict[str, tuple[int, int]], tile: int = 128) -> Figure:
    """Draw the bits of small formats, given exponent and mantissa bits by name, and a tile with its one scale."""
    figure, axes = canvas(8.5, 1.5 + 0.75 * len(fields), columns=17, rows=2.6 + 1.5 * len(fields))
    top = 2.6 + 1.5 * len(fields)
    for place, (name, (exponent, mantissa)) in enumerate(fields.items()):
        y = top - 1.3 - 1.5 * place
        note(axes, 0.2, y + 0.45, name, fontsize=12, fontweight="bold")
        bits = [("S", GREY)] + [("E", BLUE)] * exponent + [("M", ORANGE)] * mantissa
        for bit, (letter, colour) in enumerate(bits):
            box(axes, 2.0 + 0.82 * bit, y, 0.76, 0.9, letter, colour)
        bias = 2 ** (exponent - 1) - 1
        note(axes, 2.2 + 0.82 * len(bits), y + 0.45,
             f"(-1)^S × 2^(E - {bias}) × (1 + M / {2**mantissa})", fontsize=10.5)  # fmt: skip
    y = 0.75
    cells(axes, 2.0, y, [BLUE] * 24, size=0.4)
    note(axes, 11.75, y + 0.2, "×")
    cells(axes, 12.2, y, [ORANGE], size=0.4)
    note(axes, 0.2, y + 0.2, "a tile", fontsize=12, fontweight="bold")
    note(axes, 2.0, 0.3, f"{tile} numbers of 8 bits, drawn as 24")
    note(axes, 11.5, 0.3, "one scale of 32 bits: the largest number of the tile fits", fontsize=9)
    return figure


def draw_head_view(cache_elements: int, groups: dict[str, int]) -> Figure:
    """Draw which of a token's cached elements the first head reads: as key (blue), as value (orange), or as both.

    Args:
        cache_elements: per token.
        groups: pairs of a key and a value among them, by kind; 0 stands for latent attention, which reads all as both.
    """
    figure, axes = canvas(8.5, 0.62 * len(groups) + 0.5, columns=17, rows=1.24 * len(groups) + 1)
    size = 9.0 / cache_elements
    for place, (kind, count) in enumerate(groups.items()):
        y = 1.24 * (len(groups) - 1 - place) + 1.1
        note(axes, 0.3, y + size / 2, kind, fontsize=12, fontweight="bold")
        width = cache_elements // (2 * count) if count else cache_elements
        starts = {BLUE: 0, ORANGE: cache_elements // 2 if count else 0}
        cells(axes, 2.2, y, [PALE[GREY]] * cache_elements, size=size)
        for colour, start in starts.items():
            for element in range(start, start + width):
                low = y + (size / 2 if colour == BLUE and not count else 0)
                height = size if count else size / 2
                x = 2.2 + element * size
                axes.add_patch(Rectangle((x, low), size, height, facecolor=colour, edgecolor="white"))
        reads = f"{width} as key, {width} as value" if count else f"all {width}, as key and as value"
        note(axes, 11.6, y + size / 2, reads, fontsize=10.5)
    note(axes, 2.2, 0.4, "blue: in the first head's key", color=BLUE)
    note(axes, 6.7, 0.4, "orange: in its value", color="#A86F00")
    note(axes, 9.9, 0.4, "grey: read by other heads only", color="#777777")
    return figure


def draw_promotion(bits: int, every: int, length: int) -> Figure:
    """Draw how a long sum of products is promoted: short sums of few bits in the tensor core, added up in FP32."""
    figure, axes = canvas(8.5, 2.8, columns=17, rows=5.6)
    parts = 6
    for part in range(parts):
        x = 0.4 + 2.5 * part
        box(axes, x, 3.4, 2.2, 0.9, "…" if part == parts - 2 else f"{every} products", BLUE)
        if part != parts - 2:
            arrow(axes, (x + 1.1, 3.35), (x + 1.1, 2.3))
    box(axes, 0.4, 1.3, 14.7, 0.95, f"FP32 register: {length // every} partial sums", ORANGE)
    note(axes, 0.4, 4.85, f"Tensor core: each partial sum keeps about {bits} bits, then starts again at 0", color=BLUE)
    note(
        axes,
        0.4,
        0.7,
        f"Without promotion one sum of {bits} bits runs over all {length:,} products: small ones are cut off.",
    )
    return figure


def draw_mtp(accepted: bool) -> Figure:
    """Draw the module for multi-token prediction, and what becomes of its draft in the next pass."""
    figure, axes = canvas(8.5, 3.9, columns=17, rows=7.8)
    box(axes, 0.4, 0.6, 2.6, 0.9, "token i", GREY)
    box(axes, 0.4, 2.6, 2.6, 1.4, "main model", BLUE)
    box(axes, 0.4, 5.2, 2.6, 0.9, "head", BLUE)
    note(axes, 1.7, 6.9, "token i + 1", ha="center", fontweight="bold")
    for low, high in ((1.55, 2.55), (4.05, 5.15), (6.15, 6.6)):
        arrow(axes, (1.7, low), (1.7, high))
    box(axes, 4.6, 0.6, 2.6, 0.9, "token i + 1", GREY)
    box(axes, 4.6, 2.6, 2.6, 1.4, "MTP module:\none layer", ORANGE)
    box(axes, 4.6, 5.2, 2.6, 0.9, "the same head", BLUE)
    note(axes, 5.9, 6.9, "token i + 2: a draft", ha="center", fontweight="bold")
    for low, high in ((1.55, 2.55), (4.05, 5.15), (6.15, 6.6)):
        arrow(axes, (5.9, low), (5.9, high))
    arrow(axes, (3.05, 3.3), (4.55, 3.3))
    note(axes, 3.1, 3.62, "hidden state", fontsize=8.5)
    box(axes, 9.2, 0.6, 2.6, 0.9, "token i + 1", GREY)
    box(axes, 12.0, 0.6, 2.6, 0.9, "draft", ORANGE)
    box(axes, 9.2, 2.6, 5.4, 1.4, "main model: one pass over both", BLUE)
    for x in (10.5, 13.3):
        arrow(axes, (x, 1.55), (x, 2.55))
        arrow(axes, (x, 4.05), (x, 5.0))
    verdict, colour = (
        ("the draft is right: 2 tokens from one pass", GREEN)
        if accepted
        else ("the draft is wrong: 1 token, the rest is thrown away", RED)
    )
    box(axes, 9.2, 5.1, 2.6, 0.9, "token i + 2", GREEN)
    box(axes, 12.0, 5.1, 2.6, 0.9, "token i + 3", GREEN if accepted else GREY)
    note(axes, 9.2, 6.9, verdict, color=colour, fontweight="bold")
    return figure


def draw_network(gpus: int, nvlink: str, infiniband: str, nodes: int = 2) -> Figure:
    """Draw nodes of GPUs: inside a node NVLink, between nodes one InfiniBand card for each GPU."""
    figure, axes = canvas(8.5, 3.3, columns=17, rows=6.6)
    for node in range(nodes):
        x = 0.4 + node * 9.0
        box(axes, x, 1.8, 7.2, 4.3, "", GREY)
        note(axes, x + 0.2, 5.7, f"node {node + 1}", fontweight="bold")
        box(axes, x + 0.3, 4.5, 6.6, 0.7, f"NVLink: {nvlink}", GREEN)
        for gpu in range(gpus):
            left = x + 0.3 + gpu * 6.6 / gpus
            box(axes, left, 3.1, 6.6 / gpus - 0.1, 0.9, "GPU", BLUE, fontsize=7)
            box(axes, left, 2.0, 6.6 / gpus - 0.1, 0.6, "card", ORANGE, fontsize=7)
            centre = left + 3.3 / gpus - 0.05
            arrow(axes, (centre, 4.05), (centre, 4.45), mutation_scale=6)
            arrow(axes, (centre, 3.05), (centre, 2.65), mutation_scale=6)
    box(axes, 0.4, 0.4, 16.2, 0.8, f"InfiniBand between nodes: {infiniband} for each GPU", GREEN)
    return figure


def draw_cost_path(steps: Sequence[tuple[str, str]], operations: Sequence[str]) -> Figure:
    """Draw the way from FLOPs to dollars: what each box holds, with its figure, and what is done between boxes."""
    figure, axes = canvas(8.5, 1.9, columns=17, rows=3.8)
    width = (16.4 - 1.5 * (len(steps) - 1)) / len(steps)
    for place, (name, figure_text) in enumerate(steps):
        x = 0.3 + place * (width + 1.5)
        box(
            axes,
            x,
            1.0,
            width,
            1.7,
            f"{name}\n{figure_text}",
            ORANGE if place == len(steps) - 1 else BLUE,
            fontsize=9.5,
        )
        if place < len(operations):
            arrow(axes, (x + width + 0.1, 1.85), (x + width + 1.4, 1.85))
            note(axes, x + width + 0.75, 2.95, operations[place], ha="center", fontsize=8.5)
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


def draw_overlap(lanes: dict[str, Sequence[tuple[str, float, float, str]]], title: str) -> Figure:
    """Draw what happens at the same time: for each lane, pieces with text, start, duration and colour."""
    figure, axes = canvas(8.5, 0.9 + 0.75 * len(lanes), columns=17, rows=1.6 + 1.5 * len(lanes))
    end = max(start + length for pieces in lanes.values() for _, start, length, _ in pieces)
    note(axes, 0.3, 1.3 + 1.5 * len(lanes), title, fontsize=11.5, fontweight="bold")
    for place, (lane, pieces) in enumerate(lanes.items()):
        y = 1.5 * (len(lanes) - 1 - place) + 0.5
        note(axes, 0.3, y + 0.5, lane, fontweight="bold")
        for text, start, length, colour in pieces:
            box(axes, 3.4 + 13.2 * start / end, y, 13.2 * length / end - 0.06, 1.0, text, colour, fontsize=8)
    return figure
