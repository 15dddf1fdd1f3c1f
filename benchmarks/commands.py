"""How long the commands take: medians of whole processes, as ratios to an empty Python in the same round.

The floor of every command is the start of the interpreter; a notebook's is the start of its kernel and the import of
matplotlib and pandas in it. Both floors are measured in each round beside the commands.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from repro.lab.notebooks import find

PYTHON = sys.executable
REPRO = [PYTHON, "-m", "repro"]
ROUNDS = 7
COMMANDS = {
    "python -c pass": [PYTHON, "-c", "pass"],
    "import repro": [PYTHON, "-c", "import repro"],
    "import pydantic": [PYTHON, "-c", "import pydantic"],
    "import matplotlib, pandas": [PYTHON, "-c", "import matplotlib.pyplot, pandas"],
    "repro claims": [*REPRO, "claims"],
    "repro audit A48": [*REPRO, "audit", "A48"],
    "repro model deepseek_v3": [*REPRO, "model", "deepseek_v3"],
    "repro facts": [*REPRO, "facts"],
    "repro notebooks": [*REPRO, "notebooks"],
}
# What a user was promised on two cores, in seconds.
PROMISED = {"import repro": 0.3, "repro claims": 1.0}


def seconds(command: list[str]) -> float:
    """Return how long a command takes, from start to end."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def row(name: str, times: list[float], empty: list[float], promised: float | None) -> str:
    """Return a line of the report: median, range, and the median of the ratios round by round."""
    ratio = statistics.median(time_ / floor for time_, floor in zip(times, empty, strict=True))
    limit = f"promised < {promised:g} s" if promised else ""
    spread = f"{min(times):.2f} to {max(times):.2f}"
    return f"{name:<28} {statistics.median(times):>7.2f} s  {spread:>16} s  {ratio:>6.1f} x  {limit}".rstrip()


def main() -> None:
    """Time every command in turn, round by round, then one run of all notebooks."""
    for command in COMMANDS.values():
        seconds(command)  # files in memory, bytecode written
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    empty = times["python -c pass"]
    print(f"{'command':<28} {'median':>9}  {'range':>18}  {'to empty':>8}")
    for name, taken in times.items():
        print(row(name, taken, empty, PROMISED.get(name)))
    with tempfile.TemporaryDirectory() as folder:
        whole = seconds([*REPRO, "run", "-o", str(Path(folder) / "runs")])
    notebooks = len(find([]))
    print(row(f"repro run ({notebooks} notebooks)", [whole], [statistics.median(empty)], 60))
    print(f"a notebook takes {whole / notebooks / statistics.median(times['import matplotlib, pandas']):.1f} times the")
    print("import of matplotlib and pandas that each kernel begins with")


if __name__ == "__main__":
    main()
