"""What several tests use: the command as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def repro(tmp_path):
    """Return a function that runs `repro ARGUMENTS` in an empty folder and returns the finished process."""

    def call(*arguments, cwd=tmp_path, env=None):
        command = [sys.executable, "-m", "repro", *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": "100", **(env or {})}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=110, check=False
        )

    return call


@pytest.fixture
def refuses(repro):
    """Return a function that runs a command that must fail with one readable line, and returns that line."""

    def call(*arguments, **where):
        done = repro(*arguments, **where)
        lines = [line for line in done.stderr.splitlines() if line.startswith("repro: error: ")]
        assert done.returncode == 1
        assert len(lines) == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1] == lines[0]
        return lines[0].removeprefix("repro: error: ")

    return call
