"""Pipeline schedules: their published orders, a simulator of them, and their closed forms. Pure Python, exact numbers.

How far expert parallelism sends tokens needs numpy and the real gate: import `expert_reach` and `all_to_all` by name.
"""

from repro.sim.closed_forms import PublishedFormula, exact_bubble, published_formula
from repro.sim.schedules import SCHEDULES, schedule
from repro.sim.simulate import Bar, Timeline, simulate
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Durations, Pass, Schedule, Task

__all__ = [
    "BACKWARD", "FORWARD", "INPUT", "SCHEDULES", "WEIGHT", "Bar", "Durations", "Pass", "PublishedFormula", "Schedule",
    "Task", "Timeline", "exact_bubble", "published_formula", "schedule", "simulate",
]  # fmt: skip
