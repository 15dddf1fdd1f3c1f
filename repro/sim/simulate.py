"""Simulate a pipeline schedule: when each task runs, and so how long each rank idles and how much it holds.

A rank works through its order and starts each task as early as it can: once the rank is free and what the task needs
has arrived. No rank can be timed alone, since ranks wait for each other. So one rank runs until a result is missing,
and is woken when another rank has produced it. Every task is visited once, and the time is linear in their number.
If all ranks that have work left are waiting, the schedule is a deadlock.

What one rank produces takes a transfer to reach the next. The sender goes on meanwhile, or waits until it is sent. A
pair can hide its transfers: they run beside what is left of it, so that its results have arrived when it ends.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from repro.errors import InputError, preview
from repro.sim.stages import StageDurations, durations_by_stage, task_lengths
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Kind, Pass, Schedule, Task, kinds, parts_of
from repro.sim.transfers import Transfers, task_transfers

SHOWN = 8  # waiting ranks that an error names
# When each pass has ended, a full backward as its two parts, when its result reaches other ranks, and where it ran.
Ended = dict[Pass, tuple[float, float, int]]


class Bar(NamedTuple):
    """One task in time, as a chart draws it."""

    rank: int
    start: float
    end: float
    task: Task


@dataclass(frozen=True)
class Timeline:
    """When each task of a schedule runs, in the unit of the durations."""

    schedule: Schedule
    makespan: float  #: from the first start to the last end over all ranks
    starts: list[list[float]]  #: of each task, [ranks][tasks], as in `schedule.orders`
    ends: list[list[float]]
    busy: list[float]  #: time that each rank works, [ranks]
    activations: list[int]  #: [ranks], most micro-batches that a rank holds at once, counted once for every stage

    @property
    def bubble(self) -> list[float]:
        """Time that each rank does not compute, before its first and after its last task too, [ranks]."""
        return [self.makespan - busy for busy in self.busy]

    def bars(self) -> Iterator[Bar]:
        """Yield all tasks in time, rank by rank."""
        for rank, order in enumerate(self.schedule.orders):
            for start, end, task in zip(self.starts[rank], self.ends[rank], order, strict=True):
                yield Bar(rank, start, end, task)


def simulate(
    schedule: Schedule,
    durations: StageDurations,
    *,
    freed_by: Kind = WEIGHT,
    overlap_transfers: bool = True,
    pairs_hide_transfers: bool = False,
) -> Timeline:
    """Run a schedule, published or your own, in time linear in the number of its tasks.

    A forward waits for the stage before, a backward for the stage after and its own forward, a weight part for its
    input part. A result is sent when its whole task ends, and reaches another rank a transfer later.

    Args:
        schedule: the order of tasks on each rank.
        durations: of all stages alike, one for each stage, or a function of the stage's number.
        freed_by: the part of a split backward that frees activations; a full backward always does.
        overlap_transfers: a rank computes on while it sends; otherwise it idles until its results have arrived.
        pairs_hide_transfers: what a pair sends arrives as the pair ends, or a transfer after its start if that is
            later, and holds up nobody; the other tasks send as overlap_transfers says.

    Raises:
        InputError: for an order that is a deadlock, leaves out a pass or repeats one.
    """
    if freed_by not in (INPUT, WEIGHT):
        raise InputError(f"freed_by = {freed_by!r}: must be {INPUT!r} or {WEIGHT!r}")
    by_stage = durations_by_stage(durations, schedule.stages)
    _check_tasks(schedule, by_stage[0].by_kinds)
    lengths = task_lengths(schedule, durations)
    sent = task_transfers(
        schedule, by_stage, lengths, overlap_transfers=overlap_transfers, pairs_hide_transfers=pairs_hide_transfers
    )
    starts, ends = _run(schedule, lengths, sent)
    busy = [sum(rank) for rank in lengths]
    activations = [_peak_activations(order, freed_by) for order in schedule.orders]
    return Timeline(schedule, max(rank[-1] for rank in ends), starts, ends, busy, activations)


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


def _run(
    schedule: Schedule, lengths: list[list[float]], sent: Transfers
) -> tuple[list[list[float]], list[list[float]]]:
    """Return when each task starts and when it ends, [ranks][tasks]."""
    ended = Ended()
    starts: list[list[float]] = [[] for _ in schedule.orders]
    ends: list[list[float]] = [[] for _ in schedule.orders]
    waiting: dict[Pass, list[int]] = {}  # ranks that wait for a pass
    ready = list(range(schedule.ranks))
    while ready:
        rank = ready.pop()
        order, done = schedule.orders[rank], ends[rank]  # done: when the tasks so far ended
        held = sent.held[rank] if sent.held else None
        while (i := len(done)) < len(order):
            task = order[i]
            needed = [part for pass_ in task for part in _prerequisites(pass_, schedule.stages)]
            missing = [part for part in needed if part not in ended]
            if missing:
                waiting.setdefault(missing[0], []).append(rank)
                break
            start = done[-1] if done else 0
            if held and i:
                start += held[i - 1]
            for part in needed:
                end, arrival, source = ended[part]
                start = max(start, end if source == rank else arrival)
            end = start + lengths[rank][i]
            arrival = end + sent.late[rank][i]
            starts[rank].append(start)
            done.append(end)
            for part in parts_of(task):
                if part in ended:
                    repeat = f"rank {rank} repeats the {part}, already run on rank {ended[part][2]}"
                    raise InputError(f"schedule {schedule.name!r}: {repeat}: must run once")
                ended[part] = end, arrival, rank
                ready += waiting.pop(part, [])
    _check_finished(schedule, ended, waiting)
    return starts, ends


def _check_finished(schedule: Schedule, ended: Ended, waiting: Mapping[Pass, list[int]]) -> None:
    """Check that no rank still waits, and that each micro-batch passed each stage and nothing else did."""
    name, micro_batches, stages = schedule.name, schedule.micro_batches, schedule.stages
    if waiting:
        run = {part for order in schedule.orders for task in order for part in parts_of(task)}
        waits = sorted((rank, needed) for needed, ranks in waiting.items() for rank in ranks)
        unknown = {needed: "" if needed in run else ", which no rank runs" for needed in waiting}
        clauses = [f"rank {rank} waits for {needed}{unknown[needed]}" for rank, needed in waits[:SHOWN]]
        clauses += [f"{len(waits) - SHOWN} more ranks wait"] if len(waits) > SHOWN else []
        raise InputError(f"schedule {name!r}: deadlock: {'; '.join(clauses)}")
    parts: tuple[Kind, ...] = (FORWARD, INPUT, WEIGHT)
    for part in product(parts, range(micro_batches), range(stages)):
        if part not in ended:
            raise InputError(f"schedule {name!r}: no rank runs the {Pass(*part)}")
    if len(ended) > len(parts) * micro_batches * stages:
        extra = next(part for part in ended if part[1] not in range(micro_batches) or part[2] not in range(stages))
        sizes = f"{micro_batches} micro-batches and {stages} stages, counted from 0"
        raise InputError(f"schedule {name!r}: {extra}: must be one of its {sizes}")


def _prerequisites(pass_: Pass, stages: int) -> list[Pass]:
    kind, micro_batch, stage = pass_
    if kind == FORWARD:
        return [Pass(FORWARD, micro_batch, stage - 1)] if stage else []
    if kind == WEIGHT:
        return [Pass(INPUT, micro_batch, stage)]
    forward = Pass(FORWARD, micro_batch, stage)
    return [forward, Pass(INPUT, micro_batch, stage + 1)] if stage < stages - 1 else [forward]
