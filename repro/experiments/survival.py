"""Times until something happens, of runs that were stopped before it did: survival analysis.

A run that has not learned by its last step did not learn at that step: it would have later, or never. Such times are
censored. The Kaplan-Meier estimate uses what is known of them: they still had not learned when they were stopped.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from repro.arrays import Array
from repro.errors import InputError


@dataclass(frozen=True)
class Times:
    """How long runs took, or how long they ran in vain."""

    steps: Sequence[float]
    happened: Sequence[bool]  #: whether it happened at that step; False for a run that was stopped there

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.happened) or not self.steps:
            raise InputError(
                f"{len(self.steps)} steps and {len(self.happened)} marks: must be one of each for every run"
            )

    @property
    def censored(self) -> int:
        """Runs in which it had not happened when they were stopped."""
        return len(self.happened) - sum(self.happened)

    @property
    def _censored_data(self) -> Any:
        return stats.CensoredData.right_censored(self.steps, [not happened for happened in self.happened])

    def curve(self) -> tuple[Array, Array]:
        """Return the steps at which the share of runs in which it has happened grows, and that share, [n] each.

        Source: Kaplan and Meier, Journal of the American Statistical Association 53 (1958), 457-481.
        """
        estimate = stats.ecdf(self._censored_data).cdf
        return estimate.quantiles, estimate.probabilities

    def median(self, *, level: float = 0.95) -> tuple[float, float, float]:
        """Return the step by which half of the runs are done, and the ends of its interval; infinite if never.

        Source: Brookmeyer and Crowley, Biometrics 38 (1982), 29-41, with intervals of ln(-ln) of the share left.
        """
        left = stats.ecdf(self._censored_data).sf
        with warnings.catch_warnings():  # of shares 0 and 1, which have no interval
            warnings.simplefilter("ignore", RuntimeWarning)
            interval = left.confidence_interval(level, method="log-log")
        curves = (left, interval.low, interval.high)
        middle, low, high = (_first_at_half(curve.quantiles, curve.probabilities) for curve in curves)
        return middle, low, high


def _first_at_half(steps: Array, left: Array) -> float:
    """Return the first step at which at most half of the runs are left, infinite if there is none."""
    (below,) = np.nonzero(left <= 0.5)
    return float(steps[below[0]]) if len(below) else np.inf


def log_rank_p(times: Times, others: Times) -> float:
    """Return the chance of so large a difference between two sets of independent times if there were none.

    Source: Mantel, Cancer Chemotherapy Reports 50 (1966), 163-170.
    """
    return float(stats.logrank(times._censored_data, others._censored_data).pvalue)
