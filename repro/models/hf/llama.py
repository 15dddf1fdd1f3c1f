"""Llama: grouped-query attention and dense SwiGLU layers, which other dense families vary."""

from repro.models.architecture import Architecture, GatedFeedForward, GroupedQueryAttention
from repro.models.hf.fields import Fields, check_divides


def read_llama(fields: Fields) -> Architecture:
    """Return the architecture of a LlamaForCausalLM."""
    bias = fields.flag("attention_bias")
    attention = read_attention(fields, qkv_bias=bias, output_bias=bias)
    return read_dense_model(fields, attention, mlp_bias=fields.flag("mlp_bias"))


def read_attention(
    fields: Fields, *, qkv_bias: bool = False, output_bias: bool = False, qk_norm: bool = False
) -> GroupedQueryAttention:
    """Return attention with heads of head_dim, or of hidden_size shared out over the heads."""
    n_heads = fields.count("num_attention_heads")
    n_kv_heads = fields.count_or_null("num_key_value_heads") or n_heads  # null means one for each head
    check_divides("num_key_value_heads", n_kv_heads, "num_attention_heads", n_heads)
    if fields.config.get("head_dim") is not None:
        head_dim = fields.count("head_dim")
    else:
        head_dim = check_divides("num_attention_heads", n_heads, "hidden_size", fields.count("hidden_size"))
    return GroupedQueryAttention(n_heads, n_kv_heads, head_dim, qkv_bias, output_bias, qk_norm)


def read_dense_model(fields: Fields, attention: GroupedQueryAttention, *, mlp_bias: bool = False) -> Architecture:
    """Return a model without experts around its attention."""
    for experts in ("num_local_experts", "num_experts", "n_routed_experts"):
        fields.refuse(experts)
    return Architecture(
        d_model=fields.count("hidden_size"), vocab_size=fields.count("vocab_size"),
        n_dense_layers=fields.count("num_hidden_layers"), n_moe_layers=0,
        attention=attention, dense=GatedFeedForward(fields.count("intermediate_size"), mlp_bias),
        tied_embeddings=fields.flag("tie_word_embeddings"),
    )  # fmt: skip
