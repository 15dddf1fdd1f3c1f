"""Time a million samples of the cost model, as a ratio to drawing as many random numbers in the same round.

The floor is numpy's own generator filling an array of the same shape. What comes on top is the Sobol' sequence, the
ranges' shapes and the costs.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from repro.facts import load
from repro.uncertainty.cost import TrainingRun, costs, first_order_indices, sample
from repro.uncertainty.ranges import cost_ranges

POWER = 20
ROUNDS = 7
PROMISED = 1.0  # seconds for samples and costs together, on two cores
RUN = TrainingRun(3.9e24, 9.894e14, 2048, 956, 1.25, 0.0771, 1.23)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Time each part in turn, round by round."""
    ranges = cost_ranges(load())
    drawn = sample(ranges, power_of_two=POWER, seed=1)
    parts = {
        f"numpy random, {len(ranges)} x 2^{POWER}": lambda: np.random.default_rng(1).random((len(ranges), 2**POWER)),
        f"sample, 2^{POWER} rows": lambda: sample(ranges, power_of_two=POWER, seed=1),
        f"costs, 2^{POWER} rows": lambda: costs(RUN, drawn),
        "samples and costs": lambda: costs(RUN, sample(ranges, power_of_two=POWER, seed=1)),
        "first-order indices, 2^14": lambda: first_order_indices(RUN, ranges, "with staff", power_of_two=14, seed=1),
    }
    for work in parts.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS):
        for name, work in parts.items():
            times[name].append(seconds(work))
    floor = next(iter(times.values()))
    print(f"{'part':<28} {'median':>9}  {'range':>18}  {'to random':>9}")
    for name, taken in times.items():
        ratio = statistics.median(each / least for each, least in zip(taken, floor, strict=True))
        limit = f"  promised < {PROMISED:g} s" if name == "samples and costs" else ""
        spread = f"{min(taken):.3f} to {max(taken):.3f}"
        print(f"{name:<28} {statistics.median(taken):>7.3f} s  {spread:>16} s  {ratio:>7.1f} x{limit}")


if __name__ == "__main__":
    main()
