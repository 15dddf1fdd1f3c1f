"""Means over seeds with their intervals, and differences between runs of the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from repro.errors import InputError


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and the half-width of its interval.

    Raises nothing; `low` and `high` are its ends.
    """

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
        """1 where the whole interval is above zero, -1 where it is below, 0 where zero lies in it."""
        return int(self.low > 0) - int(self.high < 0)


def confidence_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the mean of values from independent seeds with Student's interval.

    Args: values: at least two. level: of confidence, under the assumption that they are normally distributed.
    Raises: InputError for fewer than two values.
    Source: Student, Biometrika 6 (1908), 1–25.
    """
    n = len(values)
    if n < 2:
        raise InputError(f"{n} values: must be at least 2 for an interval")
    deviation = float(np.std(values, ddof=1))
    return Interval(float(np.mean(values)), float(stdtrit(n - 1, (1 + level) / 2)) * deviation / sqrt(n))


def paired_interval(values: Sequence[float], others: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return the mean difference, values less others, of runs that share seed and data.

    Args: values, others: in the same order of seeds. level: as in `interval`.
    Raises: InputError for lists of unequal length, or of fewer than two.
    """
    if len(values) != len(others):
        raise InputError(f"{len(values)} values and {len(others)}: must be one of each for every seed")
    return confidence_interval([one - other for one, other in zip(values, others, strict=True)], level=level)
