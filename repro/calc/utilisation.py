"""Every utilisation that the same run can be said to have, by what is counted and which peak is meant."""

from collections.abc import Mapping
from itertools import product

from repro.calc.rounding import within_place
from repro.calc.run_cost import mfu

Convention = tuple[str, str, str]  # way of counting FLOP, hours, peak


def utilisation_by_convention(
    flop_per_token: Mapping[str, float], tokens: float, gpu_hours: Mapping[str, float],
    peaks_flop_per_s: Mapping[str, float],
) -> dict[Convention, float]:  # fmt: skip
    """Return the share of a peak that a run kept up, for each way to count its FLOP and hours, and each peak."""
    return {
        (way, hours, peak): mfu(flop_per_token[way] * tokens, gpu_hours[hours], peaks_flop_per_s[peak])
        for way, hours, peak in product(flop_per_token, gpu_hours, peaks_flop_per_s)
    }


def conventions_that_print(shares: Mapping[Convention, float], printed: float, place: float) -> list[Convention]:
    """Return the conventions whose utilisation rounds to a printed share, whose last digit is worth `place`."""
    return [convention for convention, share in shares.items() if within_place(share, printed, place)]
