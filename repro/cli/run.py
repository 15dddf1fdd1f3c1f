"""`repro run`: execute notebooks with other parameters, into a folder of their own."""

import argparse
import os
from pathlib import Path

from repro.cli.options import add_pairs, parse_pairs
from repro.cli.printing import discard_output
from repro.errors import InputError

NEEDS = ("nbformat", "papermill", "ipykernel")
RUNS = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 02 (default: all)")
    add_pairs(parser, "-p", "--parameter", help="a parameter")
    parser.add_argument("-o", "--output", metavar="DIR", help=f"folder for the run (default: {RUNS})")
    parser.add_argument("--figures", metavar="DIR", help="folder for the figures (default: DIR/figures)")
    parser.add_argument("--in-place", action="store_true", help="execute the committed notebooks and figures anew")


def run(args: argparse.Namespace) -> None:
    """Run notebooks one after another and print what each found."""
    from repro.lab.notebooks import check_values, find, read
    from repro.lab.run import run_notebook

    texts = parse_pairs(args.parameter, "-p")
    out, figures = _folders(args, changed=bool(texts))
    notebooks = [read(path) for path in find(args.notebooks)]
    values = check_values(notebooks, texts)
    for notebook in notebooks:
        done = run_notebook(notebook, values, out, figures)
        lines = [f"{finding['id']}  {finding['verdict']:<13} {finding['headline']}" for finding in done.findings]
        drawn = f", {len(done.figures)} figure files in {figures}" if done.figures else ""
        try:
            print(*lines, f"wrote {done.notebook}{drawn}", sep="\n", flush=True)
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
