"""`repro notebooks`: the notebooks and the parameters that each can be rerun with."""

import argparse
from typing import Any

from repro.cli.options import add_json
from repro.cli.printing import format_number, print_json

NEEDS = ("nbformat", "papermill")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """List the notebooks with their parameters."""
    from repro.lab.notebooks import Notebook, find, read

    def to_json(notebook: Notebook) -> dict[str, Any]:
        fields = ("name", "type", "default", "unit", "domain", "help")
        parameters = [{field: getattr(p, field) for field in fields} for p in notebook.parameters.values()]
        path = f"notebooks/{notebook.path.name}"
        return {"name": notebook.name, "title": notebook.title, "path": path, "parameters": parameters}

    notebooks = [read(path) for path in find([])]
    if args.json:
        return print_json([to_json(notebook) for notebook in notebooks])
    for notebook in notebooks:
        print(f"{notebook.name}: {notebook.title}")
        for p in notebook.parameters.values():
            print(f"  {p.name}: {p.type} = {format_number(p.default)}  [{p.unit}; {p.domain}]  {p.help}")
        print()
    return None
