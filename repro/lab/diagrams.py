"""Diagrams of the mechanisms, drawn by code from the numbers they show, in the look of all figures.

A diagram stands where a mechanism is first named. Each function takes the figures that it writes, so that a picture
follows its assumptions, and returns a matplotlib figure that `save` writes like any other. What is kept in memory is
orange, what is computed is blue, what travels is green, what is left out is grey.
"""

from collections.abc import Iterable, Mapping, Sequence
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


def draw_kv_caches(elements: Mapping[str, int] | None = None, *, n_heads: int = 8, n_groups: int = 2) -> Figure:
    """Draw what MHA, GQA, MQA and MLA keep of a token: keys and values of every head, a group or all, or a latent.

    Args:
        elements: what each of the four caches per token and layer, written below it; nothing is written without.
        n_heads: heads drawn.
        n_groups: groups of GQA that are drawn.
    """
    figure, axes = canvas(8.5, 3.7, columns=17, rows=7.4)
    kinds = {"MHA": n_heads, "GQA": n_groups, "MQA": 1, "MLA": 0}
    says = {
        "MHA": "a key and a value\nfor every head",
        "GQA": "a key and a value\nfor each group of heads",
        "MQA": "one key and one value\nfor all heads",
        "MLA": "one short vector and\none small key for all",
    }
    size = 3.2 / n_heads
    for place, (kind, groups) in enumerate(kinds.items()):
        x = 0.4 + 4.3 * place
        middle = x + size * n_heads / 2
        note(axes, middle, 7.0, kind, fontsize=14, fontweight="bold", ha="center")
        cells(axes, x, 5.9, [BLUE] * n_heads, size=size)
        if groups:
            share = n_heads // groups
            for group in range(groups):
                at = x + size * share * (group + 0.5)
                cells(axes, at - size / 2, 3.6, [ORANGE], size=size)
                cells(axes, at - size / 2, 3.6 - size, [ORANGE], size=size)
                for head in range(share):
                    arrow(axes, (x + size * (group * share + head + 0.5), 5.85), (at, 3.7 + size), linewidth=0.8,
                          mutation_scale=6)  # fmt: skip
        else:
            box(axes, x - 0.1, 4.35, size * n_heads + 0.2, 0.75, "keys and values,\ncomputed again", BLUE, fontsize=8)
            arrow(axes, (middle, 5.85), (middle, 5.15), mutation_scale=8)
            cells(axes, middle - 3 * size, 3.4, [ORANGE] * 4, size=size)
            cells(axes, middle + 2 * size, 3.4, [ORANGE], size=size)
            arrow(axes, (middle - size, 3.45 + size), (middle - size, 4.3), mutation_scale=8)
            arrow(axes, (middle + 2.5 * size, 3.45 + size), (middle + 2.5 * size, 4.3), mutation_scale=8)
        note(axes, middle, 2.35, says[kind], ha="center", fontsize=10)
        if elements:
            note(axes, middle, 1.35, f"{elements[kind]:,}", ha="center", fontsize=13, fontweight="bold",
                 color="#A86F00")  # fmt: skip
    note(axes, 0.4, 0.3, "blue: queries, one per head", color=BLUE)
    note(axes, 16.6, 0.3, "orange: cached for every token and layer" + (", in elements" if elements else ""),
         color="#A86F00", ha="right")  # fmt: skip
    return figure


def draw_latent_attention(n_heads: int, rank: int, rope: int) -> Figure:
    """Draw MLA's two forms over one cache: latents expanded to keys and values, or absorbed by query and output.

    Args:
        n_heads: heads of a layer.
        rank: elements of a latent.
        rope: elements of the key that carries the position.
    """
    figure, axes = canvas(8.5, 3.9, columns=17, rows=7.8)
    forms = {
        0.3: ("Expanded: as in training", "query", "output", f"attention with {n_heads} keys and values"),
        9.0: ("Absorbed: as in decoding", "query × W^UK", "sum × W^UV", "attention with the latents themselves"),
    }
    for x, (title, query, output, attention) in forms.items():
        note(axes, x, 7.4, title, fontsize=12, fontweight="bold")
        colour = GREY if query == "query" else GREEN
        box(axes, x, 5.9, 3.7, 0.9, query, colour)
        box(axes, x + 3.95, 5.9, 3.7, 0.9, output, colour)
        arrow(axes, (x + 1.85, 5.85), (x + 1.85, 5.3))
        arrow(axes, (x + 5.8, 5.3), (x + 5.8, 5.85))
        box(axes, x, 4.3, 7.65, 0.95, attention, BLUE)
        box(axes, x, 0.9, 5.2, 0.9, f"latent: {rank} elements", ORANGE)
        box(axes, x + 5.4, 0.9, 2.25, 0.9, f"key: {rope}", ORANGE)
        arrow(axes, (x + 6.5, 1.85), (x + 6.5, 4.25))
    box(axes, 0.3, 2.6, 5.2, 0.9, f"× W^UK and W^UV, for {n_heads} heads", RED)
    arrow(axes, (2.9, 1.85), (2.9, 2.55))
    arrow(axes, (2.9, 3.55), (2.9, 4.25))
    arrow(axes, (11.6, 1.85), (11.6, 4.25))
    note(axes, 0.3, 0.3, "orange: cached", color="#A86F00")
    note(axes, 4.2, 0.3, "red: for every cached token", color=RED)
    note(axes, 9.0, 0.3, "green: once per query, whatever the context", color=GREEN)
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


def draw_training_memory(bytes_per_parameter: Mapping[str, tuple[float, float]], names: tuple[str, str]) -> Figure:
    """Draw the copies of a parameter that a training step keeps, and the bytes of each under two schemes.

    Args:
        bytes_per_parameter: of "master_weights", "weights", "gradients" and "moments", under either scheme.
        names: of the two schemes.
    """
    figure, axes = canvas(8.5, 3.2, columns=17, rows=6.4)
    says = {"master_weights": "master weight,\nthe precise copy", "weights": "weight, rounded\nfor products",
            "gradients": "gradient, which\nway to change it", "moments": "two moments,\nmean gradients"}  # fmt: skip
    lefts = [3.5 + 3.5 * place for place in range(len(says))]
    for (part, text), x in zip(says.items(), lefts, strict=True):
        box(axes, x, 3.2, 2.8, 1.3, text, ORANGE, fontsize=9)
        for row, size in enumerate(bytes_per_parameter[part]):
            note(axes, x + 1.4, 1.9 - row, f"{size:g} byte{'s' * (size != 1)}", ha="center", fontsize=11)
    note(axes, 0.2, 2.7, "bytes per parameter")
    for row, name in enumerate(names):
        total = sum(sizes[row] for sizes in bytes_per_parameter.values())
        note(axes, 0.2, 1.9 - row, f"{name}: {total:g}", fontsize=11, fontweight="bold", color="#A86F00")
    for x in lefts[:-1]:
        arrow(axes, (x + 2.85, 3.85), (x + 3.45, 3.85))
    last = lefts[-1] + 1.4
    axes.plot([last, last, lefts[0] + 1.4, lefts[0] + 1.4], [4.55, 5.5, 5.5, 5.0], color=INK, linewidth=1.2)
    arrow(axes, (lefts[0] + 1.4, 5.1), (lefts[0] + 1.4, 4.55))
    middle = (last + lefts[0] + 1.4) / 2
    note(axes, middle, 5.95, "the optimiser updates the master weight after each batch", ha="center", color=BLUE)
    note(axes, (lefts[1] + lefts[2] + 2.8) / 2, 4.9, "forward, backward", ha="center", fontsize=8.5)
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


def draw_mtp(kept: str) -> Figure:
    """Draw the module for multi-token prediction, and what becomes of its draft in the main model's next pass.

    Args:
        kept: the share of drafts that are kept, as a text.
    """
    figure, axes = canvas(8.5, 4.4, columns=17, rows=9.2)
    note(axes, 0.3, 8.75, "1. The module drafts a token", fontsize=12, fontweight="bold")
    columns = {
        0.3: ("token i", "main model", "head", "token i + 1", BLUE),
        4.4: ("token i + 1", "MTP module:\none layer", "the same head", "token i + 2: a draft", ORANGE),
    }
    for x, (read, layers, head, said, colour) in columns.items():
        box(axes, x, 0.4, 2.7, 0.9, read, GREY)
        box(axes, x, 2.2, 2.7, 1.3, layers, colour)
        box(axes, x, 4.4, 2.7, 0.9, head, BLUE)
        note(axes, x + 1.35, 6.4, said, ha="center", fontweight="bold")
        for low, high in ((1.35, 2.15), (3.55, 4.35), (5.35, 6.05)):
            arrow(axes, (x + 1.35, low), (x + 1.35, high))
    arrow(axes, (3.05, 2.85), (4.35, 2.85))
    note(axes, 3.7, 3.75, "hidden\nstate", ha="center", fontsize=8.5)
    note(axes, 8.9, 8.75, "2. The next pass checks the draft", fontsize=12, fontweight="bold")
    for x, text, colour in ((8.9, "token i + 1", GREY), (12.9, "draft of i + 2", ORANGE)):
        box(axes, x, 0.4, 3.6, 0.9, text, colour)
        arrow(axes, (x + 1.8, 1.35), (x + 1.8, 2.15))
        arrow(axes, (x + 1.8, 3.55), (x + 1.8, 4.35))
    box(axes, 8.9, 2.2, 7.6, 1.3, "main model: one pass over both tokens", BLUE)
    outcomes = {
        6.5: (f"kept, {kept}: two tokens from one pass", "the draft, i + 2", "token i + 3", GREEN),
        4.4: ("else: one token", "another token i + 2", "thrown away", GREY),
    }
    for y, (verdict, first, second, colour) in outcomes.items():
        box(axes, 8.9, y, 3.6, 0.9, first, GREEN)
        box(axes, 12.9, y, 3.6, 0.9, second, colour)
        note(axes, 8.9, y + 1.25, verdict, color=GREEN if colour == GREEN else RED, fontweight="bold")
    return figure


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


def draw_active(idle: str, active: str, parts: dict[str, float], *, share: float, title: str = "") -> Figure:
    """Draw which share of a model's parameters works on a token, to scale, and below it enlarged what that share holds.

    Args:
        idle: what is said of the rest.
        active: what is said of the share.
        parts: billions of parameters of the share, by name, in the order drawn.
        share: of all parameters, from 0 to 1.
        title: above the bars.
    """
    figure, axes = canvas(8.5, 3.5, columns=17, rows=7.0)
    note(axes, 0.3, 6.6, title, fontsize=12, fontweight="bold")
    left, whole = 0.3, 16.4
    cut = left + whole * share
    for x, width, colour in ((left, cut - left, BLUE), (cut, left + whole - cut, GREY)):
        axes.add_patch(Rectangle((x, 4.6), width, 1.1, facecolor=colour, edgecolor="white"))
    note(axes, cut + 0.3, 5.15, idle)
    for x, end in ((left, left), (cut, left + whole)):
        axes.plot([x, end], [4.55, 3.35], color=GREY, linewidth=1)
    note(axes, left + 0.2, 3.7, active, color=BLUE, fontweight="bold")
    colours = [BLUE, ORANGE, GREEN, "#56B4E9", RED, GREY]
    x, total, below = left, sum(parts.values()), 0
    for (name, billions), colour in zip(parts.items(), colours, strict=False):
        width = whole * billions / total
        axes.add_patch(Rectangle((x, 2.2), width, 1.1, facecolor=colour, edgecolor="white"))
        if width > 2.5:
            note(axes, x + width / 2, 2.75, f"{name}\n{billions:.1f}B", ha="center",
                 color="white" if colour == BLUE else "black")  # fmt: skip
        else:
            row = 1.55 - 0.6 * below
            axes.plot([x + width / 2] * 2, [2.15, row + 0.3], color=INK, linewidth=0.8)
            note(axes, x + width / 2 + 0.15, row, f"{name}: {billions:.1f}B", ha="right")
            below += 1
        x += width
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
    figure, axes = canvas(8.5, 0.5 + 0.7 * len(lanes), columns=17, rows=1.1 + 1.5 * len(lanes))
    end = max(start + length for pieces in lanes.values() for _, start, length, _ in pieces)
    note(axes, 0.3, 0.7 + 1.5 * len(lanes), title, fontsize=11.5, fontweight="bold")
    for place, (lane, pieces) in enumerate(lanes.items()):
        y = 1.5 * (len(lanes) - 1 - place) + 0.2
        note(axes, 0.3, y + 0.5, lane, fontweight="bold")
        for text, start, length, colour in pieces:
            box(axes, 3.4 + 13.2 * start / end, y, 13.2 * length / end - 0.06, 1.0, text, colour, fontsize=8)
    return figure
