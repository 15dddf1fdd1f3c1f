"""Simulate a pipeline schedule: when each task runs, and so how long each rank idles and how much it holds.

A rank works through its order and starts each task as early as it can: once the rank is free and what the task needs
has arrived. No rank can be timed alone, since ranks wait for each other. So one rank runs until a result is missing,
and is woken when another rank has produced it. Every task is visited once, and the time is linear in their number.
If all ranks that have work left are waiting, the schedule is a deadlock.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from repro.errors import InputError, preview
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Durations, Kind, Pass, Schedule, Task, kinds

SHOWN = 8  # waiting ranks that an error names


class Bar(NamedTuple):
    """One task in time, as a chart draws it."""

    rank: int
    start: float
    end: float
    task: Task


@dataclass(frozen=True)
class Timeline:
    """When each task of a schedule runs, in the unit of the durations.

    Attributes:
        makespan: Time from the first start to the last end over all ranks.
        starts: Start of each task, [ranks][tasks], as in `schedule.orders`; `ends` likewise.
        busy: Time that each rank works, [ranks].
        activations: Most micro-batches whose activations a rank holds at once, counted once for every stage, [ranks].
    """

    schedule: Schedule
    makespan: float
    starts: list[list[float]]
    ends: list[list[float]]
    busy: list[float]
    activations: list[int]

    @property
    def bubble(self) -> list[float]:
        """Idle time of each rank, before its first and after its last task too, [ranks]."""
        return [self.makespan - busy for busy in self.busy]

    def bars(self) -> Iterator[Bar]:
        """Yield all tasks in time, rank by rank."""
        for rank, order in enumerate(self.schedule.orders):
            for start, end, task in zip(self.starts[rank], self.ends[rank], order, strict=True):
                yield Bar(rank, start, end, task)


def simulate(schedule: Schedule, durations: Durations, *, freed_by: Kind = WEIGHT) -> Timeline:
    """Run a schedule, published or your own, in time linear in the number of its tasks.

    A forward waits for the stage before, a backward for the stage after and its own forward, a weight part for its
    input part. A result is sent when its whole task ends, and reaches another rank a transfer later.

    Args:
        schedule: Order of the tasks.
        durations: How long they take.
        freed_by: The part of a split backward that frees activations, INPUT or WEIGHT; a full backward always does.

    Raises:
        InputError: If the order is a deadlock, leaves out a pass or repeats one.
    """
    if freed_by not in (INPUT, WEIGHT):
        raise InputError(f"freed_by = {freed_by!r}: must be {INPUT!r} or {WEIGHT!r}")
    duration_of = durations.by_kinds
    _check_tasks(schedule, duration_of)
    loop = _EventLoop(schedule, durations)
    loop.run()
    return Timeline(
        schedule,
        max(ends[-1] for ends in loop.ends),
        loop.starts,
        loop.ends,
        [sum(duration_of[kinds(task)] for task in order) for order in schedule.orders],
        [_peak_activations(order, freed_by) for order in schedule.orders],
    )


def _peak_activations(order: tuple[Task, ...], freed_by: Kind) -> int:
    """Return the most micro-batches whose forward has begun and whose backward has not ended, over a rank's stages."""
    held = peak = 0
    for task in order:
        for pass_ in task:  # the forward of an overlapped pair comes first
            if pass_.kind == FORWARD:
                held += 1
                peak = max(peak, held)
            elif pass_.kind in (BACKWARD, freed_by):
                held -= 1
    return peak


def _check_tasks(schedule: Schedule, duration_of: Mapping[tuple[Kind, ...], float]) -> None:
    """Check that each rank has tasks, and that each task has a duration."""
    for rank, order in enumerate(schedule.orders):
        if not order:
            raise InputError(f"schedule {schedule.name!r}: rank {rank} has no task: must have at least one")
        for task in order:
            passes = isinstance(task, tuple) and all(isinstance(pass_, Pass) for pass_ in task)
            if not passes or kinds(task) not in duration_of:
                must = "must be a tuple of one Pass, or of a forward and a full backward"
                raise InputError(f"schedule {schedule.name!r}: rank {rank}: task {preview(task)}: {must}")


class _EventLoop:
    """Ranks that each work until a result is missing, and go on when it has been produced."""

    def __init__(self, schedule: Schedule, durations: Durations) -> None:
        self.schedule, self.transfer, self.duration_of = schedule, durations.transfer, durations.by_kinds
        self.starts: list[list[float]] = [[] for _ in schedule.orders]
        self.ends: list[list[float]] = [[] for _ in schedule.orders]
        self.ended: dict[Pass, tuple[float, int]] = {}  # end and rank of each pass, a full backward as its two parts
        self.waiting: dict[Pass, list[int]] = {}  # ranks that wait for a pass

    def run(self) -> None:
        """Find when each task starts and ends."""
        ready = list(range(self.schedule.ranks))
        while ready:
            ready += self._advance(ready.pop())
        if self.waiting:
            raise self._deadlock()
        self._check_complete()

    def _advance(self, rank: int) -> list[int]:
        """Work through a rank's order until it must wait; return the ranks that it woke."""
        starts, ends, order = self.starts[rank], self.ends[rank], self.schedule.orders[rank]
        woken: list[int] = []
        while len(ends) < len(order):
            task = order[len(ends)]
            start = self._earliest_start(task, rank, ends[-1] if ends else 0)
            if start is None:
                break
            starts.append(start)
            ends.append(start + self.duration_of[kinds(task)])
            woken += self._record(task, rank, ends[-1])
        return woken

    def _earliest_start(self, task: Task, rank: int, start: float) -> float | None:
        """Return when a task can start on a rank that is free from `start`, or None if a result is missing."""
        for pass_ in task:
            for needed in _prerequisites(pass_, self.schedule.stages):
                if needed not in self.ended:
                    self.waiting.setdefault(needed, []).append(rank)
                    return None
                end, source = self.ended[needed]
                start = max(start, end if source == rank else end + self.transfer)
        return start

    def _record(self, task: Task, rank: int, end: float) -> list[int]:
        """Record that a task has ended; return the ranks that waited for it."""
        woken: list[int] = []
        for pass_ in task:
            for part in _parts(pass_):
                if part in self.ended:
                    repeat = f"rank {rank} repeats the {pass_}, already run on rank {self.ended[part][1]}"
                    raise InputError(f"schedule {self.schedule.name!r}: {repeat}: must run once")
                self.ended[part] = end, rank
                woken += self.waiting.pop(part, [])
        return woken

    def _deadlock(self) -> InputError:
        """Return the error that names the ranks that wait, and for what."""
        run = {part for order in self.schedule.orders for task in order for pass_ in task for part in _parts(pass_)}
        waits = sorted((rank, needed) for needed, ranks in self.waiting.items() for rank in ranks)
        lines = [
            f"rank {rank} waits for {needed}" + ("" if needed in run else ", which no rank runs")
            for rank, needed in waits[:SHOWN]
        ]
        more = [f"{len(waits) - SHOWN} more ranks wait"] if len(waits) > SHOWN else []
        return InputError(f"schedule {self.schedule.name!r}: deadlock: {'; '.join(lines + more)}")

    def _check_complete(self) -> None:
        """Check that each micro-batch has passed each stage, and that there was no other pass."""
        name, micro_batches, stages = self.schedule.name, self.schedule.micro_batches, self.schedule.stages
        parts: tuple[Kind, ...] = (FORWARD, INPUT, WEIGHT)
        for kind, micro_batch, stage in product(parts, range(micro_batches), range(stages)):
            if (kind, micro_batch, stage) not in self.ended:
                raise InputError(f"schedule {name!r}: no rank runs the {Pass(kind, micro_batch, stage)}")
        if len(self.ended) > len(parts) * micro_batches * stages:
            extra = next(p for p in self.ended if p[1] not in range(micro_batches) or p[2] not in range(stages))
            sizes = f"{micro_batches} micro-batches and {stages} stages, counted from 0"
            raise InputError(f"schedule {name!r}: {extra}: must be one of its {sizes}")


def _prerequisites(pass_: Pass, stages: int) -> list[Pass]:
    """Return the passes that must have ended before this one starts."""
    kind, micro_batch, stage = pass_
    if kind == FORWARD:
        return [Pass(FORWARD, micro_batch, stage - 1)] if stage else []
    if kind == WEIGHT:
        return [Pass(INPUT, micro_batch, stage)]
    forward = Pass(FORWARD, micro_batch, stage)
    return [forward, Pass(INPUT, micro_batch, stage + 1)] if stage < stages - 1 else [forward]


def _parts(pass_: Pass) -> list[Pass]:
    """Return the two parts of a full backward, or any other pass itself."""
    kind, micro_batch, stage = pass_
    return [pass_] if kind != BACKWARD else [Pass(INPUT, micro_batch, stage), Pass(WEIGHT, micro_batch, stage)]
