"""One transformer layer: attention of any kind, then a feed-forward or experts, each after a norm and added back."""

from repro.calc.architecture import MultiHeadLatentAttention
from repro.nano.attention import Cache, grouped_attention, grouped_attention_backward, grouped_cache
from repro.nano.config import Config
from repro.nano.mla import latent_attention, latent_attention_backward, latent_cache
from repro.nano.moe import moe, moe_backward
from repro.nano.ops import Array, feed_forward, feed_forward_backward, rms_norm, rms_norm_backward


def layer_cache(config: Config, batch: int, capacity: int, dtype: type) -> Cache:
    """Return one layer's empty cache.

    Args: config: of the model. batch: sequences. capacity: tokens of each. dtype: of the arrays.
    """
    attention = config.shape.attention
    latent = isinstance(attention, MultiHeadLatentAttention)
    return (latent_cache if latent else grouped_cache)(attention, batch, capacity, dtype)


def attention(
    x: Array, p: dict, config: Config, cache: Cache | None = None, *, absorbed: bool = False
) -> tuple[Array, tuple]:
    """Return what the model's kind of attention gives, [B, T, d_model] -> [B, T, d_model], and what was saved."""
    shape, rope = config.shape.attention, config.rope
    if isinstance(shape, MultiHeadLatentAttention):
        return latent_attention(x, p, shape, rope, cache, absorbed=absorbed)
    return grouped_attention(x, p, shape, rope, cache)


def attention_backward(d_y: Array, p: dict, config: Config, saved: tuple) -> tuple[Array, dict]:
    """Return the gradient of x, [B, T, d_model], and those of the attention's weights."""
    shape = config.shape.attention
    back = latent_attention_backward if isinstance(shape, MultiHeadLatentAttention) else grouped_attention_backward
    return back(d_y, p, shape, config.rope, saved)


def block(
    h: Array,
    p: dict,
    config: Config,
    cache: Cache | None = None,
    *,
    absorbed: bool = False,
    workers: int = 1,
    keep: bool = True,
) -> tuple[Array, tuple]:
    """Return the residual stream after one layer.

    Args: h: [B, T, d_model]. p: "attention_norm", "attention", "feed_forward_norm", "feed_forward". config: of the
        model. cache: of this layer, filled by the call. absorbed: MLA's form. workers: threads for the experts.
        keep: whether what the experts' backward pass needs is kept.
    Returns: [B, T, d_model], and what the backward pass needs.
    Source: DeepSeek-V3 report (arXiv 2412.19437), figure 2.
    """
    x, saved_norm_1 = rms_norm(h, p["attention_norm"], config.rms_norm_eps)
    a, saved_attention = attention(x, p["attention"], config, cache, absorbed=absorbed)
    h = h + a
    x, saved_norm_2 = rms_norm(h, p["feed_forward_norm"], config.rms_norm_eps)
    if "gate" in p["feed_forward"]:
        f, saved_f = moe(x, p["feed_forward"], config.shape.experts, config.gate, workers=workers, keep_hidden=keep)
    else:
        f, saved_f = feed_forward(x, p["feed_forward"])
    return h + f, (saved_norm_1, saved_attention, saved_norm_2, saved_f)


def block_backward(
    d_h: Array, p: dict, config: Config, saved: tuple, *, workers: int = 1, d_scores: Array | None = None
) -> tuple[Array, dict]:
    """Return the gradient of the layer's input, [B, T, d_model], and those of its weights.

    Args: d_h: [B, T, d_model]. p, config, workers: as given to `block`. saved: as it returned. d_scores: the gradient
        of a balancing loss with respect to the gate's scores, [B · T, E], in a layer with experts.
    """
    saved_norm_1, saved_attention, saved_norm_2, saved_f = saved
    if "gate" in p["feed_forward"]:
        d_x, d_feed_forward = moe_backward(
            d_h, p["feed_forward"], config.gate, saved_f, workers=workers, d_scores=d_scores
        )
    else:
        d_x, d_feed_forward = feed_forward_backward(d_h, p["feed_forward"], saved_f)
    d_x, d_norm_2 = rms_norm_backward(d_x, p["feed_forward_norm"], saved_norm_2)
    d_h = d_h + d_x
    d_x, d_attention = attention_backward(d_h, p["attention"], config, saved_attention)
    d_x, d_norm_1 = rms_norm_backward(d_x, p["attention_norm"], saved_norm_1)
    return d_h + d_x, {
        "attention_norm": d_norm_1,
        "attention": d_attention,
        "feed_forward_norm": d_norm_2,
        "feed_forward": d_feed_forward,
    }
