"""The cost of a training run, scope by scope, from one row of inputs or a million rows at once.

FLOP and utilisation give the GPU hours of the final run; rent, failed runs, development and staff each widen what is
counted. Inputs are uncertain: sampling all ranges together gives the spread of the cost, moving one input at a time
shows its effect (a tornado chart), and Sobol' indices say which share of the variance each input explains.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import qmc, sobol_indices

from repro.calc.ownership import ownership_usd_per_gpu_hour
from repro.calc.run_cost import gpu_hours_at
from repro.errors import InputError
from repro.uncertainty.ranges import Range

Values = NDArray[np.float64]
Inputs = Mapping[str, Any]  # by the names of cost_ranges, each a number or values [N]: the arithmetic takes both


@dataclass(frozen=True)
class TrainingRun:
    """What is known of a run, and what all GPUs of its kind share."""

    flop: float  #: of pre-training
    peak_flop_per_s: float  #: of a GPU; utilisation is a share of it
    gpus: int
    power_w_per_gpu: float  #: with the GPU's share of its server
    pue: float  #: power of the building over that of its machines
    electricity_usd_per_kwh: float
    network_overhead: float  #: price of a cluster over that of its servers


def costs(run: TrainingRun, inputs: Inputs) -> dict[str, Values]:
    """Return the cost of a run in USD by scope, elementwise over the inputs."""
    pre_training = gpu_hours_at(run.flop, run.peak_flop_per_s, utilisation=inputs["utilisation"])
    gpu_hours = pre_training * (1 + inputs["overhead"])
    all_gpu_hours = gpu_hours * (1 + inputs["failed_runs"]) * inputs["development"]
    owner_usd_per_gpu_hour = ownership_usd_per_gpu_hour(
        inputs["capital"] * run.network_overhead,
        lifetime_years=inputs["lifetime"], power_w_per_gpu=run.power_w_per_gpu, pue=run.pue,
        electricity_usd_per_kwh=run.electricity_usd_per_kwh, in_use=inputs["in_use"],
    )  # fmt: skip
    return {
        "rent of the final run": gpu_hours * inputs["rent"],
        "with failed runs": gpu_hours * (1 + inputs["failed_runs"]) * inputs["rent"],
        "with development": all_gpu_hours * inputs["rent"],  # all of its compute
        "with staff": all_gpu_hours * inputs["rent"] / (1 - inputs["staff"]),
        "with staff, machines owned": all_gpu_hours * owner_usd_per_gpu_hour / (1 - inputs["staff"]),  # no rent
        "the cluster bought": run.gpus * inputs["capital"] * run.network_overhead,  # outright
    }


def sample(ranges: Mapping[str, Range], *, power_of_two: int, seed: int) -> dict[str, Values]:
    """Return inputs spread evenly over all ranges at once, by name, [2**power_of_two]: a scrambled Sobol' sequence."""
    if not 1 <= power_of_two <= 24:
        raise InputError(f"power_of_two = {power_of_two}: must be a whole number from 1 to 24")
    shares = qmc.Sobol(len(ranges), rng=seed).random_base2(power_of_two)  # [2**power_of_two, inputs]
    return {name: range_.ppf(shares[:, column]) for column, (name, range_) in enumerate(ranges.items())}


def tornado(run: TrainingRun, ranges: Mapping[str, Range], scope: str) -> dict[str, tuple[float, float]]:
    """Return the cost in USD at the low and the high end of each range, other inputs at their medians, widest first."""
    cost = _cost_by_input(run, ranges, scope)
    ends = {name: (cost(name, range_.low), cost(name, range_.high)) for name, range_ in ranges.items()}
    return dict(sorted(ends.items(), key=lambda item: -abs(item[1][1] - item[1][0])))


def _cost_by_input(run: TrainingRun, ranges: Mapping[str, Range], scope: str) -> Callable[[str, float], float]:
    """Return the cost as a function of one input's name and value, all others at their medians."""
    medians = {name: range_.median for name, range_ in ranges.items()}
    return lambda name, value: float(costs(run, medians | {name: value})[scope])


def first_order_indices(
    run: TrainingRun, ranges: Mapping[str, Range], scope: str, *, power_of_two: int, seed: int
) -> dict[str, float]:
    """Return which share of the variance of a cost each input explains by itself, from 2**power_of_two rows per input.

    Source: Saltelli et al. (Computer Physics Communications 181, 2010), equation for S_i in table 2.
    """

    def cost(rows: Values) -> Values:  # [inputs, N] -> [1, N]
        return np.atleast_2d(costs(run, dict(zip(ranges, rows, strict=True)))[scope])

    indices = sobol_indices(func=cost, n=2**power_of_two, dists=list(ranges.values()), rng=seed)
    return dict(zip(ranges, np.ravel(indices.first_order).tolist(), strict=True))


def required(run: TrainingRun, ranges: Mapping[str, Range], scope: str, target_usd: float) -> dict[str, float | None]:
    """Return the value that each input alone would need for a cost, in its unit, all others at their medians.

    Values are sought from a millionth of the low end (of the high end, if the low end is 0) to a million times the high
    end, and below the input's limit. None means that no value there gives the cost, or that the input has no effect.
    """
    cost = _cost_by_input(run, ranges, scope)

    def solve(name: str, range_: Range) -> float | None:
        low, high = (range_.low or range_.high) / 1e6, min(range_.high * 1e6, range_.limit * (1 - 1e-9))
        at_low, at_high = cost(name, low) - target_usd, cost(name, high) - target_usd
        if at_low == at_high or at_low * at_high > 0:
            return None
        return float(brentq(lambda value: cost(name, value) - target_usd, low, high, xtol=low * 1e-6))

    return {name: solve(name, range_) for name, range_ in ranges.items()}
