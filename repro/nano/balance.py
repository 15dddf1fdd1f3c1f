"""Keeping experts evenly loaded, in V2's way and in V3's, and measures of how even they are.

Left alone, a gate sends most tokens to a few experts: the others learn nothing, and their devices wait. V2 adds three
auxiliary losses, over experts, over devices and over what is sent to devices; their gradients push scores down where
load is high, but also against what the model would rather learn. V3 moves a bias per expert after each step instead,
down if its load was above the mean and up if below: it changes the selection alone, and no gradient passes through it.
A sequence-wise loss of tiny weight remains beside it.

Shapes: N tokens, E = n_routed_experts, S scopes (sequences, or one batch) over which load is to be even.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from repro.arrays import Array, IntArray
from repro.errors import InputError
from repro.nano.gate import Gate, Routing, topk_indices
from repro.nano.ops import Params
from repro.validate import check_number

IDLE_SHARE = 0.1  # of the mean load: an expert below it counts as idle


@dataclass(frozen=True)
class Balance:
    """How load is kept even in training; a weight or speed of zero switches its part off.

    An expert's share counts the tokens that "selected" it, after bias and group limit, or those that "scored" it among
    their best before both, as V3's equation 18 is written.

    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.2.3; DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2;
        Wang et al. (arXiv 2408.15664), algorithm 1.
    """

    expert: float = 0.0  #: weight α of the auxiliary loss over experts
    device: float = 0.0  #: weight of the loss over groups of experts
    communication: float = 0.0  #: weight of the loss over tokens sent to groups
    scope: Literal["sequence", "batch"] = "sequence"  #: in which load should be even: in each sequence in V2 and V3
    counted: Literal["selected", "scored"] = "selected"
    bias_speed: float = 0.0  #: γ, the step by which biases move

    def __post_init__(self) -> None:
        for name in ("expert", "device", "communication", "bias_speed"):
            check_number(name, getattr(self, name))
        for name, allowed in {"scope": ("sequence", "batch"), "counted": ("selected", "scored")}.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} = {getattr(self, name)!r}: must be {' or '.join(allowed)}")

    @property
    def has_loss(self) -> bool:
        """True if any auxiliary loss has a weight."""
        return bool(self.expert or self.device or self.communication)


def v2_losses(scale: float = 1.0) -> Balance:
    """Return V2's three auxiliary losses, their weights multiplied by `scale`.

    Source: DeepSeek-V2 report (arXiv 2405.04434), sections 2.2.3 and 3.1.2.
    """
    return Balance(expert=0.003 * scale, device=0.05 * scale, communication=0.02 * scale)


def loss_free(bias_speed: float = 0.001, *, sequence_weight: float = 1e-4) -> Balance:
    """Return V3's balancing: biases, and a sequence-wise loss of tiny weight.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 2.1.2 and 4.2.
    """
    return Balance(expert=sequence_weight, counted="scored", bias_speed=bias_speed)


def auxiliary_loss(routing: Routing, balance: Balance, gate: Gate, n_sequences: int) -> tuple[float, Array]:
    """Return one gate's auxiliary losses, mean over scopes, and their gradient with respect to its scores, [N, E].

    Each loss is Σ f · P over experts or groups. f is the share of tokens that chose it, scaled to 1 for an even load;
    it is a count without gradient. P is the mean of its scores, normalised per token, and carries the gradient.

    Args:
        routing: what the gate decided for N tokens, sequence after sequence.
        balance: weights of the losses, and their scope.
        gate: the gate that decided.
        n_sequences: sequences, of equal length, that the N tokens are.

    Source: DeepSeek-V2 report (arXiv 2405.04434), equations 23 to 31; DeepSeek-V3 report (arXiv 2412.19437),
        equations 17 to 20.
    """
    s, (n_tokens, n_routed_experts) = routing.scores, routing.scores.shape
    scopes = n_sequences if balance.scope == "sequence" else 1
    total = s.sum(axis=1, keepdims=True)  # [N, 1], 1 for a softmax
    p = s / total  # [N, E]
    mean_p = p.reshape(scopes, -1, n_routed_experts).mean(axis=1)  # P: [S, E]
    weighted_f = balance.expert * _share_of_choices(routing, balance, scopes)  # [S, E]
    if balance.device or balance.communication:
        weighted_f = weighted_f + _weighted_group_shares(routing, balance, gate, scopes)
    loss = float(np.mean(np.sum(weighted_f * mean_p, axis=1)))
    d_p = np.repeat(weighted_f / n_tokens, n_tokens // scopes, axis=0)  # [N, E]
    return loss, (d_p - np.sum(d_p * p, axis=1, keepdims=True)) / total


def _share_of_choices(routing: Routing, balance: Balance, scopes: int) -> Array:
    """Return f of each expert, its share of the choices times E: [S, E]."""
    (n_tokens, top_k), n_routed_experts = routing.experts.shape, routing.scores.shape[1]
    experts = routing.experts if balance.counted == "selected" else topk_indices(routing.scores, top_k)  # [N, top_k]
    return count_choices(experts, n_routed_experts, scopes) * (n_routed_experts * scopes / (top_k * n_tokens))


def count_choices(experts: IntArray, n_routed_experts: int, scopes: int) -> IntArray:
    """Return how many tokens of each scope chose each expert: [N, top_k] -> [S, E]."""
    scope = np.repeat(np.arange(scopes), experts.size // scopes)  # [N · top_k]
    flat = np.bincount(scope * n_routed_experts + experts.reshape(-1), minlength=scopes * n_routed_experts)
    return flat.reshape(scopes, n_routed_experts)


def _weighted_group_shares(routing: Routing, balance: Balance, gate: Gate, scopes: int) -> Array:
    """Return what the losses over devices and communication add to each expert's weighted f: [S, E]."""
    n_routed_experts, n_tokens = routing.scores.shape[1], len(routing.experts)
    n_group, size = gate.n_group, n_routed_experts // gate.n_group
    by_device = _share_of_choices(routing, balance, scopes).reshape(scopes, n_group, size).mean(axis=2)  # f': [S, G]
    reached = np.zeros((n_tokens, n_group))  # [N, G], 1 where a token is sent to a group
    np.put_along_axis(reached, routing.experts // size, 1, axis=1)
    sent = reached.reshape(scopes, -1, n_group).mean(axis=1) * (n_group / gate.topk_group)  # f'': [S, G]
    return np.repeat(balance.device * by_device + balance.communication * sent, size, axis=1)


def routed_gates(params: Params) -> list[Params]:
    """Return the parameters of each gate, layer after layer, those of modules last."""
    blocks = [*params["layers"], *(module["block"] for module in params["mtp"])]
    return [block["mlp"]["gate"] for block in blocks if "gate" in block["mlp"]]


def update_biases(params: Params, loads: Sequence[IntArray], bias_speed: float) -> None:
    """Move each expert's selection bias a step towards an even load, in place, given each gate's tokens by expert, [E].

    Source: Wang et al. (arXiv 2408.15664), algorithm 1; DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2.
    """
    for gate, load in zip(routed_gates(params), loads, strict=True):
        if "e_score_correction_bias" not in gate:
            raise InputError("bias_speed: the gate has no selection bias; build the model with correction_bias")
        bias = gate["e_score_correction_bias"]  # [E]
        bias += (bias_speed * np.sign(load.mean() - load)).astype(bias.dtype)


def max_violation(load: Array | IntArray) -> Array:
    """Return MaxVio, the busiest expert's load over the mean minus 1, 0 without any load: [..., E] -> [...].

    The load may also be that of groups or GPUs. MaxVio is at most E - 1.

    Source: Wang et al. (arXiv 2408.15664), equation 4.
    """
    busiest, mean = np.max(load, axis=-1), np.mean(load, axis=-1)
    return np.divide(busiest, mean, out=np.ones_like(mean), where=mean > 0) - 1


def group_load(load: IntArray, n_group: int) -> IntArray:
    """Return the load of each group of experts: [..., E] -> [..., n_group]."""
    return load.reshape(*load.shape[:-1], n_group, -1).sum(axis=-1)


def idle_fraction(load: Array | IntArray) -> Array:
    """Return the share of experts with less than a tenth of the mean load: [..., E] -> [...]."""
    return np.mean(load < IDLE_SHARE * load.mean(axis=-1, keepdims=True), axis=-1)


def specialisation_bits(load: Array | IntArray) -> float:
    """Return the mutual information of domain and expert, in bits, of the load [domains, E].

    It is 0 if every expert has the same mixture of domains, and log2(domains) if each expert serves a single one.
    """
    joint = load / load.sum()  # [domains, E]
    independent = joint.sum(axis=0) * joint.sum(axis=1, keepdims=True)
    seen = joint > 0
    return float(np.sum(joint[seen] * np.log2(joint[seen] / independent[seen])))
