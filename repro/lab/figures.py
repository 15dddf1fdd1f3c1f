"""One look for all figures, saved as SVG for reading and PNG for slides, with their numbers and a text beside them.

nbval does not compare pictures. So the output that shows one also holds what is drawn as JSON, which it does compare,
and the picture's checksum; the files of a figure are a picture twice and that JSON with the checksums of both.
"""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from repro.claims import AuditResult, count_verdicts, load_register
from repro.lab.committed import FIGURE, checksum
from repro.lab.drawn import figure_data
from repro.lab.run import FIGURES

# The palette of Okabe and Ito, which people with any common colour blindness can tell apart.
BLUE, ORANGE, GREEN, RED, GREY, YELLOW = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#B8B8B8", "#F0E442"
# How each kind of file is written: equal from run to run, and a PNG large enough for a slide.
KINDS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None, "Creator": None}},
    "png": {"metadata": {"Software": None}, "dpi": 200},
}
GAP = 0.25  # between blocks of tiles, where a row is 1 high
VERDICT_COLOURS = {
    "holds": GREEN,
    "mostly holds": "#56B4E9",
    "imprecise": YELLOW,
    "misleading": ORANGE,
    "wrong": RED,
    "not settled": "#CC79A7",
    "context": "#DDDDDD",
    "not audited yet": "#FFFFFF",
}


def use_style() -> None:
    """Set matplotlib to the project's look, and make files equal from run to run."""
    plt.rcdefaults()
    mpl.rcParams.update(
        {
            "figure.figsize": (8.5, 4.2),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.axisbelow": True,
            "text.parse_math": False,  # a dollar is a dollar
            "svg.hashsalt": "repro",
        }
    )


def show_figure(figure: Figure, name: str, alt: str, *, digits: int = 4) -> None:
    """Display a figure with its numbers and its text, and write its files into the folder of the run, if there is one.

    Args:
        figure: drawn; it is closed.
        name: of its files: NAME.svg, NAME.png and NAME.json.
        alt: one or two sentences that say what a reader sees in it, for those who cannot see it.
        digits: significant digits that the numbers keep.
    """
    data = {"name": name, "alt": alt, **figure_data(figure, digits)}
    picture = _picture(figure, "png", dpi=mpl.rcParams["figure.dpi"])
    metadata = {"image/png": {"alt": alt, "sha256": checksum(picture)}}
    display({"image/png": picture, FIGURE: data, "text/plain": alt}, metadata=metadata, raw=True)
    if folder := os.environ.get(FIGURES):
        files = {kind: _picture(figure, kind) for kind in KINDS}
        for kind, content in files.items():
            (Path(folder) / f"{name}.{kind}").write_bytes(content)
        described = data | {"sha256": {kind: checksum(content) for kind, content in files.items()}}
        lines = [f' "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in described.items()]
        (Path(folder) / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    plt.close(figure)


def _picture(figure: Figure, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, **(KINDS[kind] | options))
    return file.getvalue()


def draw_stacks(axes: Axes, names: Sequence[str], parts: Mapping[str, Sequence[float]], colours: Sequence[str]) -> None:
    """Draw one horizontal bar per name, its parts of these lengths side by side, the first name on top."""
    left = [0.0] * len(names)
    for (part, lengths), colour in zip(parts.items(), colours, strict=True):
        axes.barh(names, lengths, left=left, color=colour, label=part, height=0.6)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    axes.invert_yaxis()


def plain_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Set the ticks of a logarithmic axis to these values, written out."""
    axis.set_ticks(values, [f"{value:,.10g}" for value in values])
    axis.set_minor_locator(NullLocator())


def label_bars(axes: Axes, bars: Any, texts: list[str]) -> None:
    """Write a text at the end of each bar."""
    axes.bar_label(bars, labels=texts, padding=4)


def draw_verdicts(results: Sequence[AuditResult], columns: int = 7) -> Figure:
    """Draw a tile for each claim, coloured by verdict and labelled by what it is about, in blocks by topic."""
    register = load_register()
    blocks: dict[str, list[AuditResult]] = {}
    for topic in register.audit.topics:
        found = [result for result in results if register.topic(result.claim) == topic]
        blocks |= {topic: found} if found else {}
    height = sum(-(-len(found) // columns) + GAP for found in blocks.values())
    figure, axes = plt.subplots(figsize=(11, 0.36 * height + 1.2))
    row = 0.0
    for topic, found in blocks.items():
        axes.text(-0.06, row + 0.42, topic, ha="right", va="center", fontsize=9.5, fontweight="bold")
        for place, result in enumerate(found):
            _draw_tile(axes, result, place % columns, row + place // columns)
        row += -(-len(found) // columns) + GAP
    axes.set(xlim=(-1.15, columns), ylim=(row - 0.1, -0.1))
    axes.axis("off")
    axes.set_title(f"What {len(results)} claims are about, and which of them hold")
    _name_verdicts(figure, results)
    return figure


def _draw_tile(axes: Axes, result: AuditResult, x: float, y: float) -> None:
    """Draw one claim's tile; its id is the patch's."""
    colour = VERDICT_COLOURS[str(result.verdict)]
    tile = Rectangle((x, y), 0.96, 0.84, facecolor=colour, edgecolor="#555555", linewidth=0.6)
    tile.set_gid(result.claim.id)
    axes.add_patch(tile)
    axes.text(x + 0.48, y + 0.42, result.claim.label or result.claim.id, ha="center", va="center", fontsize=8)


def _name_verdicts(figure: Figure, results: Sequence[AuditResult]) -> None:
    """Write below a figure what its colours stand for, and how often each occurs."""
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=VERDICT_COLOURS[verdict], edgecolor="#555555", label=f"{count} {verdict}")
        for verdict, count in count_verdicts(results).items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9,
                  handlelength=1, columnspacing=1.2)  # fmt: skip
