"""`repro claims`: the scoreboard."""

import argparse

from repro.claims import count_verdicts, result_to_json, run_all
from repro.claims.jsonld import register_to_jsonld
from repro.cli.options import add_json
from repro.cli.printing import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_json(parser)
    parser.add_argument("--jsonld", action="store_true", help="print schema.org's ClaimReview for every claim")


def run(args: argparse.Namespace) -> None:
    """List all claims with their verdicts, and count them."""
    results = run_all()
    if args.json:
        return print_json([result_to_json(result) for result in results])
    if args.jsonld:
        return print_json(register_to_jsonld(results))
    rows = [(r.claim.id, str(r.verdict), r.printed, r.headline, r.claim.statement) for r in results]
    print_table(("id", "verdict", "printed", "what is true", "claim"), rows)
    tally = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(results).items())
    print(f"\n{len(results)} claims: {tally}")
    return None
