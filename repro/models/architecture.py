"""The sizes of a decoder-only transformer. Its tensors, and all that is counted from them, follow: see inventory.py."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GroupedQueryAttention:
    """Queries in groups that share a key and value head: MHA at n_kv_heads = n_heads, MQA at 1.

    Source: Ainslie et al. (arXiv 2305.13245), section 2.2; norms: Qwen3 report (arXiv 2505.09388), section 2.
    """

    n_heads: int
    n_kv_heads: int
    head_dim: int
    qkv_bias: bool = False  #: whether the projections to queries, keys and values add biases
    output_bias: bool = False  #: whether the output's projection adds one
    qk_norm: bool = False  #: whether each head's query and key pass a norm

    @property
    def qk_head_dim(self) -> int:
        """Elements of one head's query, and of its key."""
        return self.head_dim

    @property
    def v_head_dim(self) -> int:
        """Elements of one head's value."""
        return self.head_dim

    @property
    def cache_elements(self) -> int:
        """Elements cached per token and layer: a key and a value per key and value head."""
        return 2 * self.n_kv_heads * self.head_dim


@dataclass(frozen=True)
class MultiHeadLatentAttention:
    """Keys and values expanded from one cached latent, and one key with rotary position for all heads.

    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.1 and appendix C.
    """

    n_heads: int
    q_lora_rank: int | None  #: elements of the queries' latent, None where queries are not compressed
    kv_lora_rank: int
    qk_nope_head_dim: int  #: elements of a head's query without position
    qk_rope_head_dim: int  #: elements of it with rotary position
    v_head_dim: int
    bias: bool = False  #: whether both down-projections and the output add biases

    @property
    def qk_head_dim(self) -> int:
        """Elements of one head's query, and of its key: without position and with it."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def cache_elements(self) -> int:
        """Elements cached per token and layer: the latent and the shared rotary key."""
        return self.kv_lora_rank + self.qk_rope_head_dim


@dataclass(frozen=True)
class GatedFeedForward:
    """A SwiGLU layer: gate, up and down projection.

    Source: Shazeer (arXiv 2002.05202), equation 6.
    """

    d_ff: int
    bias: bool = False


@dataclass(frozen=True)
class MixtureOfExperts:
    """Routed experts of which a gate picks top_k per token, and shared ones that every token passes.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2.
    """

    n_routed_experts: int
    n_shared_experts: int
    top_k: int
    d_expert: int  #: width of one expert, routed or shared
    correction_bias: bool = False  #: whether the gate keeps one bias per expert for selection


Attention = GroupedQueryAttention | MultiHeadLatentAttention


@dataclass(frozen=True)
class Architecture:
    """A whole model; without `experts` every layer is dense."""

    d_model: int
    vocab_size: int
    n_dense_layers: int  #: layers with a dense feed-forward
    n_moe_layers: int  #: layers with experts, after the dense ones
    attention: Attention
    dense: GatedFeedForward
    experts: MixtureOfExperts | None = None
    n_mtp_modules: int = 0  #: modules for multi-token prediction, each with one more layer
    tied_embeddings: bool = False  #: whether the head shares the embedding's weights
    renamed: tuple[tuple[str, str], ...] = ()  #: pieces of tensor names, (Llama's and DeepSeek's, the family's own)

    @property
    def n_layers(self) -> int:
        """Layers of the main model, those of multi-token prediction not counted."""
        return self.n_dense_layers + self.n_moe_layers
