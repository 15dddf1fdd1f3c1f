"""pyproject.toml, both locks and environment.yml name the same packages and versions; nothing names a package host."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts.environment import LOCK, ROOT, environment, pins
from scripts.matrix import HOSTED

LOCKS = {name: (ROOT / name).read_text() for name in ("requirements.lock", "requirements-lab.lock")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def versions(lock):
    found = {}
    for pin in pins(lock):
        requirement = Requirement(pin)
        found.setdefault(requirement.name.lower().replace("_", "-"), []).append(str(requirement.specifier)[2:])
    return found


def test_environment_yml_is_made_from_the_lock():
    assert (ROOT / "environment.yml").read_text() == environment(LOCK.read_text())


def test_every_dependency_is_locked_at_a_version_that_it_allows():
    test = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    wanted = {"requirements.lock": test, "requirements-lab.lock": test + PROJECT["optional-dependencies"]["lab"]}
    for name, dependencies in wanted.items():
        locked = versions(LOCKS[name])
        for text in dependencies:
            requirement = Requirement(text)
            for version in locked[requirement.name.lower().replace("_", "-")]:
                assert requirement.specifier.contains(version), (name, text, version)


def test_a_hosted_notebook_is_taken_as_it_is():
    wanted = {(requirement := Requirement(text)).name: requirement.specifier for text in PROJECT["dependencies"]}
    present = dict(pin.split("==") for pin in HOSTED.split())
    assert {"matplotlib", "numpy", "pandas", "pydantic", "scipy"} < set(present) & set(wanted)
    for name in set(present) & set(wanted):
        assert wanted[name].contains(present[name]), name


def test_the_lab_lock_is_the_lock_and_more():
    lock, lab = versions(LOCKS["requirements.lock"]), versions(LOCKS["requirements-lab.lock"])
    assert set(lock) < set(lab)
    assert all(lab[name] == lock[name] for name in lock)


def test_every_pin_has_hashes():
    for text in LOCKS.values():
        blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
        assert len(blocks) == len(pins(text))
        assert all("--hash=sha256:" in block for block in blocks)


def test_the_interpreter_is_one_that_the_project_takes():
    assert "  - python=3.12\n" in (ROOT / "environment.yml").read_text()
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_direct_dependency_says_why_it_is_there():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    block = [line for line in lines if re.match(r'    "[a-zA-Z_-]+>=', line)]
    assert len(block) == len(PROJECT["dependencies"]) + sum(map(len, PROJECT["optional-dependencies"].values()))
    assert all("# " in line for line in block)


def test_locks_name_no_address():
    for name in (*LOCKS, "environment.yml"):
        assert "://" not in (ROOT / name).read_text()
        assert "index" not in re.sub(r"(?m)^ +# .*$", "", (ROOT / name).read_text()), name


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a checkout by git")
def test_no_tracked_file_names_this_machine():
    folders = [path for path in (Path.home(), ROOT) if len(path.parts) > 1]  # a user without a home has the root
    here = re.compile(b"|".join(re.escape(f"{path}/".encode()) for path in folders))
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True)
    names = [name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    assert names
    for name in names:
        assert not (found := here.search((ROOT / name).read_bytes())), (name, found)
