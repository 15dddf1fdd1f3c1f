"""Refuses notebooks whose outputs are not those of one run from top to bottom: for pre-commit, in a moment.

Whether a fresh run gives the same outputs takes minutes to know: `make check` tells.
"""

import json
import sys
from pathlib import Path

from repro.lab.committed import complaints

FIGURES = Path(__file__).resolve().parents[1] / "figures"


def main(paths: list[str]) -> int:
    """Print the complaints about the named notebooks and return the exit status."""
    lines = [
        f"{path}: {message}; run make notebooks"
        for path in paths
        for message in complaints(json.loads(Path(path).read_text(encoding="utf-8")), FIGURES)
    ]
    print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
