"""The time of a training step in closed form: arithmetic at a rate, what communication shows of itself, and idling."""

from dataclasses import dataclass
from typing import Any

from repro.calc.run_cost import (
    SECONDS_PER_HOUR,
    TOKENS_PER_TRILLION,
    gpu_hours_from_rate,
    hours,
    rate_from_gpu_hours,
    wall_days,
)
from repro.errors import InputError, printable

ROUNDING = 1e-9  # by what part communication may exceed the computation that hides it


@dataclass(frozen=True, kw_only=True)
class Overheads:
    """What a GPU does in a step beside its arithmetic. All are numbers, or arrays that broadcast.

    communication_s: seconds that its transfers between GPUs take, for the same work as the FLOP that it stands beside,
    a step's or a token's. hidden_share: of them that computation runs beside, from 0 to 1. bubble_share: of the whole
    step that it idles, from 0 to below 1. multiprocessors: of the GPU. multiprocessors_for_communication: of these that
    transfers take from computation, as if its rate fell in proportion; 0 where that is not to count.
    Raises: InputError for a share or a number out of these bounds.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2.1, 3.2.2 and 3.5.1.
    """

    communication_s: float
    hidden_share: float
    bubble_share: float
    multiprocessors: float
    multiprocessors_for_communication: float

    def __post_init__(self) -> None:
        """Raise InputError for a share or a number out of its bounds."""
        lasting, hidden, idle = self.communication_s, self.hidden_share, self.bubble_share
        taken, of = self.multiprocessors_for_communication, self.multiprocessors
        _must("communication_s", lasting, lasting >= 0 * lasting, "finite and at least 0")
        _must("hidden_share", hidden, (hidden >= 0) & (hidden <= 1), "from 0 to 1")
        _must("bubble_share", idle, (idle >= 0) & (idle < 1), "from 0 to below 1")
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


def _must_fit(computing_s: float, losses: Overheads) -> None:
    """Raise InputError where more communication is hidden than computation there is to hide it."""
    hidden = losses.communication_s * losses.hidden_share
    most, of = printable(str(computing_s)), printable(str(losses.communication_s))
    right = f"at most the {most} of computation over communication_s = {of}"
    _must("hidden_share", losses.hidden_share, hidden <= computing_s * (1 + ROUNDING), right)


def compute_time(*, flop: float, flop_per_s: float, losses: Overheads) -> float:
    """Return the time of the arithmetic on the multiprocessors that are left to it.

    Args: flop: FLOP of one GPU, or of one token. flop_per_s: what one GPU achieves with all multiprocessors.
    Returns: seconds, or GPU seconds per token.
    Raises: ZeroDivisionError at a rate of 0.
    """
    return flop / (flop_per_s * losses.computing_share)


def step_breakdown(*, flop: float, flop_per_s: float, losses: Overheads) -> dict[str, float]:
    """Return the parts of a step, which add up to it; the bubble keeps its share of the step, whatever else changes.

    Args: as for compute_s; communication belongs to the same work as the FLOP.
    Returns: seconds by part: "computation", "exposed communication", "bubble".
    Raises: InputError where more communication is hidden than there is computation to hide it.
    """
    computing = compute_time(flop=flop, flop_per_s=flop_per_s, losses=losses)
    _must_fit(computing, losses)
    busy = computing + losses.exposed_s
    return {
        "computation": computing,
        "exposed communication": losses.exposed_s,
        "bubble": busy * losses.bubble_share / (1 - losses.bubble_share),
    }


def step_time(*, flop: float, flop_per_s: float, losses: Overheads) -> float:
    """Return the time of a step, (computation + exposed communication) / (1 - bubble); arguments as for parts_s."""
    return sum(step_breakdown(flop=flop, flop_per_s=flop_per_s, losses=losses).values())


def gpu_hours_per_trillion_tokens(*, flop_per_token: float, flop_per_s: float, losses: Overheads) -> float:
    """Return the GPU hours that 1e12 tokens take.

    Args: flop_per_token: FLOP in training. flop_per_s: of one GPU, achieved. losses: of one token.
    """
    return rate_from_gpu_hours(hours(step_time(flop=flop_per_token, flop_per_s=flop_per_s, losses=losses)), 1)


def run_days(*, gpu_hours_per_trillion_tokens: float, tokens: float, gpus: int) -> float:
    """Return how long a cluster trains.

    Args: gpu_hours_per_trillion_tokens: GPU hours. tokens: of the run. gpus: all at work all the time.
    Returns: days.
    Raises: ZeroDivisionError at 0 GPUs.
    """
    return wall_days(gpu_hours_from_rate(gpu_hours_per_trillion_tokens, tokens), gpus)


def implied_flop_per_s(*, gpu_hours_per_trillion_tokens: float, flop_per_token: float, losses: Overheads) -> float:
    """Return the rate that must have been achieved for a run to take so many GPU hours.

    Solved, not fitted: (FLOP of a token) / (share of multiprocessors x (its time x (1 - bubble) - exposed)).
    Args: gpu_hours_per_trillion_tokens: reported. flop_per_token: FLOP in training. losses: of one token.
    Returns: FLOP/s of one GPU with all multiprocessors.
    Raises: InputError where idling and exposed communication alone take as long, or what is left hides too little.
    """
    token_s = gpu_hours_per_trillion_tokens * SECONDS_PER_HOUR / TOKENS_PER_TRILLION
    left = token_s * (1 - losses.bubble_share) - losses.exposed_s
    right = "above what idling and exposed communication take alone"
    _must("gpu_hours_per_trillion_tokens", gpu_hours_per_trillion_tokens, left > 0 * left, right)
    _must_fit(left, losses)
    return flop_per_token / (left * losses.computing_share)


def elasticities(*, flop: float, flop_per_s: float, losses: Overheads) -> dict[str, float]:
    """Return by how many per cent the time grows where a factor grows by one per cent, the others held.

    Args: as for parts_s. The derivative with respect to a factor is its elasticity times time over factor.
    Returns: d log(time) / d log(factor), by factor.
    """
    part = step_breakdown(flop=flop, flop_per_s=flop_per_s, losses=losses)
    busy = part["computation"] + part["exposed communication"]
    computing, taken = part["computation"] / busy, losses.multiprocessors_for_communication
    return {
        "flop_per_s": -computing,
        "bubble_share": losses.bubble_share / (1 - losses.bubble_share),
        "communication_s": part["exposed communication"] / busy,
        "hidden_share": -losses.communication_s * losses.hidden_share / busy,
        "multiprocessors_for_communication": computing * taken / (losses.multiprocessors - taken),
    }


def step_time_without(*, flop: float, flop_per_s: float, losses: Overheads) -> dict[str, float]:
    """Return the time left without each loss, as a share of the time with all of them.

    Args: as for parts_s.
    Returns: ratio up to 1, by what is taken away: "bubble", "exposed communication", "multiprocessors taken".
    """
    whole = step_time(flop=flop, flop_per_s=flop_per_s, losses=losses)
    computing = compute_time(flop=flop, flop_per_s=flop_per_s, losses=losses)
    busy = computing + losses.exposed_s
    return {
        "bubble": busy / whole,
        "exposed communication": computing / (1 - losses.bubble_share) / whole,
        "multiprocessors taken": (busy - computing * (1 - losses.computing_share)) / (1 - losses.bubble_share) / whole,
    }
