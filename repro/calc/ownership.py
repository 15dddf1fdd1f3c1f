"""What a GPU hour costs whoever owns the machine."""

HOURS_PER_YEAR = 8766  # 365.25 days


def ownership_usd_per_gpu_hour(
    capital_usd_per_gpu: float, *, lifetime_years: float, power_w_per_gpu: float, pue: float,
    electricity_usd_per_kwh: float, in_use: float,
) -> float:  # fmt: skip
    """Return capital and electricity per hour that the GPU works; staff, buildings and interest are left out.

    Args:
        capital_usd_per_gpu: server and network included.
        lifetime_years: over which capital is written off in a straight line.
        power_w_per_gpu: with the GPU's share of the server; drawn in the hours of work alone.
        pue: the building's power over the machines'.
        electricity_usd_per_kwh: price of electricity.
        in_use: share of all hours that the GPU works, in (0, 1].
    """
    capital = capital_usd_per_gpu / (lifetime_years * HOURS_PER_YEAR * in_use)
    return capital + power_w_per_gpu / 1000 * pue * electricity_usd_per_kwh


def payback_years(capital_usd_per_gpu: float, rent_usd_per_gpu_hour: float, *, in_use: float) -> float:
    """Return after how many years rent has paid for the machine, electricity not counted."""
    return capital_usd_per_gpu / (rent_usd_per_gpu_hour * HOURS_PER_YEAR * in_use)
