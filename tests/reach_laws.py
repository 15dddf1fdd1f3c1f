"""How many groups tokens reach if groups rank by their best two scores, by integration: an oracle for the sampling."""

from math import comb
from statistics import NormalDist

import numpy as np

from repro.nano.ops import sigmoid


def reach_law_by_best_two(deployment, *, quantile, cdf, cells=60):
    """Return the probability of each number of groups reached, from 0, if scores are independent and distributed alike.

    Args:
        deployment: Groups of it are limited, and rank by two scores.
        quantile: Score below which a share of the scores lies.
        cdf: Share of the scores below a score.
        cells: Along each axis of the integral. Its error falls with their square, so it is taken with twice as many
            cells too and extrapolated.
    """
    assert deployment.gate.scores_per_group == 2
    assert deployment.gate.topk_group < deployment.gate.n_group
    coarse, fine = (np.array(_integrated(deployment, quantile, cdf, n)) for n in (cells, 2 * cells))
    return ((4 * fine - coarse) / 3).tolist()


def sigmoid_of_normal(noise):
    """Return quantile and distribution of a sigmoid gate's scores, their logits normal with deviation `noise`."""
    normal = NormalDist(0, noise)
    inverse, below = (np.vectorize(function, otypes=[float]) for function in (normal.inv_cdf, normal.cdf))

    def cdf(score):
        inside = np.clip(score, 1e-300, 1 - 1e-16)
        return np.where(score < 1, below(np.log(inside) - np.log1p(-inside)), 1)

    return lambda share: sigmoid(inverse(share)), cdf


def _integrated(deployment, quantile, cdf, cells):
    """Return the law from one grid, over what the best group out of reach sums to, s, and the k-th best score, t."""
    n_groups, limit, k = deployment.gate.n_group, deployment.gate.topk_group, deployment.top_k
    above, total = _groups_above(deployment.n_routed_experts // n_groups, k, quantile, cdf, cells)
    arrives = np.diff(total - np.cumsum(above, axis=0), axis=1)  # a group's m-th best, m from 1, in a cell of t
    above = (above[:, 1:] + above[:, :-1]) / 2
    others = np.diff((1 - total) ** (n_groups - limit))
    power, law = np.zeros_like(above), [0.0]  # power: of so many groups' scores above t, by how many they are
    power[0] = 1
    for count in range(1, limit + 1):
        ways = comb(n_groups, limit) * limit * comb(limit - 1, count - 1)
        hit = sum(arrives[m] * power[k - 1 - m] for m in range(k)) * above[0] ** (limit - count)
        law.append(ways * float(others @ (hit[:, 1:] + hit[:, :-1]).sum(axis=0)) / 2)
        power = np.stack([sum(above[m] * power[d - m] for m in range(1, d + 1)) + 0 * hit for d in range(k + 1)])
    return law


def _groups_above(size, top_k, quantile, cdf, cells):
    """Return how likely a group's best two exceed s, and m of its scores t: [top_k + 1, t, s]; whatever m, [s]."""
    edges = 1 - np.linspace(0, 1, cells + 1) ** 3  # of shares of the scores, close near 1, from there down
    v, t = (edges[1:] + edges[:-1]) / 2, edges[:, None]  # v: a group's second best
    density = size * (size - 1) * v ** (size - 2) * (edges[:-1] - edges[1:])
    sums = 2 * quantile(np.clip(edges[::-1, None], 1e-12, 1 - 1e-12))
    best = np.maximum(v, cdf(sums - quantile(v)))  # the least that it can be, [s, v]
    low, share = np.where(v < t, density, 0), np.where(v > t, 1 - t / v, 0)
    none = [np.sum(low * np.maximum(t - least, 0), axis=1) for least in best]
    one = [np.sum(low * (1 - np.maximum(t, least)), axis=1) for least in best]
    chances = [comb(size - 2, m) * share**m * (1 - share) ** max(size - 2 - m, 0) for m in range(top_k - 1)]
    more = [((density - low) * chance) @ (1 - best).T for chance in chances]
    return np.stack([np.stack(none, axis=1), np.stack(one, axis=1), *more]), (1 - best) @ density
