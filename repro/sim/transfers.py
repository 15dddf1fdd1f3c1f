"""How transfers between ranks delay a step: what they hide behind, and whom they hold up.

A result needs a transfer to reach another rank. Three kinds of pipelines differ in what goes on meanwhile. The sender
waits, as in the published code of DualPipe, which exchanges tensors between tasks. Or it computes on, and only the
receiver waits. Or, in a pair of a forward and a backward, one half's results travel beside the other half's work, as
DeepSeek-V3's report says of its own pipeline. Each result has a link of its own: sends do not slow each other down.
"""

from collections.abc import Sequence
from typing import NamedTuple

from repro.sim.tasks import FORWARD, INPUT, Durations, Pass, Schedule, parts_of


class Transfers(NamedTuple):
    """What transfers cost around each task, [ranks][tasks]."""

    late: list[list[float]]  #: from a task's end until its results reach another rank
    held: list[list[float]] | None  #: from a task's end until its rank may begin the next, None if at once


def task_transfers(
    schedule: Schedule,
    by_stage: Sequence[Durations],
    lengths: Sequence[Sequence[float]],
    *,
    overlap_transfers: bool,
    pairs_hide_transfers: bool,
) -> Transfers:
    """Return when the results of each task arrive, and until when its rank is held up.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.1 and figure 4; deepseek-ai/DualPipe, dualpipe.py,
        `_commit_and_wait_comm`.
    """
    late = _late(schedule, [own.transfer for own in by_stage])
    if pairs_hide_transfers:
        late = [
            [max(time - length, 0) if len(task) > 1 else time for task, time, length in zip(*rank, strict=True)]
            for rank in zip(schedule.orders, late, lengths, strict=True)
        ]
    if overlap_transfers or not any(map(any, late)):
        return Transfers(late, None)
    crosses = _crossings(schedule)
    held = [
        [time if any(part in crosses for part in parts_of(task)) else 0 for task, time in zip(*rank, strict=True)]
        for rank in zip(schedule.orders, late, strict=True)
    ]
    return Transfers(late, held)


def _late(schedule: Schedule, transfers: Sequence[float]) -> list[list[float]]:
    """Return how long the results of each task take to another rank, given a transfer from each stage."""
    if len(set(transfers)) == 1:  # the usual case, and the fast one
        return [[transfers[0]] * len(order) for order in schedule.orders]
    return [[max(transfers[pass_.stage] for pass_ in task) for task in order] for order in schedule.orders]


def _crossings(schedule: Schedule) -> set[Pass]:
    """Return the passes whose result goes to another rank."""
    ranks = {part: rank for rank, order in enumerate(schedule.orders) for task in order for part in parts_of(task)}
    onward = {FORWARD: 1, INPUT: -1}  # the stage that a result goes to; a weight gradient goes nowhere
    return {
        part
        for part, rank in ranks.items()
        if (step := onward.get(part.kind)) and ranks.get(part._replace(stage=part.stage + step), rank) != rank
    }
