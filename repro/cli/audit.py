"""`repro audit ID`: one claim with its figures, readings, assumptions and sources, and where each can be looked up."""

import argparse
from collections.abc import Iterator
from typing import Any

from repro.claims import AuditResult, load_register, result_to_json, run_audit
from repro.claims.assumptions import ASSUMPTIONS
from repro.claims.audit import AUDITS
from repro.claims.formatting import format_quantity
from repro.claims.locate import audit_location, cells_showing, guarding_tests
from repro.cli.options import add_json, add_pairs, parse_pairs
from repro.cli.printing import format_number, print_field, print_fields, print_json
from repro.facts import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("id", metavar="ID", help="claim, such as A46")
    add_pairs(parser, "--set", help="an assumption")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Audit one claim and print what was found."""
    facts = load()
    claim = load_register().claim(args.id)
    accepted = AUDITS[claim.id].assumptions if claim.id in AUDITS else ()
    overrides: dict[str, Any] = {
        name: ASSUMPTIONS[name].user_input(facts).parse(text) if name in accepted else text
        for name, text in parse_pairs(args.set, "--set").items()
    }
    result = run_audit(claim.id, facts, **overrides)
    trace = {"code": audit_location(claim.id), "tests": guarding_tests(claim.id), "cells": cells_showing(claim.id)}
    data = result_to_json(result, facts) | {"trace": trace}
    for source in data["sources"]:
        source |= {"url": facts.references[source["source"]].url, "note": facts.source(source["key"]).note}
    return print_json(data) if args.json else _print(result, data)


def _print(result: AuditResult, data: dict[str, Any]) -> None:
    claim, finding = result.claim, result.finding
    print(f"{claim.id}: {result.verdict}\n{result.headline}\n")
    print_field("claim", claim.statement)
    print_field("document", f"{load_register().documents[claim.document].title}, {claim.section}")
    print_field("printed", result.printed or "no figure")
    if finding is None:
        return
    if finding.cases:
        print_field("recomputed", result.recomputed)
    if len(finding.cases) > 1:
        for case, of_case in zip(finding.cases, data["cases"], strict=True):
            value = "no public figure"
            if case.value is not None:
                value = format_quantity(case.value, finding.unit, finding.digits)
            verdict = f"not counted, about {case.about}: {of_case['verdict']}" if case.about else of_case["verdict"]
            print_field("", f"{value}: {case.reading} ({verdict})")
        print_field("ordinary", result.read_as)
    print_field("why", finding.answer.explanation)
    trace = data["trace"]
    print_fields("code", [trace["code"]])
    print_fields("tests", trace["tests"] or ["no test names this claim"])
    print_fields("notebook", trace["cells"] or [f"notebooks/{result.notebook}.ipynb, in which no cell shows it"])
    print_fields("assuming", (_assumption_line(name, value) for name, value in data["assumptions"].items()))
    print_fields("sources", _source_lines(data["sources"]))


def _assumption_line(name: str, assumption: dict[str, Any]) -> str:
    mark = "  (set by you)" if assumption["set_by_user"] else ""
    return f"{name} = {format_number(assumption['value'])} {assumption['unit']}{mark}"


def _source_lines(sources: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what was read, each with its locator; the address of a publication stands once, below its first figure."""
    addresses: set[str] = set()
    for source in sources:
        standing = f"{source['standing']}, read in: {source['via']}" if source["via"] else source["standing"]
        yield f"{source['key']}: {source['source']}, {source['locator']} ({standing})"
        if source["note"]:
            yield f"note: {source['note']}"
        if source["url"] and source["url"] not in addresses:
            addresses.add(source["url"])
            yield source["url"]
