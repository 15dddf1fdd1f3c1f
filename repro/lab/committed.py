"""What a committed notebook must look like: outputs of one run, and pictures that are those which the run drew.

nbval runs the notebook again and compares outputs, but skips pictures. So each picture has its checksum beside it, and
its numbers, which nbval does compare; the files of the figure repeat the numbers with checksums of their own.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from repro.lab.prose import unlisted

FIGURE = "application/vnd.repro.figure+json"  # the mimetype under which a notebook's outputs carry a figure's numbers
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
PICTURES = ("svg", "png")  # the endings of a figure's files, beside its JSON
Json = dict[str, Any]


def checksum(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def complaints(notebook: Json, figures: Path) -> list[str]:
    """Return what is wrong with a notebook's outputs and with the files of its figures, one line each."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    outputs = [output for cell in cells for output in cell["outputs"]]
    wrong = {
        "its cells were not run once each, from top to bottom": counts != list(range(1, len(cells) + 1)),
        "most of its cells have no output": sum(bool(cell["outputs"]) for cell in cells) <= len(cells) / 2,
        "a cell ended in an error": any(output["output_type"] == "error" for output in outputs),
        "its metadata is not what `make notebooks` writes": notebook["metadata"] != METADATA,
    }
    pictured = [output for output in outputs if {"image/png", FIGURE} & set(output.get("data", {}))]
    told = [message for message, applies in wrong.items() if applies]
    told += unlisted(notebook)
    return told + [line for output in pictured for line in (*_in_output(output), *_in_files(output, figures))]


def _in_output(output: Json) -> Iterator[str]:
    """Yield what is wrong with a picture in an output."""
    data, beside = output["data"], output.get("metadata", {}).get("image/png", {})
    if FIGURE not in data or "image/png" not in data:
        yield "a picture and its numbers do not stand in one output"
        return
    name = data[FIGURE]["name"]
    if checksum(base64.b64decode(data["image/png"])) != beside.get("sha256"):
        yield f"figure {name}: the picture is not the one that was drawn"
    if not beside.get("alt") or beside["alt"] != data[FIGURE]["alt"]:
        yield f"figure {name}: the text for those who cannot see it is missing"


def _in_files(output: Json, figures: Path) -> Iterator[str]:
    """Yield what is wrong with the files of a figure that an output shows."""
    if FIGURE not in output["data"]:
        return
    shown = output["data"][FIGURE]
    name = shown["name"]
    try:
        described = json.loads((figures / f"{name}.json").read_text(encoding="utf-8"))
        found = {kind: checksum((figures / f"{name}.{kind}").read_bytes()) for kind in PICTURES}
    except (OSError, ValueError) as error:
        yield f"figure {name}: its files are missing or damaged ({type(error).__name__})"
        return
    sums = described.pop("sha256", {})
    if described != shown:
        yield f"figure {name}: {name}.json has other numbers than the notebook"
    yield from (f"figure {name}: {name}.{kind} is not the one that was drawn" for kind in PICTURES
                if found[kind] != sums.get(kind))  # fmt: skip
