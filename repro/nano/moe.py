"""DeepSeekMoE: tokens sorted by expert, one matrix product for each expert's tokens, shared experts beside them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.arrays import Array
from repro.models.architecture import MixtureOfExperts
from repro.nano.gate import Gate, route, route_backward
from repro.nano.ops import (
    linear,
    linear_backward,
    mlp,
    mlp_backward,
    save_for_backward,
    swiglu,
    swiglu_and_sigmoid,
    swiglu_backward,
)


@dataclass(frozen=True)
class Dispatch:
    """Which rows go where: pairs of token and expert, sorted by expert.

    tokens: of each pair, [pairs]. slots: of each pair in the routing's flat [N · top_k]. ends: [E + 1], so that
    expert e has the pairs from ends[e] to ends[e + 1].
    """

    tokens: Array
    slots: Array
    ends: Array

    def pairs_of(self, expert: int) -> slice:
        """Return the pairs of one expert."""
        return slice(self.ends[expert], self.ends[expert + 1])


def dispatch(experts: Array, n_routed_experts: int, kept: Array | None = None) -> Dispatch:
    """Sort pairs of token and expert by expert, tokens in their order.

    Args: experts: [N, top_k]. n_routed_experts: E. kept: which pairs are sent, [N, top_k]; None for all of them.
    """
    flat = experts.reshape(-1)
    small = flat.astype(np.uint16) if n_routed_experts < 2**16 else flat  # sorted by radix
    slots = np.argsort(small, kind="stable")
    if kept is not None:
        slots = slots[kept.reshape(-1)[slots]]
        flat = flat[slots]
    ends = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=n_routed_experts))])
    return Dispatch(slots // experts.shape[1], slots, ends)


def moe(
    x: Array, p: dict, experts_config: MixtureOfExperts, gate: Gate, *, workers: int = 1, save: bool = True
) -> tuple[Array, tuple]:
    """Return the weighted sum of each token's experts, and the shared ones'.

    Args: x: [..., d_model]. p: "gate"; "experts" with "gate_up_proj" [E, 2 d_expert, d_model] and "down_proj"
        [E, d_model, d_expert]; "shared_experts", one feed-forward n_shared_experts times as wide, where there are any. experts_config: sizes.
        gate: how experts are chosen. workers: threads that share the experts; with more than one, BLAS should have one
        thread itself. save: whether what the experts' backward pass needs is kept.
    Returns: [..., d_model], and what the backward pass needs, the routing first.
    Source: DeepSeek-V3 report (arXiv 2412.19437), equation 12; DeepSeekMoE (arXiv 2401.06066), section 3.
    """
    rows = x.reshape(-1, x.shape[-1])
    routing = route(rows, p["gate"], gate, experts_config.top_k)
    sent = dispatch(routing.experts, experts_config.n_routed_experts, routing.kept)
    weights = routing.weights.reshape(-1)[sent.slots, None]  # [pairs, 1], sorted
    hidden: dict[int, Any] = {}
    gate_up, down = p["experts"]["gate_up_proj"], p["experts"]["down_proj"]

    def run(experts: Iterable[int]) -> Array:
        out = np.zeros_like(rows)
        for e in experts:
            pairs = sent.pairs_of(e)
            here = sent.tokens[pairs]
            both = linear(rows[here], gate_up[e])
            a = swiglu(both)
            a *= weights[pairs]
            out[here] += linear(a, down[e])  # no row is named twice: experts of a token differ
            if save:
                hidden[e] = save_for_backward(both, down)
        return out

    y = _sum_over_workers(run, sent, workers)
    saved_shared = None
    if "shared_experts" in p:
        shared, saved_shared = mlp(rows, p["shared_experts"])
        y += shared
    kept = save_for_backward(rows, gate_up) if save else None
    return y.reshape(x.shape), (routing, sent, rows, kept, hidden, saved_shared)


def moe_backward(
    d_y: Array, p: dict, gate: Gate, saved: tuple, *, workers: int = 1, d_scores: Array | None = None
) -> tuple[Array, dict]:
    """Return the gradient of x, [..., d_model], and those of the weights; experts without tokens have zeros.

    Args: d_y: [..., d_model]. p, gate, workers: as given to `moe`. saved: as it returned. d_scores: the gradient of a
        balancing loss with respect to the gate's scores, [N, E].
    """
    routing, sent, rows, kept, hidden, saved_shared = saved
    d_rows = d_y.reshape(rows.shape)
    weights = routing.weights.reshape(-1)[sent.slots, None]
    d_weights = np.zeros(routing.weights.size, rows.dtype)
    gate_up, down = p["experts"]["gate_up_proj"], p["experts"]["down_proj"]
    d_gate_up, d_down = np.zeros(gate_up.shape, rows.dtype), np.zeros(down.shape, rows.dtype)

    def run(experts: Iterable[int]) -> Array:
        d_x = np.zeros_like(rows)
        for e in experts:
            pairs = sent.pairs_of(e)
            here = sent.tokens[pairs]
            both = np.asarray(hidden[e], rows.dtype)
            a, s = swiglu_and_sigmoid(both)
            d_a, _ = linear_backward(d_rows[here], save_for_backward(a * weights[pairs], down), down[e], out=d_down[e])
            # d weight = d_out · (down a) = (downᵀ d_out) · a, so that the expert's output need not be kept.
            d_weights[sent.slots[pairs]] = np.einsum("nf,nf->n", d_a, a)
            d_a *= weights[pairs]
            d_here, _ = linear_backward(swiglu_backward(d_a, both, s), kept[here], gate_up[e], out=d_gate_up[e])
            d_x[here] += d_here
        return d_x

    d_x = _sum_over_workers(run, sent, workers)
    d_weights = d_weights.reshape(routing.weights.shape)
    d_gated, d_gate = route_backward(d_weights, rows, p["gate"], gate, routing, d_scores)
    d_x += d_gated
    gradients = {"gate": d_gate, "experts": {"gate_up_proj": d_gate_up, "down_proj": d_down}}
    if saved_shared is not None:
        d_shared, gradients["shared_experts"] = mlp_backward(d_rows, p["shared_experts"], saved_shared)
        d_x += d_shared
    return d_x.reshape(d_y.shape), gradients


def _sum_over_workers(run: Callable[[Iterable[int]], Array], sent: Dispatch, workers: int) -> Array:
    """Return the sum of what the workers return, each run over every so-many-th expert that has tokens."""
    busy = np.flatnonzero(np.diff(sent.ends))
    if workers == 1:
        return run(busy)
    with ThreadPoolExecutor(workers) as pool:  # each in the caller's context, so that np.errstate holds there too
        parts = [pool.submit(copy_context().run, run, busy[start::workers]) for start in range(workers)]
    first, *rest = (one.result() for one in parts)
    for one in rest:
        first += one
    return first
