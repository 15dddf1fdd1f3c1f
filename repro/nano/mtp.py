"""Multi-token prediction (MTP): modules that each predict one token further ahead than the main model.

Module k takes the hidden states of depth k - 1, which have predicted the next token, and the embedding of that token,
joins the two by a projection, and runs one more layer; the shared head then predicts the token after. In training the
modules' losses are added to the main one; in decoding the first module can draft a token for the main model to check.

One simplification: a module hands on its normed output, while V3's equation 22 defines h^k before that norm. With one
module, which is what V3 has, there is nobody to hand it to; from the second module on the two differ.
"""

from typing import Any, NamedTuple

import numpy as np

from repro.arrays import Array
from repro.nano import ops
from repro.nano.attention import KVCache
from repro.nano.block import BlockSaved, block, block_backward
from repro.nano.config import Config
from repro.nano.ops import NormSaved, Params
from repro.nano.rope import CosSin


class MtpSaved(NamedTuple):
    """What `mtp_module` saves."""

    enorm: NormSaved
    hnorm: NormSaved
    joined: Any  #: [B, T, 2 d_model]
    block: BlockSaved
    norm: NormSaved


def mtp_module(
    hidden: Array, embedded: Array, p: Params, config: Config, cos_sin: CosSin, cache: KVCache | None = None, *,
    absorbed: bool = False, workers: int = 1, save: bool = True,
) -> tuple[Array, MtpSaved]:  # fmt: skip
    """Return one module's normed output, [B, T, d_model], for the shared head and for the next module.

    `hidden` is the normed output of the main model or of the module before; `embedded` are the embeddings of the
    tokens that it was to predict, [B, T, d_model] each. `p` has "hnorm", "enorm", "eh_proj" [d_model, 2 d_model],
    "block" and "norm". The rest is as for `block`, with a cache of the module's own.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 21 and 22; the embedding's half comes first in the
        published weights, second in the equation.
    """
    e, saved_e = ops.rms_norm(embedded, p["enorm"], config.rms_norm_eps)  # [B, T, d_model]
    h, saved_h = ops.rms_norm(hidden, p["hnorm"], config.rms_norm_eps)  # [B, T, d_model]
    joined = np.concatenate([e, h], axis=-1)  # [B, T, 2 d_model]
    x = ops.linear(joined, p["eh_proj"])  # [B, T, d_model]
    out, saved_block = block(x, p["block"], config, cos_sin, cache, absorbed=absorbed, workers=workers, save=save)
    y, saved_y = ops.rms_norm(out, p["norm"], config.rms_norm_eps)  # [B, T, d_model]
    return y, MtpSaved(saved_e, saved_h, ops.save_for_backward(joined, p["eh_proj"]), saved_block, saved_y)


def mtp_module_backward(
    d_y: Array, p: Params, config: Config, saved: MtpSaved, *, workers: int = 1, d_scores: Array | None = None
) -> tuple[Array, Array, Params]:
    """Return the gradients of the hidden states and of the embeddings, [B, T, d_model] each, and of the weights."""
    d_out, d_norm = ops.rms_norm_backward(d_y, p["norm"], saved.norm)  # [B, T, d_model]
    d_x, d_block = block_backward(d_out, p["block"], config, saved.block, workers=workers, d_scores=d_scores)
    d_joined, d_eh_proj = ops.linear_backward(d_x, saved.joined, p["eh_proj"])  # [B, T, 2 d_model]
    d_e, d_h = ops.split_halves(d_joined)  # [B, T, d_model] each
    d_embedded, d_enorm = ops.rms_norm_backward(d_e, p["enorm"], saved.enorm)
    d_hidden, d_hnorm = ops.rms_norm_backward(d_h, p["hnorm"], saved.hnorm)
    gradients = {"hnorm": d_hnorm, "enorm": d_enorm, "eh_proj": d_eh_proj, "block": d_block, "norm": d_norm}
    return d_hidden, d_embedded, gradients
