"""Every utilisation that the same run can be said to have, by what is counted and which peak is meant."""

from collections.abc import Mapping
from itertools import product

from repro.calc.rounding import within_place
from repro.calc.run_cost import mfu

Convention = tuple[str, str, str]


def utilisation_by_convention(
    flop_per_token: Mapping[str, float],
    tokens: float,
    gpu_hours: Mapping[str, float],
    peaks_flop_per_s: Mapping[str, float],
) -> dict[Convention, float]:
    """Return the share of a peak that a run kept up, for each way to count its FLOP, its hours and the peak.

    Args: flop_per_token: FLOP by way of counting. tokens: of the run. gpu_hours: by what is counted. peaks_flop_per_s:
        of one GPU by name.
    Returns: share by (way, hours, peak).
    Raises: ZeroDivisionError at 0 hours or a rate of 0.
    """
    return {
        (way, hours, peak): mfu(flop_per_token[way] * tokens, gpu_hours[hours], peaks_flop_per_s[peak])
        for way, hours, peak in product(flop_per_token, gpu_hours, peaks_flop_per_s)
    }


def conventions_that_print(found: Mapping[Convention, float], printed: float, place: float) -> list[Convention]:
    """Return the conventions whose utilisation rounds to a printed figure.

    Args: found: share by convention. printed: share. place: worth of its last digit.
    """
    return [convention for convention, share in found.items() if within_place(share, printed, place)]
