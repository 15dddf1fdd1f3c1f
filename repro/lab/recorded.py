"""Measurements recorded on a named machine, which notebooks show in place of timings of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from repro.errors import InputError
from repro.files import read_json
from repro.lab.notebooks import folder


@dataclass(frozen=True)
class Record:
    """One recording: the machine with date and versions, and a row per measurement."""

    machine: Mapping[str, str]
    rows: list[Mapping[str, Any]]

    def row(self, **wanted: Any) -> Mapping[str, Any]:
        """Return the one measurement whose fields are these; raises InputError where there is none, or several."""
        found = [row for row in self.rows if all(row.get(name) == value for name, value in wanted.items())]
        if len(found) != 1:
            raise InputError(f"recorded measurements of {wanted}: {len(found)}, must be 1")
        return found[0]

    def over_seeds(self, result: str, **wanted: Any) -> list[Any]:
        """Return a result of the runs of experiments whose settings are these, in the order of their seeds.

        Args: result: its name, parts joined by dots where results are nested.
        Raises: InputError where there is no such run, one did not complete, or one seed is there twice.
        """
        runs = [row for row in self.rows if all(row["run"].get(name) == value for name, value in wanted.items())]
        seeds = [row["run"]["seed"] for row in runs]
        if not runs or len(set(seeds)) < len(seeds) or any(row["status"] != "complete" for row in runs):
            raise InputError(f"recorded runs of {wanted}: {len(runs)}, must be complete, one of each seed")
        return [_inside(row["results"], result) for row in sorted(runs, key=lambda row: row["run"]["seed"])]

    @property
    def where(self) -> str:
        """The machine in one line."""
        own = self.machine
        versions = f"Python {own['python']}, numpy {own['numpy']}"
        return f"{own['processor']}, {own['cores']} cores, {versions}, {own['date']}"


def _inside(results: Mapping[str, Any], path: str) -> Any:
    for part in path.split("."):
        results = results[part]
    return results


def load_record(name: str, kind: str = "benchmarks") -> Record:
    """Return a recording by its name: of benchmarks, or of experiments.

    Raises: InputError naming the file where it is missing or damaged.
    """
    path = folder().parent / kind / "recorded" / f"{name}.json"
    data = read_json(path)
    if not isinstance(data.get("machine"), dict) or not isinstance(data.get("rows"), list):
        raise InputError(f"{path.name}: must hold a machine and rows")
    return Record(data["machine"], data["rows"])
