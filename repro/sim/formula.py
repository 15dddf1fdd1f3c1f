"""What is published of a schedule in closed form, and in closed form what its order leads to for any durations."""

from dataclasses import dataclass

from repro.calc import pipeline_bubbles
from repro.errors import unknown_name
from repro.sim.schedules import SCHEDULES
from repro.sim.tasks import Durations, Schedule


@dataclass(frozen=True)
class Formula:
    """What a table of schedules says of one, for the rank that has most of it.

    bubble: idle time, in the unit of the durations. activations: micro-batches held at once, each counted for every
    stage. parameters: stages that a rank holds.
    """

    bubble: float
    activations: int
    parameters: int


def formula(schedule: Schedule, durations: Durations) -> Formula:
    """Return the published closed forms of a schedule, valid where their papers' assumptions are.

    Args: schedule: of a published name. durations: of one micro-batch on one stage; transfers are left out.
    Raises: InputError for any other name.
    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2; README of deepseek-ai/DualPipe; for GPipe and the
        interleaved schedule Narayanan et al. (arXiv 2104.04473), section 2.2, and for the latter's activations
        Korthikanti et al. (arXiv 2205.05198), section 4.2.3.
    """
    ranks, chunks = schedule.ranks, schedule.stages // schedule.ranks
    f, b, w, both = durations.forward, durations.backward, durations.weight, durations.overlapped
    match schedule.name:
        case "GPipe":
            return Formula(pipeline_bubbles.bubble_1f1b(ranks, f, b), schedule.micro_batches, 1)
        case "1F1B":
            return Formula(pipeline_bubbles.bubble_1f1b(ranks, f, b), ranks, 1)
        case "interleaved":
            bubble = pipeline_bubbles.bubble_interleaved(ranks, chunks * f, chunks * b, chunks)
            return Formula(bubble, ranks * chunks + ranks - 1, chunks)
        case "ZB1P":
            return Formula(pipeline_bubbles.bubble_zb1p(ranks, f, b, w), ranks, 1)
        case "DualPipe":
            return Formula(pipeline_bubbles.bubble_dualpipe(ranks, b, w, both), ranks + 1, 2)
        case "DualPipeV":
            return Formula(pipeline_bubbles.bubble_dualpipev(ranks, b, w, both), 2 * ranks + 1, 2)
    raise unknown_name("schedule", schedule.name, SCHEDULES)


def exact_bubble(schedule: Schedule, durations: Durations) -> list[float]:
    """Return the idle time of each rank in closed form, equal to the simulation's for all durations without transfers.

    Args: schedule: of a published name. durations: as for `formula`.
    Returns: [ranks].
    Raises: InputError for any other name.
    Source: derived from the critical paths of the orders, and compared with the simulation in the tests.
    """
    ranks, f, i, w = schedule.ranks, durations.forward, durations.input, durations.weight
    match schedule.name:
        case "GPipe" | "1F1B" | "interleaved":
            return [(ranks - 1) * (f + i + w)] * ranks
        case "ZB1P":
            # Weight parts fill gaps: as many as are put off at the most, each as far as a way there or back leaves one.
            return [(ranks - 1) * (f + i) - (min(ranks, schedule.micro_batches) - 1) * min(f, i, w)] * ranks
        case "DualPipe":
            half = _dual(ranks // 2, durations)
            return half + half[::-1]
        case "DualPipeV":
            return _dual(ranks, durations)
    raise unknown_name("schedule", schedule.name, SCHEDULES)


def _dual(depth: int, durations: Durations) -> list[float]:
    """Return the idle time of ranks from an end to the middle, [depth].

    The middle rank waits for the first backward, which crosses the ranks outside it as their forwards or its own input
    parts allow. Then for the last: a forward out to the end, each time overlapped, and a backward through all stages,
    on each the input part, or, where that is longer, the weight parts that the end rank has put off.
    """
    f, i, w, both = durations.forward, durations.input, durations.weight, durations.overlapped
    outside = depth - 1
    middle = max(outside * f, outside * i - f) + outside * (both - w - min(i, w))
    # Ranks farther outside overlap one pair less each, which takes them so much longer.
    return [middle - max(depth - 2 - rank, 0) * (f + i + w - both) for rank in range(depth)]
