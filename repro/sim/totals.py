"""What one micro-batch takes, out of a table that says how long a whole step spends on each kind of task.

A training job logs sums: so many seconds of forwards alone, of backwards alone, of pairs. The schedule says how many
tasks of each kind a rank runs, and a sum over a count is a duration. Nothing is fitted. Two things the table leaves
open: whether its sums are of one rank or the mean over ranks, which run different numbers of pairs; and where a
backward is booked that computes both gradients in one go.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Final, Literal

from repro.errors import InputError
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Durations, Kind, Schedule, kinds
from repro.validate import check_integer, check_number

Booking = Literal["parts", "tasks"]
ALL_KINDS: Final = ((FORWARD,), (INPUT,), (WEIGHT,), (BACKWARD,), (FORWARD, BACKWARD))


@dataclass(frozen=True, kw_only=True)
class StepTotals:
    """Time of one step by kind of task, in any unit, as a training job sums it up; pairs apart from what runs alone.

    Source: Insights into DeepSeek-V3 (arXiv 2505.09343), table 4.
    """

    forward: float  #: 1F, forwards alone
    backward: float  #: 1B, backwards alone
    weight: float  #: 1W, gradients of weights alone
    overlapped: float  #: 1F1B, pairs of a forward and a backward
    bubble: float  #: idle
    optimizer: float  #: after the last gradient
    step: float  #: all of it, measured as a whole

    def __post_init__(self) -> None:
        for field in fields(self):
            check_number(field.name, getattr(self, field.name))

    @property
    def busy(self) -> float:
        """Time of all passes."""
        return self.forward + self.backward + self.weight + self.overlapped

    @property
    def unlisted(self) -> float:
        """What the step takes beyond its parts: their rounding, or something without a row."""
        return self.step - self.busy - self.bubble - self.optimizer


def count_tasks(schedule: Schedule, *, ranks: Iterable[int] | None = None) -> dict[tuple[Kind, ...], Fraction]:
    """Return how many tasks of each kind a rank runs, the mean over the given ranks, or over all.

    Args:
        schedule: whose orders are counted.
        ranks: those that count, from 0.
    """
    chosen = list(range(schedule.ranks) if ranks is None else ranks)
    for rank in chosen:
        check_integer("rank", rank, least=0)
        if rank >= schedule.ranks:
            raise InputError(f"rank = {rank}: must be below {schedule.ranks}, the schedule's ranks")
    if not chosen:
        raise InputError("ranks = []: must be at least one")
    tally = Counter(kinds(task) for rank in chosen for task in schedule.orders[rank])
    return {kind: Fraction(count, len(chosen)) for kind, count in tally.items()}


def durations_from_totals(
    schedule: Schedule,
    totals: StepTotals,
    *,
    booked_by: Booking,
    ranks: Iterable[int] | None = None,
    transfer: float = 0,
) -> Durations:
    """Return how long one micro-batch takes on one stage, given what a step of a schedule with pairs spends in all.

    Args:
        schedule: in whose step the totals were taken.
        totals: of one rank.
        booked_by: where a whole backward that runs alone is booked. "parts": its gradient of the input under
            `backward`, its gradients of weights under `weight`. "tasks": all of it under `backward`, so that `weight`
            has nothing but what runs apart.
        ranks: of which the totals are the mean; all unless given.
        transfer: of one result between ranks, which no total has.
    """
    if booked_by not in ("parts", "tasks"):
        raise InputError(f"booked_by = {booked_by!r}: must be 'parts' or 'tasks'")
    count = count_tasks(schedule, ranks=ranks)
    if missing := [kind for kind in ALL_KINDS if kind not in count]:
        raise InputError(f"schedule {schedule.name!r}: no task is {' and '.join(missing[0])}: must have all kinds")
    whole, apart = count[BACKWARD,], count[WEIGHT,]
    by_parts = booked_by == "parts"
    weight = totals.weight / (apart + whole if by_parts else apart)
    # Either way `backward` has the input gradient of every backward; by tasks it has the weights of whole ones, too.
    for_input = (totals.backward - (0 if by_parts else whole * weight)) / (apart + whole)
    return Durations(
        forward=totals.forward / count[FORWARD,],
        backward=for_input + weight,
        weight=weight,
        overlapped=totals.overlapped / count[FORWARD, BACKWARD],
        transfer=transfer,
    )
