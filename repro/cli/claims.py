"""`repro claims`: the scoreboard."""

import argparse

from repro.claims import count_verdicts, result_to_json, run_all
from repro.cli.options import add_json
from repro.cli.printing import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """List all claims with their verdicts, and count them."""
    results = run_all()
    if args.json:
        return print_json([result_to_json(result) for result in results])
    rows = [
        (result.claim.id, str(result.verdict), result.printed, result.recomputed, result.claim.statement)
        for result in results
    ]
    print_table(("id", "verdict", "printed", "recomputed", "claim"), rows)
    tally = ", ".join(f"{count} {verdict}" for verdict, count in count_verdicts(results).items())
    print(f"\n{len(results)} claims: {tally}")
    return None
