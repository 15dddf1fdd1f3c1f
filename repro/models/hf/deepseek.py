"""DeepSeek-V2 and V3: latent attention, first layers dense, the others with routed and shared experts."""

from repro.models.architecture import Architecture, GatedFeedForward, MixtureOfExperts, MultiHeadLatentAttention
from repro.models.hf.fields import Fields, check_at_most, check_divides


def read_deepseek_v2(fields: Fields) -> Architecture:
    """Return the architecture of a DeepseekV2ForCausalLM."""
    fields.refuse("topk_method", "greedy", "group_limited_greedy")
    return _read(fields, correction_bias=False)


def read_deepseek_v3(fields: Fields) -> Architecture:
    """Return the architecture of a DeepseekV3ForCausalLM, or of a class with its layout."""
    fields.refuse("topk_method", "noaux_tc")
    return _read(fields, correction_bias=True)


def _read(fields: Fields, *, correction_bias: bool) -> Architecture:
    n_layers, first = fields.count("num_hidden_layers"), fields.count("first_k_dense_replace", zero=True)
    n_mtp_modules = fields.count_if_given("num_nextn_predict_layers", 0, zero=True)
    for indexer in ("index_n_heads", "index_head_dim", "index_topk"):
        fields.refuse(indexer)
    # Every so many layers from the first, as DeepSeek's own code has it; all published models have every one.
    every = fields.count_if_given("moe_layer_freq", 1)
    n_moe_layers = len(range(-(-first // every) * every, n_layers, every))
    experts: MixtureOfExperts | None = _experts(fields, correction_bias=correction_bias)
    if first > n_layers and first >= n_layers + n_mtp_modules:
        experts = None  # as in a small copy of a large model: no layer has experts, and no module after them
    else:
        check_at_most("first_k_dense_replace", first, "num_hidden_layers", n_layers)
    return Architecture(
        d_model=fields.count("hidden_size"), vocab_size=fields.count("vocab_size"),
        n_dense_layers=n_layers - n_moe_layers, n_moe_layers=n_moe_layers,
        attention=_attention(fields), dense=GatedFeedForward(fields.count("intermediate_size")), experts=experts,
        n_mtp_modules=n_mtp_modules, tied_embeddings=fields.flag("tie_word_embeddings"),
    )  # fmt: skip


def _attention(fields: Fields) -> MultiHeadLatentAttention:
    n_heads = fields.count("num_attention_heads")
    n_kv_heads = fields.count_if_given("num_key_value_heads", 1)  # of no use to MLA, but it must not contradict
    check_divides("num_key_value_heads", n_kv_heads, "num_attention_heads", n_heads)
    sizes = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    latent, nope, rope, value = map(fields.count, sizes)
    q_lora_rank, bias = fields.count_or_null("q_lora_rank"), fields.flag("attention_bias")
    return MultiHeadLatentAttention(n_heads, q_lora_rank, latent, nope, rope, value, bias)


def _experts(fields: Fields, *, correction_bias: bool) -> MixtureOfExperts:
    n_routed_experts, top_k = fields.count("n_routed_experts"), fields.count("num_experts_per_tok")
    check_at_most("num_experts_per_tok", top_k, "n_routed_experts", n_routed_experts)
    grouped = all(fields.config.get(name) is not None for name in ("n_group", "topk_group"))
    if grouped and (correction_bias or fields.config.get("topk_method") != "greedy"):  # which knows no groups
        n_group, topk_group = fields.count("n_group"), fields.count("topk_group")
        per_group = check_divides("n_group", n_group, "n_routed_experts", n_routed_experts)
        check_at_most("topk_group", topk_group, "n_group", n_group)
        check_at_most("num_experts_per_tok", top_k, "the experts of topk_group groups", topk_group * per_group)
    none_shared = fields.config.get("n_shared_experts", 0) is None
    n_shared_experts = 0 if none_shared else fields.count("n_shared_experts", zero=True)
    d_expert = fields.count("moe_intermediate_size")
    return MixtureOfExperts(n_routed_experts, n_shared_experts, top_k, d_expert, correction_bias)
