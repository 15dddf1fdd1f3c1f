"""From parameters and tokens to FLOP, from FLOP to GPU hours, and from GPU hours to days and dollars."""

SECONDS_PER_HOUR = 3600
HOURS_PER_DAY = 24
TOKENS_PER_TRILLION = 1e12


def train_flop_per_token(active_parameters: float, *, flop_per_parameter_per_token: float) -> float:
    """Return the training cost of one token: 6 FLOP per parameter for forward and backward, attention left out.

    Source: Kaplan et al. (arXiv 2001.08361), section 2.1.
    """
    return flop_per_parameter_per_token * active_parameters


def train_flop(active_parameters: float, tokens: float, *, flop_per_parameter_per_token: float) -> float:
    """Return the training cost of a whole run by the same rule; tokens count as often as they are seen."""
    return tokens * train_flop_per_token(active_parameters, flop_per_parameter_per_token=flop_per_parameter_per_token)


def ideal_gpu_seconds(flop: float, peak_flop_per_s: float) -> float:
    """Return the GPU seconds at the peak rate of one GPU; name its precision and whether it is dense or sparse."""
    return flop / peak_flop_per_s


def gpu_hours_at(flop: float, peak_flop_per_s: float, *, utilisation: float) -> float:
    """Return the GPU hours at a share of one GPU's peak rate, in (0, 1]."""
    return ideal_gpu_seconds(flop, peak_flop_per_s * utilisation) / SECONDS_PER_HOUR


def flop_per_gpu_second(flop: float, gpu_hours: float) -> float:
    """Return the FLOP/s that one GPU kept up over a run."""
    return flop / (gpu_hours * SECONDS_PER_HOUR)


def mfu(flop: float, gpu_hours: float, peak_flop_per_s: float) -> float:
    """Return the model FLOP utilisation: the rate kept up as a share of a peak.

    Args:
        flop: of the model over the whole run; recomputation is no FLOP of the model.
        gpu_hours: of the run, over all GPUs.
        peak_flop_per_s: of one GPU, for one precision, dense or sparse.

    Source: Chowdhery et al. (arXiv 2204.02311), section 4.1.
    """
    return flop_per_gpu_second(flop, gpu_hours) / peak_flop_per_s


def scaled_gpu_hours(reference_gpu_hours: float, flop: float, reference_flop: float) -> float:
    """Return a run's hours from another run's, as if each GPU kept up the same FLOP/s in both."""
    return reference_gpu_hours * flop / reference_flop


def gpu_hours_from_rate(gpu_hours_per_trillion_tokens: float, tokens: float) -> float:
    """Return the GPU hours of a run from its rate."""
    return gpu_hours_per_trillion_tokens * tokens / TOKENS_PER_TRILLION


def rate_from_gpu_hours(gpu_hours: float, tokens: float) -> float:
    """Return the rate of a run from its hours, in GPU hours per trillion tokens."""
    return gpu_hours / (tokens / TOKENS_PER_TRILLION)


def wall_days(gpu_hours: float, gpus: int) -> float:
    """Return the days that a cluster is busy, all its GPUs at work all the time."""
    return gpu_hours / gpus / HOURS_PER_DAY


def rental_usd(gpu_hours: float, price_usd_per_gpu_hour: float) -> float:
    """Return what the hours cost at a rent."""
    return gpu_hours * price_usd_per_gpu_hour
