"""How far a result is from the exact one: several measures, since "relative error" names none of them."""

import numpy as np

from repro.arrays import Array


def error_measures(found: Array, exact: Array) -> dict[str, float]:
    """Return the error of an array by five definitions.

    Args: found: [...]. exact: [...], not all zero.
    Returns: the largest error over the largest element, over the root mean square of all, and over the element
        itself; the median of the latter; the root of the squared errors' sum over that of the squared elements'.
    """
    exact = np.asarray(exact, np.float64)
    error = np.abs(np.asarray(found, np.float64) - exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(error > 0, error / np.abs(exact), 0)
    return {
        "largest / largest element": float(error.max() / np.abs(exact).max()),
        "largest / RMS": float(error.max() / np.sqrt(np.mean(exact**2))),
        "largest of own": float(own.max()),
        "median of own": float(np.median(own)),
        "RMS / RMS": relative_error(found, exact),
    }


def relative_error(found: Array, exact: Array) -> float:
    """Return the root of the summed squares of errors over that of elements: [...] and [...], not all zero."""
    exact = np.asarray(exact, np.float64)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
