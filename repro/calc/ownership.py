"""What a GPU hour costs whoever owns the machine."""

HOURS_PER_YEAR = 8766  # 365.25 days


def ownership_usd_per_gpu_hour(
    capital_usd_per_gpu: float, *, lifetime_years: float, power_w_per_gpu: float, pue: float,
    electricity_usd_per_kwh: float, in_use: float,
) -> float:  # fmt: skip
    """Return capital written off in a straight line and electricity, per hour that the GPU works.

    Capital includes server and network. Power includes the GPU's share of the server and is drawn in the hours of work
    alone, `in_use` of all hours, in (0, 1]; `pue` is the building's power over the machines'. Staff, buildings and
    interest are left out.
    """
    capital = capital_usd_per_gpu / (lifetime_years * HOURS_PER_YEAR * in_use)
    return capital + power_w_per_gpu / 1000 * pue * electricity_usd_per_kwh


def payback_years(capital_usd_per_gpu: float, rent_usd_per_gpu_hour: float, *, in_use: float) -> float:
    """Return after how many years rent has paid for the machine, electricity not counted."""
    return capital_usd_per_gpu / (rent_usd_per_gpu_hour * HOURS_PER_YEAR * in_use)
