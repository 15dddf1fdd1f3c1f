"""`repro claims`: the scoreboard."""

import argparse

from repro.claims import AuditResult, result_to_json, run_all
from repro.claims.jsonld import register_to_jsonld
from repro.claims.summary import key_results, tally
from repro.cli.options import add_json
from repro.cli.printing import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_json(parser)
    parser.add_argument(
        "--short", action="store_true", help="print the claims most people have heard of, and the tally"
    )
    parser.add_argument("--jsonld", action="store_true", help="print schema.org's ClaimReview for every claim")


def run(args: argparse.Namespace) -> None:
    """List all claims with their verdicts, and count them."""
    results = run_all()
    if args.json:
        return print_json([result_to_json(result) for result in results])
    if args.jsonld:
        return print_json(register_to_jsonld(results))
    if args.short:
        return _print_short(results)
    rows = [(r.claim.id, str(r.verdict), r.printed, r.headline, r.claim.statement) for r in results]
    print_table(("id", "verdict", "printed", "what is true", "claim"), rows)
    print(f"\n{tally(results)}")
    return None


def _print_short(results: list[AuditResult]) -> None:
    """Print what is true of the best-known claims, then the tally."""
    for result in key_results(results):
        print(f"{result.claim.id}  {result.verdict!s:<13} {result.claim.statement}")
        print(f"{'':<18} {result.headline}")
    print(f"\n{tally(results)}")
