"""What expert parallelism sends: how many nodes and GPUs a token reaches, its bytes on each link, the busiest link."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, comb, sqrt
from statistics import NormalDist

import numpy as np

from repro.arrays import Array
from repro.calc import pipeline_bubbles
from repro.calc.memory import BF16_BYTES
from repro.errors import InputError
from repro.nano.balance import max_violation
from repro.nano.gate import Gate, select_experts
from repro.nano.ops import sigmoid, softmax
from repro.validate import check_integer, check_number

TOKENS_AT_ONCE = 1024  # so that their scores stay in a core's cache
LARGEST = 5  # of a deviation must be below it: sigmoids of larger logits round to 1 in 32 bits
Elementwise = Callable[[Array], Array]


@dataclass(frozen=True)
class Deployment:
    """One layer's routed experts in equal runs on the GPUs of equal nodes, and the gate that picks top_k of them.

    Raises: InputError for sizes that are none, or do not divide.
    """

    n_routed_experts: int
    top_k: int
    gate: Gate
    n_nodes: int
    gpus_per_node: int

    def __post_init__(self) -> None:
        """Raise InputError for sizes that are none, or do not divide."""
        for name in ("n_routed_experts", "top_k", "n_nodes", "gpus_per_node"):
            check_integer(name, getattr(self, name))
        if self.n_routed_experts % self.n_gpus:
            raise InputError(
                f"n_routed_experts = {self.n_routed_experts}: must be a multiple of the {self.n_gpus} GPUs"
            )
        self.gate.check(self.n_routed_experts, self.top_k)

    @property
    def n_gpus(self) -> int:
        """GPUs of all nodes."""
        return self.n_nodes * self.gpus_per_node

    @property
    def unlimited(self) -> "Deployment":
        """The same with all groups in every token's reach."""
        return replace(self, gate=replace(self.gate, topk_group=self.gate.n_group))


def route_tokens(on: Deployment, n_tokens: int, *, seed: int, skew: float, noise: float = 1.0) -> Array:
    """Return the experts that the gate picks for random tokens, [n_tokens, top_k].

    Args: on: experts and gate. n_tokens: at least 1. seed: of the random numbers. skew: standard deviation of what is
        added to an expert's logits for all tokens alike, 0 where experts are equally popular. noise: that of what is
        drawn for each token and expert.
    Raises: InputError for a number of tokens or a deviation that is none.
    """
    check_integer("n_tokens", n_tokens)
    check_number("skew", skew, below=LARGEST)
    check_number("noise", noise, above=0, below=LARGEST)
    rng, scoring = np.random.default_rng(seed), sigmoid if on.gate.scoring_func == "sigmoid" else softmax
    popularity = np.float32(skew) * rng.standard_normal(on.n_routed_experts, np.float32)
    found = np.empty((n_tokens, on.top_k), np.int64)
    for start in range(0, n_tokens, TOKENS_AT_ONCE):
        rows = found[start : start + TOKENS_AT_ONCE]
        logits = np.float32(noise) * rng.standard_normal((len(rows), on.n_routed_experts), np.float32) + popularity
        rows[:] = select_experts(scoring(logits), on.gate, on.top_k)
    return found


def units_reached(experts: Array, n_routed_experts: int, n_units: int) -> Array:
    """Return which of equal runs of experts each token has one in: [N, top_k] -> booleans [N, n_units]."""
    found = np.zeros((len(experts), n_units), bool)
    np.put_along_axis(found, experts // (n_routed_experts // n_units), True, axis=1)
    return found


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its standard error."""

    mean: float
    error: float


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of values from independent seeds; raises InputError for fewer than two."""
    if len(values) < 2:
        raise InputError(f"{len(values)} seeds: must be at least 2 for a standard error")
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1)) / sqrt(len(values)))


@dataclass(frozen=True)
class Reach:
    """Means of nodes, of GPUs, and of experts in a node reached; by_nodes: share of tokens by how many, from 0."""

    nodes: Estimate
    gpus: Estimate
    experts_per_node: float
    by_nodes: tuple[float, ...]


def measure_reach(on: Deployment, n_tokens: int, *, seeds: Sequence[int], skew: float, noise: float = 1.0) -> Reach:
    """Return how far tokens go, popularity drawn anew with each seed.

    Args: n_tokens: of each seed. seeds: at least two. on, skew, noise: as for picked.
    Raises: InputError as picked does, or for too few seeds.
    """
    nodes, gpus, shares = [], [], []
    for seed in seeds:
        experts = route_tokens(on, n_tokens, seed=seed, skew=skew, noise=noise)
        count = units_reached(experts, on.n_routed_experts, on.n_nodes).sum(axis=1)
        nodes.append(count.mean())
        gpus.append(units_reached(experts, on.n_routed_experts, on.n_gpus).sum(axis=1).mean())
        shares.append(np.bincount(count, minlength=on.n_nodes + 1) / n_tokens)
    to_nodes, by_nodes = estimate(nodes), tuple(np.mean(shares, axis=0).tolist())
    return Reach(to_nodes, estimate(gpus), on.top_k / to_nodes.mean, by_nodes)


def expected_reach(on: Deployment) -> tuple[float, float]:
    """Return the mean numbers of nodes and of GPUs that hold a token's experts, any top_k of them equally likely.

    Args: on: experts, nodes and GPUs; no group is out of reach here, whatever its gate says.
    """
    n, k = on.n_routed_experts, on.top_k
    nodes, gpus = (units * (1 - comb(n - n // units, k) / comb(n, k)) for units in (on.n_nodes, on.n_gpus))
    return nodes, gpus


def reach_law(on: Deployment) -> list[float]:
    """Return the probability of each number of groups reached, all orders of the scores equally likely.

    Where groups rank by their best score, a token whose best experts lie in no more groups than it may reach keeps
    them, and any other reaches as many as it may. By the sum of two, none reaches more than that, and some fewer.
    Returns: by number of groups, from 0 to topk_group.
    Raises: InputError where groups are limited and rank by more than one score: the law of one is a bound then.
    """
    gate, size = on.gate, on.n_routed_experts // on.gate.n_group
    if gate.topk_group < gate.n_group and gate.scores_per_group > 1:
        raise InputError(f"scores_per_group = {gate.scores_per_group}: must be 1 where groups are limited")

    def exactly(count: int) -> float:
        ways = sum((-1) ** out * comb(count, out) * comb((count - out) * size, on.top_k) for out in range(count + 1))
        return comb(gate.n_group, count) * ways / comb(on.n_routed_experts, on.top_k)

    law = [exactly(count) for count in range(gate.n_group + 1)]
    return [*law[: gate.topk_group], sum(law[gate.topk_group :])]


def reach_law_by_best_two(on: Deployment, *, quantile: Elementwise, cdf: Elementwise, cells: int = 60) -> list[float]:
    """Return the probability of each number of groups reached where they rank by the sum of their best two scores.

    Args: on: its scores are independent and alike. quantile: score below which a share lies. cdf: the share below a
        score. cells: along each axis of the integral, whose error falls with their square; it is taken with twice as
        many too, and extrapolated.
    Returns: as reach_law.
    Raises: InputError where another number of scores ranks a group, or nothing is limited.
    """
    gate = on.gate
    if gate.scores_per_group != 2 or gate.topk_group == gate.n_group:
        limit = f"topk_group = {gate.topk_group} below n_group = {gate.n_group}"
        raise InputError(f"scores_per_group = {gate.scores_per_group}: must be 2, and {limit}")
    check_integer("cells", cells)
    coarse, fine = (np.array(_integrated(on, quantile, cdf, n)) for n in (cells, 2 * cells))
    return ((4 * fine - coarse) / 3).tolist()


def sigmoid_of_normal(noise: float) -> tuple[Elementwise, Elementwise]:
    """Return quantile and distribution of a sigmoid gate's scores whose logits are normal with that deviation."""
    normal = NormalDist(0, noise)
    inverse, below = (np.vectorize(one, otypes=[float]) for one in (normal.inv_cdf, normal.cdf))

    def cdf(score: Array) -> Array:
        inside = np.clip(score, 1e-300, 1 - 1e-16)
        return np.where(score < 1, below(np.log(inside) - np.log1p(-inside)), 1)

    return lambda share: sigmoid(inverse(share)), cdf


def _integrated(on: Deployment, quantile: Elementwise, cdf: Elementwise, cells: int) -> list[float]:
    """Return the law from one grid, over what the best group out of reach sums to, s, and the k-th best score, t."""
    n_groups, limit, k = on.gate.n_group, on.gate.topk_group, on.top_k
    above, total = _groups_above(on.n_routed_experts // n_groups, k, quantile, cdf, cells)
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


def _groups_above(size: int, top_k: int, quantile: Elementwise, cdf: Elementwise, cells: int) -> tuple[Array, Array]:
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


def copy_bytes(d_model: int, *, group: int, scale_bytes: int) -> dict[str, int]:
    """Return the bytes of one copy of a token, "dispatch" in FP8 with a scale per group, "combine" in BF16.

    Args: d_model: elements. group: elements that share a scale, 128 in V3. scale_bytes: of one scale, 4 in FP32, 1 for
        a power of two kept as its exponent.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.2 and 3.3.3.
    """
    return {"dispatch": d_model + ceil(d_model / group) * scale_bytes, "combine": d_model * BF16_BYTES}


def copies_sent(
    on: Deployment, nodes: float, gpus: float, *, own_node_counted: bool, landing_counted: bool
) -> dict[str, float]:
    """Return how many copies of a token cross each kind of link: one to each node, and there one to each GPU.

    Between nodes a token goes to the GPU of its own number, from which others of that node get it over NVLink.
    Args: on: nodes and GPUs, on which tokens start evenly and whatever experts they need. nodes, gpus: that hold a
        token's experts, on average. own_node_counted: whether a copy to the token's own node counts, which no
        InfiniBand carries. landing_counted: whether one to the GPU where the token arrives does, which no NVLink does.
    Returns: copies per token over "infiniband" and "nvlink"; times bytes over bytes/s, a GPU's seconds for each of its
        tokens in one layer.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.2.
    """
    return {
        "infiniband": nodes if own_node_counted else nodes * (1 - 1 / on.n_nodes),
        "nvlink": gpus if landing_counted else gpus * (1 - 1 / on.gpus_per_node),
    }


def free_experts_per_node(
    on: Deployment, nvlink_bytes_per_s: float, infiniband_bytes_per_s: float, *, own_node_counted: bool,
    landing_counted: bool,
) -> float:  # fmt: skip
    """Return how many experts of a node a token reaches before NVLink takes longer than InfiniBand, each on its GPU.

    Args: on: nodes and GPUs. nvlink_bytes_per_s, infiniband_bytes_per_s: of one GPU in one direction. The rest: as for
        copies; the report's 3.2 counts both, and with as many nodes as GPUs in one it is the same without both.
    Raises: ZeroDivisionError where the second rate is 0, or no copy is left to NVLink.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.2.
    """
    sent = copies_sent(on, 1, 1, own_node_counted=own_node_counted, landing_counted=landing_counted)
    rates = pipeline_bubbles.experts_per_node(nvlink_bytes_per_s, infiniband_bytes_per_s)
    return rates * sent["infiniband"] / sent["nvlink"]


def link_loads(on: Deployment, experts: Array) -> dict[str, Array]:
    """Return how many copies each GPU's links carry in dispatch; combine swaps in and out.

    Args: experts: of tokens in the order of the GPUs that they start on, equally many on each, [N, top_k].
    Returns: "infiniband out", "infiniband in", "nvlink out" and "nvlink in", each [n_nodes, gpus_per_node].
    Raises: InputError where tokens cannot be shared out evenly.
    """
    if len(experts) % on.n_gpus:
        raise InputError(f"{len(experts)} tokens: must be a multiple of the {on.n_gpus} GPUs")
    start = on.n_nodes, on.gpus_per_node
    nodes, gpus = (
        units_reached(experts, on.n_routed_experts, n).reshape(*start, -1, n).sum(axis=2)
        for n in (on.n_nodes, on.n_gpus)
    )
    to_nodes = nodes * ~np.eye(on.n_nodes, dtype=bool)[:, None]  # [from node, from GPU, to node]
    landed = gpus.reshape(*start, *start).sum(axis=0) * ~np.eye(on.gpus_per_node, dtype=bool)[:, None]
    return {
        "infiniband out": to_nodes.sum(axis=2),
        "infiniband in": to_nodes.sum(axis=0).T,
        "nvlink out": landed.sum(axis=2).T,  # [landing GPU, node, to GPU]
        "nvlink in": landed.sum(axis=0),
    }


def busiest_link(
    on: Deployment, tokens_per_gpu: int, *, seeds: Sequence[int], skew: float, noise: float = 1.0
) -> dict[str, Estimate]:
    """Return the load of the busiest link of each kind over the mean, in one micro-batch of one layer.

    Args: on, seeds, skew, noise: as for reach. tokens_per_gpu: of the micro-batch.
    Returns: ratio from 1, by kind as in link_loads; 1 where no link of a kind carries anything.
    Raises: InputError as reach does.
    """
    check_integer("tokens_per_gpu", tokens_per_gpu)
    found: dict[str, list[float]] = {}
    for seed in seeds:
        experts = route_tokens(on, tokens_per_gpu * on.n_gpus, seed=seed, skew=skew, noise=noise)
        for kind, load in link_loads(on, experts).items():
            found.setdefault(kind, []).append(float(max_violation(load.reshape(-1))) + 1)
    return {kind: estimate(ratios) for kind, ratios in found.items()}
