"""Watch a training run: its loss and load over time, and the step at which a router collapsed or the run diverged.

Steps are averaged over windows. A router counts as collapsed once more than half of a layer's experts idle in a window;
the run goes on. A run counts as diverged, and stops, once a window's loss lies a nat above the first window's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import numpy as np

from repro.nano.balance import idle_fraction, max_violation
from repro.nano.model import Loss
from repro.nano.training.loop import TrainingDiverged, TrainStep
from repro.validate import check_integer

RISE = 1.0  # nats above the first window's mean loss, from which a run counts as diverged
COLLAPSED = 0.5  # share of idle experts in a layer, above which its router counts as collapsed


class Window(TypedDict):
    """What a run showed over some steps: mean loss in nats; of each gate MaxVio, idle share and tokens per expert."""

    step: int  #: the last of the window, from 1
    loss: float
    max_violation: NotRequired[list[float]]  #: [gates], as `idle`; both absent from a model without experts
    idle: NotRequired[list[float]]
    loads: NotRequired[list[list[int]]]  #: [gates, E]


@dataclass
class Trace:
    """What a run has shown so far, whatever stops it."""

    every: int = 10  #: steps of a window
    keep_loads: bool = False  #: whether windows hold the tokens per expert
    steps_done: int = 0
    collapsed_at: int | None = None  #: the last step of the first window with a collapsed router
    rows: list[Window] = field(default_factory=list)
    _window: list[Loss] = field(default_factory=list)  #: of the steps since the last row

    def __post_init__(self) -> None:
        check_integer("every", self.every)

    def add(self, step: TrainStep) -> None:
        """Take in one step's report; raise TrainingDiverged if it ends a window whose loss has risen by a nat."""
        self.steps_done = step.number + 1
        self._window.append(step.loss)
        if self.steps_done % self.every == 0:
            self._close_window()

    def _close_window(self) -> None:
        window: Window = {"step": self.steps_done, "loss": float(np.mean([loss.main for loss in self._window]))}
        load = np.sum([loss.loads for loss in self._window], axis=0)  # [gates, E]
        if load.size:
            idle = idle_fraction(load)  # [gates]
            window |= {"max_violation": max_violation(load).tolist(), "idle": idle.tolist()}
            if self.keep_loads:
                window["loads"] = load.tolist()
            if self.collapsed_at is None and idle.max() > COLLAPSED:
                self.collapsed_at = self.steps_done
        self.rows.append(window)
        self._window.clear()
        first = self.rows[0]["loss"]
        if window["loss"] > first + RISE:
            raise TrainingDiverged(self.steps_done - 1, f"loss {window['loss']:.3f}, began at {first:.3f}")


def follow(steps: Iterable[TrainStep], trace: Trace) -> None:
    """Run a training to its end and keep its trace; a TrainingDiverged, the trace's or the training's, goes through."""
    for step in steps:
        trace.add(step)
