"""The layers that everything is made of, each beside its backward pass: linear, RMSNorm, SwiGLU, cross-entropy.

A layer is a function of arrays: it returns its output and, where the way back needs more than the inputs, `saved`.
`layer_backward` takes the gradient of the loss with respect to the output, d_y, and returns those of inputs and
weights. Weights are [d_out, d_in], as checkpoints store them; `...` stands for any leading axes, mostly [B, T].
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from repro.arrays import Array, IntArray

Params: TypeAlias = dict[str, Any]  # parameters or their gradients, nested by name and layer as checkpoints nest them

# BLAS kernels compute in whole vector registers and can raise the processor's "invalid" flag for lanes outside the
# product, so that numpy now and then warns of correct products (numpy's issue 24067 is one such report). Entry points
# that multiply are decorated with this, and results are checked for NaN instead.
ignore_blas_flags = np.errstate(invalid="ignore")


class WeightBackend(ABC):
    """A weight that does its own multiplying, for example in FP8; `linear` and `linear_backward` delegate to it."""

    shape: tuple[int, ...]

    @abstractmethod
    def product(self, rows: Array) -> Array:
        """Return rows Wᵀ: [N, d_in] -> [N, d_out]."""

    @abstractmethod
    def product_backward(self, d_rows: Array, saved: Any, out: Array | None) -> tuple[Array, Array]:
        """Return the gradients of rows, [N, d_in], and of W, [d_out, d_in]; the latter is written to `out` if given."""

    @abstractmethod
    def save_for_backward(self, rows: Array) -> Any:
        """Return the form in which rows, [N, d_in], wait for the backward pass."""

    @abstractmethod
    def __getitem__(self, index: Any) -> "WeightBackend":
        """Return one weight of a stack."""


Weight: TypeAlias = Array | WeightBackend  # or a PackedWeight, which numpy reads as an array


def linear(x: Array, weight: Weight, bias: Array | None = None) -> Array:
    """Return x Wᵀ + b: [..., d_in] -> [..., d_out]."""
    rows = x.reshape(-1, x.shape[-1])  # [N, d_in]: one matrix product over all leading axes
    y = weight.product(rows) if isinstance(weight, WeightBackend) else rows @ np.asarray(weight).T  # [N, d_out]
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[0])


def save_for_backward(x: Array, weight: Weight) -> Any:
    """Return what is stored of a linear layer's input: x itself, or its rows in the number format of the weight."""
    return weight.save_for_backward(x.reshape(-1, x.shape[-1])) if isinstance(weight, WeightBackend) else x


def linear_backward(d_y: Array, saved: Any, weight: Weight, out: Array | None = None) -> tuple[Array, Array]:
    """Return the gradients of the saved x, [..., d_in], and of the weight, [d_out, d_in], in `out` if given."""
    rows = d_y.reshape(-1, d_y.shape[-1])  # [N, d_out]
    if isinstance(weight, WeightBackend):
        d_x, d_weight = weight.product_backward(rows, saved, out)
    else:
        d_x, d_weight = rows @ weight, np.matmul(rows.T, saved.reshape(-1, saved.shape[-1]), out=out)
    return d_x.reshape(*d_y.shape[:-1], weight.shape[-1]), d_weight


def bias_backward(d_y: Array) -> Array:
    """Return the gradient of a bias: [..., d_out] -> [d_out]."""
    return d_y.reshape(-1, d_y.shape[-1]).sum(axis=0)


class NormSaved(NamedTuple):
    """What `rms_norm` saves."""

    normed: Array  #: [..., d], before the gain
    inverse_rms: Array  #: [..., 1]


def rms_norm(x: Array, gain: Array, eps: float) -> tuple[Array, NormSaved]:
    """Return x divided by its root mean square, times a gain [d]: [..., d] -> [..., d].

    Source: Zhang and Sennrich (arXiv 1910.07467), equation 4.
    """
    squares = np.einsum("...d,...d->...", x, x)[..., None]  # [..., 1]
    inverse_rms = 1 / np.sqrt(squares / x.shape[-1] + eps)  # [..., 1]
    normed = x * inverse_rms  # [..., d]
    return normed * gain, NormSaved(normed, inverse_rms)


def rms_norm_backward(d_y: Array, gain: Array, saved: NormSaved) -> tuple[Array, Array]:
    """Return the gradients of x, [..., d], and of the gain, [d]."""
    normed, inverse_rms = saved
    d_x = d_y * gain  # [..., d], of the normed x so far
    along = np.einsum("...d,...d->...", d_x, normed)[..., None]  # [..., 1]: lengthening x changes nothing
    d_x -= normed * (along / len(gain))
    d_x *= inverse_rms
    return d_x, np.einsum("nd,nd->d", d_y.reshape(-1, len(gain)), normed.reshape(-1, len(gain)))


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e⁻ˣ)."""
    y = np.negative(x)
    with np.errstate(over="ignore"):  # where e⁻ˣ overflows to infinity, 1 / infinity = 0 is right
        np.exp(y, out=y)
    y += 1
    return np.divide(1, y, out=y)


def softmax(x: Array) -> Array:
    """Return eˣ divided by its sum over the last axis."""
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y


def split_halves(x: Array) -> tuple[Array, Array]:
    """Return views of the first and the second half of the last axis."""
    middle = x.shape[-1] // 2
    return x[..., :middle], x[..., middle:]


def swiglu(gate_up: Array) -> Array:
    """Return silu(gate) · up, where silu(x) = x sigmoid(x): [..., 2 d_ff], gate first -> [..., d_ff]."""
    return swiglu_and_sigmoid(gate_up)[0]


def swiglu_and_sigmoid(gate_up: Array) -> tuple[Array, Array]:
    """Return SwiGLU, and the gate's sigmoid for the backward pass: [..., 2 d_ff] -> [..., d_ff] each."""
    gate, up = split_halves(gate_up)
    s = sigmoid(gate)
    y = gate * s
    y *= up
    return y, s


def swiglu_backward(d_y: Array, gate_up: Array, s: Array) -> Array:
    """Return the gradient of gate_up, [..., 2 d_ff], from d_y and the gate's sigmoid s, [..., d_ff] each."""
    gate, up = split_halves(gate_up)
    d_gate_up = np.empty_like(gate_up)  # [..., 2 d_ff]
    d_gate, d_up = split_halves(d_gate_up)
    np.multiply(gate, s, out=d_up)  # silu
    np.subtract(1, s, out=d_gate)
    d_gate *= d_up
    d_gate += s  # silu' = s + silu (1 - s)
    d_gate *= up
    d_gate *= d_y
    d_up *= d_y
    return d_gate_up


class MlpSaved(NamedTuple):
    """What `mlp` saves: the inputs of its first product and of SwiGLU."""

    x: Any  #: [..., d_model]
    gate_up: Any  #: [..., 2 d_ff]


def mlp(x: Array, p: Params) -> tuple[Array, MlpSaved]:
    """Return W_down (silu(W_gate x) · W_up x): [..., d_model] -> [..., d_model].

    `p` has "gate_up_proj", [2 d_ff, d_model], and "down_proj", [d_model, d_ff].

    Source: Shazeer (arXiv 2002.05202), equation 6.
    """
    gate_up = linear(x, p["gate_up_proj"])  # [..., 2 d_ff]
    saved = MlpSaved(save_for_backward(x, p["gate_up_proj"]), save_for_backward(gate_up, p["down_proj"]))
    return linear(swiglu(gate_up), p["down_proj"]), saved


def mlp_backward(d_y: Array, p: Params, saved: MlpSaved) -> tuple[Array, Params]:
    """Return the gradients of x, [..., d_model], and of the weights; SwiGLU's output is recomputed, not saved."""
    gate_up = np.asarray(saved.gate_up, d_y.dtype).reshape(*d_y.shape[:-1], -1)  # [..., 2 d_ff]
    a, s = swiglu_and_sigmoid(gate_up)  # [..., d_ff]
    d_a, d_down = linear_backward(d_y, save_for_backward(a, p["down_proj"]), p["down_proj"])
    d_x, d_gate_up = linear_backward(swiglu_backward(d_a, gate_up, s), saved.x, p["gate_up_proj"])
    return d_x, {"gate_up_proj": d_gate_up, "down_proj": d_down}


def cross_entropy(logits: Array, targets: IntArray) -> tuple[float, Array]:
    """Return the mean of -log p(target) in nats, and its gradient: logits [..., V] and targets [...] -> [..., V].

    Where a target is -1 nothing is to be predicted; the mean is over the rest.
    """
    rows, columns = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1, 1)  # [N, V], [N, 1]
    counted = columns >= 0  # [N, 1]
    count = max(int(counted.sum()), 1)
    shifted = rows - rows.max(axis=-1, keepdims=True)  # [N, V]
    p = np.exp(shifted)  # [N, V]
    total = p.sum(axis=-1, keepdims=True)  # [N, 1]
    losses = np.log(total) - np.take_along_axis(shifted, columns, axis=-1)  # [N, 1]
    p /= total
    p[np.arange(len(rows)), columns[:, 0]] -= 1
    p /= count
    p[~counted[:, 0]] = 0
    return float(np.sum(losses * counted)) / count, p.reshape(logits.shape)
