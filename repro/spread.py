"""A mean over seeds and how far it can be trusted: standard errors, confidence intervals, differences by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from repro.errors import InputError


@dataclass(frozen=True)
class Interval:
    """A mean, plus and minus half the interval's width."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half

    @property
    def sign(self) -> int:
        """1 if the whole interval is above zero, -1 if it is below, 0 if it contains zero."""
        return int(self.low > 0) - int(self.high < 0)


def standard_error(values: Sequence[float]) -> Interval:
    """Return the mean of values from independent seeds, plus and minus one standard error."""
    if len(values) < 2:
        raise InputError(f"number of seeds = {len(values)}: must be at least 2, to tell how far they differ")
    return Interval(float(np.mean(values)), float(np.std(values, ddof=1)) / sqrt(len(values)))


def confidence_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the mean of normally distributed values from independent seeds, with Student's interval.

    Source: Student, Biometrika 6 (1908), 1-25.
    """
    error = standard_error(values)
    return Interval(error.mean, float(stdtrit(len(values) - 1, (1 + level) / 2)) * error.half)


def paired_interval(values: Sequence[float], baseline: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the mean difference, values minus baseline, of runs that share their seeds, in the same order."""
    if len(values) != len(baseline):
        raise InputError(f"{len(values)} values and a baseline of {len(baseline)}: must be one of each for every seed")
    return confidence_interval([value - base for value, base in zip(values, baseline, strict=True)], level=level)
