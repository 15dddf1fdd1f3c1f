"""Tries the project on the versions that people have: installs each row in an environment of its own and runs tests.

The locks say that the newest versions work; this says that the lower bounds of pyproject.toml tell the truth, that a
hosted notebook's older packages will do, and that the base commands need pydantic alone. Not a part of `make test`:
a row takes minutes and needs the network.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEWEST = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
LOWEST = [re.sub(r">=([^,]+).*", r"==\1", requirement) for requirement in NEWEST]
LOCKED = ["--require-hashes", "-r", "requirements.lock"]
# What a hosted notebook came with at the end of 2025, as far as the project meets it.
HOSTED = """ipykernel==6.17.1 ipython==7.34.0 jupyter-client==7.4.9 matplotlib==3.10.0 ml_dtypes==0.5.4 nbformat==5.10.4
    numpy==2.0.2 pandas==2.2.2 pydantic==2.12.3 pytest==8.4.2 scipy==1.16.3 tornado==6.5.1 tqdm==4.67.1
    traitlets==5.7.1"""
ROWS = {  # the version of Python, and what pip is told to install
    "lowest": ("3.11", LOWEST),
    "locked": ("3.11", LOCKED),
    "locked-3.12": ("3.12", LOCKED),
    "hosted": ("3.12", [*HOSTED.split(), *NEWEST]),
    "newest": ("3.13", NEWEST),
    "pydantic": ("3.11", [requirement for requirement in LOWEST if requirement.startswith("pydantic")]),
}
BASE = [
    "claims", "claims --json", "audit A46", "facts", "facts price --json", "model deepseek_v3",
    "pipeline 1F1B --ranks 4 --micro-batches 8",
]  # fmt: skip
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "300"]
CHECKS = [
    ["-n", "2", "-m", "not slow", "tests"],
    ["tests/test_run.py"],
    [*NBVAL, "notebooks/02_gpu_hours_to_dollars.ipynb", "notebooks/07_uncertainty.ipynb"],
]


def interpreter(version: str) -> str | None:
    """Return a Python of a version that starts, on PATH or among pyenv's, or None."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for path in (shutil.which(f"python{version}"), *map(str, pyenv)):
        if path and not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode:
            return path
    return None


def commands(row: str, folder: Path, tests: list[str]) -> list[list[str]]:
    """Return what makes a row's environment in a folder, this checkout in it and nothing else, and what tries it."""
    version, packages = ROWS[row]
    python, uv = str(folder / "bin/python"), shutil.which("uv")
    install = [uv, "pip", "install", "-q", "--python", python] if uv else [python, "-m", "pip", "install", "-q"]
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return [
        [str(interpreter(version)), "-m", "venv", str(folder)],
        [*install, *packages],
        [*install, "--no-deps", *([] if row == "pydantic" else ["-e"]), str(ROOT)],  # tests look for notebooks/ too
        *(
            [[str(folder / "bin/repro"), *command.split()] for command in BASE]
            if row == "pydantic"
            else [[*pytest, *arguments] for arguments in ([tests] if tests else CHECKS)]
        ),
    ]


def attempt(row: str, tests: list[str]) -> str:
    """Return how a row went, in one line; what failed is printed."""
    if interpreter(ROWS[row][0]) is None:
        return f"skipped: no Python {ROWS[row][0]} found"
    passed = []
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        for command in commands(row, Path(folder) / "environment", tests):
            done = subprocess.run(
                command, cwd=folder if row == "pydantic" else ROOT, env={**os.environ, **threads},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                print(done.stdout[-6000:], file=sys.stderr)
                return f"FAILED: {' '.join(command)[:200]}"
            passed += re.findall(r"(\d+) passed", done.stdout)
    return f"passed: {' + '.join(passed)} tests" if passed else f"passed: {len(BASE)} commands"


def main() -> int:
    """Try the named rows, print a table and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", metavar="ROW", nargs="*", help=f"of {', '.join(ROWS)}; all where none is named")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="for pytest, in place of a selection")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; there are: {', '.join(ROWS)}")
    results = []
    for row in options.rows or ROWS:
        begun = time.monotonic()
        results.append(attempt(row, options.tests))
        print(f"{row:<12} {ROWS[row][0]} {time.monotonic() - begun:5.0f} s  {results[-1]}", flush=True)
    return 1 if any(result.startswith("FAILED") for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
