"""Rotary position embedding (RoPE), and YaRN, which stretches it to longer contexts.

RoPE rotates each pair of a query's or key's dimensions by position × frequency, so that their product depends on the
distance between the two tokens alone. Frequencies fall from 1 to about 1 / theta radians per token: over the training
context fast pairs turn many times, slow ones less than once. At positions beyond it, slow pairs reach angles that the
model has never seen. YaRN divides their frequencies by the stretch factor, leaves fast pairs alone, blends in between,
and sharpens the softmax to make up for the longer context.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from repro.arrays import Array
from repro.validate import check_number

CosSin: TypeAlias = tuple[Array, Array]  # [T, qk_rope_head_dim / 2] each, for T positions
LEAST_TURNS = 1e-6  # over the original context


@dataclass(frozen=True)
class Yarn:
    """How a model trained on short contexts is stretched to long ones.

    Source: Peng et al. (arXiv 2309.00071), sections 3.1 to 3.4; DeepSeek-V2 report (arXiv 2405.04434), section 3.1.4.
    """

    factor: float  #: the new context length divided by the old
    original_max_position_embeddings: int  #: tokens of the training context
    beta_fast: float = 32  #: pairs that turn more often than this over that context keep their frequency
    beta_slow: float = 1  #: pairs that turn less often are slowed by the whole factor
    mscale: float | None = None  #: weight of the temperature on the rotary dimensions
    mscale_all_dim: float | None = None  #: weight of the temperature on all dimensions
    attention_factor: float | None = None  #: multiplies cos and sin, instead of what the two weights give
    truncate: bool = True  #: round the blend's two ends to whole pairs

    def __post_init__(self) -> None:
        check_number("factor", self.factor, above=0)
        check_number("original_max_position_embeddings", self.original_max_position_embeddings, above=0)
        check_number("beta_fast", self.beta_fast, least=LEAST_TURNS)
        check_number("beta_slow", self.beta_slow, least=LEAST_TURNS)

    def temperature(self, weight: float) -> float:
        """Return 0.1 · weight · ln(factor) + 1, or 1 if nothing is stretched."""
        return 1.0 if self.factor <= 1 else 0.1 * weight * math.log(self.factor) + 1.0

    @property
    def amplitude(self) -> float:
        """The factor on cos and sin."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return self.temperature(self.mscale) / self.temperature(self.mscale_all_dim)
        return self.temperature(1)


@dataclass(frozen=True)
class Rope:
    """Rotary embedding of pairs of dimensions, (0, 1), (2, 3), … if interleaved, else (0, d/2), (1, d/2 + 1) and so on.

    Source: Su et al. (arXiv 2104.09864), equation 15.
    """

    theta: float = 10_000.0  #: base of the frequencies
    interleaved: bool = True  #: pairs are neighbours, as in DeepSeek's weights
    yarn: Yarn | None = None  #: how the context was stretched, if it was

    def __post_init__(self) -> None:
        """Validate the base: at 1 or below there are no frequencies."""
        check_number("theta", self.theta, above=1)


def rope_frequencies(rope: Rope, qk_rope_head_dim: int) -> Array:
    """Return the angle per position of each pair, in radians: [qk_rope_head_dim / 2], float64.

    Source: Su et al. (arXiv 2104.09864), section 3.2.2; Peng et al. (arXiv 2309.00071), section 3.2.
    """
    d, yarn = qk_rope_head_dim, rope.yarn
    plain = rope.theta ** -(np.arange(0, d, 2) / d)  # [d / 2]
    if yarn is None:
        return plain

    def pair_with(turns: float) -> float:
        """Return the fractional index of the pair that turns this often over the original context."""
        length = yarn.original_max_position_embeddings
        return d * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = pair_with(yarn.beta_fast), pair_with(yarn.beta_slow)
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, d - 1)
    slowed = np.clip((np.arange(d // 2) - low) / ((high - low) or 0.001), 0, 1)  # [d / 2], from 0 to 1
    return plain / yarn.factor * slowed + plain * (1 - slowed)


def cos_sin_tables(rope: Rope, qk_rope_head_dim: int, start: int, length: int, dtype: DTypeLike) -> CosSin:
    """Return cos and sin of the angles at `length` positions from `start` on: [length, qk_rope_head_dim / 2] each."""
    angles = np.arange(start, start + length)[:, None] * rope_frequencies(rope, qk_rope_head_dim)  # [length, d / 2]
    amplitude = rope.yarn.amplitude if rope.yarn else 1.0
    return (np.cos(angles) * amplitude).astype(dtype), (np.sin(angles) * amplitude).astype(dtype)


def apply_rope(x: Array, cos: Array, sin: Array, *, interleaved: bool) -> Array:
    """Rotate each pair (a, b) to (a cos - b sin, a sin + b cos): [..., T, qk_rope_head_dim], in the same layout."""
    y = np.empty_like(x)  # [..., T, qk_rope_head_dim]
    half = x.shape[-1] // 2
    first, second = (np.s_[..., ::2], np.s_[..., 1::2]) if interleaved else (np.s_[..., :half], np.s_[..., half:])
    y[first] = x[first] * cos - x[second] * sin
    y[second] = x[first] * sin + x[second] * cos
    return y


def apply_rope_backward(d_y: Array, cos: Array, sin: Array, *, interleaved: bool) -> Array:
    """Return the gradient of x, which is d_y rotated back."""
    return apply_rope(d_y, cos, -sin, interleaved=interleaved)


def softmax_scale(rope: Rope, qk_head_dim: int) -> float:
    """Return the factor on queries times keys: 1 / √qk_head_dim, times YaRN's temperature squared.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equation 10; Peng et al. (arXiv 2309.00071), section 3.4.
    """
    scale = 1 / math.sqrt(qk_head_dim)
    if rope.yarn and rope.yarn.mscale_all_dim:
        scale *= rope.yarn.temperature(rope.yarn.mscale_all_dim) ** 2
    return scale
