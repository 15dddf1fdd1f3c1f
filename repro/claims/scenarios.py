"""Shapes of built-in models for the audits, and their FLOP per token counted from them."""

from repro.calc.flops import counted_flop_per_token
from repro.facts import Ledger
from repro.models.architecture import Architecture
from repro.models.hf_config import architecture_from_hf


def architecture(facts: Ledger, name: str) -> Architecture:
    """Return a model's shape from its published configuration; raises InputError with the nearest name."""
    return architecture_from_hf(facts.config(name))


def counted_train_flop_per_token(facts: Ledger, name: str, flop_per_parameter_per_token: float) -> float:
    """Return a model's FLOP per token in training, counted: matrix products, causal attention, modules for MTP.

    Args: facts: with the model's sequence length. name: of the model. flop_per_parameter_per_token: 6 for forward and
        backward.
    """
    return counted_flop_per_token(
        architecture(facts, name),
        int(facts[f"{name}.sequence_length"]),
        causal=True,
        mtp_counted=True,
        flop_per_parameter_per_token=flop_per_parameter_per_token,
    )
