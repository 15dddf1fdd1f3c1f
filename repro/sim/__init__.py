"""Pipeline schedules: their published orders, a simulator of them, and their closed forms. Pure Python, exact numbers.

How far expert parallelism sends tokens needs numpy and the real gate: import `expert_reach` and `all_to_all` by name.
"""

from repro.sim.closed_forms import PublishedFormula, exact_bubble, published_formula
from repro.sim.schedules import SCHEDULES, schedule
from repro.sim.simulate import Bar, Timeline, simulate
from repro.sim.stages import StageDurations, scale_stages
from repro.sim.steps import StepTime, compare_schedules, without_saving
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Durations, Pass, Schedule, Task, in_ticks
from repro.sim.totals import StepTotals, count_tasks, durations_from_totals

__all__ = [
    "BACKWARD", "FORWARD", "INPUT", "SCHEDULES", "WEIGHT", "Bar", "Durations", "Pass", "PublishedFormula", "Schedule",
    "StageDurations", "StepTime", "StepTotals", "Task", "Timeline", "compare_schedules", "count_tasks",
    "durations_from_totals", "exact_bubble", "in_ticks", "published_formula", "scale_stages", "schedule", "simulate",
    "without_saving",
]  # fmt: skip
