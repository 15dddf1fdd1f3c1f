"""Multi-token prediction: after the main model, modules in a chain that each predict one token further ahead."""

import numpy as np

from repro.arrays import Array
from repro.nano.attention import KVCache
from repro.nano.block import block, block_backward
from repro.nano.config import Config
from repro.nano.ops import linear, linear_backward, rms_norm, rms_norm_backward, split_halves
from repro.nano.ops import save_for_backward as kept


def mtp_module(
    hidden: Array,
    embedded: Array,
    p: dict,
    config: Config,
    cache: KVCache | None = None,
    *,
    absorbed: bool = False,
    workers: int = 1,
    save: bool = True,
) -> tuple[Array, tuple]:
    """Return one module's representation, from the one a depth before and the embedding of the next token.

    Args: hidden: [B, T, d_model], at each position the normed output of the main model, or of the module before.
        embedded: [B, T, d_model], of the token that the depth before was to predict there. p: "hnorm",
        "enorm", "eh_proj" [d_model, 2 d_model], "block", "norm". config: of the model. cache, absorbed,
        workers, save: as `block` takes them, the cache holding the module's own positions.
    Returns: [B, T, d_model], to be multiplied by the shared head, and what the backward pass needs.
    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 21 and 22; the embedding's half comes first in the
        published weights, second in the equation.
    """
    e, saved_e = rms_norm(embedded, p["enorm"], config.rms_norm_eps)
    h, saved_h = rms_norm(hidden, p["hnorm"], config.rms_norm_eps)
    both = np.concatenate([e, h], axis=-1)  # [B, T, 2 d_model]
    x = linear(both, p["eh_proj"])
    out, saved_block = block(x, p["block"], config, cache, absorbed=absorbed, workers=workers, save=save)
    y, saved_y = rms_norm(out, p["norm"], config.rms_norm_eps)
    return y, (saved_e, saved_h, kept(both, p["eh_proj"]), saved_block, saved_y)


def mtp_module_backward(
    d_y: Array, p: dict, config: Config, saved: tuple, *, workers: int = 1, d_scores: Array | None = None
) -> tuple[Array, Array, dict]:
    """Return the gradients of the hidden states and of the embeddings, [B, T, d_model] each, and of the weights.

    Args: d_y: [B, T, d_model]. p, config, workers: as given to `mtp_module`. saved: as it returned. d_scores: as
        `block_backward` takes it.
    """
    saved_e, saved_h, both, saved_block, saved_y = saved
    d_out, d_norm = rms_norm_backward(d_y, p["norm"], saved_y)
    d_x, d_block = block_backward(d_out, p["block"], config, saved_block, workers=workers, d_scores=d_scores)
    d_both, d_projection = linear_backward(d_x, both, p["eh_proj"])
    d_e, d_h = split_halves(d_both)
    d_embedded, d_embedding_norm = rms_norm_backward(d_e, p["enorm"], saved_e)
    d_hidden, d_hidden_norm = rms_norm_backward(d_h, p["hnorm"], saved_h)
    gradients = {
        "hnorm": d_hidden_norm,
        "enorm": d_embedding_norm,
        "eh_proj": d_projection,
        "block": d_block,
        "norm": d_norm,
    }
    return d_hidden, d_embedded, gradients
