"""Keeping experts evenly loaded: V2's auxiliary losses, batch-wise and sequence-wise ones, V3's biases; measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.gate import Gate, Routing, topk_indices
from repro.validate import check_number

IDLE_SHARE = 0.1  # of the mean load: an expert below it counts as idle


@dataclass(frozen=True)
class Balance:
    """How load is kept even while a model learns; a weight or speed of zero leaves that part out.

    expert, device, communication: weights α of the auxiliary losses over experts, over groups of experts, and over
    tokens sent to groups. scope: whether shares are taken in each sequence, as V2 and V3 do, or over the whole batch.
    counted: whether an expert's share is of the tokens that "selected" it, bias and group limit included, or that
    "scored" it among their best before both, as V3's equation 18 is written. bias_speed: γ, by which the bias of each
    expert goes down after a step in which its load was above the mean, and up where below.
    Raises: InputError for a weight, speed, scope or count that is none.
    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.2.3; DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2;
        Wang et al. (arXiv 2408.15664), algorithm 1.
    """

    expert: float = 0.0
    device: float = 0.0
    communication: float = 0.0
    scope: Literal["sequence", "batch"] = "sequence"
    counted: Literal["selected", "scored"] = "selected"
    bias_speed: float = 0.0

    def __post_init__(self) -> None:
        """Raise InputError for what is no weight, speed or scope."""
        for name in ("expert", "device", "communication", "bias_speed"):
            check_number(name, getattr(self, name))
        for name, allowed in {"scope": ("sequence", "batch"), "counted": ("selected", "scored")}.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} = {getattr(self, name)!r}: must be {' or '.join(allowed)}")

    @property
    def has_loss(self) -> bool:
        """Whether any auxiliary loss has a weight."""
        return bool(self.expert or self.device or self.communication)


def v2_losses(scale: float = 1.0) -> Balance:
    """Return V2's three auxiliary losses, their weights times a scale.

    Source: DeepSeek-V2 report (arXiv 2405.04434), sections 2.2.3 and 3.1.2.
    """
    return Balance(expert=0.003 * scale, device=0.05 * scale, communication=0.02 * scale)


def loss_free(bias_speed: float = 0.001, *, sequence_weight: float = 1e-4) -> Balance:
    """Return V3's balancing: biases, and beside them a sequence-wise loss of a tiny weight.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 2.1.2 and 4.2.
    """
    return Balance(expert=sequence_weight, counted="scored", bias_speed=bias_speed)


def auxiliary_loss(routing: Routing, balance: Balance, gate: Gate, n_sequences: int) -> tuple[float, Array]:
    """Return the auxiliary losses of one gate, and their gradient with respect to its scores.

    Each is Σ f · P: f the share of tokens that chose an expert or reached a group, times what makes it 1 when even,
    a count without gradient; P the mean of the scores, normalised for each token, which the gradient goes through.

    Args: routing: of N tokens, sequence after sequence. balance: weights and scope. gate: groups are its devices.
        n_sequences: of equal length.
    Returns: the loss, mean over scopes, and [N, E].
    Source: DeepSeek-V2 report (arXiv 2405.04434), equations 23 to 31; DeepSeek-V3 report (arXiv 2412.19437),
        equations 17 to 20.
    """
    s, (n_tokens, n_routed_experts) = routing.scores, routing.scores.shape
    scopes = n_sequences if balance.scope == "sequence" else 1
    total = s.sum(axis=1, keepdims=True)  # 1 for a softmax
    p = s / total
    share = p.reshape(scopes, -1, n_routed_experts).mean(axis=1)  # P: [scopes, E]
    pull = balance.expert * _choices(routing, balance, scopes)
    if balance.device or balance.communication:
        pull = pull + _group_pull(routing, balance, gate, scopes)
    loss = float(np.mean(np.sum(pull * share, axis=1)))
    d_p = np.repeat(pull / n_tokens, n_tokens // scopes, axis=0)  # [N, E]
    return loss, (d_p - np.sum(d_p * p, axis=1, keepdims=True)) / total


def _choices(routing: Routing, balance: Balance, scopes: int) -> Array:
    """Return f of each expert, [scopes, E]: its share of the choices, times their number E."""
    (n_tokens, top_k), n_routed_experts = routing.experts.shape, routing.scores.shape[1]
    chosen = routing.experts if balance.counted == "selected" else topk_indices(routing.scores, top_k)
    return count_choices(chosen, n_routed_experts, scopes) * (n_routed_experts * scopes / (top_k * n_tokens))


def count_choices(chosen: Array, n_routed_experts: int, scopes: int) -> Array:
    """Return how many tokens of each scope chose each expert: [N, top_k] -> [scopes, E]."""
    scope = np.repeat(np.arange(scopes), chosen.size // scopes)
    flat = np.bincount(scope * n_routed_experts + chosen.reshape(-1), minlength=scopes * n_routed_experts)
    return flat.reshape(scopes, n_routed_experts)


def _group_pull(routing: Routing, balance: Balance, gate: Gate, scopes: int) -> Array:
    """Return what the losses over devices and over communication add to each expert's f, [scopes, E]."""
    n_routed_experts, n_tokens = routing.scores.shape[1], len(routing.experts)
    size = n_routed_experts // gate.n_group
    by_device = _choices(routing, balance, scopes).reshape(scopes, gate.n_group, size).mean(axis=2)  # f'
    reached = np.zeros((n_tokens, gate.n_group))
    np.put_along_axis(reached, routing.experts // size, 1, axis=1)
    sent = reached.reshape(scopes, -1, gate.n_group).mean(axis=1) * (gate.n_group / gate.topk_group)  # f''
    return np.repeat(balance.device * by_device + balance.communication * sent, size, axis=1)


def routed_gates(parameters: dict) -> list[dict]:
    """Return the parameters of each gate, layer after layer, those of modules last."""
    blocks = [*parameters["layers"], *(module["block"] for module in parameters["mtp"])]
    return [one["mlp"]["gate"] for one in blocks if "gate" in one["mlp"]]


def update_biases(parameters: dict, loads: Sequence[Array], bias_speed: float) -> None:
    """Move each expert's selection bias by one speed towards an even load, in place.

    Args: parameters: of a model. loads: tokens per expert, [E] for each of its gates. bias_speed: γ.
    Raises: InputError where a gate has no bias.
    Source: Wang et al. (arXiv 2408.15664), algorithm 1; DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2.
    """
    for gate, load in zip(routed_gates(parameters), loads, strict=True):
        if "e_score_correction_bias" not in gate:
            raise InputError("bias_speed: the gate has no selection bias; build the model with correction_bias")
        gate["e_score_correction_bias"] += (bias_speed * np.sign(load.mean() - load)).astype(
            gate["e_score_correction_bias"].dtype
        )


def max_violation(load: Array) -> Array:
    """Return MaxVio, by what part of the mean the fullest exceeds it, 0 where nothing has any load.

    Args: load: of experts, or of groups or GPUs, [..., E].
    Returns: [...], from 0 to E - 1.
    Source: Wang et al. (arXiv 2408.15664), equation 4.
    """
    most, mean = np.max(load, axis=-1), np.mean(load, axis=-1)
    return np.divide(most, mean, out=np.ones_like(mean), where=mean > 0) - 1


def group_load(load: Array, n_group: int) -> Array:
    """Return the load of each group of experts: [..., E] -> [..., n_group]."""
    return load.reshape(*load.shape[:-1], n_group, -1).sum(axis=-1)


def idle_fraction(load: Array) -> Array:
    """Return the share of experts with less than a tenth of the mean load: [..., E] -> [...]."""
    return np.mean(load < IDLE_SHARE * load.mean(axis=-1, keepdims=True), axis=-1)


def specialisation_bits(load: Array) -> float:
    """Return how much an expert's name tells of the domain, and a domain of the expert: their mutual information.

    Args: load: tokens by domain and expert, [domains, E].
    Returns: bits, from 0 where every expert has the same mixture, to log2 of the domains where each has one alone.
    """
    joint = load / load.sum()
    apart = joint.sum(axis=0) * joint.sum(axis=1, keepdims=True)
    seen = joint > 0
    return float(np.sum(joint[seen] * np.log2(joint[seen] / apart[seen])))
