"""The `repro` command: exit status 0, or 1 with one readable line on standard error."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from repro import __version__
from repro.cli.options import check_installed
from repro.cli.printing import clean, discard_output
from repro.errors import InputError, unknown_name

# Each command is a module here with add_arguments, run, and in some NEEDS: packages beyond pydantic. Only the chosen
# one is imported.
COMMANDS = {
    "claims": "list all claims with their verdicts, and count them",
    "audit": "audit one claim, list its code, tests, cells and sources; --set changes an assumption",
    "facts": "print facts with unit, source, locator and standing; for one fact also what uses it",
    "model": "count any model from its published configuration",
    "pipeline": "simulate a pipeline schedule: step time, idle time and memory of each rank",
    "notebooks": "list the notebooks with their parameters",
    "run": "run notebooks, with other parameters if you give any",
    "check": "compare the committed notebooks' outputs with a fresh run",
}
LONGEST_MESSAGE = 1000  # characters
# argparse takes -1 for a value but -1e3 for an option; here a number in any spelling is a value.
NEGATIVE = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Parser(argparse.ArgumentParser):
    """A parser whose every complaint is an InputError."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._negative_number_matcher = NEGATIVE

    def error(self, message: str) -> NoReturn:
        """Raise the complaint, and name the help that lists the arguments."""
        raise InputError(f"{message[0].lower()}{message[1:]} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    _open_standard_streams()
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        args = _parse(list(sys.argv[1:] if arguments is None else arguments))
        check_installed(f"repro {args.name}", args.needs)
        args.command(args)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()  # the reader of our output, such as `head`, has gone: no mistake
    except KeyboardInterrupt:
        return _complain("interrupted", last=True)
    except InputError as error:
        return _complain("interrupted" if _stopped else str(error), last=bool(_stopped))
    except ImportError as error:
        return _complain(f"{error}: in a checkout, make setup or pip install . brings what is missing")
    except OSError as error:
        discard_output()
        where = f": {error.filename}" if error.filename else ""
        return _complain(f"cannot go on: {error.strerror or error}{where}")
    return 0


_stopped: list[int] = []


def _stop(number: int, frame: object) -> None:
    """End the work as Ctrl-C does, once; a second signal must not disturb the clearing up."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    logging.disable()  # what was under way has nothing more to say
    _stopped.append(number)
    raise KeyboardInterrupt


def _open_standard_streams() -> None:
    """Send a closed stream nowhere, and let a stream of another encoding show escapes instead of failing."""
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
    """Print the one line and return the status; `last` silences interrupted work that may still write."""
    print(f"repro: error: {clean(message, LONGEST_MESSAGE)}", file=sys.stderr, flush=True)
    if last:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    if chosen is not None and chosen not in COMMANDS:
        raise unknown_name("command", chosen, COMMANDS)
    parser = Parser(prog="repro", description="Recompute published claims from sourced figures.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"repro {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        description = f"{summary[0].upper()}{summary[1:]}."
        command = subparsers.add_parser(name, help=summary, description=description, allow_abbrev=False)
        if name == chosen:
            _prepare(command, name)
    return parser.parse_args(arguments)


def _prepare(parser: argparse.ArgumentParser, name: str) -> None:
    """Give the chosen command its arguments and its function; the others need neither, nor what they import."""
    command = import_module(f"repro.cli.{name}")
    command.add_arguments(parser)
    parser.set_defaults(command=command.run, name=name, needs=getattr(command, "NEEDS", ()))
