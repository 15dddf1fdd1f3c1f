"""`repro run`: execute notebooks with other parameters, into a folder of their own."""

import argparse
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from repro.cli.options import add_pairs, parse_pairs
from repro.cli.printing import discard_output
from repro.errors import InputError
from repro.machine import available_cores

if TYPE_CHECKING:
    from repro.lab.notebooks import Notebook

NEEDS = ("nbformat", "papermill", "ipykernel")
RUNS = Path("runs")
CLAIM = re.compile(r"[AB]\d\d  ")  # the beginning of a line that tells a finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 02 (default: all)")
    add_pairs(parser, "-p", "--parameter", help="a parameter")
    parser.add_argument("-o", "--output", metavar="DIR", help=f"folder for the run (default: {RUNS})")
    parser.add_argument("--figures", metavar="DIR", help="folder for the figures (default: DIR/figures)")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="notebooks side by side (default: one per core)")
    parser.add_argument("--in-place", action="store_true", help="execute the committed notebooks and figures anew")


def run(args: argparse.Namespace) -> None:
    """Run notebooks, several side by side, and print what each found."""
    from repro.lab.notebooks import check_values, find, read
    from repro.lab.run import run_notebook, writable

    texts = parse_pairs(args.parameter, "-p")
    if args.jobs is not None and args.jobs < 1:
        raise InputError(f"-j {args.jobs}: must be at least 1")
    out, figures = _folders(args, changed=bool(texts))
    notebooks = [read(path) for path in find(args.notebooks)]
    values = check_values(notebooks, texts)
    if len(notebooks) > 1:
        where = ["--in-place"] if args.in_place else ["-o", str(out), "--figures", str(figures)]
        with writable(out, figures):  # made here, so that the last of the runs to end need not clear it away
            return _run_several(notebooks, texts, where, args.jobs)
    (notebook,) = notebooks
    done = run_notebook(notebook, values, out, figures)
    lines = [f"{finding['id']}  {finding['verdict']:<13} {finding['headline']}" for finding in done.findings]
    drawn = f", {len(done.figures)} figure files in {figures}" if done.figures else ""
    try:
        print(*lines, f"wrote {done.notebook}{drawn}", sep="\n", flush=True)
    except BrokenPipeError:
        discard_output()  # nobody reads any more, but the run that was asked for is there
    return None


def _run_several(notebooks: list["Notebook"], texts: dict[str, str], where: list[str], jobs: int | None) -> None:
    """Run notebooks side by side, a line each as it ends; raise InputError at the end if some failed."""
    from repro.lab.side_by_side import run_side_by_side

    commands = {
        notebook.name: ["run", notebook.name, *where]
        + [word for name, text in texts.items() if name in notebook.parameters for word in ("-p", f"{name}={text}")]
        for notebook in reversed(notebooks)  # the last ones train models and take longest
    }
    began, failed = time.monotonic(), {}
    for place, done in enumerate(run_side_by_side(commands, jobs or available_cores()), start=1):
        if done.status:
            failed[done.name] = done.errors.strip().splitlines()[-1].removeprefix("repro: error: ")
        claims = sum(bool(CLAIM.match(line)) for line in done.output.splitlines())
        told = failed.get(done.name) or (f"{claims} claims" if claims else "done")
        _tell(f"{place:>3} of {len(commands)}  {done.name:<28}{done.seconds:>5.0f} s  {told}")
    place_of = "in place" if where == ["--in-place"] else f"in {where[1]}"
    _tell(f"{len(commands) - len(failed)} of {len(commands)} notebooks in {time.monotonic() - began:.0f} s, {place_of}")
    if failed:
        reasons = dict.fromkeys(failed.values())
        raise InputError("; ".join(reasons))


def _tell(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        discard_output()  # nobody reads any more, but the runs that were asked for go on


def _folders(args: argparse.Namespace, *, changed: bool) -> tuple[Path, Path]:
    """Return the folders of the run and of its figures.

    Raises:
        InputError: for a folder that holds what is committed, or options that contradict each other.
    """
    from repro.lab.notebooks import folder

    committed, committed_figures = folder(), folder().parent / "figures"
    if args.in_place:
        if changed or args.output is not None or args.figures is not None:
            raise InputError("--in-place runs the committed notebooks as they are: no -p, -o or --figures with it")
        return committed, committed_figures
    out = RUNS if args.output is None else _folder(args.output, "-o")
    figures = out / "figures" if args.figures is None else _folder(args.figures, "--figures")
    for option, path in (("-o", out), ("--figures", figures)):
        if committed in (real := Path(os.path.realpath(path)), *real.parents):
            raise InputError(f"{option} {path}: holds the committed notebooks; choose another folder")
    if changed and os.path.realpath(figures) == str(committed_figures):
        raise InputError(f"{figures}: holds the committed figures, drawn at the defaults; choose another -o")
    return out, figures


def _folder(text: str, option: str) -> Path:
    if not text.strip() or "\0" in text:
        raise InputError(f"{option} {text!r}: must name a folder")
    return Path(text)
