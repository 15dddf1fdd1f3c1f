"""Measurements recorded on a named machine, which notebooks show instead of timings of their own."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from repro.errors import InputError
from repro.files import read_json
from repro.lab.notebooks import folder


@dataclass(frozen=True)
class Record:
    """One recording: the machine with date and versions, and a row per measurement."""

    machine: Mapping[str, str]
    rows: list[Mapping[str, Any]]

    def row(self, **fields: Any) -> Mapping[str, Any]:
        """Return the one measurement with these fields; raise InputError if there is none, or several."""
        rows = [row for row in self.rows if _has(row, fields)]
        if len(rows) != 1:
            raise InputError(f"recorded measurements of {fields}: {len(rows)}, must be 1")
        return rows[0]

    def over_seeds(self, result: str, *, only: Container[int] | None = None, **settings: Any) -> list[Any]:
        """Return a result of all runs with these settings, ordered by seed.

        A run is of one seed, or of several at once: then its settings have `seeds` and each result is a list of theirs.

        Args:
            result: its name; dots lead into nested ones, as in "loss.main".
            only: seeds; runs of others are left aside.
            **settings: fields of the run and their values.

        Raises:
            InputError: if there is no such run, one did not complete, or a seed occurs twice.
        """
        rows = [row for row in self.rows if _has(row["run"], settings) and _is_of(row["run"], only)]
        if not rows or any(row["status"] != "complete" for row in rows):
            raise InputError(f"recorded runs of {settings}: {len(rows)}, must be complete")
        by_seed = [pair for row in rows for pair in _by_seed(row, result) if only is None or pair[0] in only]
        if len({seed for seed, _ in by_seed}) < len(by_seed):
            raise InputError(f"recorded runs of {settings}: {len(rows)}, must be one of each seed")
        return [value for _, value in sorted(by_seed, key=lambda pair: pair[0])]

    def diverged_seeds(self, **settings: Any) -> set[int]:
        """Return the seeds whose run with these settings did not complete, of runs of one seed."""
        rows = [row for row in self.rows if _has(row["run"], settings)]
        return {row["run"]["seed"] for row in rows if row["status"] != "complete"}

    @property
    def machine_line(self) -> str:
        """The machine in one line."""
        m = self.machine
        return f"{m['processor']}, {m['cores']} cores, Python {m['python']}, numpy {m['numpy']}, {m['date']}"


def _has(row: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in fields.items())


def _is_of(run: Mapping[str, Any], only: Container[int] | None) -> bool:
    return only is None or any(seed in only for seed in run.get("seeds", [run.get("seed")]))


def _by_seed(row: Mapping[str, Any], result: str) -> list[tuple[int, Any]]:
    """Return the seeds of one run with what each has as a result."""
    value = reduce(lambda part, name: part[name], result.split("."), row["results"])
    if "seeds" in row["run"]:
        return list(zip(row["run"]["seeds"], value, strict=True))
    return [(row["run"]["seed"], value)]


def load_record(name: str, kind: str = "benchmarks") -> Record:
    """Return a recording of "benchmarks" or "experiments" by name; InputError if its file is missing or damaged."""
    path = folder().parent / kind / "recorded" / f"{name}.json"
    data = read_json(path)
    if not isinstance(data.get("machine"), dict) or not isinstance(data.get("rows"), list):
        raise InputError(f"{path.name}: must hold a machine and rows")
    return Record(data["machine"], data["rows"])
