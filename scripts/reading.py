"""How much there is to read in each notebook: words, cells, visible lines of code, and minutes.

Words are those of the text, of the outputs but pictures (their plain form), and of the code that is not hidden. Minutes
assume 180 words a minute for text and outputs, and four seconds for a line of code.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from repro.lab import notebooks
from repro.lab.run import HIDDEN

WORDS_PER_MINUTE, SECONDS_PER_LINE = 180, 4


class Load(NamedTuple):
    """What a reader meets in some cells."""

    words: int  #: in all
    cells: int
    lines: int  #: of visible code
    minutes: float


def reading_load(cells: list[dict[str, Any]]) -> Load:
    """Return how much there is to read in these cells of a notebook."""
    visible = [cell for cell in cells if cell["cell_type"] == "code" and HIDDEN not in cell["metadata"].get("tags", [])]
    code = ["".join(cell["source"]) for cell in visible]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    outputs = [one for cell in cells for one in cell.get("outputs", []) if "image/png" not in one.get("data", {})]
    texts += ["".join(one.get("text", one.get("data", {}).get("text/plain", ""))) for one in outputs]
    lines = sum(bool(line.strip()) for text in code for line in text.splitlines())
    read = sum(len(text.split()) for text in texts)
    words = read + sum(len(text.split()) for text in code)
    return Load(words, len(cells), lines, read / WORDS_PER_MINUTE + lines * SECONDS_PER_LINE / 60)


def load_of(path: Path) -> Load:
    """Return how much there is to read in a notebook."""
    return reading_load(json.loads(path.read_text(encoding="utf-8"))["cells"])


def main(names: list[str]) -> None:
    """Print a line per notebook, and the sum."""
    loads = {path.stem: load_of(path) for path in notebooks.find(names)}
    print(f"{'notebook':<34}{'words':>7}{'cells':>7}{'lines':>7}{'minutes':>9}")
    for name, load in loads.items():
        print(f"{name:<34}{load.words:>7,}{load.cells:>7}{load.lines:>7}{load.minutes:>9.0f}")
    total = Load(*(sum(column) for column in zip(*loads.values(), strict=True)))
    print(f"{'in all':<34}{total.words:>7,}{total.cells:>7}{total.lines:>7}{total.minutes:>9.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
