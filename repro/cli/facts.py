"""`repro facts [KEY]`: published figures, where each comes from, and what uses it."""

import argparse
from collections.abc import Sequence

from repro.claims.trace import assumptions_from, claims_reading, modules_reading, notebook_cells_reading
from repro.cli.options import add_json
from repro.cli.printing import format_number, print_field, print_fields, print_json, print_table
from repro.facts import Fact, Facts, Sourced, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("key", metavar="KEY", nargs="?", help="a key, or a group such as deepseek_v3")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print the facts of a key or group, or all of them."""
    facts = load()
    chosen: Sequence[Sourced] = list(facts.values())
    if args.key is not None:
        chosen = [facts.published[args.key]] if args.key in facts.published else facts.under(args.key)
    if args.json:
        references = {key: reference.model_dump(by_alias=True) for key, reference in facts.references.items()}
        return print_json([{**fact.model_dump(by_alias=True), "reference": references[fact.source]} for fact in chosen])
    if len(chosen) == 1:
        return _print_source(facts, chosen[0])
    rows = [
        (fact.key, format_number(fact.value), fact.unit, fact.provenance, f"{fact.source}, {fact.locator}")
        for fact in chosen
        if isinstance(fact, Fact)
    ]
    return print_table(("fact", "value", "unit", "standing", "source"), rows)


def _print_source(facts: Facts, entry: Sourced) -> None:
    """Print a fact or a published file, its publication, and what uses it."""
    for name, value in entry.model_dump(by_alias=True).items():
        if value != "":
            print_field(name.replace("_", " "), format_number(value) if name == "value" else str(value))
    reference = facts.references[entry.source]
    print_field("reference", f"{reference.by}: {reference.title}, {reference.date}. {reference.citation}")
    opened = f"opened {reference.accessed}" if reference.accessed else f"not opened: {reference.unread}"
    print_field("", f"{reference.url} ({opened})")
    claims, cells = claims_reading(entry.key, facts), notebook_cells_reading(entry.key)
    users = [f"claims: {', '.join(claims)}"] if claims else []
    users += [f"the default of {name}" for name in assumptions_from(entry.key)]
    users += [f"notebooks/{name}.ipynb {', '.join(f'In [{n}]' for n in numbers)}" for name, numbers in cells.items()]
    print_fields("used by", [*users, *modules_reading(entry.key)])
