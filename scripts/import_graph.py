"""Prints which room of the package imports which, as a Mermaid diagram.

Run: python scripts/import_graph.py [PACKAGE]

A room is a folder of the package; nano's folders count as rooms of their own. Left out are files at the top of the
package, which every room may use, and the __init__ files, which only gather names. docs/architecture.md holds this
output, and a test keeps it true.
"""

import ast
import sys
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "repro"


def room_of(module: str) -> str | None:
    """Return the room of a module such as repro.nano.training.loop, None for a file at the top of the package."""
    parts = module.split(".")[1:]
    if parts[:1] == ["nano"] and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if len(parts) > 1 else None


def modules(package: Path) -> dict[str, Path]:
    """Return every module of a package by its dotted name, a folder's __init__ as `folder.__init__`."""
    return {
        ".".join([package.name, *path.relative_to(package).with_suffix("").parts]): path
        for path in sorted(package.rglob("*.py"))
    }


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that a file imports, by their dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("repro"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            inside = {name for name in names if name in known} | {
                f"{name}.__init__" for name in names if f"{name}.__init__" in known
            }
            found |= inside or {node.module if node.module in known else f"{node.module}.__init__"}
    return found


def arrows(package: Path) -> Counter[tuple[str, str]]:
    """Return how many files of a room import from another room, by (importing room, imported room)."""
    known = modules(package)
    count: Counter[tuple[str, str]] = Counter()
    for module, path in known.items():
        here = None if module.endswith("__init__") else room_of(module)
        there = {room_of(name) for name in imports(path, known)} - {here, None}
        count.update((here, room) for room in there if here is not None and room is not None)
    return count


def mermaid(package: Path) -> str:
    """Return the diagram, an arrow from what is imported to what imports it, with the number of importing files."""
    lines = [f"    {there} -->|{number}| {here}" for (here, there), number in sorted(arrows(package).items())]
    return "\n".join(["flowchart LR", *lines])


if __name__ == "__main__":
    print(mermaid(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE))
