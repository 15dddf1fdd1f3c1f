"""Pipeline schedules, task by task: their published orders, when each task runs, and what is known in closed form."""

from repro.sim.formula import Formula, exact_bubble, formula
from repro.sim.schedules import SCHEDULES, schedule
from repro.sim.simulate import Bar, Timeline, simulate
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Durations, Pass, Schedule, Task

__all__ = [
    "BACKWARD",
    "FORWARD",
    "INPUT",
    "SCHEDULES",
    "WEIGHT",
    "Bar",
    "Durations",
    "Formula",
    "Pass",
    "Schedule",
    "Task",
    "Timeline",
    "exact_bubble",
    "formula",
    "schedule",
    "simulate",
]
