"""What is uncertain in the cost of a training run: each input's range, its shape and where both come from.

Shares and years spread evenly between their ends. Prices and ratios spread evenly in the logarithm, so that doubling
is as likely as halving.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.errors import InputError
from repro.facts import Facts

Shape = Literal["even", "even in logarithm"]


@dataclass(frozen=True)
class Range:
    """An input with its lowest and highest value, and how likely each value between is."""

    name: str
    low: float
    high: float
    unit: str
    shape: Shape  #: whether values or their logarithms are equally likely
    basis: str  #: the facts that the ends come from, or "assumed" with the reason
    limit: float = math.inf  #: that the input cannot exceed, even outside its range

    def __post_init__(self) -> None:
        least, lowest = (0.0, "0 or more") if self.shape == "even" else (math.ulp(0), "above 0")
        if not (math.isfinite(self.high) and least <= self.low < self.high):
            must = f"must run from {lowest} to a higher finite value"
            raise InputError(f"{self.name} = {self.low:g} to {self.high:g} {self.unit}: {must}")

    def ppf(self, share: ArrayLike) -> NDArray[np.float64]:
        """Return the values below which the given shares, in [0, 1], lie, elementwise."""
        if self.shape == "even":
            return self.low + (self.high - self.low) * np.asarray(share)
        return np.exp(np.log(self.low) + np.log(self.high / self.low) * np.asarray(share))

    @property
    def median(self) -> float:
        """The value that half of the likelihood lies below."""
        return float(self.ppf(0.5))


def cost_ranges(facts: Facts) -> dict[str, Range]:
    """Return the inputs of the cost model by name, their ends from facts if any are published.

    Source: repro/facts/data; Cottier et al. (arXiv 2405.21015) for development, staff and the network.
    """

    def between(name: str, low: str, high: str, unit: str, shape: Shape, limit: float = math.inf) -> Range:
        return Range(name, facts[low].value, facts[high].value, unit, shape, f"{low} to {high}", limit)

    later = sum(facts[f"deepseek_v3.{stage}_gpu_hours"].value for stage in ("context_extension", "post_training"))
    lost = 1 / facts["llama_3_1_405b.effective_training_time"].value - 1
    ranges = [
        between("rent", "price.h800_v3_report", "price.h100_capacity_block", "USD per GPU hour", "even in logarithm"),
        between("utilisation", "llama_3_1_405b.utilisation_low", "llama_3_1_405b.utilisation_high", "share", "even", 1),
        Range("overhead", later / facts["deepseek_v3.pre_training_gpu_hours"].value, 0.25, "share of the hours",
              "even", "V3's later stages, up to an assumed quarter for evaluation and waiting"),
        Range("failed_runs", 0, lost, "share of the hours", "even",
              "none, as V3 reports, up to the time that Llama 3.1 405B lost"),
        between("development", "development.compute_ratio_low", "development.compute_ratio_high",
                "all compute over the final run", "even in logarithm"),
        between("staff", "development.staff_share_low", "development.staff_share_high", "share of all cost", "even", 1),
        between("capital", "server.low_usd_per_gpu", "server.h800_usd_per_gpu", "USD per GPU", "even in logarithm"),
        Range("lifetime", 3, 6, "years", "even", "assumed: the book lives that large operators use"),
        Range("in_use", 0.5, 0.95, "share of hours", "even", "assumed", 1),
    ]  # fmt: skip
    return {range_.name: range_ for range_ in ranges}
