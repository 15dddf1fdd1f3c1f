"""Compares the committed notebooks' outputs with a fresh run; the one place that knows nbval."""

import json
import os
import subprocess
import sys
from pathlib import Path

from repro.errors import InputError
from repro.lab.committed import complaints
from repro.lab.controls import PLAIN
from repro.lab.notebooks import folder, read
from repro.lab.run import FIGURES

# A dead kernel is noticed only after the timeout, so it is far below nbval's default of 33 minutes. The cells of
# one notebook share a kernel, so they must stay together: loadscope.
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "120"]
DISTURBING = ("MPLBACKEND", "PYTEST_ADDOPTS", FIGURES)  # variables that change what a notebook draws or pytest runs
PARALLEL = ["-n", "2", "--dist", "loadscope"]


def check(paths: list[Path]) -> None:
    """Run nbval strictly, its report on standard output; raise InputError if an output differs or it cannot run."""
    for path in paths:
        read(path)
        for line in complaints(json.loads(path.read_text(encoding="utf-8")), folder().parent / "figures"):
            raise InputError(f"{path.name}: {line}")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *NBVAL]
    if len(paths) > 1:
        command += PARALLEL
    outside = {name: value for name, value in os.environ.items() if name not in DISTURBING}
    own = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", PLAIN: "1"}
    done = subprocess.run([*command, *map(str, paths)], cwd=folder().parent, env={**outside, **own}, check=False)
    if done.returncode == 1:
        raise InputError("a notebook's committed outputs differ from a fresh run; see the report above")
    if done.returncode:
        raise InputError(f"the notebooks could not be checked: pytest ended with status {done.returncode}")
