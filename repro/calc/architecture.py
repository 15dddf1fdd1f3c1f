"""The shape of a decoder-only transformer: what its parameters, FLOP and cache are counted from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GroupedQueryAttention:
    """Queries in groups that share a key and value head: MHA at n_kv_heads = n_heads, MQA at 1.

    Source: Ainslie et al. (arXiv 2305.13245), section 2.2.
    """

    n_heads: int
    n_kv_heads: int
    d_head: int
    qkv_bias: bool = False
    output_bias: bool = False

    @property
    def d_query(self) -> int:
        """Elements of one head's query, and of its key."""
        return self.d_head

    @property
    def d_value(self) -> int:
        """Elements of one head's value."""
        return self.d_head

    @property
    def cache_elements(self) -> int:
        """Elements cached per token and layer: a key and a value per head that is kept."""
        return 2 * self.n_kv_heads * self.d_head

    def parameters(self, d_model: int) -> int:
        """Return the parameters of one layer's attention."""
        queries, pairs = self.n_heads * self.d_head, 2 * self.n_kv_heads * self.d_head
        weights = d_model * (queries + pairs) + queries * d_model
        return weights + (queries + pairs) * self.qkv_bias + d_model * self.output_bias

    def multiplied_parameters(self, d_model: int) -> int:
        """Return those parameters that a matrix product multiplies with each token: without biases."""
        return d_model * (2 * self.n_heads + 2 * self.n_kv_heads) * self.d_head


@dataclass(frozen=True)
class MultiHeadLatentAttention:
    """Keys and values expanded from one cached latent, and one key with rotary position for all heads.

    q_lora_rank: None where queries are not compressed.
    Source: DeepSeek-V2 report (arXiv 2405.04434), section 2.1 and appendix C.
    """

    n_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    d_nope: int
    d_rope: int
    d_value: int
    bias: bool = False

    @property
    def d_query(self) -> int:
        """Elements of one head's query, and of its key: without position and with it."""
        return self.d_nope + self.d_rope

    @property
    def cache_elements(self) -> int:
        """Elements cached per token and layer: the latent and the shared rotary key."""
        return self.kv_lora_rank + self.d_rope

    def parameters(self, d_model: int) -> int:
        """Return the parameters of one layer's attention, the norms of both latents included."""
        norms = (self.q_lora_rank or 0) + self.kv_lora_rank
        biases = (self.q_lora_rank or 0) + self.cache_elements + d_model
        return self.multiplied_parameters(d_model) + norms + biases * self.bias

    def multiplied_parameters(self, d_model: int) -> int:
        """Return those parameters that a matrix product multiplies with each token: without norms and biases."""
        queries = self.n_heads * self.d_query
        query = queries * d_model if self.q_lora_rank is None else self.q_lora_rank * (d_model + queries)
        down = d_model * self.cache_elements
        up = self.kv_lora_rank * self.n_heads * (self.d_nope + self.d_value)
        return query + down + up + self.n_heads * self.d_value * d_model


@dataclass(frozen=True)
class GatedFeedForward:
    """A SwiGLU layer: gate, up and down projection.

    Source: Shazeer (arXiv 2002.05202), equation 6.
    """

    d_ff: int
    bias: bool = False

    def parameters(self, d_model: int) -> int:
        """Return the parameters of one such layer."""
        return self.multiplied_parameters(d_model) + (2 * self.d_ff + d_model) * self.bias

    def multiplied_parameters(self, d_model: int) -> int:
        """Return those parameters that a matrix product multiplies with each token: without biases."""
        return 3 * d_model * self.d_ff


@dataclass(frozen=True)
class MixtureOfExperts:
    """Routed experts of which a gate picks top_k per token, and shared ones that every token passes.

    correction_bias: whether the gate keeps one bias per expert for selection.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 2.1.2.
    """

    n_routed: int
    n_shared: int
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

    n_dense, n_moe: layers with a dense feed-forward and with experts. n_mtp: modules for multi-token prediction,
    each one more layer. tied: whether the head shares the embedding's weights.
    """

    d_model: int
    vocabulary: int
    n_dense: int
    n_moe: int
    attention: Attention
    dense: GatedFeedForward
    experts: MixtureOfExperts | None = None
    n_mtp: int = 0
    tied: bool = False

    @property
    def n_layers(self) -> int:
        """Layers of the main model, those of multi-token prediction not counted."""
        return self.n_dense + self.n_moe
