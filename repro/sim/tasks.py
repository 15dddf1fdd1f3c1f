"""What a pipeline schedule is: for each rank the order of its tasks; and how long each kind of task takes."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from repro.errors import InputError
from repro.validate import check_integer, check_number

FORWARD, BACKWARD, INPUT, WEIGHT = "forward", "backward", "backward_for_input", "backward_for_weight"

LONGEST = 1e290  # durations must be below it, so that their sums stay finite

Kind = Literal["forward", "backward", "backward_for_input", "backward_for_weight"]


class Pass(NamedTuple):
    """One micro-batch through one stage of the model: forward, backward, or one of the two parts of backward.

    kind: FORWARD, BACKWARD for the full one, INPUT or WEIGHT for a part. micro_batch, stage: from 0.
    """

    kind: Kind
    micro_batch: int
    stage: int

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.kind.replace('_', ' ')} of micro-batch {self.micro_batch} on stage {self.stage}"


Task = tuple[Pass, ...]  # one pass, or a forward and a full backward that run overlapped


@dataclass(frozen=True)
class Schedule:
    """The order in which each rank works, whatever the durations.

    name: of `schedule`, or any other for an order of one's own. micro_batches: of a step, each passes every stage.
    stages: of the model. orders: tasks of each rank, [ranks][tasks]. bidirectional: whether the second half of the
    micro-batches enters at the last rank, which then has the first stage as well.
    Raises: InputError for numbers that are none, or no rank.
    """

    name: str
    micro_batches: int
    stages: int
    orders: tuple[tuple[Task, ...], ...]
    bidirectional: bool = False

    def __post_init__(self) -> None:
        """Raise InputError for numbers that are none, or no rank."""
        check_integer("micro_batches", self.micro_batches)
        check_integer("stages", self.stages)
        check_integer("ranks", self.ranks)

    @property
    def ranks(self) -> int:
        """How many there are."""
        return len(self.orders)

    @property
    def held(self) -> list[int]:
        """Stages whose parameters each rank holds, [ranks]."""
        return [len({one.stage for task in order for one in task}) for order in self.orders]

    @property
    def copies(self) -> float:
        """How often the whole model is held, over all ranks: 2 where it is entered from both ends."""
        return sum(self.held) / self.stages

    def direction(self, micro_batch: int) -> int:
        """Return 1 for a micro-batch that enters at the last rank, else 0."""
        return int(self.bidirectional and micro_batch >= self.micro_batches // 2)


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long one micro-batch takes on one stage, in any one unit; integers and fractions are reckoned exactly.

    forward, backward: F and B, backward in full. weight: W, the part of B for the weights; the part for the input,
    which the stage before waits for, takes B - W. overlapped: F&B, a forward and a backward run together, F + B where
    that saves nothing. transfer: from one rank to another, which neither of the two waits for otherwise.
    Raises: InputError for durations that no task can have, or that contradict each other. W = B is refused as well:
        a part for the input that takes no time is none.
    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2.
    """

    forward: float
    backward: float
    weight: float
    overlapped: float
    transfer: float = 0

    def __post_init__(self) -> None:
        """Raise InputError for a part that leaves nothing of its whole, or a pair shorter than one of the two."""
        for name in ("forward", "backward", "weight", "overlapped"):
            check_number(name, getattr(self, name), above=0, below=LONGEST)
        check_number("transfer", self.transfer, below=LONGEST)
        if self.weight >= self.backward:
            raise InputError(f"weight = {self.weight!r}: must be below backward = {self.backward!r}, a part of it")
        longer = "forward" if self.forward > self.backward else "backward"
        if self.overlapped < getattr(self, longer):
            least = f"{longer} = {getattr(self, longer)!r}"
            raise InputError(f"overlapped = {self.overlapped!r}: must be at least {least}, the longer of the two")

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


def kinds(task: Task) -> tuple[Kind, ...]:
    """Return the kinds of a task's passes."""
    return tuple(one.kind for one in task)
