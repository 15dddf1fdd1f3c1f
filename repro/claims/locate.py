"""Where everything about a claim is: the code that computes it, the tests that guard it, the cells that show it.

All of it is read from the checkout itself, so that it cannot go stale; an installed package without tests and notebooks
beside it shows the code alone.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from repro import FINDING
from repro.claims.audit import AUDITS
from repro.claims.trace import NOTEBOOKS, code_cells

ROOT = NOTEBOOKS.parent


def audit_location(claim_id: str) -> str:
    """Return file and line of the function that audits a claim, such as repro/claims/audits/dollars.py:167."""
    if claim_id not in AUDITS:
        return "not audited yet"
    file, line = AUDITS[claim_id].location
    return f"{file}:{line}"


def guarding_tests(claim_id: str) -> list[str]:
    """Return file and line of every test that names a claim, with the tests that the line is part of or read by."""
    return [line for path in sorted((ROOT / "tests").rglob("test_*.py")) for line in _mentions(path, claim_id)]


def _mentions(path: Path, claim_id: str) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text if claim_id in text else "")
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(rf"[\"'(\[]{claim_id}[\"'\])]", line):
            yield f"{path.relative_to(ROOT)}:{number} {', '.join(_tests_of_line(tree, number))}".rstrip()


def _tests_of_line(tree: ast.Module, line: int) -> list[str]:
    """Return the function that a line stands in; for a line of a table, such as WORKED, the tests that read it."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    statement = next(node for node in tree.body if _first_line(node) <= line <= (node.end_lineno or 0))
    if isinstance(statement, ast.FunctionDef):
        return [statement.name]
    tables = {name.id for name in ast.walk(statement) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
    return [f.name for f in functions if tables & {name.id for name in ast.walk(f) if isinstance(name, ast.Name)}]


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def cells_showing(claim_id: str) -> list[str]:
    """Return every notebook cell whose committed output shows the finding of a claim, or whose code names it."""
    shown = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for number, code, outputs in code_cells(path):
            findings = (output.get("data", {}).get(FINDING, {}) for output in outputs)
            if f'"{claim_id}"' in code or any(finding.get("id") == claim_id for finding in findings):
                shown.append(f"{path.relative_to(ROOT)} In [{number}]")
    return shown
