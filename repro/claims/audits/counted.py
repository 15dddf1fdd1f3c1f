"""FLOP per token counted from a model's shape, where the rule per parameter leaves attention and MTP out."""

from repro.calc import training
from repro.facts import Ledger


def v3_counted_flop_per_token(facts: Ledger, active_parameters: float, flop_per_parameter_per_token: float) -> float:
    """Return V3's FLOP per token with causal attention and the MTP module, embeddings looked up and not multiplied.

    Source: V3 report, section 4.2; README_WEIGHTS.md of its repository for the MTP module, one layer more.
    """
    v3 = "deepseek_v3"
    embedding = facts[f"{v3}.vocabulary"] * facts[f"{v3}.d_model"]
    multiplied = (active_parameters - embedding) + (facts[f"{v3}.mtp_active_parameters"] - embedding)
    attention = training.attention_flop_per_token(
        facts[f"{v3}.layers"] + 1,
        facts[f"{v3}.n_heads"],
        facts[f"{v3}.d_head"] + facts[f"{v3}.d_head_rope"],
        facts[f"{v3}.d_head"],
        facts[f"{v3}.sequence_length"],
        causal=True,
        flop_per_parameter_per_token=flop_per_parameter_per_token,
    )
    return flop_per_parameter_per_token * multiplied + attention


def llama_counted_flop_per_token(facts: Ledger, parameters: float, flop_per_parameter_per_token: float) -> float:
    """Return Llama 3.1 405B's FLOP per token with causal attention counted, its embedding looked up, not multiplied.

    Source: The Llama 3 Herd of Models, section 3.2, table 3.
    """
    llama = "llama_3_1_405b"
    attention = training.attention_flop_per_token(
        facts[f"{llama}.layers"],
        facts[f"{llama}.n_heads"],
        facts[f"{llama}.d_head"],
        facts[f"{llama}.d_head"],
        facts[f"{llama}.sequence_length"],
        causal=True,
        flop_per_parameter_per_token=flop_per_parameter_per_token,
    )
    embedding = facts[f"{llama}.vocabulary"] * facts[f"{llama}.d_model"]
    return flop_per_parameter_per_token * (parameters - embedding) + attention
