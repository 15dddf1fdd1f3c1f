"""DeepSeekMoE: many small routed experts of which each token visits top_k, and shared ones that every token visits.

Pairs of token and expert are sorted by expert, so that each expert multiplies all its tokens in one product instead of
token by token; its outputs are weighted and added back to the tokens' rows. Going back, the same pairs carry gradients.
Weights multiply an expert's hidden activations, not its output: down_proj is linear, so the result is the same, and the
output need not be stored for the backward pass.

Shapes: N tokens, E = n_routed_experts, P pairs of token and expert, n pairs of one expert.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from repro.arrays import Array, BoolArray, IntArray
from repro.models.architecture import MixtureOfExperts
from repro.nano import ops
from repro.nano.gate import Gate, Routing, route, route_backward
from repro.nano.ops import MlpSaved, Params


@dataclass(frozen=True)
class Dispatch:
    """Pairs of token and expert, sorted by expert: expert e has those from offsets[e] to offsets[e + 1]."""

    tokens: IntArray  #: [P], each pair's row
    slots: IntArray  #: [P], each pair's place in the routing's flat [N · top_k]
    offsets: IntArray  #: [E + 1]

    def pairs_of(self, expert: int) -> slice:
        """Return where one expert's pairs are."""
        return slice(self.offsets[expert], self.offsets[expert + 1])


def dispatch(experts: IntArray, n_routed_experts: int, kept: BoolArray | None = None) -> Dispatch:
    """Sort the pairs of experts, [N, top_k], by expert, then by token, without those not `kept` ([N, top_k])."""
    flat = experts.reshape(-1)  # [N · top_k]
    narrow = flat.astype(np.uint16) if n_routed_experts < 2**16 else flat  # which numpy sorts by radix
    slots = np.argsort(narrow, kind="stable")
    if kept is not None:
        slots = slots[kept.reshape(-1)[slots]]  # [P]
        flat = flat[slots]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=n_routed_experts))])  # [E + 1]
    return Dispatch(slots // experts.shape[1], slots, offsets)


class MoeSaved(NamedTuple):
    """What `moe` saves; x and gate_up are empty where no backward pass follows."""

    routing: Routing
    dispatch: Dispatch
    rows: Array  #: [N, d_model], for the gate
    x: Any  #: [N, d_model], in the number format of the experts' weights
    gate_up: dict[int, Any]  #: by expert: [n, 2 d_expert]
    shared: MlpSaved | None


def moe(
    x: Array, p: Params, experts_config: MixtureOfExperts, gate: Gate, *, workers: int = 1, save: bool = True
) -> tuple[Array, MoeSaved]:
    """Return the weighted sum of each token's experts, plus the shared ones: [..., d_model] -> [..., d_model].

    Args:
        x: [..., d_model].
        p: "gate", "experts", stacked to [E, 2 d_expert, d_model] and [E, d_model, d_expert], and "shared_experts" if
            there are any: one MLP, n_shared_experts times as wide.
        experts_config: numbers and widths of the experts.
        gate: how experts are chosen and weighed.
        workers: threads that share the experts; with more than one, BLAS itself should run on one thread.
        save: False keeps nothing, so that there can be no backward pass.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equation 12; DeepSeekMoE (arXiv 2401.06066), section 3.
    """
    rows = x.reshape(-1, x.shape[-1])  # [N, d_model]
    routing = route(rows, p["gate"], gate, experts_config.top_k)
    by_expert = dispatch(routing.experts, experts_config.n_routed_experts, routing.kept)
    weights = routing.weights.reshape(-1)[by_expert.slots, None]  # [P, 1], sorted by expert
    saved_gate_up: dict[int, Any] = {}
    gate_up_proj, down_proj = p["experts"]["gate_up_proj"], p["experts"]["down_proj"]

    def run(experts: Iterable[int]) -> Array:
        out = np.zeros_like(rows)  # [N, d_model]
        for expert in experts:
            pairs = by_expert.pairs_of(expert)
            tokens = by_expert.tokens[pairs]  # [n], all different: a token chooses an expert once
            gate_up = ops.linear(rows[tokens], gate_up_proj[expert])  # [n, 2 d_expert]
            a = ops.swiglu(gate_up)  # [n, d_expert]
            a *= weights[pairs]
            out[tokens] += ops.linear(a, down_proj[expert])  # [n, d_model]
            if save:
                saved_gate_up[expert] = ops.save_for_backward(gate_up, down_proj)
        return out

    y, shared = _sum_over_workers(run, by_expert, workers), None
    if "shared_experts" in p:
        y_shared, shared = ops.mlp(rows, p["shared_experts"])
        y += y_shared
    saved_x = ops.save_for_backward(rows, gate_up_proj) if save else None
    return y.reshape(x.shape), MoeSaved(routing, by_expert, rows, saved_x, saved_gate_up, shared)


def moe_backward(
    d_y: Array, p: Params, gate: Gate, saved: MoeSaved, *, workers: int = 1, d_scores: Array | None = None
) -> tuple[Array, Params]:
    """Return the gradients of x, [..., d_model], and of the weights, which are zero for experts without tokens.

    `d_scores`, [N, E], is the gradient of a balancing loss with respect to the gate's scores, if there is one.
    """
    routing, by_expert, rows, x, saved_gate_up, shared = saved
    d_rows = d_y.reshape(rows.shape)  # [N, d_model]
    weights = routing.weights.reshape(-1)[by_expert.slots, None]  # [P, 1]
    d_weights = np.zeros(routing.weights.size, rows.dtype)  # [N · top_k]
    gate_up_proj, down_proj = p["experts"]["gate_up_proj"], p["experts"]["down_proj"]
    d_gate_up_proj = np.zeros(gate_up_proj.shape, rows.dtype)  # [E, 2 d_expert, d_model]
    d_down_proj = np.zeros(down_proj.shape, rows.dtype)  # [E, d_model, d_expert]

    def run(experts: Iterable[int]) -> Array:
        d_x = np.zeros_like(rows)  # [N, d_model]
        for expert in experts:
            pairs = by_expert.pairs_of(expert)
            tokens, down = by_expert.tokens[pairs], down_proj[expert]  # [n], [d_model, d_expert]
            gate_up = np.asarray(saved_gate_up[expert], rows.dtype)  # [n, 2 d_expert]
            a, s = ops.swiglu_and_sigmoid(gate_up)  # [n, d_expert]
            saved_a = ops.save_for_backward(a * weights[pairs], down_proj)
            d_a, _ = ops.linear_backward(d_rows[tokens], saved_a, down, out=d_down_proj[expert])  # [n, d_expert]
            # d weight = d_out · (down a) = (downᵀ d_out) · a, so the expert's output need not be kept.
            d_weights[by_expert.slots[pairs]] = np.einsum("nf,nf->n", d_a, a)
            d_a *= weights[pairs]
            d_gate_up = ops.swiglu_backward(d_a, gate_up, s)  # [n, 2 d_expert]
            up, d_up = gate_up_proj[expert], d_gate_up_proj[expert]  # [2 d_expert, d_model]
            d_x[tokens] += ops.linear_backward(d_gate_up, x[tokens], up, out=d_up)[0]
        return d_x

    d_x = _sum_over_workers(run, by_expert, workers)  # [N, d_model]
    d_routing_weights = d_weights.reshape(routing.weights.shape)  # [N, top_k]
    d_x_gate, d_gate = route_backward(d_routing_weights, rows, p["gate"], gate, routing, d_scores)
    d_x += d_x_gate
    gradients = {"gate": d_gate, "experts": {"gate_up_proj": d_gate_up_proj, "down_proj": d_down_proj}}
    if shared is not None:
        d_x_shared, gradients["shared_experts"] = ops.mlp_backward(d_rows, p["shared_experts"], shared)
        d_x += d_x_shared
    return d_x.reshape(d_y.shape), gradients


def _sum_over_workers(run: Callable[[Iterable[int]], Array], by_expert: Dispatch, workers: int) -> Array:
    """Run the non-empty experts round-robin over `workers` threads and sum their outputs."""
    busy = np.flatnonzero(np.diff(by_expert.offsets))
    if workers == 1:
        return run(busy)
    with ThreadPoolExecutor(workers) as pool:  # each thread in a copy of the caller's context, where np.errstate lives
        futures = [pool.submit(copy_context().run, run, busy[start::workers]) for start in range(workers)]
    total, *rest = (future.result() for future in futures)
    for part in rest:
        total += part
    return total
