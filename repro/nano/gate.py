"""The gate: which experts a token passes, and with what weights; V2's softmax and V3's sigmoid, limited to groups."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.ops import linear, linear_backward, sigmoid, softmax
from repro.validate import check_number

NORM_EPS = 1e-20  # added to the sum that weights are divided by, as in DeepSeek's own code


@dataclass(frozen=True)
class Gate:
    """How experts are scored, limited to groups, and weighted.

    scoring_func: "softmax" over all experts (V2) or "sigmoid" of each (V3). n_group: of experts, each on a device or a
    node. topk_group: that a token may reach. scores_per_group: how many of its best scores rank a group, 1 in V2 and
    2 in V3. norm_topk_prob: whether weights are divided by their sum. routed_scaling_factor: that weights are multiplied by.
    capacity_factor: what a group takes of tokens, in even shares; pairs above it are dropped, those of the lowest
    weights first. None drops none, as V3 does.
    Raises: InputError where groups contradict, or a capacity is none.
    Source: DeepSeek-V2 report (arXiv 2405.04434), sections 2.2.1, 2.2.2 and 2.2.4, whose share of sequences that are
        never dropped is not built here; DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2.
    """

    scoring_func: Literal["softmax", "sigmoid"] = "sigmoid"
    n_group: int = 1
    topk_group: int = 1
    scores_per_group: int = 2
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 1.0
    capacity_factor: float | None = None

    def __post_init__(self) -> None:
        """Raise InputError for another scoring, more groups reached than there are, or no capacity."""
        if self.capacity_factor is not None:
            check_number("capacity_factor", self.capacity_factor, above=0)
        if self.scoring_func not in ("softmax", "sigmoid"):
            raise InputError(f"scoring_func = {self.scoring_func!r}: must be softmax or sigmoid")
        if not 1 <= self.topk_group <= self.n_group:
            raise InputError(f"topk_group = {self.topk_group}: must be from 1 to n_group = {self.n_group}")

    def check(self, n_routed_experts: int, top_k: int) -> None:
        """Raise InputError where groups and experts do not fit each other."""
        if n_routed_experts % self.n_group:
            raise InputError(f"n_routed_experts = {n_routed_experts}: must be a multiple of n_group = {self.n_group}")
        size = n_routed_experts // self.n_group
        if self.n_group > 1 and not 1 <= self.scores_per_group <= size:
            raise InputError(f"scores_per_group = {self.scores_per_group}: must be from 1 to the {size} of a group")
        if not 1 <= top_k <= size * self.topk_group:
            raise InputError(f"top_k = {top_k}: must be from 1 to the {size * self.topk_group} experts reached")


@dataclass(frozen=True)
class Routing:
    """What the gate decided for N tokens.

    scores: of all experts, [N, E]. experts: chosen, integers [N, top_k], in no order. weights: theirs, [N, top_k].
    kept: which of these pairs are computed, [N, top_k]; None for all of them.
    """

    scores: Array
    experts: Array
    weights: Array
    kept: Array | None = None

    @property
    def load(self) -> Array:
        """Tokens that choose each expert, dropped ones counted, [E]."""
        return np.bincount(self.experts.reshape(-1), minlength=self.scores.shape[1])


def select_experts(scores: Array, gate: Gate, top_k: int) -> Array:
    """Return the experts with the best scores in the best groups.

    Args: scores: [N, E], selection bias included. gate: its groups. top_k: experts per token.
    Returns: [N, top_k], in no order.
    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.2.2; DeepSeek-V3 report (arXiv 2412.19437), equation 16
        and section 2.1.2, node-limited routing.
    """
    if gate.topk_group < gate.n_group:
        grouped = scores.reshape(len(scores), gate.n_group, -1)
        best = np.partition(grouped, -gate.scores_per_group, axis=-1)[..., -gate.scores_per_group :]
        reached = topk_indices(best.sum(axis=-1), gate.topk_group)  # [N, topk_group]
        mask = np.full(grouped.shape[:2], -np.inf, scores.dtype)
        np.put_along_axis(mask, reached, 0, axis=1)
        scores = (grouped + mask[..., None]).reshape(scores.shape)
    return topk_indices(scores, top_k)


def topk_indices(values: Array, count: int) -> Array:
    """Return where the largest of each row are, [N, E] -> [N, count]."""
    return np.argpartition(values, -count, axis=1)[:, -count:]


def route(x: Array, p: dict[str, Array], gate: Gate, top_k: int) -> Routing:
    """Return experts and weights for each token.

    Args: x: [N, d_model]. p: "weight" [E, d_model], and "e_score_correction_bias" [E] where selection is biased, which the weights are
        not. gate: how. top_k: experts per token.
    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 13 to 16.
    """
    logits = linear(x, p["weight"])
    scores = sigmoid(logits) if gate.scoring_func == "sigmoid" else softmax(logits)
    experts = select_experts(
        scores + p["e_score_correction_bias"] if "e_score_correction_bias" in p else scores, gate, top_k
    )
    weights = np.take_along_axis(scores, experts, axis=1)
    if gate.norm_topk_prob:
        weights /= weights.sum(axis=1, keepdims=True) + NORM_EPS
    routing = Routing(scores, experts, weights * gate.routed_scaling_factor)
    return routing if gate.capacity_factor is None else drop_over_capacity(routing, gate)


def drop_over_capacity(routing: Routing, gate: Gate) -> Routing:
    """Return the routing without what each group cannot take, the pairs with the lowest weights.

    Args: routing: of N tokens. gate: with a capacity factor; a group's budget is that times N · top_k / n_group.
    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.2.4.
    """
    n_routed_experts = routing.scores.shape[1]
    group = (routing.experts // (n_routed_experts // gate.n_group)).reshape(-1)  # [N · top_k]
    weights, kept = routing.weights.reshape(-1), np.ones(group.size, bool)
    budget = ceil(gate.capacity_factor * group.size / gate.n_group)
    for one in range(gate.n_group):
        pairs = np.flatnonzero(group == one)
        over = len(pairs) - budget
        if over > 0:
            kept[pairs[np.argsort(weights[pairs], kind="stable")[:over]]] = False
    kept = kept.reshape(routing.experts.shape)
    return replace(routing, weights=np.where(kept, routing.weights, 0), kept=kept)


def route_backward(
    d_weights: Array, x: Array, p: dict[str, Array], gate: Gate, routing: Routing, d_scores: Array | None = None
) -> tuple[Array, dict[str, Array]]:
    """Return the gradient of x, [N, d_model], and that of the gate's weight; the choice itself has none.

    Args: d_weights: [N, top_k]. x, p, gate: as given to `route`. routing: as it returned. d_scores: of a balancing
        loss, [N, E].
    """
    s, chosen = routing.scores, np.take_along_axis(routing.scores, routing.experts, axis=1)
    d_chosen = d_weights * gate.routed_scaling_factor
    if routing.kept is not None:
        d_chosen = np.where(routing.kept, d_chosen, 0)
    if gate.norm_topk_prob:
        total = chosen.sum(axis=1, keepdims=True) + NORM_EPS
        d_chosen = (d_chosen - np.sum(d_chosen * chosen, axis=1, keepdims=True) / total) / total
    d_s = np.zeros_like(s)
    np.put_along_axis(d_s, routing.experts, d_chosen, axis=1)
    if d_scores is not None:
        d_s += d_scores
    d_logits = d_s * s  # of a softmax less the same share of all, of a sigmoid times what is left to 1
    d_logits = (
        d_logits * (1 - s) if gate.scoring_func == "sigmoid" else d_logits - s * d_logits.sum(axis=1, keepdims=True)
    )
    d_x, d_weight = linear_backward(d_logits, x, p["weight"])
    return d_x, {"weight": d_weight}
