"""A token through experts, the module for the token after the next, and how little of a model a token uses."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from repro.lab.diagrams.pens import INK, arrow, box, canvas, note
from repro.lab.figures import BLUE, GREEN, GREY, ORANGE, RED


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
