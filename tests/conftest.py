"""What several tests use: the command as a user calls it, and figures without a screen."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_configure(config):
    """Keep a user's own IPython settings from the kernels, and do without a home that can be written to."""
    folder = tempfile.TemporaryDirectory(prefix="ipython-")
    config.add_cleanup(folder.cleanup)
    os.environ["IPYTHONDIR"] = folder.name
    if not os.access(Path.home(), os.W_OK):
        os.environ.setdefault("MPLCONFIGDIR", folder.name)  # matplotlib's warning would stand in a notebook


def pytest_collection_modifyitems(items):
    """Mark as slow what starts the command or runs a notebook, each about a second."""
    for item in items:
        if {"repro", "refuses"} & set(getattr(item, "fixturenames", ())) or item.path.suffix == ".ipynb":
            item.add_marker("slow")


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


@pytest.fixture
def plain_matplotlib():
    """Draw without a screen, in the project's look, and leave no figure open."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from repro.lab.figures import use_style

    mpl.use("agg")
    use_style()
    yield
    plt.close("all")
