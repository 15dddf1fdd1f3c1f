"""Run a study resumably and side by side, record what became of each run, and compare a repeat with the record.

A run ends as a row: complete with its results, or diverged, refused or interrupted with the reason, and its trace in
any case. Rows are added to a file of JSON lines as runs end, so that an interrupted study goes on where it stopped.
Runs whose rows other code made, by a fingerprint of the sources, are done again.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

from tqdm import tqdm

from repro.errors import InputError
from repro.experiments.power import Plan
from repro.experiments.watch import Trace, Window
from repro.files import read_json
from repro.machine import describe_machine
from repro.nano.training.loop import TrainingDiverged

Status = Literal["complete", "diverged", "refused", "interrupted"]
DONE = ("complete", "diverged", "refused")  # what running again would only repeat
PACKAGE = Path(__file__).resolve().parents[1]


class Row(TypedDict):
    """What became of one run."""

    run: dict[str, Any]  #: its settings
    status: Status
    reason: str
    steps_done: int
    collapsed_at: int | None
    results: dict[str, Any]
    trace: list[Window]


class Difference(NamedTuple):
    """How far a repeat is from the record."""

    largest: float
    recorded_range: float  #: of the result, over the runs of the record


@dataclass(frozen=True)
class Study:
    """Runs of one kind, and how one is measured: training fills an empty trace, and results are plain values.

    A run has one `seed`, or `seeds` where several train side by side; then each result is a list, one of each seed.
    """

    name: str
    runs: Sequence[Any]  #: frozen dataclasses of plain values
    measure: Callable[[Any, Trace], Mapping[str, Any]]
    plans: tuple[Plan, ...] = ()  #: what it compares, and what so many seeds can tell apart


def run_key(run: Mapping[str, Any]) -> str:
    """Return what identifies a run: its settings, sorted."""
    return json.dumps(run, sort_keys=True)


def code_version() -> str:
    """Return a fingerprint of the code that results come from."""
    digest = hashlib.sha256()
    for room in ("calc", "experiments", "models", "nano"):
        for path in sorted((PACKAGE / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def perform(study: Study, run: Any, every: int = 10) -> Row:
    """Measure one run, tracing windows of `every` steps, and return its row."""
    trace = Trace(every, keep_loads=getattr(run, "keep_loads", False))
    status: Status = "complete"
    reason, results = "", {}
    try:
        results = dict(study.measure(run, trace))
    except TrainingDiverged as error:
        status, reason = "diverged", str(error)
    except InputError as error:
        status, reason = "refused", str(error)
    except KeyboardInterrupt:
        status, reason = "interrupted", f"step {trace.steps_done}: interrupted by hand"
    return {
        "run": asdict(run), "status": status, "reason": reason, "steps_done": trace.steps_done,
        "collapsed_at": trace.collapsed_at, "results": results, "trace": trace.rows,
    }  # fmt: skip


def perform_all(study: Study, path: Path, workers: int, *, bar: bool = True) -> list[Row]:
    """Perform the runs that a file does not hold as DONE, adding each to it as it ends; return one row per run."""
    version = code_version()
    rows = {run_key(row["run"]): row for row in load_rows(path, version) if row["status"] in DONE}
    left = [run for run in study.runs if run_key(asdict(run)) not in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        path.open("a", encoding="utf-8") as file,
        tqdm(total=len(study.runs), initial=len(study.runs) - len(left), desc=study.name, disable=not bar) as progress,
    ):
        for row in _performed(study, left, workers):
            file.write(json.dumps({"code": version, **row}) + "\n")
            file.flush()
            rows[run_key(row["run"])] = row
            progress.update(row["status"] in DONE)
            if row["status"] != "complete":
                progress.write(describe_row(study.name, row))
    return [rows[run_key(asdict(run))] for run in study.runs]


def _performed(study: Study, runs: Sequence[Any], workers: int) -> Iterator[Row]:
    """Yield rows as runs end; after an interruption, those of the runs that it stopped, then raise it."""
    with ProcessPoolExecutor(workers) as pool:
        left = iter(runs)
        # One run per worker at a time: a pool that holds more would begin another after an interruption.
        running: set[Future[Row]] = {pool.submit(perform, study, run) for run in islice(left, workers)}
        try:
            while running:
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
                running |= {pool.submit(perform, study, run) for run in islice(left, len(ended))}
        except KeyboardInterrupt:
            yield from (future.result() for future in running)
            raise


def load_rows(path: Path, version: str) -> list[Row]:
    """Return the rows that a file holds from this version of the code; a last line cut off in writing is left out."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if row.pop("code") == version:
                rows.append(row)
        except (ValueError, KeyError, TypeError):
            if number < len(lines):
                raise InputError(f"{path.name}: line {number}: must be the row of a run; delete the file") from None
    return rows


def describe_row(name: str, row: Row) -> str:
    """Return in one line what became of a run that did not complete: status, step, reason and settings."""
    settings = ", ".join(f"{field}={value}" for field, value in row["run"].items())
    return f"{name}: {row['status']} after {row['steps_done']} steps ({row['reason']}); {settings}"


def write_record(study: Study, rows: Sequence[Row], path: Path) -> None:
    """Write a study's rows beside machine, versions and date, a row per line, numbers cut to 9 significant digits."""
    cut = [json.loads(json.dumps(row), parse_float=lambda text: float(f"{float(text):.9g}")) for row in rows]
    head, body = json.dumps(describe_machine()), ",\n".join(map(json.dumps, cut))
    path.write_text(f'{{"study": "{study.name}", "machine": {head}, "rows": [\n{body}\n]}}\n', encoding="utf-8")


def list_by_result(measured: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return results of several seeds as one list per result, in the order of the seeds."""
    each = list(measured)
    return {name: [result[name] for result in each] for name in each[0]}


def iter_numbers(results: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yield each number of nested results with its path."""
    if isinstance(results, Mapping | list):
        for key, value in results.items() if isinstance(results, Mapping) else enumerate(results):
            yield from iter_numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(results, int | float):
        yield name, float(results)


def differences(rows: Sequence[Row], record: Path) -> dict[str, Difference]:
    """Return how far a repeat is from the record that write_record wrote, by result, over all its parts and runs.

    Raises InputError for a run or a result that the record lacks, and for a run that ended otherwise than it did there.
    """
    recorded_rows = {run_key(row["run"]): row for row in read_json(record)["rows"]}
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        recorded_row = recorded_rows.get(run_key(row["run"]))
        if recorded_row is None or recorded_row["status"] != row["status"]:
            status = recorded_row["status"] if recorded_row else "missing"
            raise InputError(f"{record.name}: {describe_row('this run', row)}: in the record it is {status}")
        results, recorded = (dict(iter_numbers(source["results"])) for source in (row, recorded_row))
        if results.keys() != recorded.keys():
            names = ", ".join(sorted(results.keys() ^ recorded.keys())[:3])
            raise InputError(f"{record.name}: {names}: must be among the results of both the repeat and the record")
        for name, value in results.items():
            pairs.setdefault(name.split(".")[0], []).append((value, recorded[name]))
    return {
        name: Difference(
            max(abs(value - recorded) for value, recorded in results),
            max(recorded for _, recorded in results) - min(recorded for _, recorded in results),
        )
        for name, results in pairs.items()
    }
