"""All-to-all between experts: how many nodes and GPUs a token reaches, what that sends, and the busiest link.

Experts are spread over nodes; dispatch sends each token to those of its experts, combine sends the results back. Each
other node that a token reaches costs a copy over InfiniBand, to the GPU of the token's own number there, from which it
goes on over NVLink. DeepSeek-V3 limits a token to 4 of 8 nodes: the gate ranks nodes (its groups) by the sum of their
two best scores, so the reach is sampled with the real gate. Closed forms exist without a limit, and where groups rank
by one score, as in V2. Links are loaded unevenly, and the busiest decides how long a transfer takes.

Each link moves its bytes at its full rate, with no contention for it and no barrier before or after, so these times
are lower bounds: in DeepSeek's own trace of training the transfers of a token take 1.6 times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, comb

import numpy as np

from repro.arrays import BoolArray, IntArray
from repro.calc.memory import BF16_BYTES
from repro.errors import InputError
from repro.nano.balance import max_violation
from repro.nano.gate import Gate, select_experts
from repro.nano.ops import sigmoid, softmax
from repro.spread import Interval, standard_error
from repro.validate import check_integer, check_number

TOKENS_AT_ONCE = 1024  # so that their scores stay in a core's cache
LARGEST = 5  # deviations stay below it: sigmoids of larger logits round to 1 in 32 bits


@dataclass(frozen=True)
class Deployment:
    """One layer's routed experts, spread evenly over equal nodes, and the gate that selects top_k of them."""

    n_routed_experts: int
    top_k: int
    gate: Gate
    n_nodes: int
    gpus_per_node: int

    def __post_init__(self) -> None:
        for name in ("n_routed_experts", "top_k", "n_nodes", "gpus_per_node"):
            check_integer(name, getattr(self, name))
        if (experts := self.n_routed_experts) % self.n_gpus:
            raise InputError(f"n_routed_experts = {experts}: must be a multiple of the {self.n_gpus} GPUs")
        self.gate.check(experts, self.top_k)

    @property
    def n_gpus(self) -> int:
        """GPUs of all nodes."""
        return self.n_nodes * self.gpus_per_node

    @property
    def unlimited(self) -> "Deployment":
        """The same deployment with every group within a token's reach."""
        return replace(self, gate=replace(self.gate, topk_group=self.gate.n_group))


def route_tokens(deployment: Deployment, n_tokens: int, *, seed: int, skew: float, noise: float = 1.0) -> IntArray:
    """Return the experts that the gate selects for random tokens, [n_tokens, top_k].

    Logits are normal: a token's own part of deviation `noise`, plus an expert's popularity of deviation `skew`.
    """
    check_integer("n_tokens", n_tokens)
    check_number("skew", skew, below=LARGEST)
    check_number("noise", noise, above=0, below=LARGEST)
    n_routed_experts, gate = deployment.n_routed_experts, deployment.gate
    rng, scoring = np.random.default_rng(seed), sigmoid if gate.scoring_func == "sigmoid" else softmax
    popularity = np.float32(skew) * rng.standard_normal(n_routed_experts, np.float32)  # [E]
    experts = np.empty((n_tokens, deployment.top_k), np.int64)
    for start in range(0, n_tokens, TOKENS_AT_ONCE):
        rows = experts[start : start + TOKENS_AT_ONCE]
        logits = np.float32(noise) * rng.standard_normal((len(rows), n_routed_experts), np.float32) + popularity
        rows[:] = select_experts(scoring(logits), gate, deployment.top_k)
    return experts


def units_reached(experts: IntArray, n_routed_experts: int, n_units: int) -> BoolArray:
    """Return which of n_units nodes, GPUs or groups hold an expert of each token: [N, top_k] -> [N, n_units]."""
    reached = np.zeros((len(experts), n_units), bool)
    np.put_along_axis(reached, experts // (n_routed_experts // n_units), True, axis=1)
    return reached


@dataclass(frozen=True)
class Reach:
    """How far a token goes on average, with standard errors over seeds."""

    nodes: Interval
    gpus: Interval
    experts_per_node: float
    by_nodes: tuple[float, ...]  #: share of tokens by the number of nodes reached, from 0


def measure_reach(
    deployment: Deployment, n_tokens: int, *, seeds: Sequence[int], skew: float, noise: float = 1.0
) -> Reach:
    """Sample how far tokens go, for at least two seeds, each with n_tokens and a popularity of its own."""
    nodes, gpus, shares = [], [], []
    for seed in seeds:
        experts = route_tokens(deployment, n_tokens, seed=seed, skew=skew, noise=noise)
        n_reached = units_reached(experts, deployment.n_routed_experts, deployment.n_nodes).sum(axis=1)  # [N]
        nodes.append(n_reached.mean())
        gpus.append(units_reached(experts, deployment.n_routed_experts, deployment.n_gpus).sum(axis=1).mean())
        shares.append(np.bincount(n_reached, minlength=deployment.n_nodes + 1) / n_tokens)  # [n_nodes + 1]
    mean_nodes, by_nodes = standard_error(nodes), tuple(np.mean(shares, axis=0).tolist())
    return Reach(mean_nodes, standard_error(gpus), deployment.top_k / mean_nodes.mean, by_nodes)


def expected_reach(deployment: Deployment) -> tuple[float, float]:
    """Return the mean numbers of nodes and of GPUs that a token reaches if any top_k experts are equally likely."""
    n, k, units = deployment.n_routed_experts, deployment.top_k, (deployment.n_nodes, deployment.n_gpus)
    nodes, gpus = (n_units * (1 - comb(n - n // n_units, k) / comb(n, k)) for n_units in units)
    return nodes, gpus


def reach_law(deployment: Deployment) -> list[float]:
    """Return the probability of each number of groups reached, 0 to topk_group, if orders of scores are equally likely.

    If groups rank by their best score, a token whose best experts lie in few enough groups keeps them, and any other
    token reaches topk_group groups. Ranked by two scores, some reach fewer, so that the law is only a bound.
    """
    gate, k = deployment.gate, deployment.top_k
    size = deployment.n_routed_experts // gate.n_group
    if gate.topk_group < gate.n_group and gate.scores_per_group > 1:
        raise InputError(f"scores_per_group = {gate.scores_per_group}: must be 1 if groups are limited")

    def exactly(count: int) -> float:
        sets = sum((-1) ** out * comb(count, out) * comb((count - out) * size, k) for out in range(count + 1))
        return comb(gate.n_group, count) * sets / comb(deployment.n_routed_experts, k)

    law = [exactly(count) for count in range(gate.n_group + 1)]
    return [*law[: gate.topk_group], sum(law[gate.topk_group :])]


def copy_bytes(d_model: int, *, group: int, scale_bytes: int) -> dict[str, int]:
    """Return the bytes of one copy of a token, "dispatch" in FP8 with a scale per group, "combine" in BF16.

    Args:
        d_model: elements of a token.
        group: elements that share a scale, 128 in V3.
        scale_bytes: 4 in FP32, 1 for a power of two of which the exponent is kept.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.3.2 and 3.3.3.
    """
    return {"dispatch": d_model + ceil(d_model / group) * scale_bytes, "combine": d_model * BF16_BYTES}


def copies_sent(
    deployment: Deployment, nodes: float, gpus: float, *, own_node_counted: bool, landing_counted: bool
) -> dict[str, float]:
    """Return how many copies of a token cross "infiniband" and "nvlink" on the way to its experts.

    Copies times bytes over a link's bytes/s are the seconds that a GPU spends on each token in one layer.

    Args:
        deployment: over whose nodes tokens start evenly.
        nodes: mean number of nodes with experts of the token.
        gpus: mean number of GPUs with experts of the token.
        own_node_counted: include the copy to the token's own node, which crosses no InfiniBand.
        landing_counted: include the copy to the GPU where it arrives, which takes no NVLink.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.2.
    """
    return {
        "infiniband": nodes if own_node_counted else nodes * (1 - 1 / deployment.n_nodes),
        "nvlink": gpus if landing_counted else gpus * (1 - 1 / deployment.gpus_per_node),
    }


def free_experts_per_node(
    deployment: Deployment, nvlink_bytes_per_s: float, infiniband_bytes_per_s: float, *, own_node_counted: bool,
    landing_counted: bool,
) -> float:  # fmt: skip
    """Return how many experts per node a token reaches before NVLink takes longer than InfiniBand, each on its own GPU.

    Rates are of one GPU in one direction. The report's 3.2 counts all copies; leaving out those that cross no link
    changes nothing if there are as many nodes as GPUs per node.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.2.
    """
    sent = copies_sent(deployment, 1, 1, own_node_counted=own_node_counted, landing_counted=landing_counted)
    return nvlink_bytes_per_s / infiniband_bytes_per_s * sent["infiniband"] / sent["nvlink"]


def link_loads(deployment: Deployment, experts: IntArray) -> dict[str, IntArray]:
    """Return how many copies each GPU's links carry in dispatch, by kind, [n_nodes, gpus_per_node].

    Tokens, [N, top_k], start equally many on each GPU, in the order of the GPUs. In combine, in and out change places.
    """
    if len(experts) % deployment.n_gpus:
        raise InputError(f"{len(experts)} tokens: must be a multiple of the {deployment.n_gpus} GPUs")
    n_nodes, gpus_per_node = deployment.n_nodes, deployment.gpus_per_node
    nodes, gpus = (  # [from node, from GPU, to node], [from node, from GPU, to GPU]
        units_reached(experts, deployment.n_routed_experts, n).reshape(n_nodes, gpus_per_node, -1, n).sum(axis=2)
        for n in (n_nodes, deployment.n_gpus)
    )
    to_nodes = nodes * ~np.eye(n_nodes, dtype=bool)[:, None]  # [from node, from GPU, to node]
    landed = gpus.reshape(n_nodes, gpus_per_node, n_nodes, gpus_per_node).sum(axis=0)  # [landing GPU, node, to GPU]
    landed *= ~np.eye(gpus_per_node, dtype=bool)[:, None]  # [landing GPU, node, to GPU]
    return {
        "infiniband out": to_nodes.sum(axis=2),
        "infiniband in": to_nodes.sum(axis=0).T,
        "nvlink out": landed.sum(axis=2).T,
        "nvlink in": landed.sum(axis=0),
    }


def busiest_link(
    deployment: Deployment, tokens_per_gpu: int, *, seeds: Sequence[int], skew: float, noise: float = 1.0
) -> dict[str, Interval]:
    """Return the busiest link's load over the mean in a micro-batch, by kind as in link_loads, from two seeds up."""
    check_integer("tokens_per_gpu", tokens_per_gpu)
    ratios: dict[str, list[float]] = {}
    for seed in seeds:
        experts = route_tokens(deployment, tokens_per_gpu * deployment.n_gpus, seed=seed, skew=skew, noise=noise)
        for kind, load in link_loads(deployment, experts).items():
            ratios.setdefault(kind, []).append(float(max_violation(load.reshape(-1))) + 1)
    return {kind: standard_error(values) for kind, values in ratios.items()}
