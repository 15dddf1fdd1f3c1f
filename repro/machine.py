"""The machine that something was measured on, as far as a reader needs to know it, without its name."""

import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path


def available_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, str]:
    """Return date, processor, cores and versions."""
    processor, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "date": date.today().isoformat(),
        "processor": processor,
        "cores": str(available_cores()),
        "python": platform.python_version(),
        "numpy": version("numpy"),
    }
