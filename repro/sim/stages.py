"""Stages of unequal length: the embedding before the first, the output heads behind the last, layers left over.

A step is as slow as its slowest rank, and a pipeline of even stages is one that nobody trains: V3 has 61 layers and a
prediction module on 16 ranks. So each stage may have durations of its own. In DualPipe rank r holds stage r for the
micro-batches from one end and the stage as far from the other end for the rest, so that a long stage slows two ranks.
A pair runs a forward on one stage beside a backward on another. It saves no more than either stage's own pair would.
"""

from collections.abc import Callable, Sequence

from repro.errors import InputError, preview
from repro.sim.tasks import Durations, Kind, Schedule, Task, kinds
from repro.validate import check_number

StageDurations = Durations | Sequence[Durations] | Callable[[int], Durations]  # of all, of each, or by its number


def durations_by_stage(durations: StageDurations, stages: int) -> tuple[Durations, ...]:
    """Return the durations of each stage, or raise InputError unless there is one for each."""
    if isinstance(durations, Durations):
        return (durations,) * stages
    each = tuple(map(durations, range(stages))) if callable(durations) else tuple(durations)
    if len(each) != stages:
        raise InputError(f"durations of {len(each)} stages: must be of the schedule's {stages}")
    for stage, own in enumerate(each):
        if not isinstance(own, Durations):
            raise InputError(f"durations of stage {stage} = {preview(own)}: must be Durations")
    return each


def scale_stages(durations: Durations, stage_times: Sequence[float]) -> tuple[Durations, ...]:
    """Return the durations of stages that take stage_times as long as one of `durations`; transfers stay as they are.

    Args:
        durations: of a stage of length 1.
        stage_times: of each stage, such as its number of layers over the mean; above 0.
    """
    for stage, times in enumerate(stage_times):
        check_number(f"stage_times[{stage}]", times, above=0)
    return tuple(
        Durations(
            forward=times * durations.forward,
            backward=times * durations.backward,
            weight=times * durations.weight,
            overlapped=times * durations.overlapped,
            transfer=durations.transfer,
        )
        for times in stage_times
    )


def task_lengths(schedule: Schedule, durations: StageDurations) -> list[list[float]]:
    """Return how long each task takes, [ranks][tasks], as in `schedule.orders`."""
    if isinstance(durations, Durations):
        length_of = durations.by_kinds
        return [[length_of[kinds(task)] for task in order] for order in schedule.orders]
    by_stage = durations_by_stage(durations, schedule.stages)
    known: dict[tuple[tuple[Kind, int], ...], float] = {}

    def length(task: Task) -> float:
        key = tuple((kind, stage) for kind, _, stage in task)
        if key not in known:
            _check_stages(task, schedule)
            known[key] = _length(task, by_stage)
        return known[key]

    return [[length(task) for task in order] for order in schedule.orders]


def _length(task: Task, by_stage: Sequence[Durations]) -> float:
    """Return how long one task takes; a pair saves the lesser of what pairs on its two stages save."""
    own = [by_stage[pass_.stage] for pass_ in task]
    apart = [stage.by_kinds[(pass_.kind,)] for stage, pass_ in zip(own, task, strict=True)]
    return sum(apart) - (min(map(_saving, own)) if len(task) > 1 else 0)


def _saving(durations: Durations) -> float:
    return durations.forward + durations.backward - durations.overlapped


def _check_stages(task: Task, schedule: Schedule) -> None:
    for pass_ in task:
        if pass_.stage not in range(schedule.stages):
            sizes = f"{schedule.stages} stages, counted from 0"
            raise InputError(f"schedule {schedule.name!r}: {pass_}: must be on one of its {sizes}")
