"""What each command of `repro` does; heavy imports wait for the command that needs them."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from repro.errors import InputError
from repro.lab.printing import format_number, print_field, print_json, print_table

RUNS = Path("runs")


def drop_output() -> None:
    """Let everything printed from here on go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def claims(given: argparse.Namespace) -> None:
    """List all claims with their verdicts, and count them."""
    from repro.claims import count_verdicts, result_to_json, run_all

    results = run_all()
    if given.json:
        return print_json([result_to_json(result) for result in results])
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
    print_table(("id", "verdict", "printed", "recomputed", "claim"), rows)
    print(
        f"\n{len(results)} claims: "
        + ", ".join(f"{number} {verdict}" for verdict, number in count_verdicts(results).items())
    )


def audit(given: argparse.Namespace) -> None:
    """Audit one claim, under other assumptions where given."""
    from repro.claims import load_register, result_to_json, run_audit
    from repro.claims.assumptions import ASSUMPTIONS
    from repro.claims.audit import AUDITS
    from repro.claims.formatting import format_quantity
    from repro.facts import load

    facts = load()
    claim = load_register().claim(given.id)
    taken = AUDITS[claim.id].assumptions if claim.id in AUDITS else ()
    overrides: dict[str, Any] = {
        name: ASSUMPTIONS[name].user_input(facts).parse(text) if name in taken else text
        for name, text in _assignments(given.set, "--set").items()
    }
    result = run_audit(claim.id, facts, **overrides)
    if given.json:
        return print_json(result_to_json(result, facts))
    data = result_to_json(result, facts)
    print(f"{claim.id}: {result.verdict}\n")
    print_field("claim", claim.statement)
    print_field("document", f"{load_register().documents[claim.document].title}, {claim.section}")
    print_field("printed", result.printed or "no figure")
    if result.finding is None:
        return
    if result.finding.cases:
        print_field("recomputed", result.recomputed)
    if len(result.finding.cases) > 1:
        for case in data["cases"]:
            value = format_quantity(case["value"], result.finding.unit, result.finding.digits)
            print_field("", f"{value}: {case['assumption']} ({case['verdict']})")
    print_field("why", result.explanation)
    for place, (name, one) in enumerate(data["assumptions"].items()):
        mark = "  (set by you)" if one["set_by_user"] else ""
        print_field("" if place else "assuming", f"{name} = {format_number(one['value'])} {one['unit']}{mark}")
    for place, one in enumerate(data["sources"]):
        standing = f"{one['standing']}, read in: {one['via']}" if one["via"] else one["standing"]
        print_field("" if place else "sources", f"{one['key']}: {one['source']}, {one['locator']} ({standing})")
    print_field("notebook", f"notebooks/{result.notebook}.ipynb")


def facts(given: argparse.Namespace) -> None:
    """Print facts with unit, source, locator and standing."""
    from repro.facts import load

    known = load()
    chosen = list(known.values()) if given.key is None else known.under(given.key)
    if given.json:
        return print_json(
            [{**fact.model_dump(), "reference": known.references[fact.source].model_dump()} for fact in chosen]
        )
    if len(chosen) == 1:
        for name, value in chosen[0].model_dump().items():
            if value != "":
                print_field(name.replace("_", " "), format_number(value) if name == "value" else str(value))
        reference = known.references[chosen[0].source]
        print_field("reference", f"{reference.by}: {reference.title}, {reference.date}. {reference.where}")
        return None
    rows = [
        (fact.key, format_number(fact.value), fact.unit, fact.standing, f"{fact.source}, {fact.locator}")
        for fact in chosen
    ]
    return print_table(("fact", "value", "unit", "standing", "source"), rows)


def notebooks(given: argparse.Namespace) -> None:
    """List the notebooks with their parameters."""
    from repro.lab.notebooks import find, read

    all_of_them = [read(path) for path in find([])]
    if given.json:
        return print_json(
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
                for notebook in all_of_them
            ]
        )
    for notebook in all_of_them:
        print(f"{notebook.name}: {notebook.title}")
        for one in notebook.parameters.values():
            print(f"  {one.name}: {one.type} = {format_number(one.default)}  [{one.unit}; {one.domain}]  {one.help}")
        print()
    return None


def model(given: argparse.Namespace) -> None:
    """Print what a configuration says of a model."""
    from repro.lab.model import model as print_model

    print_model(given)


def pipeline(given: argparse.Namespace) -> None:
    """Print what a pipeline schedule takes, simulated and by formula."""
    from repro.lab.pipeline import pipeline as print_pipeline

    print_pipeline(given)


def run(given: argparse.Namespace) -> None:
    """Run notebooks, with other parameters where given."""
    from repro.lab.notebooks import check_values, find, read
    from repro.lab.run import run_notebook as execute

    texts = _assignments(given.parameter, "-p")
    out, figures = _folders(given, bool(texts))
    chosen = [read(path) for path in find(given.notebooks)]
    values = check_values(chosen, texts)
    for notebook in chosen:
        done = execute(notebook, values, out, figures)
        lines = [f"{finding['id']}  {finding['verdict']:<13} {finding['explanation']}" for finding in done.findings]
        drawn_too = f", {len(done.figures)} figure files in {figures}" if done.figures else ""
        try:
            print(*lines, f"wrote {done.notebook}{drawn_too}", sep="\n", flush=True)
        except BrokenPipeError:
            drop_output()  # the runs that were asked for go on


def _folders(given: argparse.Namespace, changed: bool) -> tuple[Path, Path]:
    """Return where a run and its figures go; the committed ones are only for runs in place, at the defaults.

    Raises: InputError for folders that hold what is committed, or options that contradict each other.
    """
    from repro.lab.notebooks import folder

    committed, drawn = folder(), folder().parent / "figures"
    if given.in_place:
        if changed or given.output is not None or given.figures is not None:
            raise InputError("--in-place runs the committed notebooks as they are: no -p, -o or --figures with it")
        return committed, drawn
    out = RUNS if given.output is None else _folder(given.output, "-o")
    figures = out / "figures" if given.figures is None else _folder(given.figures, "--figures")
    for option, path in (("-o", out), ("--figures", figures)):
        if committed in (real := Path(os.path.realpath(path)), *real.parents):
            raise InputError(f"{option} {path}: holds the committed notebooks; choose another folder")
    if changed and os.path.realpath(figures) == str(drawn):
        raise InputError(f"{figures}: holds the committed figures, drawn at the defaults; choose another -o")
    return out, figures


def _folder(text: str, option: str) -> Path:
    if not text.strip() or "\0" in text:
        raise InputError(f"{option} {text!r}: must name a folder")
    return Path(text)


def check(given: argparse.Namespace) -> None:
    """Compare the committed notebooks' outputs with a fresh run."""
    from repro.lab.check import check as compare
    from repro.lab.notebooks import find

    compare(find(given.notebooks))


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
