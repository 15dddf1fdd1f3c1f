"""What both sides of a measurement share: repeated timing, and the peak of memory above what was there before."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

SECONDS = 2.0  # to spend on repetitions
MOST = 30


def status_bytes(field: str) -> int:
    """Return a field of the process's memory status, 0 where the system has none."""
    path = Path("/proc/self/status")
    if not path.exists():
        return 0
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def report(work: Callable[[], object], **counts: float) -> None:
    """Run a piece of work for memory, then repeatedly for time, and print both as JSON with what it counts."""
    resets = Path("/proc/self/clear_refs")
    if resets.exists():
        resets.write_text("5", encoding="ascii")  # the peak starts anew
    before = status_bytes("VmRSS")
    work()
    peak = max(status_bytes("VmHWM") - before, 0)
    seconds: list[float] = []
    while len(seconds) < 3 or (sum(seconds) < SECONDS and len(seconds) < MOST):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, **counts}))


def request() -> dict:
    """Return what was asked for on the command line."""
    return json.loads(sys.argv[1])
