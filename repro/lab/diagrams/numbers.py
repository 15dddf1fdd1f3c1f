"""Numbers of few bits: their formats, their sums, and the bytes that training keeps."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from repro.lab.diagrams.pens import INK, arrow, box, canvas, cells, note
from repro.lab.figures import BLUE, GREY, ORANGE


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
