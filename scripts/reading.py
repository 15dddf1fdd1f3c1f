"""How much there is to read in each notebook: words, cells, visible lines of code, and minutes.

Words are those of the text, of the outputs but pictures (their plain form), and of the code that is not hidden. Minutes
assume 180 words a minute for text and outputs, and four seconds for a line of code.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from repro.lab import notebooks
from repro.lab.run import HIDDEN

WORDS_PER_MINUTE, SECONDS_PER_LINE = 180, 4


TOP = ("top", "The answer")
WHOLE_POINT = (*TOP, "What to remember")
# Ways through the notebooks for those with little time; the README names them with their words.
PATHS: dict[str, dict[str, Sequence[str]]] = {
    "half an hour": {
        "00": (*TOP, "Step 1", "Step 2", "What to remember"),
        "02": (*TOP, "Step 1", "Step 2", "What to remember"),
        **dict.fromkeys(("04", "09", "10", "11", "13", "15"), WHOLE_POINT),
    },
    "an hour": {
        "00": (*TOP, "Step 1", "Step 2", "What to remember"),
        "02": (*TOP, "Step 1", "Step 2", "What to remember"),
        "04": (*TOP, "Step 2", "What to remember"),
        "09": (*TOP, "Step 1", "What to remember"),
        "11": (*TOP, "Step 1", "What to remember"),
        "15": (*TOP, "Step 1", "Step 2", "What to remember"),
        **dict.fromkeys(("01", "03", "05", "06", "07", "08", "10", "12", "13", "14", "16"), WHOLE_POINT),
    },
}


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


def sections(cells: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return a notebook's cells by section: "top", then each by its heading up to a colon, in order."""
    found: dict[str, list[dict[str, Any]]] = {"top": []}
    name = "top"
    for cell in cells:
        parts = re.split(r"(?m)^## ", "".join(cell["source"])) if cell["cell_type"] == "markdown" else [""]
        if parts[0].strip() or cell["cell_type"] == "code":
            found[name].append(cell | ({"source": parts[0]} if cell["cell_type"] == "markdown" else {}))
        for part in parts[1:]:
            name = part.splitlines()[0].split(":")[0].strip()
            found.setdefault(name, []).append(cell | {"source": part})
    return found


def path_load(path: Mapping[str, Sequence[str]]) -> Load:
    """Return how much there is to read on a path: sections by the number of their notebook."""
    chosen: list[dict[str, Any]] = []
    for number, names in path.items():
        (file,) = notebooks.find([number])
        by_name = sections(json.loads(file.read_text(encoding="utf-8"))["cells"])
        chosen += [cell for name in names for cell in by_name[name]]
    return reading_load(chosen)


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
    for name, path in PATHS.items() if not names else ():
        load = path_load(path)
        print(f"{'path: ' + name:<34}{load.words:>7,}{load.cells:>7}{load.lines:>7}{load.minutes:>9.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
