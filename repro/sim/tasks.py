"""A pipeline schedule as data: the order of tasks on each rank, and how long each kind of task takes.

A model is cut into stages and a step into micro-batches; each micro-batch passes every stage forward, then backward.
Zero-bubble schedules split the backward pass: the stage before waits for the gradient of the input, while the gradient
of the weights can wait. DualPipe runs a forward and a backward overlapped, as one task. A schedule fixes nothing but
the order of tasks on each rank; `simulate` finds when they run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from math import lcm
from typing import Final, Literal, NamedTuple

from repro.errors import InputError
from repro.validate import check_integer, check_number

Kind = Literal["forward", "backward", "backward_for_input", "backward_for_weight"]
FORWARD: Final = "forward"
BACKWARD: Final = "backward"
INPUT: Final = "backward_for_input"
WEIGHT: Final = "backward_for_weight"
LONGEST = 1e290  # durations stay below it, so that their sums stay finite


class Pass(NamedTuple):
    """One micro-batch through one stage: FORWARD, a full BACKWARD, or a part of it, INPUT or WEIGHT; both from 0."""

    kind: Kind
    micro_batch: int
    stage: int

    def __str__(self) -> str:
        return f"{self.kind.replace('_', ' ')} of micro-batch {self.micro_batch} on stage {self.stage}"


Task = tuple[Pass, ...]  # one pass, or a forward and a full backward that run overlapped


@dataclass(frozen=True)
class Schedule:
    """The order in which each rank works, whatever the durations."""

    name: str  #: a published name, or any other for an order of your own
    micro_batches: int
    stages: int
    orders: tuple[tuple[Task, ...], ...]  #: tasks of each rank, [ranks][tasks]
    bidirectional: bool = False  # whether the second half of micro-batches enters at the last rank, then of stage 0 too

    def __post_init__(self) -> None:
        for name in ("micro_batches", "stages", "ranks"):
            check_integer(name, getattr(self, name))

    @property
    def ranks(self) -> int:
        """Number of ranks."""
        return len(self.orders)

    @property
    def stages_held(self) -> list[int]:
        """Stages whose parameters each rank holds, [ranks]."""
        return [len({pass_.stage for task in order for pass_ in task}) for order in self.orders]

    @property
    def model_copies(self) -> float:
        """Copies of the whole model over all ranks: 2 if micro-batches enter at both ends."""
        return sum(self.stages_held) / self.stages

    def direction(self, micro_batch: int) -> int:
        """Return 1 for a micro-batch that enters at the last rank, else 0."""
        return int(self.bidirectional and micro_batch >= self.micro_batches // 2)


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long one micro-batch takes on one stage, in any unit; integers and fractions are computed exactly.

    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2.
    """

    forward: float  #: F
    backward: float  #: B, the full backward pass
    weight: float  #: W, its part for the weights; its part for the input takes B - W, which must be above 0
    overlapped: float  #: F&B, a forward and a full backward together; F + B if overlapping saves nothing
    transfer: float = 0  #: from one rank to another, of one result

    def __post_init__(self) -> None:
        for name in ("forward", "backward", "weight", "overlapped"):
            check_number(name, getattr(self, name), above=0, below=LONGEST)
        check_number("transfer", self.transfer, below=LONGEST)
        if self.weight >= self.backward:
            raise InputError(f"weight = {self.weight!r}: must be below backward = {self.backward!r}, which includes it")
        longer = "forward" if self.forward > self.backward else "backward"
        if self.overlapped < getattr(self, longer):
            least = f"{longer} = {getattr(self, longer)!r}, the longer of forward and backward"
            raise InputError(f"overlapped = {self.overlapped!r}: must be at least {least}")

    @property
    def input(self) -> float:
        """The part of the backward pass for the input, B - W."""
        return self.backward - self.weight

    @property
    def by_kinds(self) -> dict[tuple[Kind, ...], float]:
        """How long a task takes, by the kinds of its passes."""
        return {
            (FORWARD,): self.forward,
            (BACKWARD,): self.backward,
            (INPUT,): self.input,
            (WEIGHT,): self.weight,
            (FORWARD, BACKWARD): self.overlapped,
        }


def in_ticks(durations: Sequence[Durations]) -> tuple[list[Durations], int]:
    """Return the same durations in whole ticks, and how many there are in a unit: their sums are exact at any size."""
    names = [field.name for field in fields(Durations)]
    ticks = lcm(*(Fraction(getattr(each, name)).denominator for each in durations for name in names))
    return [Durations(**{name: int(getattr(each, name) * ticks) for name in names}) for each in durations], ticks


def kinds(task: Task) -> tuple[Kind, ...]:
    """Return the kinds of a task's passes."""
    return tuple(pass_.kind for pass_ in task)


def parts_of(task: Task) -> Iterator[Pass]:
    """Yield the passes of a task, a full backward as its two parts."""
    for pass_ in task:
        if pass_.kind == BACKWARD:
            yield from (Pass(INPUT, *pass_[1:]), Pass(WEIGHT, *pass_[1:]))
        else:
            yield pass_
