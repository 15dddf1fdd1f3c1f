"""Repeat the long experiments, all or those named: resumable, side by side, and compared with the record at the end.

Results are kept in runs/experiments as each run ends; interrupt at any time and call again. With --record the results
become the record that the notebooks read. What a run is and what is measured is in the package repro/experiments.
"""

import os
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"  # before numpy: runs share the cores among themselves

from repro.cli.main import Parser
from repro.errors import InputError, unknown_name
from repro.experiments.record import Row, Study, describe_row, differences, perform_all, write_record
from repro.experiments.studies import STUDIES
from repro.machine import available_cores

HERE = Path(__file__).resolve().parent


def report(study: Study, rows: list[Row], record: Path) -> None:
    """Print which runs did not complete, how many had a router collapse, and how far they are from the record."""
    for row in rows:
        if row["status"] != "complete":
            print(describe_row(study.name, row))
    collapsed = sum(row["collapsed_at"] is not None for row in rows)
    print(
        f"{study.name}: {len(rows)} runs; in {collapsed} a router collapsed for a time (over half of its experts idle)"
    )
    if not record.exists():
        print(f"{study.name}: no record to compare with")
        return
    print(f"{'':<28}{'largest difference':>20}{'range in the record':>22}")
    for name, difference in differences(rows, record).items():
        print(f"{name:<28}{difference.largest:>20.2g}{difference.recorded_range:>22.3g}")


def main() -> None:
    """Perform the studies named, or all of them."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", help=f"one or more of {', '.join(STUDIES)}; all if left out"
    )
    parser.add_argument("--record", action="store_true", help="write the results over the record")
    parser.add_argument(
        "--workers", type=int, default=available_cores(), metavar="N", help="processes (default: one per core)"
    )
    parser.add_argument("--runs", type=Path, default=HERE.parent / "runs" / "experiments", metavar="DIR",
                        help="where finished runs are kept")  # fmt: skip
    arguments = parser.parse_args()
    if arguments.workers < 1:
        raise InputError(f"--workers = {arguments.workers}: must be at least 1")
    for name in arguments.studies:
        if name not in STUDIES:
            raise unknown_name("study", name, STUDIES)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    for name in arguments.studies or STUDIES:
        study, record = STUDIES[name], HERE / "recorded" / f"{name}.json"
        for plan in dict.fromkeys(study.plans):  # each once, where several pairs share one
            print(f"{study.name}: plan: {plan}")
        rows = perform_all(study, arguments.runs / f"{name}.jsonl", arguments.workers)
        if arguments.record:
            write_record(study, rows, record)
        report(study, rows, record)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"experiments: error: {error}")
    except OSError as error:
        sys.exit(f"experiments: error: {error.filename or 'the system'}: {error.strerror or error}")
    except BrokenProcessPool:
        sys.exit(
            "experiments: error: another program ended a worker process; finished runs are kept, call again to go on"
        )
    except KeyboardInterrupt:
        sys.exit("experiments: interrupted; finished runs are kept, call again to go on")
