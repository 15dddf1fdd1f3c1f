"""Data flows one way, from facts and models to the command line; and the arithmetic needs nothing installed."""

import ast
import runpy
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import repro

PACKAGE = Path(repro.__file__).parent
SHARED = {
    "repro",
    "repro.errors",
    "repro.inputs",
    "repro.files",
    "repro.machine",
    "repro.validate",
    "repro.arrays",
    "repro.spread",
}
MAY_IMPORT = {
    "facts": {"repro.facts"},
    "models": {"repro.models"},
    "calc": {"repro.calc", "repro.models"},
    "nano": {"repro.nano", "repro.calc", "repro.models"},
    "experiments": {"repro.experiments", "repro.nano", "repro.calc", "repro.models"},
    "sim": {"repro.sim", "repro.nano", "repro.calc", "repro.models"},
    "uncertainty": {"repro.uncertainty", "repro.calc", "repro.facts"},
    "claims": {"repro.claims", "repro.calc", "repro.models", "repro.facts"},
    "cli": {"repro.cli", "repro.lab", "repro.claims", "repro.calc", "repro.models", "repro.facts", "repro.sim"},
    "lab": {"repro.lab", "repro.claims", "repro.calc", "repro.models", "repro.facts", "repro.sim"},
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_nothing_imports_upward(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imported(path):
            if name.split(".")[0] == "repro":
                assert name in SHARED or ".".join(name.split(".")[:2]) in MAY_IMPORT[room], (path.name, name)


def test_every_folder_is_a_room_of_the_house():
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", ["calc", "models", "claims/audits"])
def test_arithmetic_and_audits_import_the_standard_library_and_each_other_only(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imported(path):
            top = name.split(".")[0]
            assert top == "repro" or top in sys.stdlib_module_names, (path.name, name)


def test_the_claims_need_neither_numpy_nor_pandas_nor_a_notebook():
    heavy = ("numpy", "pandas", "matplotlib", "papermill", "nbformat")
    code = f"import sys, repro.claims; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_neither_rooms_nor_files_import_in_a_circle():
    graph = runpy.run_path(str(PACKAGE.parent / "scripts" / "import_graph.py"))
    known = graph["modules"](PACKAGE)
    files = {name: graph["imports"](path, known) - {name} for name, path in known.items()}
    rooms = {}
    for here, there in graph["arrows"](PACKAGE):
        rooms.setdefault(here, set()).add(there)
    for arrows in (files, rooms):
        TopologicalSorter(arrows).prepare()  # raises CycleError
