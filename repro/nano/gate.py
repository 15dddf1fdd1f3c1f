"""The gate: which experts a token visits, and with what weights.

Each expert scores the token: V2 takes a softmax over all experts, V3 a sigmoid for each. The top_k best are chosen, and
their scores, in V3 divided by their sum, weigh the experts' outputs. V3 adds a bias per expert to the scores for the
selection alone, so that load can be balanced without touching the weights. Experts lie in groups, one per device (V2)
or node (V3), and a token may reach only the topk_group best groups: so it is sent to few devices or nodes.

Shapes: N tokens, E = n_routed_experts.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np

from repro.arrays import Array, BoolArray, IntArray
from repro.errors import InputError
from repro.nano.ops import Params, linear, linear_backward, sigmoid, softmax
from repro.validate import check_number

NORM_EPS = 1e-20  # added to the sum that weights are divided by, as in DeepSeek's own code


@dataclass(frozen=True)
class Gate:
    """How experts are scored, limited to groups, and weighted.

    Source: DeepSeek-V2 report (arXiv 2405.04434), sections 2.2.1, 2.2.2 and 2.2.4, without its share of sequences
        that are never dropped; DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2.
    """

    scoring_func: Literal["softmax", "sigmoid"] = "sigmoid"  #: over all experts (V2), or of each (V3)
    n_group: int = 1  #: groups of experts, each on one device or node
    topk_group: int = 1  #: groups that a token may reach
    scores_per_group: int = 2  #: how many of a group's best scores are summed to rank it: 1 in V2, 2 in V3
    norm_topk_prob: bool = True  #: divide the chosen experts' weights by their sum
    routed_scaling_factor: float = 1.0  #: multiplies the weights
    capacity_factor: float | None = None  #: tokens that a group accepts, in even shares; None drops nothing, as in V3

    def __post_init__(self) -> None:
        if self.capacity_factor is not None:
            check_number("capacity_factor", self.capacity_factor, above=0)
        if self.scoring_func not in ("softmax", "sigmoid"):
            raise InputError(f"scoring_func = {self.scoring_func!r}: must be softmax or sigmoid")
        if not 1 <= self.topk_group <= self.n_group:
            raise InputError(f"topk_group = {self.topk_group}: must be from 1 to n_group = {self.n_group}")

    def check(self, n_routed_experts: int, top_k: int) -> None:
        """Raise InputError unless groups and experts fit each other."""
        if n_routed_experts % self.n_group:
            raise InputError(f"n_routed_experts = {n_routed_experts}: must be a multiple of n_group = {self.n_group}")
        size = n_routed_experts // self.n_group
        if self.n_group > 1 and not 1 <= self.scores_per_group <= size:
            raise InputError(f"scores_per_group = {self.scores_per_group}: must be from 1 to {size}, a group's experts")
        if not 1 <= top_k <= size * self.topk_group:
            raise InputError(f"top_k = {top_k}: must be from 1 to the {size * self.topk_group} experts reached")


@dataclass(frozen=True)
class Routing:
    """What the gate decided for N tokens."""

    scores: Array  #: [N, E]
    experts: IntArray  #: [N, top_k], those chosen, in no order
    weights: Array  #: [N, top_k]
    kept: BoolArray | None = None  #: [N, top_k], pairs that are computed; None for all

    @property
    def load(self) -> IntArray:
        """Tokens that chose each expert, dropped ones included: [E]."""
        return np.bincount(self.experts.reshape(-1), minlength=self.scores.shape[1])


def select_experts(scores: Array, gate: Gate, top_k: int) -> IntArray:
    """Return the experts with the best scores in the best groups: [N, E], bias included -> [N, top_k], in no order.

    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.2.2; DeepSeek-V3 report (arXiv 2412.19437), equation 16
        and section 2.1.2, node-limited routing.
    """
    if gate.topk_group < gate.n_group:
        grouped = scores.reshape(len(scores), gate.n_group, -1)  # [N, n_group, E / n_group]
        best = np.partition(grouped, -gate.scores_per_group, axis=-1)[..., -gate.scores_per_group :]
        reached = topk_indices(best.sum(axis=-1), gate.topk_group)  # [N, topk_group]
        mask = np.full(grouped.shape[:2], -np.inf, scores.dtype)  # [N, n_group]
        np.put_along_axis(mask, reached, 0, axis=1)
        scores = (grouped + mask[..., None]).reshape(scores.shape)  # [N, E]
    return topk_indices(scores, top_k)


def topk_indices(values: Array, count: int) -> IntArray:
    """Return where the `count` largest of each row are, in no order: [N, E] -> [N, count]."""
    return np.argpartition(values, -count, axis=1)[:, -count:]


def route(x: Array, p: Params, gate: Gate, top_k: int) -> Routing:
    """Choose top_k experts for each token and weigh them.

    Args:
        x: [N, d_model].
        p: "weight", [E, d_model], and in V3 "e_score_correction_bias", [E], which has no gradient.
        gate: scoring, limit to groups, and weighting.
        top_k: experts per token.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 13 to 16.
    """
    logits = linear(x, p["weight"])  # [N, E]
    scores = sigmoid(logits) if gate.scoring_func == "sigmoid" else softmax(logits)  # [N, E]
    biased = scores + p["e_score_correction_bias"] if "e_score_correction_bias" in p else scores  # [N, E]
    experts = select_experts(biased, gate, top_k)  # [N, top_k]
    weights = np.take_along_axis(scores, experts, axis=1)  # [N, top_k], without bias
    if gate.norm_topk_prob:
        weights /= weights.sum(axis=1, keepdims=True) + NORM_EPS
    return drop_over_capacity(Routing(scores, experts, weights * gate.routed_scaling_factor), gate)


def drop_over_capacity(routing: Routing, gate: Gate) -> Routing:
    """Drop each group's pairs with the lowest weights beyond capacity_factor · N · top_k / n_group, if it is limited.

    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.2.4.
    """
    if gate.capacity_factor is None:
        return routing
    n_routed_experts = routing.scores.shape[1]
    group_of_pair = (routing.experts // (n_routed_experts // gate.n_group)).reshape(-1)  # [N · top_k]
    weights, kept = routing.weights.reshape(-1), np.ones(group_of_pair.size, bool)  # [N · top_k]
    budget = ceil(gate.capacity_factor * group_of_pair.size / gate.n_group)
    for group in range(gate.n_group):
        pairs = np.flatnonzero(group_of_pair == group)
        excess = max(len(pairs) - budget, 0)
        kept[pairs[np.argsort(weights[pairs], kind="stable")[:excess]]] = False
    kept = kept.reshape(routing.experts.shape)  # [N, top_k]
    return replace(routing, weights=np.where(kept, routing.weights, 0), kept=kept)


def route_backward(
    d_weights: Array, x: Array, p: Params, gate: Gate, routing: Routing, d_scores: Array | None = None
) -> tuple[Array, Params]:
    """Return the gradients of x, [N, d_model], and of the gate's weight; the choice itself has none.

    `d_weights`, [N, top_k], comes from the experts' outputs; `d_scores`, [N, E], from a balancing loss, if any.
    """
    s, chosen = routing.scores, np.take_along_axis(routing.scores, routing.experts, axis=1)  # [N, E], [N, top_k]
    d_chosen = d_weights * gate.routed_scaling_factor  # [N, top_k]
    if routing.kept is not None:
        d_chosen = np.where(routing.kept, d_chosen, 0)
    if gate.norm_topk_prob:
        total = chosen.sum(axis=1, keepdims=True) + NORM_EPS  # [N, 1]
        d_chosen = (d_chosen - np.sum(d_chosen * chosen, axis=1, keepdims=True) / total) / total
    d_s = np.zeros_like(s)  # [N, E]
    np.put_along_axis(d_s, routing.experts, d_chosen, axis=1)
    if d_scores is not None:
        d_s += d_scores
    d_logits = d_s * s  # [N, E]; sigmoid: d_s s (1 - s), softmax: s (d_s - sum of d_s s)
    if gate.scoring_func == "sigmoid":
        d_logits = d_logits * (1 - s)
    else:
        d_logits = d_logits - s * d_logits.sum(axis=1, keepdims=True)
    d_x, d_weight = linear_backward(d_logits, x, p["weight"])
    return d_x, {"weight": d_weight}
