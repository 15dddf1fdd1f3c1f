"""Mixtral: grouped-query attention, and in every layer routed experts alone."""

from repro.models.architecture import Architecture, GatedFeedForward, MixtureOfExperts
from repro.models.hf.fields import Fields, check_at_most
from repro.models.hf.llama import read_attention

RENAMED = (("mlp.", "block_sparse_moe."), ("gate_proj.", "w1."), ("down_proj.", "w2."), ("up_proj.", "w3."))


def read_mixtral(fields: Fields) -> Architecture:
    """Return the architecture of a MixtralForCausalLM."""
    fields.refuse("sliding_window")
    n_routed_experts, top_k = fields.count("num_local_experts"), fields.count("num_experts_per_tok")
    check_at_most("num_experts_per_tok", top_k, "num_local_experts", n_routed_experts)
    d_expert = fields.count("intermediate_size")
    return Architecture(
        d_model=fields.count("hidden_size"), vocab_size=fields.count("vocab_size"),
        n_dense_layers=0, n_moe_layers=fields.count("num_hidden_layers"),
        attention=read_attention(fields), dense=GatedFeedForward(d_expert),
        experts=MixtureOfExperts(n_routed_experts, 0, top_k, d_expert),
        tied_embeddings=fields.flag("tie_word_embeddings"), renamed=RENAMED,
    )  # fmt: skip
