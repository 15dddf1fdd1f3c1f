"""The layers that everything is made of, each with its backward pass: linear, RMSNorm, SwiGLU, cross-entropy.

A forward function that needs more than its inputs to go back returns them as `saved`. Gradients are named d_x for the
gradient of the loss with respect to x. Weights are [d_out, d_in], as checkpoints store them.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from repro.arrays import Array

# BLAS kernels compute in whole vector registers and can raise the processor's "invalid" flag for lanes outside the
# product, so that numpy warns, now and then, of products that are right (numpy's issue 24067 is one such report).
# Entry points that multiply are decorated with this; what is no number is looked for in the results instead.
ignore_blas_flags = np.errstate(invalid="ignore")


class WeightBackend(ABC):
    """A weight that multiplies in a way of its own, such as in few bits; `linear` and `linear_backward` ask it."""

    shape: tuple[int, ...]

    @abstractmethod
    def product(self, rows: Array) -> Array:
        """Return rows Wᵀ: [N, d_in] -> [N, d_out]."""

    @abstractmethod
    def product_backward(self, d_rows: Array, kept: Any, out: Array | None) -> tuple[Array, Array]:
        """Return the gradients of rows, [N, d_in], and of W, [d_out, d_in], the latter in `out` where it is given."""

    @abstractmethod
    def save_for_backward(self, rows: Array) -> Any:
        """Return what is stored of rows, [N, d_in], for the backward pass."""

    @abstractmethod
    def __getitem__(self, place: Any) -> "WeightBackend":
        """Return one of a stack."""


def linear(x: Array, weight: Array | WeightBackend, bias: Array | None = None) -> Array:
    """Return x Wᵀ + b.

    Args: x: [..., d_in]. weight: [d_out, d_in], an array, packed, or a matrix that multiplies in its own way.
        bias: [d_out].
    Returns: [..., d_out].
    """
    rows = x.reshape(-1, x.shape[-1])  # one matrix product over all leading axes
    y = weight.product(rows) if isinstance(weight, WeightBackend) else rows @ np.asarray(weight).T
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[0])


def save_for_backward(x: Array, weight: Array | WeightBackend) -> Any:
    """Return what is stored of x for the backward pass: x itself, or rows in the numbers of the weight's scheme.

    Args: x: [..., d]. weight: that reads it, or that stands for the scheme.
    """
    return weight.save_for_backward(x.reshape(-1, x.shape[-1])) if isinstance(weight, WeightBackend) else x


def linear_backward(
    d_y: Array, kept: Any, weight: Array | WeightBackend, out: Array | None = None
) -> tuple[Array, Array]:
    """Return the gradients of x and of the weight; that of a bias is d_y summed over tokens.

    Args: d_y: [..., d_out]. kept: x, [..., d_in], as `keep` stores it. weight: [d_out, d_in]. out: where the weight's
        gradient is to lie.
    Returns: [..., d_in] and [d_out, d_in].
    """
    rows = d_y.reshape(-1, d_y.shape[-1])
    if isinstance(weight, WeightBackend):
        d_x, d_weight = weight.product_backward(rows, kept, out)
    else:
        d_x, d_weight = rows @ weight, np.matmul(rows.T, kept.reshape(-1, kept.shape[-1]), out=out)
    return d_x.reshape(*d_y.shape[:-1], weight.shape[-1]), d_weight


def bias_backward(d_y: Array) -> Array:
    """Return the gradient of a bias: [..., d_out] -> [d_out]."""
    return d_y.reshape(-1, d_y.shape[-1]).sum(axis=0)


def rms_norm(x: Array, gain: Array, eps: float) -> tuple[Array, tuple[Array, Array]]:
    """Return x over the root of its mean square, times a gain.

    Args: x: [..., d]. gain: [d]. eps: added to the mean square.
    Returns: [..., d], and what the backward pass needs.
    Source: Zhang and Sennrich (arXiv 1910.07467), equation 4.
    """
    squares = np.einsum("...d,...d->...", x, x)[..., None]  # [..., 1]
    inverse = 1 / np.sqrt(squares / x.shape[-1] + eps)
    normal = x * inverse
    return normal * gain, (normal, inverse)


def rms_norm_backward(d_y: Array, gain: Array, saved: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return the gradients of x, [..., d], and of the gain, [d]."""
    normal, inverse = saved
    d_x = d_y * gain  # of normal, as yet
    along = np.einsum("...d,...d->...", d_x, normal)[..., None]  # what only lengthens x changes nothing
    d_x -= normal * (along / len(gain))
    d_x *= inverse
    return d_x, np.einsum("nd,nd->d", d_y.reshape(-1, len(gain)), normal.reshape(-1, len(gain)))


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e⁻ˣ), [...] -> [...]."""
    y = np.negative(x)
    with np.errstate(over="ignore"):  # e⁻ˣ = inf is right: one over it is 0
        np.exp(y, out=y)
    y += 1
    return np.divide(1, y, out=y)


def split_halves(x: Array) -> tuple[Array, Array]:
    """Return views of the first and the second half of the last axis."""
    middle = x.shape[-1] // 2
    return x[..., :middle], x[..., middle:]


def softmax(x: Array) -> Array:
    """Return eˣ over its sum along the last axis, [..., d] -> [..., d]."""
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y


def swiglu(gate_up: Array) -> Array:
    """Return silu(gate) · up, where silu(x) = x sigmoid(x).

    Args: gate_up: [..., 2 d_ff], the gate's half first.
    Returns: [..., d_ff].
    Source: Shazeer (arXiv 2002.05202), equation 6.
    """
    return swiglu_and_sigmoid(gate_up)[0]


def swiglu_and_sigmoid(gate_up: Array) -> tuple[Array, Array]:
    """Return SwiGLU and the sigmoid of its gate, which the backward pass needs: [..., 2 d_ff] -> twice [..., d_ff]."""
    gate, up = split_halves(gate_up)
    s = sigmoid(gate)
    y = gate * s
    y *= up
    return y, s


def swiglu_backward(d_y: Array, gate_up: Array, s: Array) -> Array:
    """Return the gradient of both halves, [..., d_ff] -> [..., 2 d_ff].

    Args: d_y: [..., d_ff]. gate_up: as given to `swiglu`. s: sigmoid of the gate, [..., d_ff].
    """
    gate, up = split_halves(gate_up)
    d_gate_up = np.empty_like(gate_up)
    d_gate, d_up = split_halves(d_gate_up)
    np.multiply(gate, s, out=d_up)  # silu
    np.subtract(1, s, out=d_gate)
    d_gate *= d_up
    d_gate += s  # silu' = s + silu (1 - s)
    d_gate *= up
    d_gate *= d_y
    d_up *= d_y
    return d_gate_up


def mlp(x: Array, p: dict[str, Array]) -> tuple[Array, tuple[Array, Array]]:
    """Return W_down (silu(W_gate x) · W_up x).

    Args: x: [..., d_model]. p: "gate_up_proj" [2 d_ff, d_model], "down_proj" [d_model, d_ff].
    Returns: [..., d_model], and what the backward pass needs.
    Source: Shazeer (arXiv 2002.05202), equation 6.
    """
    gate_up = linear(x, p["gate_up_proj"])
    return linear(swiglu(gate_up), p["down_proj"]), (
        save_for_backward(x, p["gate_up_proj"]),
        save_for_backward(gate_up, p["down_proj"]),
    )


def mlp_backward(d_y: Array, p: dict[str, Array], saved: tuple[Array, Array]) -> tuple[Array, dict]:
    """Return the gradient of x, [..., d_model], and those of the weights; SwiGLU's output is computed again."""
    x, kept = saved
    gate_up = np.asarray(kept, d_y.dtype).reshape(*d_y.shape[:-1], -1)
    a, s = swiglu_and_sigmoid(gate_up)
    d_hidden, d_down = linear_backward(d_y, save_for_backward(a, p["down_proj"]), p["down_proj"])
    d_x, d_gate_up = linear_backward(swiglu_backward(d_hidden, gate_up, s), x, p["gate_up_proj"])
    return d_x, {"gate_up_proj": d_gate_up, "down_proj": d_down}


def cross_entropy(logits: Array, targets: Array) -> tuple[float, Array]:
    """Return the mean of -log p(target), in nats, and its gradient.

    Args: logits: [..., V]. targets: integers, [...].
    Returns: the loss, and [..., V].
    """
    rows, places = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1, 1)
    shifted = rows - rows.max(axis=-1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=-1, keepdims=True)
    loss = float(np.mean(np.log(total) - np.take_along_axis(shifted, places, axis=-1)))
    p /= total
    p[np.arange(len(rows)), places[:, 0]] -= 1
    p /= len(rows)
    return loss, p.reshape(logits.shape)
