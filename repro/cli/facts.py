"""`repro facts [KEY]`: published figures, where each comes from, and what uses it."""

import argparse

from repro.cli.options import add_json
from repro.cli.printing import format_number, print_field, print_json, print_table
from repro.facts import Fact, Facts, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("key", metavar="KEY", nargs="?", help="a key, or a group such as deepseek_v3")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Print the facts of a key or group, or all of them."""
    facts = load()
    chosen = list(facts.values()) if args.key is None else facts.under(args.key)
    if args.json:
        return print_json(
            [{**fact.model_dump(), "reference": facts.references[fact.source].model_dump()} for fact in chosen]
        )
    if len(chosen) == 1:
        return _print_one(facts, chosen[0])
    rows = [
        (fact.key, format_number(fact.value), fact.unit, fact.standing, f"{fact.source}, {fact.locator}")
        for fact in chosen
    ]
    return print_table(("fact", "value", "unit", "standing", "source"), rows)


def _print_one(facts: Facts, fact: Fact) -> None:
    for name, value in fact.model_dump().items():
        if value != "":
            print_field(name.replace("_", " "), format_number(value) if name == "value" else str(value))
    reference = facts.references[fact.source]
    print_field("reference", f"{reference.by}: {reference.title}, {reference.date}. {reference.where}")
