"""How long a training step takes: arithmetic at a rate, communication that nothing hides, and idling.

A closed form for what a simulation would measure. Computation and transfers run side by side, so only the transfers
that stick out add time; the bubble is a share of the whole step; and the multiprocessors that move data do not compute.
"""

from dataclasses import dataclass
from typing import Any

from repro.calc.run_cost import SECONDS_PER_HOUR, TOKENS_PER_TRILLION, rate_from_gpu_hours
from repro.errors import InputError, printable

ROUNDING = 1e-9  # by what part communication may exceed the computation that hides it


@dataclass(frozen=True, kw_only=True)
class Overheads:
    """What a GPU does in a step beside its arithmetic, as numbers or as arrays that broadcast.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2.1, 3.2.2 and 3.5.1.
    """

    communication_s: float  #: of its transfers between GPUs, for the same work as the FLOP: a step's, or a token's
    hidden_share: float  #: of these seconds that computation runs beside, from 0 to 1
    bubble_share: float  #: of the whole step that it idles, from 0 to below 1
    multiprocessors: float  #: of the GPU
    multiprocessors_for_communication: float  #: of these, those that transfers take, as if the rate fell in proportion

    def __post_init__(self) -> None:
        seconds, hidden, bubble = self.communication_s, self.hidden_share, self.bubble_share
        taken, of = self.multiprocessors_for_communication, self.multiprocessors
        _must("communication_s", seconds, seconds >= 0 * seconds, "finite and at least 0")
        _must("hidden_share", hidden, (hidden >= 0) & (hidden <= 1), "from 0 to 1")
        _must("bubble_share", bubble, (bubble >= 0) & (bubble < 1), "from 0 to below 1")
        right = f"from 0 to below multiprocessors = {printable(str(of))}"
        _must("multiprocessors_for_communication", taken, (taken >= 0) & (taken < of), right)

    @property
    def exposed_s(self) -> float:
        """Seconds of communication that nothing runs beside."""
        return self.communication_s * (1 - self.hidden_share)

    @property
    def computing_share(self) -> float:
        """Share of the multiprocessors left to computation."""
        return 1 - self.multiprocessors_for_communication / self.multiprocessors


def _must(name: str, value: Any, fine: Any, right: str) -> None:
    """Raise InputError where a condition does not hold, or does not everywhere in an array."""
    if not (fine.all() if hasattr(fine, "all") else fine):
        raise InputError(f"{name} = {printable(str(value))}: must be {right}")


def _must_fit(compute_s: float, overheads: Overheads) -> None:
    """Raise InputError where more communication is hidden than computation there is to hide it."""
    hidden_s = overheads.communication_s * overheads.hidden_share
    most, of = printable(str(compute_s)), printable(str(overheads.communication_s))
    right = f"at most the {most} of computation over communication_s = {of}"
    _must("hidden_share", overheads.hidden_share, hidden_s <= compute_s * (1 + ROUNDING), right)


def compute_time(*, flop: float, flop_per_s: float, overheads: Overheads) -> float:
    """Return the seconds of the arithmetic, of one GPU's step or of one token, at the rate of all multiprocessors."""
    return flop / (flop_per_s * overheads.computing_share)


def step_breakdown(*, flop: float, flop_per_s: float, overheads: Overheads) -> dict[str, float]:
    """Return the seconds of a step by part, which add up to it; refuses more hidden communication than computation."""
    compute_s = compute_time(flop=flop, flop_per_s=flop_per_s, overheads=overheads)
    _must_fit(compute_s, overheads)
    busy_s = compute_s + overheads.exposed_s
    return {
        "computation": compute_s,
        "exposed communication": overheads.exposed_s,
        "bubble": busy_s * overheads.bubble_share / (1 - overheads.bubble_share),
    }


def step_time(*, flop: float, flop_per_s: float, overheads: Overheads) -> float:
    """Return the seconds of a step, (computation + exposed communication) / (1 - bubble)."""
    return sum(step_breakdown(flop=flop, flop_per_s=flop_per_s, overheads=overheads).values())


def gpu_hours_per_trillion_tokens(*, flop_per_token: float, flop_per_s: float, overheads: Overheads) -> float:
    """Return the GPU hours that 1e12 tokens take, given the overheads of one token."""
    token_s = step_time(flop=flop_per_token, flop_per_s=flop_per_s, overheads=overheads)
    return rate_from_gpu_hours(token_s / SECONDS_PER_HOUR, 1)


def implied_flop_per_s(*, gpu_hours_per_trillion_tokens: float, flop_per_token: float, overheads: Overheads) -> float:
    """Return the FLOP/s that a GPU must have achieved, with all multiprocessors, for a run to take so many GPU hours.

    Solved, not fitted: (FLOP of a token) / (share of multiprocessors x (its time x (1 - bubble) - exposed)). Refuses
    hours that idling and exposed communication take alone, or that leave too little to hide the rest.
    """
    token_s = gpu_hours_per_trillion_tokens * SECONDS_PER_HOUR / TOKENS_PER_TRILLION
    left_s = token_s * (1 - overheads.bubble_share) - overheads.exposed_s
    right = "above what idling and exposed communication take alone"
    _must("gpu_hours_per_trillion_tokens", gpu_hours_per_trillion_tokens, left_s > 0 * left_s, right)
    _must_fit(left_s, overheads)
    return flop_per_token / (left_s * overheads.computing_share)


def elasticities(*, flop: float, flop_per_s: float, overheads: Overheads) -> dict[str, float]:
    """Return by how many per cent the time grows where a factor grows by one per cent: d log(time) / d log(factor)."""
    part = step_breakdown(flop=flop, flop_per_s=flop_per_s, overheads=overheads)
    busy_s = part["computation"] + part["exposed communication"]
    compute_share, taken = part["computation"] / busy_s, overheads.multiprocessors_for_communication
    return {
        "flop_per_s": -compute_share,
        "bubble_share": overheads.bubble_share / (1 - overheads.bubble_share),
        "communication_s": part["exposed communication"] / busy_s,
        "hidden_share": -overheads.communication_s * overheads.hidden_share / busy_s,
        "multiprocessors_for_communication": compute_share * taken / (overheads.multiprocessors - taken),
    }
