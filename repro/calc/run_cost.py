"""From parameters and tokens to FLOP, from FLOP to GPU hours, and from GPU hours to days and dollars."""

SECONDS_PER_HOUR = 3600
HOURS_PER_DAY = 24
TOKENS_PER_TRILLION = 1e12


def train_flop_per_token(active_parameters: float, *, flop_per_parameter_per_token: float) -> float:
    """Return the training cost of one token, attention over the context left out.

    Args: active_parameters: those that a token passes through. flop_per_parameter_per_token: 6 for forward and
        backward, 2 for forward alone.
    Returns: FLOP per token.
    Source: Kaplan et al. (arXiv 2001.08361), section 2.1.
    """
    return flop_per_parameter_per_token * active_parameters


def train_flop(active_parameters: float, tokens: float, *, flop_per_parameter_per_token: float) -> float:
    """Return the training cost of a whole run.

    Args: active_parameters: those that a token passes through. tokens: seen in training, repeats counted.
        flop_per_parameter_per_token: 6 for forward and backward.
    Returns: FLOP.
    Source: Kaplan et al. (arXiv 2001.08361), section 2.1.
    """
    return tokens * train_flop_per_token(active_parameters, flop_per_parameter_per_token=flop_per_parameter_per_token)


def attention_flop_per_token(
    n_layers: int,
    n_heads: int,
    qk_head_dim: int,
    v_head_dim: int,
    sequence_length: int,
    *,
    causal: bool,
    flop_per_parameter_per_token: float,
) -> float:
    """Return the training cost of one token's attention over its context, which a rule per parameter leaves out.

    Args: n_layers, n_heads: of the model. qk_head_dim, v_head_dim: elements of one head's query and value.
        sequence_length: tokens. causal: whether a token attends to itself and those before it alone, on average
        (sequence_length + 1) / 2 of them. flop_per_parameter_per_token: 6 for forward and backward; a key or value
        element costs what a parameter does.
    Returns: FLOP per token.
    Source: Kaplan et al. (arXiv 2001.08361), equation 2.2, with the context averaged over a causal sequence.
    """
    context = (sequence_length + 1) / 2 if causal else sequence_length
    return flop_per_parameter_per_token * n_layers * n_heads * (qk_head_dim + v_head_dim) * context


def ideal_gpu_seconds(flop: float, peak_flop_per_s: float) -> float:
    """Return the time at the peak rate, every cycle used.

    Args: flop: FLOP of the run. peak_flop_per_s: FLOP/s of one GPU; name the precision and dense or sparse.
    Returns: GPU seconds.
    Raises: ZeroDivisionError at a rate of 0.
    """
    return flop / peak_flop_per_s


def hours(seconds: float) -> float:
    """Return seconds as hours."""
    return seconds / SECONDS_PER_HOUR


def gpu_hours_at(flop: float, peak_flop_per_s: float, *, utilisation: float) -> float:
    """Return the time at a share of the peak rate.

    Args: flop: FLOP of the run. peak_flop_per_s: FLOP/s of one GPU. utilisation: share of that peak, in (0, 1].
    Returns: GPU hours.
    Raises: ZeroDivisionError at a rate or utilisation of 0.
    """
    return hours(ideal_gpu_seconds(flop, peak_flop_per_s * utilisation))


def flop_per_gpu_second(flop: float, gpu_hours: float) -> float:
    """Return the rate that one GPU kept up over a run.

    Args: flop: FLOP of the run. gpu_hours: what it took.
    Returns: FLOP/s per GPU.
    Raises: ZeroDivisionError at 0 hours.
    """
    return flop / (gpu_hours * SECONDS_PER_HOUR)


def mfu(flop: float, gpu_hours: float, peak_flop_per_s: float) -> float:
    """Return the model FLOP utilisation: the rate kept up as a share of a peak.

    Args: flop: FLOP of the model, recomputation not counted. gpu_hours: of the run. peak_flop_per_s: of one GPU.
    Returns: share, 0 to 1.
    Raises: ZeroDivisionError at 0 hours or a rate of 0.
    Source: Chowdhery et al. (arXiv 2204.02311), section 4.1.
    """
    return flop_per_gpu_second(flop, gpu_hours) / peak_flop_per_s


def scaled_gpu_hours(reference_gpu_hours: float, flop: float, reference_flop: float) -> float:
    """Return another run's hours scaled by FLOP, as if each GPU kept up the same FLOP/s in both.

    Args: reference_gpu_hours: of the other run. flop, reference_flop: of this run and of the other.
    Returns: GPU hours.
    Raises: ZeroDivisionError where reference_flop is 0.
    """
    return reference_gpu_hours * flop / reference_flop


def gpu_hours_from_rate(gpu_hours_per_trillion_tokens: float, tokens: float) -> float:
    """Return the hours of a run from its rate.

    Args: gpu_hours_per_trillion_tokens: GPU hours for 1e12 tokens. tokens: of the run.
    Returns: GPU hours.
    """
    return gpu_hours_per_trillion_tokens * tokens / TOKENS_PER_TRILLION


def rate_from_gpu_hours(gpu_hours: float, tokens: float) -> float:
    """Return the rate of a run from its hours.

    Args: gpu_hours: of the run. tokens: of the run.
    Returns: GPU hours per trillion tokens.
    Raises: ZeroDivisionError at 0 tokens.
    """
    return gpu_hours / (tokens / TOKENS_PER_TRILLION)


def wall_days(gpu_hours: float, gpus: int) -> float:
    """Return how long a cluster is busy, all its GPUs at work all the time.

    Args: gpu_hours: of the run. gpus: in the cluster.
    Returns: days.
    Raises: ZeroDivisionError at 0 GPUs.
    """
    return gpu_hours / gpus / HOURS_PER_DAY


def rental_usd(gpu_hours: float, price_usd_per_gpu_hour: float) -> float:
    """Return what the hours cost at a rent.

    Args: gpu_hours: rented. price_usd_per_gpu_hour: USD.
    Returns: USD.
    """
    return gpu_hours * price_usd_per_gpu_hour


def rental_gpu_hours(usd: float, price_usd_per_gpu_hour: float) -> float:
    """Return the hours that a sum rents.

    Args: usd: the sum. price_usd_per_gpu_hour: USD.
    Returns: GPU hours.
    Raises: ZeroDivisionError at a rent of 0.
    """
    return usd / price_usd_per_gpu_hour


def implied_price_usd_per_gpu_hour(usd: float, gpu_hours: float) -> float:
    """Return the rent at which the hours cost a given sum.

    Args: usd: the sum. gpu_hours: rented.
    Returns: USD per GPU hour.
    Raises: ZeroDivisionError at 0 hours.
    """
    return usd / gpu_hours
