"""Refuses notebooks whose outputs are not those of one run from top to bottom: for pre-commit, in a moment.

Whether a fresh run gives the same outputs takes minutes to know: `make check` tells.
"""

import json
import sys
from pathlib import Path
from typing import Any

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def complaints(notebook: dict[str, Any]) -> list[str]:
    """Return what is wrong with a notebook's outputs, one line each."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    errors = [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    return [
        message
        for message, wrong in {
            "its cells were not run once each, from top to bottom": counts != list(range(1, len(cells) + 1)),
            "most of its cells have no output": sum(bool(cell["outputs"]) for cell in cells) <= len(cells) / 2,
            "a cell ended in an error": bool(errors),
            "its metadata is not what `make notebooks` writes": notebook["metadata"] != METADATA,
        }.items()
        if wrong
    ]


def main(paths: list[str]) -> int:
    """Print the complaints about the named notebooks and return the exit status."""
    lines = [
        f"{path}: {message}; run make notebooks"
        for path in paths
        for message in complaints(json.loads(Path(path).read_text(encoding="utf-8")))
    ]
    print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
