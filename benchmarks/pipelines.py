"""Time simulating a pipeline step per task, and routing per token, as ratios to the smallest case.

Ratios near 1 mean that the cost is linear. Routing cannot be faster than numpy draws a normal number for each token and
expert, which is timed beside it.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from repro.facts import Ledger, load
from repro.nano.config import config_from_hf
from repro.sim import Durations, schedule, simulate
from repro.sim.all_to_all import Deployment, route_tokens

ROUNDS = 5
SIZES = ((16, 1000), (16, 4000), (64, 1000), (64, 4096))  # ranks, micro-batches
TOKENS = (12_500, 100_000)
DURATIONS = Durations(forward=1, backward=2, weight=1, overlapped=3)
Case = tuple[int, Callable[[], object]]  # tasks or tokens, and the work on them


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pipelines() -> dict[str, Case]:
    """Return DualPipe in several sizes, generated and simulated."""

    def case(ranks: int, micro_batches: int) -> Case:
        def order():
            return schedule("DualPipe", ranks=ranks, micro_batches=micro_batches)

        return sum(map(len, order().orders)), lambda: simulate(order(), DURATIONS)

    return {f"DualPipe, {ranks} x {micro_batches}": case(ranks, micro_batches) for ranks, micro_batches in SIZES}


def routing() -> dict[str, Case]:
    """Return V3's gate on 8 nodes for several numbers of tokens, and what drawing its logits takes alone."""
    config = config_from_hf(Ledger(load()).config("deepseek_v3"))
    moe = config.arch.experts
    deployment = Deployment(moe.n_routed_experts, moe.top_k, config.gate, 8, 8)

    def case(tokens: int) -> Case:
        return tokens, lambda: route_tokens(deployment, tokens, seed=1, skew=0.5)

    def drawing() -> object:
        rng = np.random.default_rng(1)
        return [
            rng.standard_normal((1024, deployment.n_routed_experts), np.float32) for _ in range(0, TOKENS[-1], 1024)
        ]

    routed = {f"V3's gate, {tokens:,} tokens": case(tokens) for tokens in TOKENS}
    return {**routed, f"drawing logits of {TOKENS[-1]:,}": (TOKENS[-1], drawing)}


def report(unit: str, cases: dict[str, Case]) -> None:
    """Time the cases in turn, round by round, and print a line for each."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    next(iter(cases.values()))[1]()
    for _ in range(ROUNDS):
        for name, (count, work) in cases.items():
            times[name].append(seconds(work) / count)
    least = next(iter(times.values()))
    print(f"{'part':<28} {unit + 's':>9}  {'median':>9}  {'µs per ' + unit:>18}  {'to first':>8}")
    for name, (count, _) in cases.items():
        per = times[name]
        ratio = statistics.median(each / first for each, first in zip(per, least, strict=True))
        spread = f"{min(per) * 1e6:.2f} to {max(per) * 1e6:.2f}"
        print(f"{name:<28} {count:>9,}  {statistics.median(per) * count:>7.3f} s  {spread:>18}  {ratio:>6.2f} x")


def main() -> None:
    """Time schedules, then routing."""
    report("task", pipelines())
    print()
    report("token", routing())


if __name__ == "__main__":
    main()
