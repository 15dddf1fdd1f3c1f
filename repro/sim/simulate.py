"""When each task of a schedule starts and ends: as early as its rank's order, other ranks' work and transfers allow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

from repro.errors import InputError, preview
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Durations, Kind, Pass, Schedule, Task, kinds

SHOWN = 8  # ranks named that wait for ever


class Bar(NamedTuple):
    """One task of one rank in time, as a chart draws it."""

    rank: int
    start: float
    end: float
    task: Task


@dataclass(frozen=True)
class Timeline:
    """What a simulation found, in the unit of the durations.

    schedule: simulated. makespan: from the first start to the last end over all ranks. starts, ends: of tasks, as
    `schedule.orders`, [ranks][tasks]. busy: time in tasks, [ranks]. activations: the most micro-batches whose
    activations a rank holds at once, each counted for every stage, [ranks].
    """

    schedule: Schedule
    makespan: float
    starts: list[list[float]]
    ends: list[list[float]]
    busy: list[float]
    activations: list[int]

    @property
    def bubble(self) -> list[float]:
        """Idle time: the makespan less the rank's busy time, before its first and after its last task too, [ranks]."""
        return [self.makespan - busy for busy in self.busy]

    @property
    def bubble_inside(self) -> list[float]:
        """Idle time between the rank's own first and last task, [ranks]."""
        spans = zip(self.starts, self.ends, self.busy, strict=True)
        return [ends[-1] - starts[0] - busy for starts, ends, busy in spans]

    def bars(self) -> Iterator[Bar]:
        """Return all tasks in time, rank by rank."""
        for rank, order in enumerate(self.schedule.orders):
            for start, end, task in zip(self.starts[rank], self.ends[rank], order, strict=True):
                yield Bar(rank, start, end, task)


def simulate(schedule: Schedule, durations: Durations, *, freed_by: Literal["weight", "input"] = "weight") -> Timeline:
    """Return when each task runs, in time linear in their number.

    A forward waits for the stage before, a backward for the stage after and for its own forward, a weight part for its
    input part; whatever comes from another rank arrives a transfer later. What is sent, and an overlapped pair as a
    whole, ends with its task.
    Args: schedule: of any order. durations: of its tasks. freed_by: the part of a split backward that frees
        activations; a full backward always does, at its end.
    Raises: InputError for an order that cannot proceed, leaves out a pass or has it twice.
    """
    if freed_by not in ("weight", "input"):
        raise InputError(f"freed_by = {freed_by!r}: must be weight or input")
    lasting = durations.by_kinds
    _check_tasks(schedule, lasting)
    clock = _EventLoop(schedule, durations)
    clock.run()
    return Timeline(
        schedule,
        max(ends[-1] for ends in clock.ends),
        clock.starts,
        clock.ends,
        [sum(lasting[kinds(task)] for task in order) for order in schedule.orders],
        [peak_activations(order, WEIGHT if freed_by == "weight" else INPUT) for order in schedule.orders],
    )


def peak_activations(order: tuple[Task, ...], freed_by: Kind) -> int:
    """Return the most micro-batches whose forward has begun and whose backward has not ended, over a rank's stages.

    Args: order: of the rank. freed_by: INPUT or WEIGHT, where a backward is split.
    """
    held = peak = 0
    for task in order:
        for one in task:  # of an overlapped pair the forward comes first
            if one.kind == FORWARD:
                held += 1
                peak = max(peak, held)
            elif one.kind in (BACKWARD, freed_by):
                held -= 1
    return peak


def _check_tasks(schedule: Schedule, lasting: Mapping[tuple[Kind, ...], float]) -> None:
    """Raise InputError for a rank without a task, or a task that has no duration."""
    for rank, order in enumerate(schedule.orders):
        if not order:
            raise InputError(f"rank {rank} of schedule {schedule.name!r}: must have at least one task")
        for task in order:
            passes = isinstance(task, tuple) and all(isinstance(one, Pass) for one in task)
            if not passes or kinds(task) not in lasting:
                must = "must be a tuple of one Pass, or of a forward and a full backward"
                raise InputError(f"rank {rank} of schedule {schedule.name!r}: task {preview(task)}: {must}")


class _EventLoop:
    """Ranks that work as far as they can, and go on when what they wait for has ended."""

    def __init__(self, schedule: Schedule, durations: Durations) -> None:
        """Begin with all ranks free."""
        self.schedule, self.transfer, self.lasting = schedule, durations.transfer, durations.by_kinds
        self.starts: list[list[float]] = [[] for _ in schedule.orders]
        self.ends: list[list[float]] = [[] for _ in schedule.orders]
        self.ended: dict[Pass, tuple[float, int]] = {}  # when and on which rank, a full backward as its parts
        self.waiting: dict[Pass, list[int]] = {}  # ranks, by what they wait for

    def run(self) -> None:
        """Find when each task starts and ends."""
        ready = list(range(self.schedule.ranks))
        while ready:
            ready += self._advance(ready.pop())
        if self.waiting:
            raise self._stuck()
        self._check_all()

    def _advance(self, rank: int) -> list[int]:
        """Work through a rank's order until it must wait; return the ranks that waited for what it did."""
        starts, ends, order = self.starts[rank], self.ends[rank], self.schedule.orders[rank]
        woken: list[int] = []
        while len(ends) < len(order):
            task = order[len(ends)]
            start = self._ready(task, rank, ends[-1] if ends else 0)
            if start is None:
                break
            starts.append(start)
            ends.append(start + self.lasting[kinds(task)])
            woken += self._end(task, rank, ends[-1])
        return woken

    def _ready(self, task: Task, rank: int, start: float) -> float | None:
        """Return when a task can start that its rank is free for, or None where it must wait for another."""
        for one in task:
            for needed in _needs(one, self.schedule.stages):
                ended = self.ended.get(needed)
                if ended is None:
                    self.waiting.setdefault(needed, []).append(rank)
                    return None
                there, source = ended
                start = max(start, there if source == rank else there + self.transfer)
        return start

    def _end(self, task: Task, rank: int, end: float) -> list[int]:
        """Record that a task has ended; return the ranks that waited for it."""
        woken: list[int] = []
        for one in task:
            for part in _parts(one):
                if part in self.ended:
                    raise InputError(f"rank {rank}: {one}: must come once, and has run on rank {self.ended[part][1]}")
                self.ended[part] = end, rank
                woken += self.waiting.pop(part, [])
        return woken

    def _stuck(self) -> InputError:
        """Return the error for ranks that wait for ever."""
        given = {part for order in self.schedule.orders for task in order for one in task for part in _parts(one)}
        waits = sorted((rank, needed) for needed, ranks in self.waiting.items() for rank in ranks)
        told = [
            f"rank {rank} waits for {needed}" + ("" if needed in given else ", which no rank runs")
            for rank, needed in waits[:SHOWN]
        ]
        more = [f"{len(waits) - SHOWN} more ranks wait"] if len(waits) > SHOWN else []
        return InputError(f"schedule {self.schedule.name!r} cannot proceed: {'; '.join(told + more)}")

    def _check_all(self) -> None:
        """Raise InputError where a pass is missing, or is of a micro-batch or stage that there is not."""
        n_passes = 0
        sizes = range(self.schedule.micro_batches), range(self.schedule.stages)
        for expected in product((FORWARD, INPUT, WEIGHT), *sizes):
            n_passes += 1
            if expected not in self.ended:
                raise InputError(f"schedule {self.schedule.name!r}: no rank runs the {Pass(*expected)}")
        if len(self.ended) > n_passes:
            extra = next(one for one in self.ended if one.micro_batch not in sizes[0] or one.stage not in sizes[1])
            raise InputError(f"schedule {self.schedule.name!r}: {extra}: there is none in its micro-batches and stages")


def _needs(one: Pass, stages: int) -> list[Pass]:
    """Return what must have ended before a pass starts."""
    kind, micro_batch, stage = one
    if kind == FORWARD:
        return [Pass(FORWARD, micro_batch, stage - 1)] if stage else []
    if kind == WEIGHT:
        return [Pass(INPUT, micro_batch, stage)]
    own = Pass(FORWARD, micro_batch, stage)
    return [own, Pass(INPUT, micro_batch, stage + 1)] if stage < stages - 1 else [own]


def _parts(one: Pass) -> list[Pass]:
    """Return the parts that a pass stands for: two for a full backward."""
    kind, micro_batch, stage = one
    return [one] if kind != BACKWARD else [Pass(INPUT, micro_batch, stage), Pass(WEIGHT, micro_batch, stage)]
