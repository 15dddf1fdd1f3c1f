"""The `repro` command: exit status 0, or 1 with one readable line on standard error."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from repro import __version__
from repro.errors import InputError, unknown
from repro.lab import commands
from repro.lab.commands import RUNS, drop_output
from repro.lab.printing import clean

LONGEST_MESSAGE = 1000  # letters
# argparse takes -1 for a value but -1e3 for an option; a number in any spelling is a value.
NEGATIVE = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)


class Parser(argparse.ArgumentParser):
    """A parser whose every complaint is one line, with status 1."""

    def __init__(self, *arguments: Any, **options: Any):
        """Build it as argparse does, but for what counts as a negative number."""
        super().__init__(*arguments, **options)
        self._negative_number_matcher = NEGATIVE

    def error(self, message: str) -> NoReturn:
        """Raise the complaint, with the nearest command where one was mistyped."""
        raise InputError(f"{message[0].lower()}{message[1:]} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    _open_standard_streams()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        given = _parse(words)
        given.command(given)
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()  # the reader of our output, such as `head`, has gone: that is no mistake
    except KeyboardInterrupt:
        return _complain("interrupted", last=True)
    except InputError as error:
        return _complain("interrupted" if _stopped else str(error), last=bool(_stopped))
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        how = "in a checkout, make setup or pip install . brings it"
        return _complain(f"repro {words[0] if words else ''} needs {package}, which is not installed: {how}")
    except OSError as error:
        drop_output()
        return _complain(f"cannot go on: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    return 0


_stopped: list[int] = []


def _stop(number: int, frame: object) -> None:
    """End the work as Ctrl-C does, once; a second signal does not disturb the clearing up."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    logging.disable()  # what was under way has nothing more to say
    _stopped.append(number)
    raise KeyboardInterrupt


def _open_standard_streams() -> None:
    """Let a closed stream go nowhere, and a stream of another encoding show escapes instead of failing."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _complain(message: str, *, last: bool = False) -> int:
    """Print the one line, the last of all where work that was interrupted may still write; return the status."""
    print(f"repro: error: {clean(message, LONGEST_MESSAGE)}", file=sys.stderr, flush=True)
    if last:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _parser()
    known = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    first = next((word for word in arguments if not word.startswith("-")), None)
    if first is not None and first not in known:
        raise unknown("command", first, known)
    return parser.parse_args(arguments)


def _parser() -> Parser:
    parser = Parser(
        prog="repro",
        description="Audit what two widely read documents claim about DeepSeek-V2 and V3.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"repro {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.", allow_abbrev=False)
        sub.set_defaults(command=function)
        return sub

    def add_options(sub: argparse.ArgumentParser, *options: tuple[str, str, str]) -> None:
        for option, metavar, meaning in options:
            sub.add_argument(option, metavar=metavar, help=meaning)

    json_help = "print JSON"
    claims = command("claims", commands.claims, "list all claims with their verdicts, and count them")
    claims.add_argument("--json", action="store_true", help=json_help)

    audit = command("audit", commands.audit, "audit one claim, under other assumptions where given")
    audit.add_argument("id", metavar="ID", help="claim, such as A46")
    audit.add_argument(
        "--set", metavar="name=value", action="append", default=[], help="an assumption; may be given again"
    )
    audit.add_argument("--json", action="store_true", help=json_help)

    facts = command("facts", commands.facts, "print facts with unit, source, locator and standing")
    facts.add_argument("key", metavar="KEY", nargs="?", help="a key, or a group such as deepseek_v3")
    facts.add_argument("--json", action="store_true", help=json_help)

    model = command("model", commands.model, "count any model from its published configuration")
    model.add_argument("model", metavar="NAME|config.json", help="a built-in model, such as deepseek_v3, or a file")
    add_options(
        model,
        ("--tokens", "T", "training tokens (default: the model's own, where published)"),
        ("--gpu", "NAME", "GPU whose peak rate is taken (default: h100_sxm)"),
        ("--peak", "NAME", "peak rate that utilisation is a share of (default: bf16_dense)"),
        ("--utilisation", "SHARE", "of that peak (default: 0.41, as Llama 3.1 405B reports)"),
        ("--price", "USD", "rent per GPU hour (default: 2, as the V3 report assumes)"),
        ("--sequence-length", "T", "tokens in training, for attention over the context (default: 4096)"),
        ("--cache-bits", "BITS", "per element of the KV cache (default: 16)"),
    )
    model.add_argument("--json", action="store_true", help=json_help)

    pipeline = command(
        "pipeline", commands.pipeline, "simulate a pipeline schedule: step time, idle time and memory of each rank"
    )
    pipeline.add_argument(
        "schedule", metavar="SCHEDULE", help="GPipe, 1F1B, interleaved, ZB1P, DualPipe or DualPipeV, in any case"
    )
    pipeline.add_argument("--ranks", metavar="P", required=True, help="of the pipeline; even for DualPipe")
    pipeline.add_argument(
        "--micro-batches",
        metavar="M",
        required=True,
        help="of a step, for DualPipe from both ends together; for DualPipe and DualPipeV at least twice the ranks",
    )
    add_options(
        pipeline,
        ("--forward", "F", "of one micro-batch on one stage, in any one unit of time (default: 1)"),
        ("--backward", "B", "the full backward, for the input and for the weights (default: 2)"),
        ("--weight", "W", "its part for the weights, below B; its part for the input takes B - W (default: 1)"),
        ("--overlapped", "FB", "a forward and a full backward run together (default: F + B, nothing saved)"),
        ("--transfer", "T", "from one rank to another, which neither otherwise waits for (default: 0)"),
        ("--chunks", "N", "stages of each rank in the interleaved schedule, each 1/N of its layers (default: 2)"),
        ("--figure", "FILE", "draw the tasks in time, as SVG or PNG by the file's ending"),
    )
    pipeline.add_argument("--json", action="store_true", help=json_help)

    notebooks = command("notebooks", commands.notebooks, "list the notebooks with their parameters")
    notebooks.add_argument("--json", action="store_true", help=json_help)

    run = command("run", commands.run, "run notebooks, with other parameters where given")
    run.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 02; all where none is named")
    run.add_argument("-p", "--parameter", metavar="name=value", action="append", default=[], help="may be given again")
    run.add_argument("-o", "--output", metavar="DIR", help=f"folder of the run (default: {RUNS})")
    run.add_argument("--figures", metavar="DIR", help="folder of the figures (default: DIR/figures)")
    run.add_argument("--in-place", action="store_true", help="execute the committed notebooks and figures anew")

    check = command("check", commands.check, "compare the committed notebooks' outputs with a fresh run")
    check.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 02; all where none is named")
    return parser
