"""The base commands with nothing but the standard library and pydantic; the others say in one line what they lack."""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYDANTIC = {"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
# Python imports this as it starts, from PYTHONPATH: whatever is not in KNOWN is then as if it were not installed.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        known = not KNOWN or package in KNOWN | sys.stdlib_module_names or package.startswith("_sysconfigdata")
        if package in MISSING or not known:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture
def without(tmp_path):
    """Return a function that makes an environment in which packages are missing, by default all but pydantic."""

    def environment(*missing):
        known = set() if missing else PYDANTIC | {"repro", "sitecustomize", "usercustomize"}
        (tmp_path / "site").mkdir()
        text = f"KNOWN = {known!r}\nMISSING = {set(missing)!r}\n{BLOCKER}"
        (tmp_path / "site" / "sitecustomize.py").write_text(text)
        return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}

    return environment


PIPELINE = "pipeline 1F1B --ranks 4 --micro-batches 8"


@pytest.mark.parametrize("command", ["claims", "audit A46", "facts", "facts price", "model deepseek_v3", PIPELINE])
def test_the_base_commands_need_pydantic_alone(repro, without, command):
    bare = without()
    done = repro(*command.split(), env=bare)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 10
    as_json = repro(*command.split(), "--json", env=bare)
    assert (as_json.returncode, as_json.stderr) == (0, "")
    assert json.loads(as_json.stdout)


@pytest.mark.parametrize("command", ["claims --help", "--version", "--help", "model --help"])
def test_help_needs_pydantic_alone(repro, without, command):
    done = repro(*command.split(), env=without())
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("run 01", ()),
        ("notebooks", ()),
        ("check 02", ()),
        ("pipeline 1F1B --ranks 4 --micro-batches 8 --figure chart.svg", ()),
        ("pipeline 1F1B --ranks 4 --micro-batches 8 --figure chart.svg", ("matplotlib",)),
        ("run 01", ("papermill",)),
        ("check 02", ("nbval",)),
        ("check 02", ("pytest",)),
        ("check 02 03", ("xdist",)),
    ],
)
def test_a_command_that_needs_more_names_it_in_one_line(refuses, without, command, missing):
    message = refuses(*command.split(), env=without(*missing))
    assert message.startswith(f"repro {command.split()[0]} needs ")
    assert all(package in message for package in missing)
    assert re.search(
        "which (is|are) not installed: in a checkout, make setup or pip install . brings (it|them)$", message
    )
