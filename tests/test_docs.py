"""What the documents say of the code is so: paths, names, make targets, the graph of imports, Python that runs."""

import importlib
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/commands.md",
    "docs/fp8-errors.md",
    "docs/glossary.md",
    "docs/mechanisms.md",
    "docs/method.md",
    "examples/README.md",
    "experiments/README.md",
]
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
GRAPH = runpy.run_path(str(ROOT / "scripts" / "import_graph.py"))


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page):
    for path in re.findall(
        r"`((?:repro|tests|scripts|docs|examples|notebooks|experiments|benchmarks)/[\w./-]*)`", TEXTS[page]
    ):
        assert "NN" in path or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http|#)([^)#]+)\)", TEXTS[page]):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_names_of_the_package_can_be_imported(page):
    for name in set(re.findall(r"`(repro(?:\.\w+)+)[`(]", TEXTS[page])):
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    for target in re.findall(r"(?:`|^)make ([a-z]+)", TEXTS[page], re.MULTILINE):
        assert target in TARGETS, target


def test_the_graph_of_imports_is_the_codes():
    assert GRAPH["mermaid"](ROOT / "repro") in TEXTS["docs/architecture.md"]


def test_what_each_rule_would_do_is_what_the_rules_do():
    assert runpy.run_path(str(ROOT / "scripts" / "rules_considered.py"))["markdown"]() in TEXTS["docs/method.md"]


def test_the_graph_by_hand(tmp_path):
    package = tmp_path / "repro"
    for room in ("facts", "calc", "claims", "nano/training"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text("")
    (package / "errors.py").write_text("")
    (package / "facts" / "loader.py").write_text("from repro.errors import InputError")
    (package / "calc" / "cost.py").write_text("")
    (package / "claims" / "audit.py").write_text("from repro.calc import cost\nfrom repro.facts import load")
    (package / "claims" / "other.py").write_text("from repro.calc.cost import hours")
    (package / "nano" / "training" / "loop.py").write_text("from repro.calc.cost import hours")
    assert dict(GRAPH["arrows"](package)) == {
        ("claims", "calc"): 2,
        ("claims", "facts"): 1,
        ("nano/training", "calc"): 1,
    }


@pytest.mark.slow
def test_the_python_of_mechanisms_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", TEXTS["docs/mechanisms.md"], re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        code = block.replace("steps=200", "steps=12")
        code = f"import numpy as np\ntokens = np.array([[1, 2, 3]])\n{code}"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), block


def test_the_example_of_a_new_claim_works_as_printed(repro, tmp_path):
    # In a copy of the package, with nothing but the two blocks of CONTRIBUTING.md added.
    (register,), (audit,) = (
        re.findall(rf"```{kind}\n(.*?)```", TEXTS["CONTRIBUTING.md"], re.DOTALL) for kind in ("toml", "python")
    )
    shutil.copytree(ROOT / "repro", tmp_path / "repro")
    for file, block in (("register.toml", register), ("audits/hours.py", audit)):
        with (tmp_path / "repro" / "claims" / file).open("a", encoding="utf-8") as target:
            target.write(f"\n\n{textwrap.dedent(block)}")
    done = repro("audit", "A49", env={"PYTHONPATH": str(tmp_path)})
    assert done.stderr == ""
    assert done.stdout.startswith("A49: holds\n")
