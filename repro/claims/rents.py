"""The rents at which audits price GPU hours, and where a printed cost lies among them.

A claim about dollars is tried at three rents: the one that DeepSeek's report assumes, one that a host asked for the
same GPU, and a list price. A printed cost holds at some rents, and a finding says which.
"""

from collections.abc import Mapping
from math import ceil, floor

from repro.calc import run_cost
from repro.claims.formatting import format_si, format_usd, join_or
from repro.claims.register import load_register
from repro.claims.verdict import values_that_hold

DEEPSEEKS_RENT = "the only rent that DeepSeek states, and the one behind V3's $5.576M"


def rents(price: float, market: float, list_price: float) -> dict[str, float]:
    """Return three rents in USD per GPU hour by name: DeepSeek's own, one host's for an H800, and a list price."""
    return {
        f"a rent of ${format_si(price)} per GPU hour": price,
        f"a market price of ${format_si(market)}": market,
        f"a list price of ${format_si(list_price)}": list_price,
    }


def costs(gpu_hours: float, rents: Mapping[str, float]) -> dict[str, float]:
    """Return what GPU hours cost at each of several rents, by the rent's name."""
    return {name: run_cost.rental_usd(gpu_hours, rent) for name, rent in rents.items()}


def in_words(costs: Mapping[str, float], digits: int = 3) -> str:
    """Return costs in one line, such as "$2.8M, $4.79M or $6.88M"."""
    return join_or(format_usd(cost, digits) for cost in costs.values())


def rents_in_words(rents: Mapping[str, float]) -> str:
    """Return rents in one line, such as "$2, $3.42 or $4.916 an hour"."""
    return f"{join_or(f'${format_si(rent)}' for rent in rents.values())} an hour"


def rents_that_print(claim_id: str, gpu_hours: float) -> tuple[float, float]:
    """Return the lowest and the highest rent, in USD per hour to the cent, at which a printed cost holds."""
    low, high = (100 * cost / gpu_hours for cost in values_that_hold(load_register().claim(claim_id).figure("cost")))
    return ceil(low) / 100, floor(high) / 100


def where_the_figure_lies(claim_id: str, gpu_hours: float, rents: Mapping[str, float]) -> str:
    """Return a sentence on the rents that a printed cost stands for, and where they lie among the rents assumed."""
    low, high = rents_that_print(claim_id, gpu_hours)
    printed = load_register().claim(claim_id).figure("cost").text
    inside = [f"${format_si(rent)}" for rent in rents.values() if low <= rent <= high]
    below, above = ([r for r in rents.values() if r < low], [r for r in rents.values() if r > high])
    if inside:
        place = f"{' and '.join(inside)} {'fits' if len(inside) == 1 else 'fit'}"
    elif below and above:
        place = f"it lies between ${format_si(max(below))} and ${format_si(min(above))}"
    else:
        place = f"it lies {'above' if below else 'below'} all three"
    return f"The printed {printed} needs a rent of ${format_si(low, 3)} to ${format_si(high, 3)} an hour: {place}."
