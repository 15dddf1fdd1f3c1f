"""Say what a study can find before it runs, and what it found afterwards, with intervals that allow for all looks.

A difference between two recipes means something only beside two numbers fixed beforehand: the smallest difference that
would change what we write, and the chance that so many seeds detect it. Runs are paired by seed, so that what counts is
the spread of differences, taken from pilot seeds that the study does not use again. Afterwards the
interval lies on one side of zero: a difference, and if it stays within the smallest effect, one too little to matter.
Or it holds zero and stays within the smallest effect: no difference that matters, which is a result. Or it holds both
zero and effects that matter: undecided, more seeds are needed. A null result has a power of its own, the chance to be
told if there is no difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy.special import chdtri, nctdtr, ndtr, stdtrit

from repro.errors import InputError
from repro.spread import Interval, paired_interval
from repro.validate import check_integer, check_number

MAX_SEEDS = 10_000
QUANTILES = 2000  # over which a chance is averaged
Outcome = Literal[
    "higher", "lower", "higher, but too little to matter", "lower, but too little to matter",
    "no difference that matters", "undecided",
]  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a study compares, fixed before its seeds run."""

    result: str  #: the name of the result compared, as the record has it
    unit: str
    smallest_effect: float  #: the smallest mean difference that would change what we write, in that unit
    pilot_sd: float  #: standard deviation of differences by seed, from pilot seeds that the study does not use
    seeds: int
    comparisons: int = 1  #: how many intervals are to hold together
    level: float = 0.95  #: the chance that all of them hold

    def __post_init__(self) -> None:
        check_number("smallest_effect", self.smallest_effect, above=0)
        check_number("pilot_sd", self.pilot_sd, above=0)
        check_integer("seeds", self.seeds, least=2)
        check_integer("comparisons", self.comparisons)
        check_number("level", self.level, above=0, below=1)

    @property
    def level_of_each(self) -> float:
        """The level of each interval by which all hold together at least at `level`.

        Source: Dunn, Journal of the American Statistical Association 56 (1961), 52-64 (Bonferroni's correction).
        """
        return 1 - (1 - self.level) / self.comparisons

    @property
    def power(self) -> float:
        """The chance that a difference of the smallest effect is told apart from zero, and with the right sign."""
        return detection_probability(self.smallest_effect, self.pilot_sd, self.seeds, level=self.level_of_each)

    @property
    def null_power(self) -> float:
        """The chance that "no difference that matters" is found if there is no difference at all."""
        return null_probability(self.smallest_effect, self.pilot_sd, self.seeds, level=self.level_of_each)

    @property
    def detectable(self) -> float:
        """The smallest difference that these seeds tell apart from zero in four cases of five, in the unit."""
        return smallest_detectable(self.pilot_sd, self.seeds, level=self.level_of_each)

    def __str__(self) -> str:
        effect = f"{self.smallest_effect:g} {self.unit}"
        looks = f", {self.comparisons} comparisons allowed for" if self.comparisons > 1 else ""
        found = f"{self.seeds} seeds find a difference of {effect} with a chance of {self.power:.0%}"
        return f"{self.result}: {found}, and that there is none with {self.null_power:.0%}{looks}"


def detection_probability(effect: float, sd: float, seeds: int, *, level: float = 0.95) -> float:
    """Return the chance that the paired interval of a true difference excludes zero on the right side.

    Args:
        effect: true mean difference, above 0.
        sd: standard deviation of the differences by seed, in the same unit.
        seeds: number of pairs, at least 2.
        level: of the two-sided interval.

    Source: Student's noncentral t, as in Owen, Biometrika 52 (1965), 437-446.
    """
    freedom = seeds - 1
    return float(1 - nctdtr(freedom, effect / sd * sqrt(seeds), stdtrit(freedom, (1 + level) / 2)))


def null_probability(effect: float, sd: float, seeds: int, *, level: float = 0.95) -> float:
    """Return the chance that the paired interval lies within -effect and effect if the true difference is 0.

    Args:
        effect: above 0.
        sd: standard deviation of the differences by seed, in the same unit.
        seeds: number of pairs, at least 2.
        level: of the two-sided interval.

    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), 657-680 (two one-sided tests).
    """
    freedom = seeds - 1
    evenly = (np.arange(QUANTILES) + 0.5) / QUANTILES
    spread = sd * np.sqrt(chdtri(freedom, evenly) / freedom)  # quantiles of the sample's standard deviation
    room = (effect - stdtrit(freedom, (1 + level) / 2) * spread / sqrt(seeds)) / (sd / sqrt(seeds))
    return float(np.mean(np.where(room > 0, 2 * ndtr(room) - 1, 0.0)))


def seeds_needed(effect: float, sd: float, *, level: float = 0.95, power: float = 0.8) -> int:
    """Return the fewest seeds that detect an effect with this probability; InputError if 10,000 are too few."""
    for seeds in range(2, MAX_SEEDS + 1):
        if detection_probability(effect, sd, seeds, level=level) >= power:
            return seeds
    raise InputError(f"effect = {effect:g} at a spread of {sd:g}: {MAX_SEEDS:,} seeds are too few")


def smallest_detectable(sd: float, seeds: int, *, level: float = 0.95, power: float = 0.8) -> float:
    """Return the effect, in the unit of `sd`, that so many seeds detect with this probability; found by bisection."""
    low, high = 0.0, 1.0
    while detection_probability(high, 1, seeds, level=level) < power:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        below = detection_probability(middle, 1, seeds, level=level) < power
        low, high = (middle, high) if below else (low, middle)
    return high * sd


@dataclass(frozen=True)
class Comparison:
    """What a study found of one pair of settings."""

    interval: Interval  #: of the mean difference, one of the plan's intervals that hold together
    outcome: Outcome

    def __str__(self) -> str:
        return f"{self.interval.mean:+.3g} ± {self.interval.half:.2g}, {self.outcome}"


def compare_settings(
    values: Sequence[float], baseline: Sequence[float], plan: Plan, *, left_out: int = 0
) -> Comparison:
    """Compare two settings seed by seed as the plan says: values minus baseline, in the order of their seeds.

    Args:
        values: results of one setting, one per seed of the plan.
        baseline: those of the other, of the same seeds.
        plan: fixed before the seeds ran.
        left_out: pairs without a result, such as those of a run that diverged.

    Raises:
        InputError: if there are not as many pairs as the plan has seeds.
    """
    if len(values) + left_out != plan.seeds:
        raise InputError(f"{len(values)} pairs and {left_out} left out: must be the {plan.seeds} seeds of the plan")
    interval = paired_interval(values, baseline, level=plan.level_of_each)
    within = -plan.smallest_effect < interval.low and interval.high < plan.smallest_effect
    if interval.sign > 0:
        return Comparison(interval, "higher, but too little to matter" if within else "higher")
    if interval.sign < 0:
        return Comparison(interval, "lower, but too little to matter" if within else "lower")
    return Comparison(interval, "no difference that matters" if within else "undecided")
