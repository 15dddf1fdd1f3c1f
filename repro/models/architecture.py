"""The shape of a decoder-only transformer: what its parameters, FLOP and cache are counted from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GroupedQueryAttention:
    """Queries in groups that share a key and value head: MHA at n_kv_heads = n_heads, MQA at 1.

    Source: Ainslie et al. (arXiv 2305.13245), section 2.2.
    """

    n_heads: int
    n_kv_heads: int
    head_dim: int
    qkv_bias: bool = False
    output_bias: bool = False

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
        """Elements cached per token and layer: a key and a value per head that is kept."""
        return 2 * self.n_kv_heads * self.head_dim

    def parameters(self, d_model: int) -> int:
        """Return the parameters of one layer's attention."""
        queries, pairs = self.n_heads * self.head_dim, 2 * self.n_kv_heads * self.head_dim
        weights = d_model * (queries + pairs) + queries * d_model
        return weights + (queries + pairs) * self.qkv_bias + d_model * self.output_bias

    def matmul_parameters(self, d_model: int) -> int:
        """Return those parameters that a matrix product multiplies with each token: without biases."""
        return d_model * (2 * self.n_heads + 2 * self.n_kv_heads) * self.head_dim


@dataclass(frozen=True)
class MultiHeadLatentAttention:
    """Keys and values expanded from one cached latent, and one key with rotary position for all heads.

    q_lora_rank: None where queries are not compressed.
    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.1 and appendix C.
    """

    n_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    bias: bool = False

    @property
    def qk_head_dim(self) -> int:
        """Elements of one head's query, and of its key: without position and with it."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def cache_elements(self) -> int:
        """Elements cached per token and layer: the latent and the shared rotary key."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    def parameters(self, d_model: int) -> int:
        """Return the parameters of one layer's attention, the norms of both latents included."""
        norms = (self.q_lora_rank or 0) + self.kv_lora_rank
        biases = (self.q_lora_rank or 0) + self.cache_elements + d_model
        return self.matmul_parameters(d_model) + norms + biases * self.bias

    def matmul_parameters(self, d_model: int) -> int:
        """Return those parameters that a matrix product multiplies with each token: without norms and biases."""
        queries = self.n_heads * self.qk_head_dim
        query = queries * d_model if self.q_lora_rank is None else self.q_lora_rank * (d_model + queries)
        down = d_model * self.cache_elements
        up = self.kv_lora_rank * self.n_heads * (self.qk_nope_head_dim + self.v_head_dim)
        return query + down + up + self.n_heads * self.v_head_dim * d_model


@dataclass(frozen=True)
class GatedFeedForward:
    """A SwiGLU layer: gate, up and down projection.

    Source: Shazeer (arXiv 2002.05202), equation 6.
    """

    d_ff: int
    bias: bool = False

    def parameters(self, d_model: int) -> int:
        """Return the parameters of one such layer."""
        return self.matmul_parameters(d_model) + (2 * self.d_ff + d_model) * self.bias

    def matmul_parameters(self, d_model: int) -> int:
        """Return those parameters that a matrix product multiplies with each token: without biases."""
        return 3 * d_model * self.d_ff


@dataclass(frozen=True)
class MixtureOfExperts:
    """Routed experts of which a gate picks top_k per token, and shared ones that every token passes.

    correction_bias: whether the gate keeps one bias per expert for selection.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2.
    """

    n_routed_experts: int
    n_shared_experts: int
    top_k: int
    d_expert: int
    correction_bias: bool = False

    @property
    def expert(self) -> GatedFeedForward:
        """One expert, routed or shared."""
        return GatedFeedForward(self.d_expert)


Attention = GroupedQueryAttention | MultiHeadLatentAttention


@dataclass(frozen=True)
class Architecture:
    """A whole model. Without `experts` every layer is dense.

    n_dense_layers, n_moe_layers: layers with a dense feed-forward and with experts. n_mtp_modules: modules for multi-token prediction,
    each one more layer. tied: whether the head shares the embedding's weights.
    """

    d_model: int
    vocab_size: int
    n_dense_layers: int
    n_moe_layers: int
    attention: Attention
    dense: GatedFeedForward
    experts: MixtureOfExperts | None = None
    n_mtp_modules: int = 0
    tied_embeddings: bool = False

    @property
    def n_layers(self) -> int:
        """Layers of the main model, those of multi-token prediction not counted."""
        return self.n_dense_layers + self.n_moe_layers
