"""Runs several commands of this package side by side, each a process of its own.

A notebook run sets variables of its process and silences its standard error, so that two cannot share one. An error or
a signal that can be caught ends the runs under way too; SIGKILL leaves them to finish on their own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

PAUSE_S = 0.05  # between looks at what runs


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    name: str
    seconds: float
    status: int
    output: str
    errors: str


@dataclass(frozen=True)
class _Running:
    name: str
    process: subprocess.Popen[bytes]
    began: float
    output: IO[bytes]
    errors: IO[bytes]

    def end(self) -> Ended:
        texts = []
        for file in (self.output, self.errors):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
            file.close()
        return Ended(self.name, time.monotonic() - self.began, self.process.returncode, *texts)


def run_side_by_side(commands: Mapping[str, list[str]], jobs: int) -> Iterator[Ended]:
    """Run `repro` with each of these lists of arguments, at most `jobs` at once, and yield each as it ends."""
    waiting = list(commands.items())
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(*waiting.pop(0)))
            over = [one for one in running if one.process.poll() is not None]
            for one in over:
                running.remove(one)
                yield one.end()
            if not over:
                time.sleep(PAUSE_S)
    finally:
        for one in running:
            one.process.terminate()
        for one in running:
            one.process.wait()


def _start(name: str, arguments: list[str]) -> _Running:
    output, errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 closed when it has ended
    command = [sys.executable, "-m", "repro", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
    return _Running(name, process, time.monotonic(), output, errors)
