"""What commands share: `--json`, `name=value` pairs, and options whose default and domain stand in one place."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from repro.cli.printing import format_number
from repro.errors import InputError
from repro.inputs import UserInput


def check_installed(command: str, packages: Sequence[str]) -> None:
    """Raise InputError naming every package that a command needs and that is not installed."""
    if missing := [name for name in packages if not _is_installed(name)]:
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        how = f"in a checkout, make setup or pip install . brings {them}"
        raise InputError(f"{command} needs {', '.join(missing)}, which {are} not installed: {how}")


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:
        return False


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_pairs(parser: argparse.ArgumentParser, *flags: str, help: str) -> None:
    """Add an option that takes name=value and may be given again."""
    parser.add_argument(*flags, metavar="name=value", action="append", default=[], help=f"{help}; may be given again")


def by_option(inputs: Iterable[UserInput]) -> dict[str, UserInput]:
    """Return inputs by the attribute of their value, such as cache_bits, each named as its option, --cache-bits."""
    return {i.name.replace("-", "_"): replace(i, name=f"--{i.name}") for i in inputs}


def add_inputs(
    parser: argparse.ArgumentParser, inputs: Mapping[str, UserInput], metavars: Mapping[str, str] | None = None
) -> None:
    """Add one option per input, with its default in the help unless the help names it."""
    for name, option in inputs.items():
        default = "" if "(default" in option.help else f" (default: {format_number(option.default)})"
        metavar = (metavars or {}).get(name)
        parser.add_argument(option.name, dest=name, metavar=metavar, help=option.help + default)


def parse_inputs(args: argparse.Namespace, inputs: Mapping[str, UserInput]) -> dict[str, Any]:
    """Return the value of each input, its default if the option was not given, or raise InputError."""
    texts = {name: getattr(args, name) for name in inputs}
    return {name: i.default if texts[name] is None else i.parse(texts[name]) for name, i in inputs.items()}


def parse_pairs(pairs: Sequence[str], option: str) -> dict[str, str]:
    """Return the texts of name=value pairs by name; InputError for another form, or a name that is given twice."""
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not (equals and name and text):
            raise InputError(f"{option} {pair}: must read name=value")
        if name in values:
            raise InputError(f"{option} {pair}: {name} is given twice")
        values[name] = text
    return values
