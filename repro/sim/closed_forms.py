"""Closed forms of a schedule's idle time: what its paper publishes, and what its order leads to for any durations.

The published formulas assume more than they say: DualPipe's, for one, is exact on the middle ranks if a forward takes
as long as an input gradient, and a weight gradient no longer. `exact_bubble` drops such assumptions; the tests hold it
equal to the simulation.
"""

from dataclasses import dataclass

from repro.calc import pipeline_bubbles
from repro.errors import unknown_name
from repro.sim.schedules import SCHEDULES
from repro.sim.tasks import Durations, Schedule


@dataclass(frozen=True)
class PublishedFormula:
    """What a published table says of a schedule, for the rank that has most of it."""

    bubble: float  #: idle time, in the unit of the durations
    activations: int  #: micro-batches held at once, counted once for every stage
    parameters: int  #: stages held


def published_formula(schedule: Schedule, durations: Durations) -> PublishedFormula:
    """Return the published closed forms, which leave out transfers and hold under their papers' assumptions.

    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2; README of deepseek-ai/DualPipe; for GPipe and the
        interleaved schedule Narayanan et al. (arXiv 2104.04473), section 2.2, and for the latter's activations
        Korthikanti et al. (arXiv 2205.05198), section 4.2.3.
    """
    ranks, chunks = schedule.ranks, schedule.stages // schedule.ranks
    f, b, w, fb = durations.forward, durations.backward, durations.weight, durations.overlapped
    match schedule.name:
        case "GPipe":
            return PublishedFormula(pipeline_bubbles.bubble_1f1b(ranks, f, b), schedule.micro_batches, 1)
        case "1F1B":
            return PublishedFormula(pipeline_bubbles.bubble_1f1b(ranks, f, b), ranks, 1)
        case "interleaved":
            bubble = pipeline_bubbles.bubble_interleaved(ranks, chunks * f, chunks * b, chunks)
            return PublishedFormula(bubble, ranks * chunks + ranks - 1, chunks)
        case "ZB1P":
            return PublishedFormula(pipeline_bubbles.bubble_zb1p(ranks, f, b, w), ranks, 1)
        case "DualPipe":
            return PublishedFormula(pipeline_bubbles.bubble_dualpipe(ranks, b, w, fb), ranks + 1, 2)
        case "DualPipeV":
            return PublishedFormula(pipeline_bubbles.bubble_dualpipev(ranks, b, w, fb), 2 * ranks + 1, 2)
    raise unknown_name("schedule", schedule.name, SCHEDULES)


def exact_bubble(schedule: Schedule, durations: Durations) -> list[float]:
    """Return the idle time of each rank, [ranks], equal to the simulation's for all durations without transfers.

    Source: Derived from the critical paths of the orders.
    """
    ranks, f, i, w = schedule.ranks, durations.forward, durations.input, durations.weight
    match schedule.name:
        case "GPipe" | "1F1B" | "interleaved":
            return [(ranks - 1) * (f + i + w)] * ranks
        case "ZB1P":
            # Each deferred weight gradient fills as much of a gap as it, a forward and an input gradient are long.
            return [(ranks - 1) * (f + i) - (min(ranks, schedule.micro_batches) - 1) * min(f, i, w)] * ranks
        case "DualPipe":
            half = _dualpipe_half(ranks // 2, durations)
            return half + half[::-1]
        case "DualPipeV":
            return _dualpipe_half(ranks, durations)
    raise unknown_name("schedule", schedule.name, SCHEDULES)


def _dualpipe_half(depth: int, durations: Durations) -> list[float]:
    """Return the idle time of the ranks from an end to the middle, [depth]."""
    f, i, w, fb = durations.forward, durations.input, durations.weight, durations.overlapped
    outside = depth - 1
    # The middle rank waits for the first backward, which comes down the ranks outside it as their forwards, or their
    # own input parts, let it. At the end it waits for the last one: a forward goes out to the end, overlapped on each
    # rank, and its backward comes back: on each rank the input part, or the end rank's deferred weights if longer.
    middle = max(outside * f, outside * i - f) + outside * (fb - w - min(i, w))
    # Each rank farther out overlaps one pair less, and so is busier by what overlapping would save.
    return [middle - max(depth - 2 - rank, 0) * (f + i + w - fb) for rank in range(depth)]
