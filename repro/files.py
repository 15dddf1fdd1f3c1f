"""Reading TOML, JSON and CSV, with one clear line where a file is damaged."""

import csv
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro.errors import InputError


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file.

    Raises: InputError naming the file where it cannot be read or is not TOML.
    """
    return _read(path, "TOML", tomllib.loads)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises: InputError naming the file where it cannot be read, is not JSON, or holds something else.
    """
    data = _read(path, "JSON", json.loads)
    if not isinstance(data, dict):
        raise InputError(f"{path.name}: must hold one JSON object, not a {type(data).__name__}")
    return data


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column name.

    Raises: InputError naming the file where it cannot be read, and the line where one has not a field per column.
    """
    rows = _read(path, "CSV", lambda text: list(csv.DictReader(text.splitlines(), strict=True)))
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"{path.name}: line {line}: must have one field per column")
    return rows


def _read(path: Path, kind: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError, csv.Error) as error:  # of the format, its encoding, or a number out of bounds
        raise InputError(f"{path.name}: is not valid {kind}: {error}") from None
