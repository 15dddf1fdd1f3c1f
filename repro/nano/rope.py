"""Rotary position embedding: pairs of dimensions turn by an angle that grows with position; YaRN slows slow pairs."""

import math
from dataclasses import dataclass

import numpy as np

from repro.nano.checks import number

Array = np.ndarray
LEAST_TURNS = 1e-6  # over the original context


@dataclass(frozen=True)
class Yarn:
    """How a model trained on short contexts is stretched to long ones.

    factor: new context over the old. original_context: tokens in training. beta_fast, beta_slow: turns over the
    original context above which a pair keeps its pace, below which it is slowed by the whole factor. mscale,
    mscale_all_dim: weights of the temperature on rotary dimensions and on all. attention_factor: on cosine and sine
    in place of what the two give. truncate: whether the ramp's ends are whole pairs.
    Raises: InputError for numbers that give no frequencies.
    Source: Peng et al. (arXiv 2309.00071), sections 3.1 to 3.4; DeepSeek-V2 report (arXiv 2405.04434), section 3.1.4.
    """

    factor: float
    original_context: int
    beta_fast: float = 32
    beta_slow: float = 1
    mscale: float | None = None
    mscale_all_dim: float | None = None
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        """Raise InputError for numbers out of their bounds."""
        for name in ("factor", "original_context"):
            number(name, getattr(self, name), above=0)
        for name in ("beta_fast", "beta_slow"):
            number(name, getattr(self, name), least=LEAST_TURNS)

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
        number("theta", self.theta, above=1)


def frequencies(rope: Rope, d_rope: int) -> Array:
    """Return the angle per position of each pair, in radians: [d_rope / 2] in float64.

    Source: Su et al. (arXiv 2104.09864), section 3.2.2; Peng et al. (arXiv 2309.00071), section 3.2.
    """
    plain = rope.theta ** -(np.arange(0, d_rope, 2) / d_rope)
    if rope.yarn is None:
        return plain
    yarn = rope.yarn
    low, high = (_pair_with_turns(rope, turns, d_rope) for turns in (yarn.beta_fast, yarn.beta_slow))
    if yarn.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, d_rope - 1)
    slowed = np.clip((np.arange(d_rope // 2) - low) / ((high - low) or 0.001), 0, 1)
    return plain / yarn.factor * slowed + plain * (1 - slowed)


def _pair_with_turns(rope: Rope, turns: float, d_rope: int) -> float:
    """Return which pair, as a real number, turns so often over the original context."""
    return d_rope * math.log(rope.yarn.original_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))


def tables(rope: Rope, d_rope: int, start: int, length: int, dtype: np.dtype) -> tuple[Array, Array]:
    """Return cosine and sine of every position's angles, YaRN's amplitude included.

    Args: rope: how. d_rope: rotary dimensions. start, length: positions start … start + length - 1. dtype: of both.
    Returns: two arrays [length, d_rope / 2].
    """
    angles = np.arange(start, start + length)[:, None] * frequencies(rope, d_rope)
    amplitude = rope.yarn.amplitude if rope.yarn else 1.0
    return (np.cos(angles) * amplitude).astype(dtype), (np.sin(angles) * amplitude).astype(dtype)


def rotate(x: Array, cosine: Array, sine: Array, *, interleaved: bool) -> Array:
    """Turn each pair (a, b) to (a cos - b sin, a sin + b cos).

    Args: x: [..., T, d_rope]. cosine, sine: [T, d_rope / 2], as `tables` gives them. interleaved: layout of the pairs.
    Returns: [..., T, d_rope], in the same layout.
    Source: Su et al. (arXiv 2104.09864), equation 15.
    """
    y = np.empty_like(x)
    half = x.shape[-1] // 2
    first, second = (np.s_[..., ::2], np.s_[..., 1::2]) if interleaved else (np.s_[..., :half], np.s_[..., half:])
    y[first] = x[first] * cosine - x[second] * sine
    y[second] = x[first] * sine + x[second] * cosine
    return y


def rotate_backward(d_y: Array, cosine: Array, sine: Array, *, interleaved: bool) -> Array:
    """Return the gradient of x: the turn back."""
    return rotate(d_y, cosine, -sine, interleaved=interleaved)


def score_scale(rope: Rope, d_query: int) -> float:
    """Return what products of queries and keys are multiplied by: 1 / √d_query, times YaRN's temperature squared.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equation 10; Peng et al. (arXiv 2309.00071), section 3.4.
    """
    scale = 1 / math.sqrt(d_query)
    if rope.yarn and rope.yarn.mscale_all_dim:
        scale *= rope.yarn.temperature(rope.yarn.mscale_all_dim) ** 2
    return scale
