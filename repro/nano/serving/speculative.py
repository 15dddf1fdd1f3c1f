"""Speculative decoding: the first prediction module drafts a token, the main model verifies it on its next pass.

Decoding reads all weights for each token, so one pass over two tokens costs little more than over one. Every pass of
the main model reads the last token and the draft of the next. With p the main model's distribution and q the draft's,
both [..., V], a draft is accepted with probability min(1, p / q), and the pass yields two tokens; else a draw from what
p has over q replaces it. Either way each token is distributed exactly as the main model alone would have it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from repro.arrays import Array, BoolArray, IntArray
from repro.errors import InputError
from repro.nano.block import layer_cache
from repro.nano.model import Model
from repro.nano.mtp import mtp_module
from repro.nano.ops import ignore_blas_flags, linear, softmax
from repro.nano.rope import cos_sin_tables
from repro.validate import check_integer, check_number


@dataclass(frozen=True)
class SpeculativeResult:
    """The decoded tokens, and what became of each draft; every pass yields one token, and each accepted draft one."""

    tokens: IntArray  #: [count]
    positions: IntArray  #: [n_drafts], the index in tokens that each draft was made for
    is_accepted: BoolArray  #: [n_drafts]
    acceptance_probs: Array  #: [n_drafts], probability of acceptance before the token was drawn
    steps: int  #: passes of the main model

    @property
    def n_drafts(self) -> int:
        """Drafts made."""
        return len(self.is_accepted)

    @property
    def n_accepted(self) -> int:
        """Drafts accepted."""
        return int(self.is_accepted.sum())

    @property
    def acceptance_rate(self) -> float:
        """Share of the drafts that were accepted; NaN without drafts."""
        return self.n_accepted / self.n_drafts if self.n_drafts else math.nan

    @property
    def tokens_per_step(self) -> float:
        """Tokens per pass of the main model, all passes counted; NaN without one."""
        return len(self.tokens) / self.steps if self.steps else math.nan


def distribution(logits: Array, temperature: float) -> Array:
    """Return probabilities, [..., V] in float64, of logits over a temperature; 0 puts all on the likeliest token."""
    logits = np.asarray(logits, np.float64)
    largest = logits.max(axis=-1, keepdims=True)  # [..., 1]
    if len(wrong := largest[~np.isfinite(largest)]):
        raise InputError(f"logits of up to {wrong[0]}: must be finite, look at the model's weights")
    if temperature == 0:
        p = np.zeros_like(logits)
        np.put_along_axis(p, logits.argmax(axis=-1, keepdims=True), 1, axis=-1)
        return p
    with np.errstate(over="ignore"):  # of a temperature next to 0: e to minus infinity is right
        return softmax((logits - largest) / temperature)


def draw_token(p: Array, uniform: float) -> int:
    """Return the token at which the sum of p, [V], passes a uniform number in [0, 1): never one of probability 0."""
    total = np.cumsum(p)
    return int(np.searchsorted(total, uniform * total[-1], side="right"))


def acceptance_probability(p: Array, q: Array) -> Array:
    """Return the probability that each token is accepted, once drafted: min(1, p / q), and 0 where q never drafts it.

    Source: Leviathan et al. (arXiv 2211.17192), section 2.3; Chen et al. (arXiv 2302.01318), algorithm 2 (q over p).
    """
    # Of the smaller of the two, so that the quotient never overflows.
    return np.divide(np.minimum(p, q), q, out=np.zeros(np.shape(q)), where=q > 0)


def verify(p: Array, q: Array, draft: int, uniform: float) -> bool:
    """Decide with a uniform number in [0, 1) whether a draft from q, [V], is accepted."""
    return bool(uniform < acceptance_probability(p, q)[draft])


def residual_distribution(p: Array, q: Array) -> Array:
    """Return the distribution that replaces a rejected draft: what p has over q, normalized; p where p equals q.

    Source: Leviathan et al. (arXiv 2211.17192), algorithm 1.
    """
    excess = np.maximum(p - q, 0)  # [..., V]
    total = excess.sum(axis=-1, keepdims=True)
    return np.where(total > 0, excess / np.where(total > 0, total, 1), p)


def expected_acceptance(p: Array, q: Array) -> Array:
    """Return the probability that a draft is accepted, whichever it is, [...]: 1 minus the total variation of p and q.

    Source: Leviathan et al. (arXiv 2211.17192), theorem 3.5.
    """
    return np.sum(q * acceptance_probability(p, q), axis=-1)


def emitted_distribution(p: Array, q: Array) -> Array:
    """Return the distribution of the token that ends up in the draft's place, which is p.

    Source: Leviathan et al. (arXiv 2211.17192), appendix A.1.
    """
    rejected = 1 - np.expand_dims(expected_acceptance(p, q), -1)  # [..., 1]
    return q * acceptance_probability(p, q) + rejected * residual_distribution(p, q)


def emit_token(p: Array, q: Array, draft: int, uniforms: Array) -> list[int]:
    """Return the tokens that one pass yields: the draft and one more, or one in the draft's place.

    p, [2, V], is for the draft's place and the next, q, [V], what it was drawn from; uniforms are two draws in [0, 1).

    Source: Leviathan et al. (arXiv 2211.17192), algorithm 1.
    """
    if verify(p[0], q, draft, uniforms[0]):
        return [draft, draw_token(p[1], uniforms[1])]
    return [draw_token(residual_distribution(p[0], q), uniforms[1])]


class SpeculativeDecoder:
    """Main model and first module over one sequence of up to `capacity` tokens, with caches of what each has read."""

    def __init__(self, model: Model, capacity: int, absorbed: bool = False) -> None:
        """Make empty caches; `absorbed` is MLA's form after the prompt, which is read in the expanded one."""
        self.model, self.absorbed = model, absorbed
        self.caches = model.new_caches(1, capacity)
        self.module_cache = layer_cache(model.config, 1, capacity, model.dtype)
        self.steps = 0  # passes of the main model

    def forward(self, tokens: ArrayLike) -> tuple[Array, Array]:
        """Run the main model over the next tokens, [T]: normed hidden states, [T, d_model], and logits, [T, V]."""
        absorbed = self.absorbed and self.caches[0].length > 0
        self.steps += 1
        hidden, _ = self.model.hidden_states(np.asarray(tokens)[None], self.caches, absorbed=absorbed, save=False)
        return hidden[0], linear(hidden[0], self.model.head)

    def rollback(self, count: int) -> None:
        """Take the newest tokens out of the main model's caches; the module reads none that may be rejected."""
        for cache in self.caches:
            cache.length -= count

    def draft(self, hidden: Array, following: ArrayLike) -> Array:
        """Return the module's logits of the token after the next, [T, V].

        hidden, [T, d_model], is the main model's at the next positions; following, [T], the token after each.

        Source: DeepSeek-V3 report (arXiv 2412.19437), equations 21 to 23, for k = 1.
        """
        model, config, cache = self.model, self.model.config, self.module_cache
        embedded = np.asarray(model.params["embed_tokens"][np.asarray(following)])
        cos_sin = cos_sin_tables(config.rope, config.rotary_dim, cache.length, len(embedded), embedded.dtype)
        y, _ = mtp_module(
            hidden[None], embedded[None], model.params["mtp"][0], config, cos_sin, cache,
            absorbed=self.absorbed and cache.length > 0, workers=model.workers, save=False,
        )  # fmt: skip
        return linear(y[0], model.head)


@ignore_blas_flags
def speculative_decode(
    model: Model, prompt: ArrayLike, count: int, *, temperature: float = 0.0, seed: int = 0, absorbed: bool = False
) -> SpeculativeResult:
    """Add `count` tokens to a prompt as the main model alone would, in fewer passes of it.

    Args:
        model: has modules for multi-token prediction, the first of which drafts.
        prompt: token ids, [T].
        count: tokens to add.
        temperature: divides logits; 0 is as `Model.generate`, but for logits equal up to rounding.
        seed: of the draws.
        absorbed: MLA's form after the prompt.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 2.2 and 5.4.3; Leviathan et al. (arXiv 2211.17192),
        algorithm 1.
    """
    prompt = _checked_prompt(model, prompt, count, temperature, seed)
    rng, decoder = np.random.default_rng(seed), SpeculativeDecoder(model, len(prompt) + count, absorbed)
    tokens: list[int] = []
    drafts: list[tuple[int, bool, float]] = []
    if count:
        hidden, logits = decoder.forward(prompt)
        tokens.append(draw_token(distribution(logits[-1], temperature), rng.random()))
        following = [*prompt[1:], *tokens]
    while len(tokens) < count - 1:
        q = distribution(decoder.draft(hidden, following)[-1], temperature)  # [V]
        draft = draw_token(q, rng.random())
        hidden, logits = decoder.forward([tokens[-1], draft])
        p = distribution(logits, temperature)  # [2, V]
        following = emit_token(p, q, draft, rng.random(2))
        hidden = hidden[: len(following)]  # a rejected draft's own leads nowhere
        decoder.rollback(2 - len(following))
        drafts.append((len(tokens), len(following) == 2, float(expected_acceptance(p[0], q))))
        tokens += following
    if len(tokens) < count:
        _, logits = decoder.forward(tokens[-1:])
        tokens.append(draw_token(distribution(logits[-1], temperature), rng.random()))
    positions, accepted, probs = np.array(drafts, np.float64).reshape(-1, 3).T  # [n_drafts] each
    return SpeculativeResult(np.array(tokens, int), positions.astype(int), accepted.astype(bool), probs, decoder.steps)


def _checked_prompt(model: Model, prompt: ArrayLike, count: int, temperature: float, seed: int) -> IntArray:
    """Validate that the model can draft, and the arguments of decoding; return the prompt as an array, [T]."""
    arch, gate = model.config.arch, model.config.gate
    try:
        prompt = np.asarray(prompt)
    except ValueError:
        raise InputError("prompt of unequal lengths: must be integers [T], one at least") from None
    if prompt.ndim != 1 or not np.issubdtype(prompt.dtype, np.integer) or not prompt.size:
        raise InputError(f"prompt of shape {prompt.shape} and type {prompt.dtype}: must be integers [T], one at least")
    model.check_tokens(prompt[None])
    check_integer("count", count, least=0)
    check_number("temperature", temperature)
    check_integer("seed", seed, least=0)
    if not arch.n_mtp_modules:
        raise InputError("model of n_mtp_modules = 0: must have a module that drafts, n_mtp_modules of at least 1")
    if gate is not None and gate.capacity_factor is not None:
        raise InputError(f"capacity_factor = {gate.capacity_factor:g}: must be None, or drafts displace other tokens")
    return prompt.astype(np.int64)  # beside which those drawn stay integers
