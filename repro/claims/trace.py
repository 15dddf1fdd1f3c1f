"""Says what uses a fact: the claims, and the notebooks' cells and the modules that read it besides.

Audits run in a fraction of a second, with a ledger that notes every key, so the claims are exact. Notebooks take
minutes, so their cells are parsed and not run. A cell may read a key that it names, a key of a group that it names, and
a key that one of its f-strings gives when the holes are filled with words of the same notebook, a number, or a choice
that audits offer, such as a GPU. Cells are numbered as In [1], In [2] in JupyterLab.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from repro.claims.assumptions import ASSUMPTIONS, GPUS, MODELS, PEAKS
from repro.claims.audit import run_all
from repro.facts import Facts, load

PACKAGE = Path(__file__).resolve().parents[1]
NOTEBOOKS = PACKAGE.parent / "notebooks"
CHOICES = {*GPUS, *MODELS, *PEAKS}
AUDITED = PACKAGE / "claims"  # modules of the audits, which are traced by running them


def claims_reading(key: str, facts: Facts | None = None) -> list[str]:
    """Return the ids of the claims whose audits read a fact, or raise InputError for an unknown key."""
    known = facts if facts is not None else load()
    known.source(key)
    return [result.claim.id for result in run_all(known) if key in result.sources]


def assumptions_from(key: str) -> list[str]:
    """Return the names of the assumptions, and so of notebooks' parameters, whose default is a fact."""
    return [name for name, assumption in ASSUMPTIONS.items() if assumption.fact == key]


def notebook_cells_reading(key: str, folder: Path = NOTEBOOKS) -> dict[str, list[int]]:
    """Return the numbers of the cells that may read a fact, by notebook."""
    cells: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.ipynb")):
        for number, pattern in _notebook_patterns(path):
            if pattern.fullmatch(key):
                cells.setdefault(path.stem, []).append(number)
    return cells


def modules_reading(key: str) -> list[str]:
    """Return the modules outside the audits that may read a fact, such as repro.uncertainty.ranges."""
    return [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
        if AUDITED not in path.parents and (pattern := _module_pattern(path)) and pattern.fullmatch(key)
    ]


def code_cells(path: Path) -> Iterator[tuple[int, str, list[dict[str, Any]]]]:
    """Yield number, code and committed outputs of a notebook's cells of code, numbered as In [1], In [2]."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), start=1):
        yield number, "".join(cell["source"]), cell.get("outputs", [])


@cache
def _notebook_patterns(path: Path) -> list[tuple[int, re.Pattern[str]]]:
    trees = {number: ast.parse(code) for number, code, _ in code_cells(path)}
    words = {word for tree in trees.values() for word in _words(tree)}
    patterns = ((i, _pattern(tree, words)) for i, tree in trees.items())
    return [(i, pattern) for i, pattern in patterns if pattern]


@cache
def _module_pattern(path: Path) -> re.Pattern[str] | None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    return _pattern(tree, set(_words(tree))) if "repro.facts" in text else None


def _words(tree: ast.AST) -> Iterator[str]:
    """Yield the strings that could be a part of a key, as they are and in small letters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.]+", node.value):
            yield from (node.value, node.value.lower())


def _pattern(tree: ast.AST, words: Iterable[str]) -> re.Pattern[str] | None:
    """Return what matches every key that a piece of code may read, or None if it names none."""
    hole = f"(?:{'|'.join([*sorted(map(re.escape, {*words, *CHOICES})), '[0-9]+'])})"
    keys = {re.escape(word) for word in _words(tree) if "." in word}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            if re.fullmatch(r"\w*[._]\w*", "".join(str(text) for text in texts if text is not None)):
                keys.add("".join(hole if text is None else re.escape(str(text)) for text in texts))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            prefix = getattr(node.args[0], "value", None)
            if node.func.attr in ("under", "startswith") and isinstance(prefix, str):
                keys.add(rf"{re.escape(prefix.rstrip('.'))}\..*")
    return re.compile("|".join(sorted(keys))) if keys else None
