"""Rotary position embedding: pairs of dimensions turn by an angle that grows with position; YaRN slows slow pairs."""

import math
from dataclasses import dataclass

import numpy as np

from repro.arrays import Array
from repro.validate import check_number

LEAST_TURNS = 1e-6  # over the original context


@dataclass(frozen=True)
class Yarn:
    """How a model trained on short contexts is stretched to long ones.

    factor: new context over the old. original_max_position_embeddings: tokens in training. beta_fast, beta_slow: turns over the
    original context above which a pair keeps its pace, below which it is slowed by the whole factor. mscale,
    mscale_all_dim: weights of the temperature on rotary dimensions and on all. attention_factor: on cosine and sine
    in place of what the two give. truncate: whether the ramp's ends are whole pairs.
    Raises: InputError for numbers that give no frequencies.
    Source: Peng et al. (arXiv 2309.00071), sections 3.1 to 3.4; DeepSeek-V2 report (arXiv 2405.04434), section 3.1.4.
    """

    factor: float
    original_max_position_embeddings: int
    beta_fast: float = 32
    beta_slow: float = 1
    mscale: float | None = None
    mscale_all_dim: float | None = None
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        """Raise InputError for numbers out of their bounds."""
        for name in ("factor", "original_max_position_embeddings"):
            check_number(name, getattr(self, name), above=0)
        for name in ("beta_fast", "beta_slow"):
            check_number(name, getattr(self, name), least=LEAST_TURNS)

    def temperature(self, weight: float) -> float:
        """Return 0.1 m ln(factor) + 1, and 1 where nothing is stretched."""
        return 1.0 if self.factor <= 1 else 0.1 * weight * math.log(self.factor) + 1.0

    @property
    def amplitude(self) -> float:
        """What cosine and sine are multiplied by."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.mscale and self.mscale_all_dim:
            return self.temperature(self.mscale) / self.temperature(self.mscale_all_dim)
        return self.temperature(1)


@dataclass(frozen=True)
class Rope:
    """Rotary embedding: base of the frequencies, layout of the pairs, and YaRN where the context was stretched.

    interleaved: pairs are neighbours (0, 1), (2, 3), … as DeepSeek's weights have them; else (0, d/2), (1, d/2 + 1), …
    Raises: InputError for a base that gives no frequencies.
    Source: Su et al. (arXiv 2104.09864), equation 15.
    """

    theta: float = 10_000.0
    interleaved: bool = True
    yarn: Yarn | None = None

    def __post_init__(self) -> None:
        """Raise InputError for a base of 1 or less."""
        check_number("theta", self.theta, above=1)


def rope_frequencies(rope: Rope, qk_rope_head_dim: int) -> Array:
    """Return the angle per position of each pair, in radians: [qk_rope_head_dim / 2] in float64.

    Source: Su et al. (arXiv 2104.09864), section 3.2.2; Peng et al. (arXiv 2309.00071), section 3.2.
    """
    plain = rope.theta ** -(np.arange(0, qk_rope_head_dim, 2) / qk_rope_head_dim)
    if rope.yarn is None:
        return plain
    yarn = rope.yarn
    low, high = (_pair_with_turns(rope, turns, qk_rope_head_dim) for turns in (yarn.beta_fast, yarn.beta_slow))
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, qk_rope_head_dim - 1)
    slowed = np.clip((np.arange(qk_rope_head_dim // 2) - low) / ((high - low) or 0.001), 0, 1)
    return plain / yarn.factor * slowed + plain * (1 - slowed)


def _pair_with_turns(rope: Rope, turns: float, qk_rope_head_dim: int) -> float:
    """Return which pair, as a real number, turns so often over the original context."""
    return (
        qk_rope_head_dim
        * math.log(rope.yarn.original_max_position_embeddings / (turns * 2 * math.pi))
        / (2 * math.log(rope.theta))
    )


def cos_sin_tables(rope: Rope, qk_rope_head_dim: int, start: int, length: int, dtype: np.dtype) -> tuple[Array, Array]:
    """Return cosine and sine of every position's angles, YaRN's amplitude included.

    Args: rope: how. qk_rope_head_dim: rotary dimensions. start, length: positions start … start + length - 1. dtype: of both.
    Returns: two arrays [length, qk_rope_head_dim / 2].
    """
    angles = np.arange(start, start + length)[:, None] * rope_frequencies(rope, qk_rope_head_dim)
    amplitude = rope.yarn.amplitude if rope.yarn else 1.0
    return (np.cos(angles) * amplitude).astype(dtype), (np.sin(angles) * amplitude).astype(dtype)


def apply_rope(x: Array, cosine: Array, sine: Array, *, interleaved: bool) -> Array:
    """Turn each pair (a, b) to (a cos - b sin, a sin + b cos).

    Args: x: [..., T, qk_rope_head_dim]. cosine, sine: [T, qk_rope_head_dim / 2], as `tables` gives them. interleaved: layout of the pairs.
    Returns: [..., T, qk_rope_head_dim], in the same layout.
    Source: Su et al. (arXiv 2104.09864), equation 15.
    """
    y = np.empty_like(x)
    half = x.shape[-1] // 2
    first, second = (np.s_[..., ::2], np.s_[..., 1::2]) if interleaved else (np.s_[..., :half], np.s_[..., half:])
    y[first] = x[first] * cosine - x[second] * sine
    y[second] = x[first] * sine + x[second] * cosine
    return y


def apply_rope_backward(d_y: Array, cosine: Array, sine: Array, *, interleaved: bool) -> Array:
    """Return the gradient of x: the turn back."""
    return apply_rope(d_y, cosine, -sine, interleaved=interleaved)


def softmax_scale(rope: Rope, qk_head_dim: int) -> float:
    """Return what products of queries and keys are multiplied by: 1 / √qk_head_dim, times YaRN's temperature squared.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equation 10; Peng et al. (arXiv 2309.00071), section 3.4.
    """
    scale = 1 / math.sqrt(qk_head_dim)
    if rope.yarn and rope.yarn.mscale_all_dim:
        scale *= rope.yarn.temperature(rope.yarn.mscale_all_dim) ** 2
    return scale
