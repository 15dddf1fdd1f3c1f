"""The command among signals, pipes, closed streams, other encodings and other people's settings."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from repro.claims import load_register
from repro.errors import InputError
from repro.lab import notebooks
from repro.lab.run import run_notebook

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
REPRO = f"{sys.executable} -m repro"


def shell(command, cwd, **variables):
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=110,
        check=False,
    )


def copy_of_the_checkout(tmp_path, *sources):
    """Return a checkout whose one notebook is made of the given cells."""
    shutil.copytree(ROOT / "repro", tmp_path / "repro")
    (tmp_path / "notebooks").mkdir()
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "notebooks/09_small.ipynb")
    return tmp_path


PARAMETER = "seconds: float = 60.0  # s; > 0; how long the cell sleeps"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_one_line_and_nothing_left(tmp_path, number):
    checkout = copy_of_the_checkout(tmp_path, PARAMETER, "print('begun')", "import time; time.sleep(seconds)")
    running = subprocess.Popen(
        [sys.executable, "-m", "repro", "run", "-o", "out"], cwd=checkout, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(checkout.glob("out/.partial-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(3)
    running.send_signal(number)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 1
    assert re.split(r"[\r\n]", stderr.strip())[-1] == "repro: error: interrupted"
    assert "Traceback" not in stderr
    assert "WARNING" not in stderr
    assert not (checkout / "out").exists()


def children_of(process):
    """Return the numbers of the processes that one has started."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
    fields = [(int(stat.split()[0]), int(stat.rpartition(")")[2].split()[1])) for stat in stats]
    return [pid for pid, parent in fields if parent == process.pid]


def test_a_signal_ends_notebooks_side_by_side_and_leaves_nothing(tmp_path):
    checkout = copy_of_the_checkout(tmp_path, PARAMETER, "print('begun')", "import time; time.sleep(seconds)")
    shutil.copy(checkout / "notebooks/09_small.ipynb", checkout / "notebooks/10_other.ipynb")
    running = subprocess.Popen(
        [sys.executable, "-m", "repro", "run", "-o", "out", "-j", "2"], cwd=checkout, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while len(list(checkout.glob("out/.partial-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(3)
    children = children_of(running)
    assert len(children) == 2
    running.send_signal(signal.SIGTERM)
    _, stderr = running.communicate(timeout=60)
    assert (running.returncode, stderr.strip()) == (1, "repro: error: interrupted")
    assert not (checkout / "out").exists()
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_one_notebook_that_fails_stops_no_other(tmp_path):
    checkout = copy_of_the_checkout(tmp_path, PARAMETER, "raise RuntimeError('no')")
    small = nbformat.read(checkout / "notebooks/09_small.ipynb", 4)
    small.cells[1].source = "1"
    nbformat.write(small, checkout / "notebooks/10_other.ipynb")
    done = shell(f"{REPRO} run -o out", checkout)
    assert done.returncode == 1
    assert done.stderr == "repro: error: 09_small: cell [2] failed: RuntimeError: no\n"
    assert [path.name for path in (checkout / "out").glob("*.ipynb")] == ["10_other.ipynb"]
    assert done.stdout.splitlines()[-1].startswith("1 of 2 notebooks in ")


@pytest.mark.parametrize("ending", ["import os; os._exit(3)", "raise RuntimeError('\\nfirst words\\nmore')"])
def test_a_kernel_that_dies_or_a_cell_that_fails_is_one_line(tmp_path, ending):
    checkout = copy_of_the_checkout(tmp_path, PARAMETER, ending)
    done = shell(f"{REPRO} run -o out", checkout)
    assert done.returncode == 1
    assert re.split(r"[\r\n]", done.stderr.strip())[-1].startswith("repro: error: 09_small: ")
    assert "Traceback" not in done.stderr
    assert "first words" in done.stderr or "DeadKernelError" in done.stderr
    assert not (checkout / "out").exists()


@pytest.mark.parametrize("command", ["claims", "audit A46", "claims --json", "facts price", "notebooks"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_another_encoding_shows_escapes(tmp_path, command, encoding):
    done = shell(f"{REPRO} {command}", tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")


def test_json_is_whole_in_ascii(tmp_path):
    code = "import json,sys; print(len(json.load(sys.stdin)))"
    done = shell(f'{REPRO} claims --json | {sys.executable} -c "{code}"', tmp_path, PYTHONIOENCODING="ascii")
    assert done.stdout == f"{len(load_register().claims)}\n"


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_mistake(tmp_path, closing):
    done = shell(f"{REPRO} claims {closing}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_device_is_one_line(tmp_path):
    done = shell(f"{REPRO} claims > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "repro: error: cannot go on: No space left on device\n"


def test_a_reader_that_leaves_does_not_stop_the_runs(tmp_path):
    checkout = copy_of_the_checkout(tmp_path, PARAMETER, "1")
    shutil.copy(checkout / "notebooks/09_small.ipynb", checkout / "notebooks/10_other.ipynb")
    done = shell(f"set -o pipefail; {REPRO} run -o out 2>/dev/null | true", checkout)
    assert done.returncode == 0
    assert sorted(path.name for path in (checkout / "out").glob("*.ipynb")) == ["09_small.ipynb", "10_other.ipynb"]


def test_a_line_break_in_what_was_given_stays_one_line(tmp_path):
    done = shell(f"{REPRO} audit A46 --set $'price_usd_per_gpu_hour=2\\n3\\e[31m'", tmp_path)
    assert done.stderr.count("\n") == 1
    assert "2\\n3\\x1b[31m" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run 02 -o ''", "-o '': must name a folder"),
        (f"run 02 -o {ROOT} -p gpus=1024", "holds the committed figures"),
        (f"run 02 --figures {ROOT / 'figures'} -p gpus=1024", "holds the committed figures"),
        (f"run 02 --figures {ROOT / 'notebooks'}", "holds the committed notebooks"),
        (f"run 02 -o {ROOT / 'notebooks' / 'sub'}", "holds the committed notebooks"),
        ("run elsewhere/02_gpu_hours_to_dollars.ipynb", "is not a notebook of this checkout"),
        ("run 02 -o loop", "cannot write to loop"),
    ],
)
def test_what_is_committed_is_not_overwritten(tmp_path, arguments, message):
    (tmp_path / "loop").symlink_to("loop")
    done = shell(f"{REPRO} {arguments}", tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("repro: error: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_folder_in_the_way_is_named_and_nothing_is_written(tmp_path):
    (tmp_path / "figures" / "02-whose-hours.svg").mkdir(parents=True)
    with pytest.raises(InputError, match=r"02-whose-hours.svg: a folder of that name is there"):
        run_notebook(notebooks.read(notebooks.find(["02"])[0]), {}, tmp_path, tmp_path / "figures")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["02-whose-hours.svg", "figures"]
    (tmp_path / "02_gpu_hours_to_dollars.ipynb").mkdir()
    with pytest.raises(InputError, match=r"02_gpu_hours_to_dollars.ipynb: a folder of that name is there"):
        run_notebook(notebooks.read(notebooks.find(["02"])[0]), {}, tmp_path, tmp_path / "figures")


def test_the_users_settings_do_not_reach_a_check(tmp_path):
    settings = {"MPLBACKEND": "Agg", "REPRO_FIGURES": str(tmp_path), "PYTEST_ADDOPTS": "-k nothing"}
    done = shell(f"{REPRO} check 02", tmp_path, **settings)
    assert done.returncode == 0, done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_check_finds_an_output_that_was_changed(tmp_path):
    checkout = copy_of_the_checkout(
        tmp_path, PARAMETER, "1 + 1", "from repro.lab.prose import prose_numbers\nprose_numbers({})"
    )
    path = checkout / "notebooks/09_small.ipynb"
    assert shell(f"{REPRO} run --in-place", checkout).returncode == 0
    assert shell(f"{REPRO} check", checkout).returncode == 0
    path.write_text(path.read_text().replace('"2"', '"3"'))
    done = shell(f"{REPRO} check", checkout)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "repro: error: a notebook's committed outputs differ from a fresh run; see the report above\n"
    )
    path.write_text("{}")
    assert "09_small.ipynb: is not a notebook" in shell(f"{REPRO} check", checkout).stderr
    path.unlink()
    assert shell(f"{REPRO} check", checkout).stderr == "repro: error: notebooks/ holds no notebook\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("claims/register.toml", 'name = "price", text = "$2"', 'name = "rent", text = "$2"', "register.toml: A46: "),
        ("claims/register.toml", 'text = "$2", value = 2', 'text = "$2", value = nan', "register.toml: A46.printed.0"),
        ("claims/register.toml", '[[claim]]\nid = "A01"', 'claim = [1]\n[[clai]]\nid = "A01"', "register.toml: "),
        ("claims/register.toml", 'prefix = "A"', 'prefix = "D"', "register.toml: A01: id: must be D"),
        ("claims/assumptions.toml", 'fact = "deepseek_v3.gpus"\n', "", "assumptions.toml: gpus: default: must be"),
        ("claims/assumptions.toml", "in [1, 1e9]", "1 to 1e9", "assumptions.toml: gpus: domain: domain '1 to 1e9'"),
        ("facts/data/training_runs.toml", "value = 2048", "value = -2048", "training_runs.toml: deepseek_v3.gpus: "),
        ("facts/data/training_runs.toml", "value = 2048", "value = 0", "training_runs.toml: deepseek_v3.gpus: "),
        ("facts/data/training_runs.toml", "value = 2048", f"value = {10**400}", "training_runs.toml: deepseek_v3.gpus"),
        ("facts/data/training_runs.toml", "value = 2048", f"value = {'9' * 5000}", "training_runs.toml: "),
        ("facts/data/training_runs.toml", "value = 2048", 'value = 2048\nkey = "q"', "training_runs.toml: deepseek_v3"),
        ("facts/data/prices.toml", "value = 2.0", "value = 2e9", "fact price.h800_v3_report: price_usd_per_gpu_hour"),
    ],
)
def test_damage_to_what_ships_is_one_line(tmp_path, refuses, file, old, new, message):
    shutil.copytree(ROOT / "repro", tmp_path / "repro")
    path = tmp_path / "repro" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert refuses("claims", cwd=tmp_path).startswith(message)
