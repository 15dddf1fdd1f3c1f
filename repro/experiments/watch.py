"""A training run, watched: load and loss over time, the step at which a router collapsed or a run diverged."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from repro.arrays import Array
from repro.nano.balance import idle_fraction, max_violation
from repro.nano.training.loop import TrainingDiverged, TrainStep
from repro.validate import check_integer

RISE = 1.0  # nats above the first window's mean loss, from which a run counts as diverged
COLLAPSED = 0.5  # share of idle experts in a layer, from which its router counts as collapsed


@dataclass
class Trace:
    """What a run showed so far, a row for each window of steps; whatever stops the run, this is left.

    every: steps of a window. keep_loads: whether tokens per expert are kept, [windows, gates, E].
    """

    every: int = 10
    keep_loads: bool = False
    steps_done: int = 0
    collapsed_at: int | None = None
    rows: list[dict] = field(default_factory=list)
    _losses: list[float] = field(default_factory=list)
    _load: Array | int = 0

    def __post_init__(self) -> None:
        """Raise InputError for a window that is none."""
        check_integer("every", self.every)

    def add(self, step: TrainStep) -> None:
        """Take in one step's report.

        Raises: Diverged where the window that ends here lies a nat above the first one.
        """
        self.steps_done = step.number + 1
        self._losses.append(step.loss.main)
        self._load = self._load + np.array(step.loss.loads)
        if self.steps_done % self.every == 0:
            self._close_window()

    def _close_window(self) -> None:
        row = {"step": self.steps_done, "loss": float(np.mean(self._losses))}
        if np.size(self._load):
            unused = idle_fraction(self._load)
            row |= {"max_violation": max_violation(self._load).tolist(), "idle": unused.tolist()}
            if self.keep_loads:
                row["loads"] = self._load.tolist()
            if self.collapsed_at is None and unused.max() > COLLAPSED:
                self.collapsed_at = self.steps_done
        self.rows.append(row)
        self._losses, self._load = [], 0
        if row["loss"] > self.rows[0]["loss"] + RISE:
            raise TrainingDiverged(self.steps_done - 1, f"loss {row['loss']:.3f}, began at {self.rows[0]['loss']:.3f}")


def follow(steps: Iterable[TrainStep], trace: Trace) -> None:
    """Run a training to its end and keep its trace.

    Raises: Diverged as Trace.add does, or as the training itself where a loss is no number any more.
    """
    for step in steps:
        trace.add(step)
