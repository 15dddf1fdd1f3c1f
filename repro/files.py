"""Reading TOML, JSON and CSV, with one clear line for a file that is missing or damaged."""

import csv
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from repro.errors import InputError, printable

LARGEST_BYTES = 10_000_000  # of any file that is read whole


def read_toml(path: Path) -> dict[str, Any]:
    """Return the contents of a TOML file, or raise InputError naming it."""
    contents: dict[str, Any] = _read(path, path.name, "TOML", tomllib.loads)
    return contents


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        InputError: naming the file, if it cannot be read, is not JSON, names a field twice, or holds no object.
    """
    data = _read(path, str(path), "JSON", lambda text: json.loads(text, object_pairs_hook=unique_fields))
    if not isinstance(data, dict):
        raise InputError(f"{path}: must hold one JSON object, not a {type(data).__name__}")
    return data


def unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object's fields; raise ValueError for a name that occurs twice."""
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"{printable(name)} is there twice")
        fields[name] = value
    return fields


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column name.

    Raises:
        InputError: naming the file, if it cannot be read, and the line that lacks a field or has one too many.
    """
    rows: list[dict[str, str]] = _read(
        path, path.name, "CSV", lambda text: list(csv.DictReader(text.splitlines(), strict=True))
    )
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise InputError(f"{path.name}: line {line}: must have one field per column")
    return rows


def _read(path: Path, name: str, kind: str, parse: Callable[[str], Any]) -> Any:
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: must be a regular file of {kind}")
        if path.exists() and path.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{name}: has more than {LARGEST_BYTES:,} bytes, too large for what is read here")
        return parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}") from None
    except InputError:
        raise
    except (ValueError, RecursionError, csv.Error) as error:  # malformed, of another encoding, or a number out of range
        raise InputError(f"{name}: is not valid {kind}: {error}") from None
