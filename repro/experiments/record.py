"""Running a study's runs, resumably and side by side; keeping what became of each; comparing with the record."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from repro.errors import InputError
from repro.experiments.watch import Trace
from repro.files import read_json
from repro.machine import describe_machine
from repro.nano.training.loop import TrainingDiverged

Row = dict[str, Any]
DONE = ("complete", "diverged", "refused")  # what running again would only repeat
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Study:
    """Runs of one kind: each a frozen dataclass of plain values, and the function that measures one.

    measure: takes a run and an empty trace, which it fills as it trains, and returns results of plain values.
    """

    name: str
    runs: Sequence[Any]
    measure: Callable[[Any, Trace], Mapping[str, Any]]


def key(run: Mapping[str, Any]) -> str:
    """Return what identifies a run: its fields, sorted."""
    return json.dumps(run, sort_keys=True)


def code_version() -> str:
    """Return a fingerprint of the code that results come from, the models' and the experiments'."""
    digest = hashlib.sha256()
    for room in ("calc", "experiments", "nano"):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def perform(study: Study, run: Any, every: int = 10) -> Row:
    """Return what became of one run: its results, or why it stopped, at which step, and the partial trace.

    Args: study: with its measure. run: one of its kind. every: steps of a window of the trace.
    Returns: a row whose status is complete, diverged, refused or interrupted.
    """
    trace = Trace(every, keep_loads=getattr(run, "keep_loads", False))
    status, reason, results = "complete", "", {}
    try:
        results = dict(study.measure(run, trace))
    except TrainingDiverged as error:
        status, reason = "diverged", str(error)
    except InputError as error:
        status, reason = "refused", str(error)
    except KeyboardInterrupt:
        status, reason = "interrupted", f"step {trace.steps_done}: interrupted by hand"
    return {
        "run": asdict(run),
        "status": status,
        "reason": reason,
        "steps_done": trace.steps_done,
        "collapsed_at": trace.collapsed_at,
        "results": results,
        "trace": trace.rows,
    }


def perform_all(study: Study, path: Path, workers: int, *, bar: bool = True) -> list[Row]:
    """Perform all runs that a file does not hold yet, adding each to it as it ends; return one row per run.

    Args: study: to perform. path: of JSON lines, made where it is missing; rows of other code, and interrupted ones,
        are done again. workers: processes. bar: whether progress is shown on stderr.
    Raises: KeyboardInterrupt after an interruption, with what was reached written.
    """
    version = code_version()
    rows = {key(row["run"]): row for row in load_rows(path, version) if row["status"] in DONE}
    left = [run for run in study.runs if key(asdict(run)) not in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a", encoding="utf-8") as file,
        tqdm(total=len(study.runs), initial=len(study.runs) - len(left), desc=study.name, disable=not bar) as progress,
    ):
        for row in _performed(study, left, workers):
            file.write(json.dumps({"code": version, **row}) + "\n")
            file.flush()
            rows[key(row["run"])] = row
            progress.update(row["status"] in DONE)
            if row["status"] != "complete":
                progress.write(describe_row(study.name, row))
    return [rows[key(asdict(run))] for run in study.runs]


def _performed(study: Study, runs: Sequence[Any], workers: int) -> Iterator[Row]:
    """Yield rows as runs end; after an interruption those of the runs that it stopped, then raise it."""
    with ProcessPoolExecutor(workers) as pool:
        left = iter(runs)
        # One run per worker at a time: a pool that holds more would begin another after an interruption.
        flying: set[Future] = {pool.submit(perform, study, run) for run in islice(left, workers)}
        try:
            while flying:
                ended, flying = wait(flying, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in ended)
                flying |= {pool.submit(perform, study, run) for run in islice(left, len(ended))}
        except KeyboardInterrupt:
            yield from (one.result() for one in flying)
            raise


def load_rows(path: Path, version: str) -> list[Row]:
    """Return the rows that a file of JSON lines holds from this version of the code.

    A last line that was cut off in writing is left out.
    Raises: InputError naming the file and the line where another one is damaged.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if row["code"] == version:
                rows.append(row)
        except (ValueError, KeyError, TypeError):
            if number < len(lines):
                raise InputError(f"{path.name}: line {number}: is no row of a run; delete the file") from None
    return rows


def describe_row(name: str, row: Row) -> str:
    """Return in one line what became of a run that did not complete: status, step and configuration."""
    run = ", ".join(f"{field}={value}" for field, value in row["run"].items())
    return f"{name}: {row['status']} after {row['steps_done']} steps ({row['reason']}); {run}"


def write_record(study: Study, rows: Sequence[Row], path: Path) -> None:
    """Write a study's rows beside machine, versions and date, one row to a line."""
    head = json.dumps(describe_machine())
    body = ",\n".join(json.dumps(_rounded(row)) for row in rows)
    path.write_text(f'{{"study": "{study.name}", "machine": {head}, "rows": [\n{body}\n]}}\n', encoding="utf-8")


def _rounded(value: Any, digits: int = 9) -> Any:
    """Return nested values with numbers cut to so many significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    if isinstance(value, Mapping):
        return {name: _rounded(one, digits) for name, one in value.items()}
    return [_rounded(one, digits) for one in value] if isinstance(value, list) else value


def iter_numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield each number of nested results with its path."""
    if isinstance(value, Mapping):
        for part, one in value.items():
            yield from iter_numbers(one, f"{name}.{part}" if name else part)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from iter_numbers(one, f"{name}.{place}")
    elif isinstance(value, int | float):
        yield name, float(value)


def differences(rows: Sequence[Row], record: Path) -> dict[str, tuple[float, float]]:
    """Return how far a repeat is from the record: by result, the largest difference, and the results' spread there.

    Args: rows: of the repeat. record: the file that write_record wrote.
    Returns: by the result's name, its places in lists and domains taken together.
    Raises: InputError where the record lacks a run, or a run ended otherwise than it did there.
    """
    before = {key(row["run"]): row for row in read_json(record)["rows"]}
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        other = before.get(key(row["run"]))
        if other is None or other["status"] != row["status"]:
            was = "is not there" if other is None else f"was {other['status']}"
            raise InputError(f"{record.name}: {describe_row('the run', row)}: in the record it {was}")
        results, recorded = dict(iter_numbers(row["results"])), dict(iter_numbers(other["results"]))
        if results.keys() != recorded.keys():
            names = ", ".join(sorted(results.keys() ^ recorded.keys())[:3])
            raise InputError(f"{record.name}: {names}: must be among the results of both, repeat and record")
        for name, new in results.items():
            old = recorded[name]
            found.setdefault(name.split(".")[0], []).append((new, old))
    return {
        name: (max(abs(new - old) for new, old in pairs), max(old for _, old in pairs) - min(old for _, old in pairs))
        for name, pairs in found.items()
    }
