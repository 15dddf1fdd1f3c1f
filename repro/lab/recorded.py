"""Measurements recorded on a named machine, which notebooks show in place of timings of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repro.errors import InputError
from repro.files import read_json
from repro.lab.notebooks import folder


@dataclass(frozen=True)
class Recorded:
    """One recording: the machine with date and versions, and a row per measurement."""

    machine: Mapping[str, str]
    rows: list[Mapping[str, Any]]

    def row(self, **wanted: Any) -> Mapping[str, Any]:
        """Return the one measurement whose fields are these; raises InputError where there is none, or several."""
        found = [row for row in self.rows if all(row.get(name) == value for name, value in wanted.items())]
        if len(found) != 1:
            raise InputError(f"recorded measurements of {wanted}: {len(found)}, must be 1")
        return found[0]

    @property
    def where(self) -> str:
        """The machine in one line."""
        own = self.machine
        versions = f"Python {own['python']}, numpy {own['numpy']}"
        return f"{own['processor']}, {own['cores']} cores, {versions}, {own['date']}"


def recorded(name: str, kind: str = "benchmarks") -> Recorded:
    """Return a recording by its name: of benchmarks, or of experiments.

    Raises: InputError naming the file where it is missing or damaged.
    """
    path = folder().parent / kind / "recorded" / f"{name}.json"
    data = read_json(path)
    if not isinstance(data.get("machine"), dict) or not isinstance(data.get("rows"), list):
        raise InputError(f"{path.name}: must hold a machine and rows")
    return Recorded(data["machine"], data["rows"])
