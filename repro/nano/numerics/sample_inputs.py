"""Made-up matrices with the traits that small formats are sensitive to: their distribution, outliers, loud tokens."""

from collections.abc import Callable

import numpy as np

from repro.arrays import Array
from repro.errors import InputError

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], Array]] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "uniform": lambda rng, size: rng.random(size),  # from 0 to 1: sums grow with every product
    "lognormal": lambda rng, size: np.exp(rng.standard_normal(size)) * rng.choice([-1.0, 1.0], size),  # long tails
}


def draw_inputs(distribution: str, rows: int, columns: int, *, seed: int) -> Array:
    """Draw a random matrix, [rows, columns], from one of DISTRIBUTIONS."""
    if distribution not in DISTRIBUTIONS:
        raise InputError(f"distribution = {distribution!r}: must be one of: {', '.join(DISTRIBUTIONS)}")
    return DISTRIBUTIONS[distribution](np.random.default_rng(seed), (rows, columns))


def with_outlier_channels(x: Array, every: int, size: float) -> Array:
    """Set every `every`-th channel of activations, [tokens, channels], to ±size, keeping the signs."""
    with_outliers = x.copy()
    with_outliers[:, ::every] = size * np.where(x[:, ::every] < 0, -1, 1)
    return with_outliers


def with_loud_tokens(x: Array, spread: float, *, seed: int) -> Array:
    """Scale each token of gradients, [tokens, channels], by a random factor e^(spread · normal)."""
    return x * np.exp(spread * np.random.default_rng(seed).standard_normal((len(x), 1)))
