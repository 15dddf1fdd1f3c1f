"""The cost of a training run, scope by scope, from a row of inputs or a million rows at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import qmc, sobol_indices

from repro.calc.ownership import ownership_usd_per_gpu_hour
from repro.calc.run_cost import gpu_hours_at
from repro.errors import InputError
from repro.uncertainty.ranges import Range

Inputs = Mapping[str, NDArray[np.float64] | float]
Costs = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class TrainingRun:
    """What is known of a run, and what all GPUs of its kind share.

    flop: of pre-training. peak_flop_per_s: that utilisation is a share of. power_w_per_gpu: with its share of the
    server. network_overhead: cluster over servers.
    """

    flop: float
    peak_flop_per_s: float
    gpus: int
    power_w_per_gpu: float
    pue: float
    electricity_usd_per_kwh: float
    network_overhead: float


def costs(run: TrainingRun, given: Inputs) -> Costs:
    """Return the cost of a run in USD by scope, each elementwise over the inputs.

    Args: run: what is known. given: each input's value or values, [N].
    Returns: rent of the final run; with runs that failed; with all compute of development; with staff; the same with
        the owner's cost in place of rent; the cluster bought outright.
    """
    pre_training = gpu_hours_at(run.flop, run.peak_flop_per_s, utilisation=given["utilisation"])
    gpu_hours = pre_training * (1 + given["overhead"])
    all_gpu_hours = gpu_hours * (1 + given["failed_runs"]) * given["development"]
    owner = ownership_usd_per_gpu_hour(
        given["capital"] * run.network_overhead,
        lifetime_years=given["lifetime"],
        power_w_per_gpu=run.power_w_per_gpu,
        pue=run.pue,
        electricity_usd_per_kwh=run.electricity_usd_per_kwh,
        in_use=given["in_use"],
    )
    return {
        "rent of the final run": gpu_hours * given["rent"],
        "with failed runs": gpu_hours * (1 + given["failed_runs"]) * given["rent"],
        "with development": all_gpu_hours * given["rent"],
        "with staff": all_gpu_hours * given["rent"] / (1 - given["staff"]),
        "with staff, machines owned": all_gpu_hours * owner / (1 - given["staff"]),
        "the cluster bought": run.gpus * given["capital"] * run.network_overhead,
    }


def sample(ranges: Mapping[str, Range], *, power_of_two: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return inputs spread evenly over all ranges at once: a scrambled Sobol' sequence, 2**power_of_two rows.

    Args: ranges: by name. power_of_two: 20 gives a million rows. seed: of the scrambling.
    Returns: values by name, [2**power_of_two].
    Raises: InputError for a power below 1 or above 24.
    """
    if not 1 <= power_of_two <= 24:
        raise InputError(f"power_of_two = {power_of_two}: must be an int from 1 to 24")
    shares = qmc.Sobol(len(ranges), rng=seed).random_base2(power_of_two)
    return {name: one.ppf(shares[:, column]) for column, (name, one) in enumerate(ranges.items())}


def tornado(run: TrainingRun, ranges: Mapping[str, Range], scope: str) -> dict[str, tuple[float, float]]:
    """Return the cost at either end of each range, all other inputs at their medians, the widest first.

    Args: run: what is known. ranges: by name. scope: one of those that `costs` returns.
    Returns: (at the low end, at the high end) in USD, by input.
    """
    middle = {name: one.median for name, one in ranges.items()}
    ends = {
        name: tuple(float(costs(run, middle | {name: end})[scope]) for end in (one.low, one.high))
        for name, one in ranges.items()
    }
    return dict(sorted(ends.items(), key=lambda item: -abs(item[1][1] - item[1][0])))


def first_order_indices(
    run: TrainingRun, ranges: Mapping[str, Range], scope: str, *, power_of_two: int, seed: int
) -> dict[str, float]:
    """Return which share of the variance of a cost each input explains by itself.

    Args: run: what is known. ranges: by name. scope: of the cost. power_of_two: of the rows per input. seed: of the
        sampling.
    Returns: first-order Sobol' indices by input.
    Source: Saltelli et al. (Computer Physics Communications 181, 2010), equation for S_i in table 2.
    """

    def cost(rows: NDArray[np.float64]) -> NDArray[np.float64]:  # [inputs, N] -> [1, N]
        return np.atleast_2d(costs(run, dict(zip(ranges, rows, strict=True)))[scope])

    found = sobol_indices(func=cost, n=2**power_of_two, dists=list(ranges.values()), rng=seed)
    return dict(zip(ranges, np.ravel(found.first_order).tolist(), strict=True))


def required(run: TrainingRun, ranges: Mapping[str, Range], scope: str, target_usd: float) -> dict[str, float | None]:
    """Return the value that each input alone would need for a cost, all others at their medians.

    Args: run: what is known. ranges: by name. scope: of the cost. target_usd: to be reached.
    Returns: value by input, in its unit; None where no value from a millionth of its low end (or of its high end, where
        that is 0) to a million times its high end gives it, shares below 1, or where it has no effect.
    """
    middle = {name: one.median for name, one in ranges.items()}
    return {name: _required(_by_one(run, middle, name, scope, target_usd), one) for name, one in ranges.items()}


def _by_one(run: TrainingRun, middle: Inputs, name: str, scope: str, target: float) -> Callable[[float], float]:
    return lambda value: float(costs(run, {**middle, name: value})[scope]) - target


def _required(excess: Callable[[float], float], one: Range) -> float | None:
    low, high = (one.low or one.high) / 1e6, min(one.high * 1e6, one.limit * (1 - 1e-9))
    if excess(low) == excess(high) or excess(low) * excess(high) > 0:  # of no effect, or out of reach
        return None
    return float(brentq(excess, low, high, xtol=low * 1e-6))
