"""Attention: what is cached, how MLA reads it, what a head sees of it."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from repro.lab.diagrams.pens import PALE, arrow, box, canvas, cells, note
from repro.lab.figures import BLUE, GREEN, GREY, ORANGE, RED


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
