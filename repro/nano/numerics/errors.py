"""How far a result is from the exact one: several measures, since "relative error" names none of them."""

import numpy as np

from repro.arrays import Array


def error_measures(result: Array, exact: Array) -> dict[str, float]:
    """Return the error of a result, [...], by five definitions; `exact`, [...], must not be all zero."""
    exact = np.asarray(exact, np.float64)
    error = np.abs(np.asarray(result, np.float64) - exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_element = np.where(error > 0, error / np.abs(exact), 0)
    return {
        "largest / largest element": float(error.max() / np.abs(exact).max()),
        "largest / RMS": float(error.max() / np.sqrt(np.mean(exact**2))),
        "largest of own": float(per_element.max()),
        "median of own": float(np.median(per_element)),
        "RMS / RMS": relative_error(result, exact),
    }


def relative_error(result: Array, exact: Array) -> float:
    """Return the root of the summed squared errors over that of the exact elements."""
    exact = np.asarray(exact, np.float64)
    return float(np.linalg.norm(result - exact) / np.linalg.norm(exact))
