"""One transformer layer: attention of any kind, then a feed-forward or experts, each after a norm and added back."""

from repro.arrays import Array
from repro.models.architecture import MultiHeadLatentAttention
from repro.nano.attention import KVCache, gqa, gqa_backward, gqa_cache
from repro.nano.config import Config
from repro.nano.mla import mla, mla_backward, mla_cache
from repro.nano.moe import moe, moe_backward
from repro.nano.ops import mlp, mlp_backward, rms_norm, rms_norm_backward


def layer_cache(config: Config, batch: int, capacity: int, dtype: type) -> KVCache:
    """Return one layer's empty cache.

    Args: config: of the model. batch: sequences. capacity: tokens of each. dtype: of the arrays.
    """
    attention = config.arch.attention
    latent = isinstance(attention, MultiHeadLatentAttention)
    return (mla_cache if latent else gqa_cache)(attention, batch, capacity, dtype)


def attention(
    x: Array, p: dict, config: Config, cache: KVCache | None = None, *, absorbed: bool = False
) -> tuple[Array, tuple]:
    """Return what the model's kind of attention gives, [B, T, d_model] -> [B, T, d_model], and what was saved."""
    attn, rope = config.arch.attention, config.rope
    if isinstance(attn, MultiHeadLatentAttention):
        return mla(x, p, attn, rope, cache, absorbed=absorbed)
    return gqa(x, p, attn, rope, cache)


def attention_backward(d_y: Array, p: dict, config: Config, saved: tuple) -> tuple[Array, dict]:
    """Return the gradient of x, [B, T, d_model], and those of the attention's weights."""
    attn = config.arch.attention
    back = mla_backward if isinstance(attn, MultiHeadLatentAttention) else gqa_backward
    return back(d_y, p, attn, config.rope, saved)


def block(
    h: Array,
    p: dict,
    config: Config,
    cache: KVCache | None = None,
    *,
    absorbed: bool = False,
    workers: int = 1,
    save: bool = True,
) -> tuple[Array, tuple]:
    """Return the residual stream after one layer.

    Args: h: [B, T, d_model]. p: "input_layernorm", "self_attn", "post_attention_layernorm", "mlp". config: of the
        model. cache: of this layer, filled by the call. absorbed: MLA's form. workers: threads for the experts.
        save: whether what the experts' backward pass needs is kept.
    Returns: [B, T, d_model], and what the backward pass needs.
    Source: DeepSeek-V3 report (arXiv 2412.19437), figure 2.
    """
    x, saved_norm_1 = rms_norm(h, p["input_layernorm"], config.rms_norm_eps)
    a, saved_attention = attention(x, p["self_attn"], config, cache, absorbed=absorbed)
    h = h + a
    x, saved_norm_2 = rms_norm(h, p["post_attention_layernorm"], config.rms_norm_eps)
    if "gate" in p["mlp"]:
        f, saved_f = moe(x, p["mlp"], config.arch.experts, config.gate, workers=workers, save=save)
    else:
        f, saved_f = mlp(x, p["mlp"])
    return h + f, (saved_norm_1, saved_attention, saved_norm_2, saved_f)


def block_backward(
    d_h: Array, p: dict, config: Config, saved: tuple, *, workers: int = 1, d_scores: Array | None = None
) -> tuple[Array, dict]:
    """Return the gradient of the layer's input, [B, T, d_model], and those of its weights.

    Args: d_h: [B, T, d_model]. p, config, workers: as given to `block`. saved: as it returned. d_scores: the gradient
        of a balancing loss with respect to the gate's scores, [B · T, E], in a layer with experts.
    """
    saved_norm_1, saved_attention, saved_norm_2, saved_f = saved
    if "gate" in p["mlp"]:
        d_x, d_feed_forward = moe_backward(d_h, p["mlp"], config.gate, saved_f, workers=workers, d_scores=d_scores)
    else:
        d_x, d_feed_forward = mlp_backward(d_h, p["mlp"], saved_f)
    d_x, d_norm_2 = rms_norm_backward(d_x, p["post_attention_layernorm"], saved_norm_2)
    d_h = d_h + d_x
    d_x, d_attention = attention_backward(d_h, p["self_attn"], config, saved_attention)
    d_x, d_norm_1 = rms_norm_backward(d_x, p["input_layernorm"], saved_norm_1)
    return d_h + d_x, {
        "input_layernorm": d_norm_1,
        "self_attn": d_attention,
        "post_attention_layernorm": d_norm_2,
        "mlp": d_feed_forward,
    }
