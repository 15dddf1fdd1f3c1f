"""Bytes of a training step, measured on the arrays that it holds: state of the parameters, and what layers keep."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from repro.arrays import IntArray
from repro.errors import InputError
from repro.models.architecture import MultiHeadLatentAttention
from repro.nano.block import BlockSaved
from repro.nano.model import Model
from repro.nano.moe import MoeSaved
from repro.nano.numerics.recipes import PrecisionRecipe
from repro.nano.param_shapes import iter_leaves
from repro.nano.training.mixed_precision import QuantizedWeight, cast_model
from repro.nano.training.optimizer import AdamW, Recipe

INPUTS, OUTPUT, SWIGLU = "inputs of linear layers", "attention's output", "inputs of SwiGLU"
QKV, WEIGHTS, NORMS, GATE = "queries, keys, values", "attention's weights", "norms", "gate and dispatch"
KINDS = (INPUTS, OUTPUT, SWIGLU, QKV, WEIGHTS, NORMS, GATE)


def state_bytes(model: Model, batch: IntArray, precision: PrecisionRecipe) -> dict[str, float]:
    """Return the bytes that a parameter of a linear layer takes, by part, after one step of the optimizer.

    The step changes the model, in float32; a batch is [B, T + 1]. "weights" are operands of products, with scales.
    """
    if model.dtype != np.float32:
        raise InputError(f"model in {model.dtype}: must be float32, as master weights are")
    cast = cast_model(model, precision)
    leaves: dict[str, Any] = dict(iter_leaves(cast.params))
    weights = {path: leaf for path, leaf in leaves.items() if isinstance(leaf, QuantizedWeight)}
    operands = {path: weight.stored for path, weight in weights.items() if weight.precision is precision}
    _, gradients = cast.loss_and_gradients(batch)
    optimizer = AdamW(Recipe(steps=1, warmup_steps=0, precision=precision))
    optimizer.step(model.params, gradients)
    masters, gradient_by_path = dict(iter_leaves(model.params)), dict(iter_leaves(gradients))
    parts: dict[str, list[Any]] = {
        "weights": list(operands.values()),
        "master_weights": [masters[path] for path in operands],
        "gradients": [gradient_by_path[path] for path in operands],
        "moments": [moment for path in operands for moment in optimizer.moments[path]],
    }
    count = sum(np.prod(operand.shape) for operand in operands.values())
    return {part: sum(array.nbytes for array in arrays) / count for part, arrays in parts.items()}


def activation_bytes(model: Model, tokens: IntArray) -> list[dict[str, float]]:
    """Return the bytes per token that each layer keeps for its backward pass, by kind; tokens are [B, T]."""
    if not isinstance(model.config.arch.attention, MultiHeadLatentAttention):
        raise InputError("attention: must be latent, whose saved arrays are told apart here")
    layers = []
    for saved in model.saved_by_layer(tokens):  # in a recipe's numbers if the model is cast to one
        sizes, seen = dict.fromkeys(KINDS, 0.0), set()
        for kind, array in _arrays(saved):
            if id(array) not in seen:  # an array that two need is kept once
                sizes[kind] += array.nbytes / tokens.size
            seen.add(id(array))
        layers.append(sizes)
    return layers


def _arrays(saved: BlockSaved) -> Iterator[tuple[str, Any]]:
    """Yield each array that a layer with MLA saves, with its kind."""
    attention: Any = saved.attention  # of MLA: activation_bytes has checked it
    mlp = saved.mlp
    norms = (saved.input_norm, attention.q_norm, attention.kv_norm, saved.post_attention_norm)
    kinds: dict[str, list[Any]] = {
        INPUTS: [attention.x, attention.q_latent, attention.kv_latent],
        OUTPUT: [attention.o],
        QKV: [attention.q, attention.k, attention.v],
        WEIGHTS: [attention.attn_probs],
        NORMS: [array for norm in norms if norm for array in norm],
        SWIGLU: [], GATE: [],
    }  # fmt: skip
    feed_forward = mlp.shared if isinstance(mlp, MoeSaved) else mlp
    if isinstance(mlp, MoeSaved):
        routing, by_expert = mlp.routing, mlp.dispatch
        kinds[INPUTS].append(mlp.x)
        kinds[SWIGLU] += mlp.gate_up.values()
        kinds[GATE] += [mlp.rows, routing.scores, routing.experts, routing.weights]
        kinds[GATE] += [by_expert.tokens, by_expert.slots, by_expert.offsets]
    if feed_forward:
        kinds[INPUTS].append(feed_forward.x)
        kinds[SWIGLU].append(feed_forward.gate_up)
    for kind, arrays in kinds.items():
        yield from ((kind, array) for array in arrays if array is not None)
