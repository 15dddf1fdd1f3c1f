"""Models small enough to count on paper, that several tests take apart."""

from repro.models.architecture import Architecture, GatedFeedForward, MixtureOfExperts, MultiHeadLatentAttention

MLA = MultiHeadLatentAttention(
    n_heads=2, q_lora_rank=3, kv_lora_rank=5, qk_nope_head_dim=2, qk_rope_head_dim=1, v_head_dim=4
)
EXPERTS = MixtureOfExperts(n_routed_experts=7, n_shared_experts=1, top_k=2, d_expert=2, correction_bias=True)
TINY = Architecture(
    d_model=4,
    vocab_size=10,
    n_dense_layers=1,
    n_moe_layers=2,
    attention=MLA,
    dense=GatedFeedForward(5),
    experts=EXPERTS,
    n_mtp_modules=1,
)
LLAMA_CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 8,
    "intermediate_size": 5,
    "vocab_size": 10,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
