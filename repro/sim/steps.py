"""One training step under several schedules: how long it takes, how much of it is idle, and what one gains on another.

Schedules differ in two ways. They idle for different times, and DualPipe runs pairs, in which one half's communication
hides behind the other half's computation. So a fair comparison gives every schedule the same durations of tasks that
run alone, communication included, and only pairs the shorter time that was measured of pairs. What a step does after
its last gradient, the optimizer's work, is the same for all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import fsum

from repro.sim.schedules import schedule
from repro.sim.simulate import Timeline, simulate
from repro.sim.stages import StageDurations
from repro.sim.tasks import Durations
from repro.validate import check_number


@dataclass(frozen=True)
class StepTime:
    """One simulated step, in the unit of the durations."""

    timeline: Timeline
    outside: float  #: after the last gradient: the optimizer, and whatever else a step does but passes

    @property
    def step(self) -> float:
        """From the first forward to the end of the step."""
        return self.timeline.makespan + self.outside

    @property
    def bubble(self) -> float:
        """Time that a rank does not compute before the last gradient, mean over ranks."""
        return fsum(self.timeline.bubble) / len(self.timeline.bubble)

    @property
    def idle_share(self) -> float:
        """Mean bubble over the step."""
        return self.bubble / self.step

    def speedup_over(self, other: "StepTime") -> float:
        """Return how many times as long the other step takes."""
        return other.step / self.step


def compare_schedules(
    names: Iterable[str],
    durations: StageDurations,
    *,
    ranks: int,
    micro_batches: int,
    outside: float = 0,
    overlap_transfers: bool = True,
    pairs_hide_transfers: bool = False,
) -> dict[str, StepTime]:
    """Return a step's time by schedule, all of them with the same stages, micro-batches and durations.

    Args:
        names: published schedules that cut the model into as many stages as there are ranks; in DualPipe each rank
            holds two of them.
        durations: of one micro-batch on one stage, as for `simulate`.
        ranks: of the pipeline, as many as stages.
        micro_batches: of a step.
        outside: time of a step after its last gradient.
        overlap_transfers: as for `simulate`.
        pairs_hide_transfers: as for `simulate`.
    """
    check_number("outside", outside)
    orders = {name: schedule(name, ranks=ranks, micro_batches=micro_batches) for name in names}
    return {
        name: StepTime(
            simulate(order, durations, overlap_transfers=overlap_transfers, pairs_hide_transfers=pairs_hide_transfers),
            outside,
        )
        for name, order in orders.items()
    }


def without_saving(durations: Durations) -> Durations:
    """Return the durations with pairs that save nothing: what is left of a gain then comes from idling less."""
    return replace(durations, overlapped=durations.forward + durations.backward)
