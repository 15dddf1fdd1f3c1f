"""`repro check`: do the committed notebooks show what a fresh run shows?"""

import argparse

NEEDS = ("nbformat", "papermill", "pytest", "nbval", "ipykernel")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 02 (default: all)")


def run(args: argparse.Namespace) -> None:
    """Compare the committed notebooks' outputs with a fresh run."""
    from repro.lab.check import check
    from repro.lab.notebooks import find

    check(find(args.notebooks))
