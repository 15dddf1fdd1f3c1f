"""Qwen's dense models: Llama's layers with biases of queries, keys and values (2), or with norms of heads (3)."""

from repro.models.architecture import Architecture
from repro.models.hf.fields import Fields
from repro.models.hf.llama import read_attention, read_dense_model


def read_qwen2(fields: Fields) -> Architecture:
    """Return the architecture of a Qwen2ForCausalLM, whose biases no field switches off."""
    fields.refuse_sliding_window()
    return read_dense_model(fields, read_attention(fields, qkv_bias=True))


def read_qwen3(fields: Fields) -> Architecture:
    """Return the architecture of a Qwen3ForCausalLM, whose head_dim is no share of hidden_size."""
    fields.refuse_sliding_window()
    fields.count("head_dim")
    bias = fields.flag("attention_bias")
    return read_dense_model(fields, read_attention(fields, qkv_bias=bias, output_bias=bias, qk_norm=True))
