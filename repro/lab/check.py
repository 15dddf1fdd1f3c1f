"""Compares the committed notebooks' outputs with a fresh run; the one place that knows nbval."""

import os
import subprocess
import sys
from pathlib import Path

from repro.lab.notebooks import folder

# A dead kernel is noticed only after the timeout, so it is far below nbval's default of 33 minutes. The cells of
# one notebook share a kernel, so they must stay together: loadscope.
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "120"]
PARALLEL = ["-n", "2", "--dist", "loadscope"]


def check(paths: list[Path]) -> bool:
    """Run nbval strictly over notebooks, its report on standard output, and tell whether all outputs are equal."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *NBVAL]
    if len(paths) > 1:
        command += PARALLEL
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([*command, *map(str, paths)], cwd=folder().parent, env={**os.environ, **threads}, check=False)
    return done.returncode == 0
