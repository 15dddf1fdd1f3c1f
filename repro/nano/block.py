"""One transformer layer: attention, then a feed-forward or experts, each after a norm and added to the residual."""

from typing import NamedTuple, TypeAlias, cast

from numpy.typing import DTypeLike

from repro.arrays import Array
from repro.models.architecture import GroupedQueryAttention, MixtureOfExperts, MultiHeadLatentAttention
from repro.nano.attention import GqaSaved, KVCache, gqa, gqa_backward, gqa_cache
from repro.nano.config import Config
from repro.nano.gate import Gate, Routing
from repro.nano.mla import MlaSaved, mla, mla_backward, mla_cache
from repro.nano.moe import MoeSaved, moe, moe_backward
from repro.nano.ops import MlpSaved, NormSaved, Params, mlp, mlp_backward, rms_norm, rms_norm_backward
from repro.nano.rope import CosSin

AttnSaved: TypeAlias = MlaSaved | GqaSaved | None  # None in MLA's absorbed form


class BlockSaved(NamedTuple):
    """What `block` saves."""

    input_norm: NormSaved
    attention: AttnSaved
    post_attention_norm: NormSaved
    mlp: MlpSaved | MoeSaved

    @property
    def routing(self) -> Routing | None:
        """What the layer's gate decided, if it has one."""
        return self.mlp.routing if isinstance(self.mlp, MoeSaved) else None


def layer_cache(config: Config, batch: int, capacity: int, dtype: DTypeLike) -> KVCache:
    """Return one layer's empty cache, for `batch` sequences of up to `capacity` tokens."""
    attn = config.arch.attention
    if isinstance(attn, MultiHeadLatentAttention):
        return mla_cache(attn, batch, capacity, dtype)
    return gqa_cache(attn, batch, capacity, dtype)


def attention(
    x: Array, p: Params, config: Config, cos_sin: CosSin, cache: KVCache | None = None, *, absorbed: bool = False
) -> tuple[Array, AttnSaved]:
    """Apply the model's kind of attention: [B, T, d_model] -> [B, T, d_model]."""
    attn = config.arch.attention
    if isinstance(attn, MultiHeadLatentAttention):
        return mla(x, p, attn, config.rope, cos_sin, cache, absorbed=absorbed)
    return gqa(x, p, attn, config.rope, cos_sin, cache)


def attention_backward(d_y: Array, p: Params, config: Config, saved: AttnSaved) -> tuple[Array, Params]:
    """Return the gradients of x, [B, T, d_model], and of the attention's weights."""
    attn = config.arch.attention
    if isinstance(attn, MultiHeadLatentAttention) and isinstance(saved, MlaSaved):
        return mla_backward(d_y, p, attn, config.rope, saved)
    if isinstance(attn, GroupedQueryAttention) and isinstance(saved, GqaSaved):
        return gqa_backward(d_y, p, attn, config.rope, saved)
    raise TypeError("attention: the absorbed form has no backward pass")


def block(
    h: Array, p: Params, config: Config, cos_sin: CosSin, cache: KVCache | None = None, *, absorbed: bool = False,
    workers: int = 1, save: bool = True,
) -> tuple[Array, BlockSaved]:  # fmt: skip
    """Apply one layer to the residual stream: [B, T, d_model] -> [B, T, d_model].

    `cos_sin` are the tables of the tokens' positions, `cache` is this layer's and grows by the tokens, `absorbed` is
    MLA's form, `workers` threads share the experts, and without `save` the experts keep nothing for a backward pass.

    Source: DeepSeek-V3 report (arXiv 2412.19437), figure 2.
    """
    x, saved_norm_1 = rms_norm(h, p["input_layernorm"], config.rms_norm_eps)
    a, saved_attention = attention(x, p["self_attn"], config, cos_sin, cache, absorbed=absorbed)
    h = h + a
    x, saved_norm_2 = rms_norm(h, p["post_attention_layernorm"], config.rms_norm_eps)
    saved_mlp: MlpSaved | MoeSaved
    if "gate" in p["mlp"]:
        experts, gate = cast(MixtureOfExperts, config.arch.experts), cast(Gate, config.gate)
        f, saved_mlp = moe(x, p["mlp"], experts, gate, workers=workers, save=save)
    else:
        f, saved_mlp = mlp(x, p["mlp"])
    return h + f, BlockSaved(saved_norm_1, saved_attention, saved_norm_2, saved_mlp)


def block_backward(
    d_h: Array, p: Params, config: Config, saved: BlockSaved, *, workers: int = 1, d_scores: Array | None = None
) -> tuple[Array, Params]:
    """Return the gradients of the layer's input, [B, T, d_model], and of its weights; d_scores as in `moe_backward`."""
    if isinstance(saved.mlp, MlpSaved):
        d_x, d_mlp = mlp_backward(d_h, p["mlp"], saved.mlp)
    else:
        gate = cast(Gate, config.gate)
        d_x, d_mlp = moe_backward(d_h, p["mlp"], gate, saved.mlp, workers=workers, d_scores=d_scores)
    d_x, d_norm_2 = rms_norm_backward(d_x, p["post_attention_layernorm"], saved.post_attention_norm)
    d_h = d_h + d_x
    d_x, d_attention = attention_backward(d_h, p["self_attn"], config, saved.attention)
    d_x, d_norm_1 = rms_norm_backward(d_x, p["input_layernorm"], saved.input_norm)
    d_p = {"input_layernorm": d_norm_1, "self_attn": d_attention, "post_attention_layernorm": d_norm_2, "mlp": d_mlp}
    return d_h + d_x, d_p
