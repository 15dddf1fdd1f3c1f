"""The small models that notebooks, experiments and benchmarks train: DeepSeek's structure, a laptop's size."""

from dataclasses import replace
from typing import Literal

from repro.calc.architecture import (
    Architecture,
    GatedFeedForward,
    GroupedQueryAttention,
    MixtureOfExperts,
    MultiHeadLatentAttention,
)
from repro.errors import InputError
from repro.nano.checks import whole
from repro.nano.config import Config
from repro.nano.corpus import VOCABULARY
from repro.nano.gate import Gate
from repro.nano.rope import Rope

D_MODEL, N_HEADS, D_HEAD = 64, 4, 16
ATTENTIONS = {
    "MLA": MultiHeadLatentAttention(N_HEADS, q_lora_rank=None, kv_lora_rank=32, d_nope=16, d_rope=8, d_value=16),
    "MHA": GroupedQueryAttention(N_HEADS, 4, D_HEAD),
    "GQA": GroupedQueryAttention(N_HEADS, 2, D_HEAD),
    "MQA": GroupedQueryAttention(N_HEADS, 1, D_HEAD),
}
GATES = {
    "V2": Gate("softmax", scores_per_group=1, normalised=False, scale=1.0),
    "V3": Gate("sigmoid", normalised=True, scale=1.0),
}


def small(
    attention: Literal["MLA", "MHA", "GQA", "MQA"] = "MLA",
    *,
    gate: Literal["V2", "V3"] | None = "V3",
    n_layers: int = 3,
    n_routed: int = 16,
    n_shared: int = 1,
    top_k: int = 4,
    d_expert: int = 32,
    d_ff: int = 160,
    n_mtp: int = 0,
) -> Config:
    """Return a small model over bytes, of width 64 with 4 heads.

    Args: attention: its kind. gate: of the experts, or None for dense layers alone. n_layers: the first dense, the
        rest with experts. n_routed, n_shared, top_k, d_expert: of the experts. d_ff: width of dense layers; 160 is
        what a token passes with the default experts. n_mtp: modules for multi-token prediction.
    Raises: InputError for an unknown kind, or experts that contradict.
    """
    whole("n_layers", n_layers)
    if attention not in ATTENTIONS:
        raise InputError(f"attention = {attention!r}: must be one of: {', '.join(ATTENTIONS)}")
    if gate is not None and gate not in GATES:
        raise InputError(f"gate = {gate!r}: must be one of: {', '.join(GATES)}, or None")
    experts = MixtureOfExperts(n_routed, n_shared, top_k, d_expert, correction_bias=gate == "V3") if gate else None
    shape = Architecture(
        d_model=D_MODEL,
        vocabulary=VOCABULARY,
        n_dense=1 if gate else n_layers,
        n_moe=n_layers - 1 if gate else 0,
        attention=ATTENTIONS[attention],
        dense=GatedFeedForward(d_ff),
        experts=experts,
        n_mtp=n_mtp,
    )
    return Config(shape, Rope(), GATES[gate] if gate else None)


def wide() -> Config:
    """Return a model as `small` with queries compressed and rows of activations in multiples of 128: no tile is cut."""
    config = small(n_layers=2, n_routed=4, top_k=2, d_expert=128, d_ff=128)
    attention = MultiHeadLatentAttention(N_HEADS, q_lora_rank=128, kv_lora_rank=128, d_nope=32, d_rope=32, d_value=32)
    return replace(config, shape=replace(config.shape, d_model=128, attention=attention))
