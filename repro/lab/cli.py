"""The `repro` command: exit status 0, or 1 with one readable line on standard error."""

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from repro import __version__
from repro.errors import InputError, unknown

RUNS = Path("runs")


class Parser(argparse.ArgumentParser):
    """A parser whose every complaint is one line, with status 1."""

    def error(self, message: str) -> NoReturn:
        """Raise the complaint, with the nearest command where one was mistyped."""
        raise InputError(f"{message[0].lower()}{message[1:]} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    try:
        given = _parse(list(sys.argv[1:] if arguments is None else arguments))
        given.command(given)
        sys.stdout.flush()
    except InputError as error:
        print(f"repro: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("repro: error: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone: that is no mistake.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = _parser()
    commands = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    first = next((word for word in arguments if not word.startswith("-")), None)
    if first is not None and first not in commands:
        raise unknown("command", first, commands)
    return parser.parse_args(arguments)


def _parser() -> Parser:
    parser = Parser(
        prog="repro",
        description="Audit what two widely read documents claim about DeepSeek-V2 and V3.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"repro {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.", allow_abbrev=False)
        sub.set_defaults(command=function)
        return sub

    json_help = "print JSON"
    claims = command("claims", _claims, "list all claims with their verdicts, and count them")
    claims.add_argument("--json", action="store_true", help=json_help)

    audit = command("audit", _audit, "audit one claim, under other assumptions where given")
    audit.add_argument("id", metavar="ID", help="claim, such as A46")
    audit.add_argument(
        "--set", metavar="name=value", action="append", default=[], help="an assumption; may be given again"
    )
    audit.add_argument("--json", action="store_true", help=json_help)

    facts = command("facts", _facts, "print facts with unit, source, locator and standing")
    facts.add_argument("key", metavar="KEY", nargs="?", help="a key, or a group such as deepseek_v3")
    facts.add_argument("--json", action="store_true", help=json_help)

    notebooks = command("notebooks", _notebooks, "list the notebooks with their parameters")
    notebooks.add_argument("--json", action="store_true", help=json_help)

    run = command("run", _run, "run notebooks, with other parameters where given")
    run.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 02; all where none is named")
    run.add_argument("-p", "--parameter", metavar="name=value", action="append", default=[], help="may be given again")
    run.add_argument("-o", "--output", metavar="DIR", type=Path, help=f"folder of the run (default: {RUNS})")
    run.add_argument("--figures", metavar="DIR", type=Path, help="folder of the figures (default: DIR/figures)")
    run.add_argument("--in-place", action="store_true", help="execute the committed notebooks and figures anew")

    check = command("check", _check, "compare the committed notebooks' outputs with a fresh run")
    check.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 02; all where none is named")
    return parser


def _claims(given: argparse.Namespace) -> None:
    from repro.claims import as_json, counts, run_all

    results = run_all()
    if given.json:
        return _print_json([as_json(result) for result in results])
    rows = [
        (
            result.claim.id,
            str(result.verdict),
            result.printed,
            result.recomputed,
            result.claim.statement,
        )
        for result in results
    ]
    _print_table(("id", "verdict", "printed", "recomputed", "claim"), rows)
    print(f"\n{len(results)} claims: {', '.join(f'{number} {verdict}' for verdict, number in counts(results).items())}")


def _audit(given: argparse.Namespace) -> None:
    from repro.claims import as_json, load_register, run_audit
    from repro.claims.assumptions import ASSUMPTIONS
    from repro.claims.audit import AUDITS
    from repro.claims.words import quantity
    from repro.facts import load

    facts = load()
    claim = load_register().claim(given.id)
    taken = AUDITS[claim.id].assumptions if claim.id in AUDITS else ()
    overrides: dict[str, Any] = {
        name: ASSUMPTIONS[name].parameter(facts).parse(text) if name in taken else text
        for name, text in _assignments(given.set, "--set").items()
    }
    result = run_audit(claim.id, facts, **overrides)
    if given.json:
        return _print_json(as_json(result, facts))
    data = as_json(result, facts)
    print(f"{claim.id}: {result.verdict}\n")
    _field("claim", claim.statement)
    _field("document", f"{load_register().documents[claim.document].title}, {claim.section}")
    _field("printed", result.printed or "no figure")
    if result.finding is None:
        return
    _field("recomputed", result.recomputed)
    if len(result.finding.cases) > 1:
        for case in data["cases"]:
            value = quantity(case["value"], result.finding.unit, result.finding.digits)
            _field("", f"{value}: {case['assumption']} ({case['verdict']})")
    _field("why", result.explanation)
    for place, (name, one) in enumerate(data["assumptions"].items()):
        mark = "  (set by you)" if one["set_by_user"] else ""
        _field("" if place else "assuming", f"{name} = {_plain(one['value'])} {one['unit']}{mark}")
    for place, one in enumerate(data["sources"]):
        _field("" if place else "sources", f"{one['key']}: {one['source']}, {one['locator']} ({one['standing']})")
    _field("notebook", f"notebooks/{result.notebook}.ipynb")


def _facts(given: argparse.Namespace) -> None:
    from repro.facts import load

    facts = load()
    chosen = facts.under(given.key) if given.key else list(facts.values())
    if given.json:
        return _print_json(
            [{**fact.model_dump(), "reference": facts.references[fact.source].model_dump()} for fact in chosen]
        )
    if len(chosen) == 1:
        for name, value in chosen[0].model_dump().items():
            if value != "":
                _field(name.replace("_", " "), _plain(value) if name == "value" else str(value))
        reference = facts.references[chosen[0].source]
        _field("reference", f"{reference.by}: {reference.title}, {reference.date}. {reference.where}")
        return None
    rows = [
        (fact.key, _plain(fact.value), fact.unit, fact.standing, f"{fact.source}, {fact.locator}") for fact in chosen
    ]
    return _print_table(("fact", "value", "unit", "standing", "source"), rows)


def _notebooks(given: argparse.Namespace) -> None:
    from repro.lab.notebooks import find, read

    notebooks = [read(path) for path in find([])]
    if given.json:
        return _print_json(
            [
                {
                    "name": notebook.name,
                    "title": notebook.title,
                    "path": f"notebooks/{notebook.path.name}",
                    "parameters": [
                        {
                            "name": one.name,
                            "type": one.type,
                            "default": one.default,
                            "unit": one.unit,
                            "domain": one.domain,
                            "help": one.help,
                        }
                        for one in notebook.parameters.values()
                    ],
                }
                for notebook in notebooks
            ]
        )
    for notebook in notebooks:
        print(f"{notebook.name}: {notebook.title}")
        for one in notebook.parameters.values():
            print(f"  {one.name}: {one.type} = {_plain(one.default)}  [{one.unit}; {one.domain}]  {one.help}")
        print()
    return None


def _run(given: argparse.Namespace) -> None:
    from repro.lab.notebooks import check_values, find, folder, read
    from repro.lab.run import run

    texts = _assignments(given.parameter, "-p")
    if given.in_place and (texts or given.output or given.figures):
        raise InputError("--in-place runs the committed notebooks as they are: no -p, -o or --figures with it")
    out = folder() if given.in_place else given.output or RUNS
    figures = folder().parent / "figures" if given.in_place else given.figures or out / "figures"
    if not given.in_place and out.resolve() == folder():
        raise InputError(f"-o {out}: would overwrite the committed notebooks; choose another folder")
    notebooks = [read(path) for path in find(given.notebooks)]
    values = check_values(notebooks, texts)
    for notebook in notebooks:
        done = run(notebook, values, out, figures)
        for finding in done.findings:
            print(f"{finding['id']}  {finding['verdict']:<13} {finding['explanation']}")
        print(
            f"wrote {done.notebook}" + (f" and {len(done.figures)} figure files in {figures}" if done.figures else "")
        )


def _check(given: argparse.Namespace) -> None:
    from repro.lab.check import check
    from repro.lab.notebooks import find

    if not check(find(given.notebooks)):
        raise InputError("a notebook's committed outputs differ from a fresh run; see the report above")


def _assignments(pairs: list[str], option: str) -> dict[str, str]:
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise InputError(f"{option} {pair}: must read name=value")
        if name.strip() in values:
            raise InputError(f"{option} {pair}: {name.strip()} is given twice")
        values[name.strip()] = text.strip()
    return values


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print columns; the last is cut at the edge of a terminal, and left whole elsewhere."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head) - 1)]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in (head, *rows):
        line = "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        print(line if edge is None or len(line) <= edge else line[: edge - 1] + "…")


def _field(name: str, text: str) -> None:
    first, *rest = textwrap.wrap(text, 100, break_long_words=False) or [""]
    print(f"{name:<14} {first}".rstrip())
    for line in rest:
        print(f"{'':<14} {line}")


def _plain(value: Any) -> str:
    """Return a number as a person writes it: 14.8e12, 2.0, 2,664,000."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if abs(value) >= 1e12:
        return f"{value:.6g}".replace("e+", "e")
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 1000 else f"{value:g}"
