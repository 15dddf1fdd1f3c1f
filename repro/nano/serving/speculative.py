"""Speculative decoding: the first prediction module drafts a token, the main model checks it on its next pass.

Every pass of the main model reads the last token and the draft of the one after it, side by side. Where the draft is
kept, the pass yields two tokens, else one; either way each is distributed as the main model alone would have it.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.attention import KVCache
from repro.nano.block import layer_cache
from repro.nano.model import Model
from repro.nano.mtp import mtp_module
from repro.nano.ops import ignore_blas_flags, linear, softmax
from repro.nano.rope import cos_sin_tables
from repro.validate import check_integer, check_number


@dataclass(frozen=True)
class SpeculativeResult:
    """What speculative decoding found, and what became of each draft.

    tokens: [count]. places: of each draft the index in `tokens` that it was made for, [proposed]. kept: whether it
    stands there, [proposed]. chances: that it would, before it was drawn, [proposed]. steps: passes of the main model.
    Of these the first reads the prompt, and the last nothing but the last token where one more is wanted: both bring
    one token without a draft. So tokens are as many as steps and accepted drafts together.
    """

    tokens: Array
    places: Array
    kept: Array
    chances: Array
    steps: int

    @property
    def proposed(self) -> int:
        """Drafts made."""
        return len(self.kept)

    @property
    def accepted(self) -> int:
        """Drafts kept."""
        return int(self.kept.sum())

    @property
    def acceptance(self) -> float:
        """Share of the drafts that were kept; no number where none was made."""
        return self.accepted / self.proposed if self.proposed else math.nan

    @property
    def tokens_per_step(self) -> float:
        """Tokens that one pass of the main model yields, all passes counted; no number where there was none."""
        return len(self.tokens) / self.steps if self.steps else math.nan


# What is drawn, and what is kept of it


def distribution(logits: Array, temperature: float) -> Array:
    """Return probabilities in float64, at temperature 0 all on the likeliest token.

    Args: logits: [..., V]. temperature: that they are divided by.
    Returns: [..., V].
    Raises: InputError for logits that are no numbers, or infinite.
    """
    logits = np.asarray(logits, np.float64)
    largest = logits.max(axis=-1, keepdims=True)
    if not np.isfinite(largest).all():
        wrong = largest[~np.isfinite(largest)][0]
        raise InputError(f"logits of up to {wrong}: must be finite, look at the model's weights")
    if temperature == 0:
        p = np.zeros_like(logits)
        np.put_along_axis(p, logits.argmax(axis=-1, keepdims=True), 1, axis=-1)
        return p
    with np.errstate(over="ignore"):  # of a temperature next to 0: e to minus infinity is right
        return softmax((logits - largest) / temperature)


def draw_token(p: Array, uniform: float) -> int:
    """Return the token at which the sum of probabilities exceeds a uniform number: never one of probability 0.

    Args: p: [V]. uniform: from 0 to below 1.
    """
    total = np.cumsum(p)
    return int(np.searchsorted(total, uniform * total[-1], side="right"))


def acceptance_probability(p: Array, q: Array) -> Array:
    """Return the chance that each token is kept, once drafted: min(1, p / q), and 0 where q never drafts it.

    Args: p: of the main model, [..., V]. q: of the draft, [..., V].
    Returns: [..., V].
    Source: Leviathan et al. (arXiv 2211.17192), section 2.3; Chen et al. (arXiv 2302.01318), algorithm 2, where q is
        the main model's and p the draft's.
    """
    # Of the smaller of the two, so that the quotient never overflows.
    return np.divide(np.minimum(p, q), q, out=np.zeros(np.shape(q)), where=q > 0)


def verify(p: Array, q: Array, draft: int, uniform: float) -> bool:
    """Return whether a draft is kept.

    Args: p, q: as given to `acceptance`, [V]. draft: drawn from q. uniform: from 0 to below 1.
    """
    return bool(uniform < acceptance_probability(p, q)[draft])


def residual_distribution(p: Array, q: Array) -> Array:
    """Return what the token in place of a rejected draft is drawn from: what p has over q, made to sum to 1.

    Args: p, q: as given to `acceptance`.
    Returns: [..., V]; p itself where it is over q nowhere, and no draft is rejected.
    Source: Leviathan et al. (arXiv 2211.17192), algorithm 1.
    """
    over = np.maximum(p - q, 0)
    total = over.sum(axis=-1, keepdims=True)
    return np.where(total > 0, over / np.where(total > 0, total, 1), p)


def expected_acceptance(p: Array, q: Array) -> Array:
    """Return the chance that a draft is kept, whichever it will be: Σ min(p, q), 1 less their total variation.

    Args: p, q: as given to `acceptance`.
    Returns: [...].
    Source: Leviathan et al. (arXiv 2211.17192), theorem 3.5.
    """
    return np.sum(q * acceptance_probability(p, q), axis=-1)


def emitted_distribution(p: Array, q: Array) -> Array:
    """Return how the token is distributed that stands at the draft's place in the end, which is p.

    Args: p, q: as given to `acceptance`.
    Returns: [..., V].
    Source: Leviathan et al. (arXiv 2211.17192), appendix A.1.
    """
    rejected = 1 - np.expand_dims(expected_acceptance(p, q), -1)
    return q * acceptance_probability(p, q) + rejected * residual_distribution(p, q)


def emit_token(p: Array, q: Array, draft: int, uniforms: Array) -> list[int]:
    """Return the tokens that one pass yields: the draft and one more, or one in the draft's place.

    Args: p: of the main model, [2, V]: at the draft's place, and after the draft. q: of the draft, [V]. draft: drawn
        from q. uniforms: from 0 to below 1, [2], independent of the draft and of each other.
    Source: Leviathan et al. (arXiv 2211.17192), algorithm 1.
    """
    if verify(p[0], q, draft, uniforms[0]):
        return [draft, draw_token(p[1], uniforms[1])]
    return [draw_token(residual_distribution(p[0], q), uniforms[1])]


# The two models at work


@dataclass
class SpeculativeDecoder:
    """Main model and first module over one sequence, each with caches of what it has read.

    capacity: tokens of the sequence. absorbed: MLA's form after the prompt, which is read in the expanded one.
    steps: passes of the main model so far.
    """

    model: Model
    capacity: int
    absorbed: bool = False
    caches: list[KVCache] = field(init=False)
    module_cache: KVCache = field(init=False)
    steps: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Make the caches, empty."""
        self.caches = self.model.new_caches(1, self.capacity)
        self.module_cache = layer_cache(self.model.config, 1, self.capacity, self.model.dtype)

    def read(self, tokens: Array | list[int]) -> tuple[Array, Array]:
        """Return the main model's normed hidden states and logits of the tokens that follow.

        Args: tokens: [T], after those read before.
        Returns: [T, d_model] and [T, V].
        Raises: InputError where they do not fit the caches.
        """
        absorbed = self.absorbed and self.caches[0].length > 0
        self.steps += 1
        hidden, _ = self.model.hidden_states(np.asarray(tokens)[None], self.caches, absorbed=absorbed, save=False)
        return hidden[0], linear(hidden[0], self.model.head)

    def forget(self, count: int) -> None:
        """Take back the newest tokens that the main model has read; the module reads none that may be rejected."""
        for one in self.caches:
            one.length -= count

    def propose(self, hidden: Array, following: Array | list[int]) -> Array:
        """Return the module's logits of the token after the next, at every position given.

        Args: hidden: of the main model, [T, d_model]. following: the token after each position, [T]; the positions
            follow those of earlier calls, the first of all the sequence's first.
        Returns: [T, V].
        Source: DeepSeek-V3 report (arXiv 2412.19437), equations 21 to 23, for k = 1.
        """
        model, config, cache = self.model, self.model.config, self.module_cache
        embedded = np.asarray(model.params["embed_tokens"][np.asarray(following)])
        cos_sin = cos_sin_tables(config.rope, config.rotary_dim, cache.length, len(embedded), embedded.dtype)
        y, _ = mtp_module(
            hidden[None],
            embedded[None],
            model.params["mtp"][0],
            config,
            cos_sin,
            cache,
            absorbed=self.absorbed and cache.length > 0,
            workers=model.workers,
            save=False,
        )
        return linear(y[0], model.head)


@ignore_blas_flags
def speculative_decode(
    model: Model, prompt: Array, count: int, *, temperature: float = 0.0, seed: int = 0, absorbed: bool = False
) -> SpeculativeResult:
    """Return the tokens that follow a prompt, those of the main model alone, found in fewer passes of it.

    Args: model: with one module at least, of which the first drafts. prompt: integers [T]. count: tokens to add.
        temperature: that logits are divided by; 0 takes the likeliest token, as `Model.generate` does, but for logits
        equal up to rounding. seed: of all that is drawn. absorbed: MLA's form after the prompt.
    Raises: InputError for a model without a module, or one whose experts drop tokens, so that a draft would change
        what its neighbour passes; a prompt that is not tokens [T], one at least; a count, temperature or seed that is
        none.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 2.2 and 5.4.3; Leviathan et al. (arXiv 2211.17192),
        algorithm 1.
    """
    prompt = _checked(model, prompt, count, temperature, seed)
    _check_drafting(model)
    rng, pair = np.random.default_rng(seed), SpeculativeDecoder(model, len(prompt) + count, absorbed)
    tokens, drafts = [], []
    if count:
        hidden, logits = pair.read(prompt)
        tokens.append(draw_token(distribution(logits[-1], temperature), rng.random()))
        following = [*prompt[1:], *tokens]
    while len(tokens) < count - 1:
        q = distribution(pair.propose(hidden, following)[-1], temperature)
        draft = draw_token(q, rng.random())
        hidden, logits = pair.read([tokens[-1], draft])
        p = distribution(logits, temperature)
        following = emit_token(p, q, draft, rng.random(2))
        hidden = hidden[: len(following)]  # a rejected draft's own leads nowhere
        pair.forget(2 - len(following))
        drafts.append((len(tokens), len(following) == 2, expected_acceptance(p[0], q)))
        tokens += following
    if len(tokens) < count:
        _, logits = pair.read(tokens[-1:])
        tokens.append(draw_token(distribution(logits[-1], temperature), rng.random()))
    places, kept, chances = np.array(drafts, np.float64).reshape(-1, 3).T
    return SpeculativeResult(np.array(tokens, int), places.astype(int), kept.astype(bool), chances, pair.steps)


def autoregressive_decode(
    model: Model, prompt: Array, count: int, *, temperature: float = 0.0, seed: int = 0, absorbed: bool = False
) -> Array:
    """Return the tokens that follow a prompt, one on each pass of the main model.

    Args: model: with or without modules. prompt, count, temperature, seed, absorbed: as given to `decode`, which
        draws otherwise from the same seed.
    Returns: [count].
    Raises: InputError as `decode`, modules and dropped tokens aside.
    """
    prompt = _checked(model, prompt, count, temperature, seed)
    rng, caches = np.random.default_rng(seed), model.new_caches(1, len(prompt) + count)
    tokens, read = [], prompt
    while len(tokens) < count:
        logits = model.forward(np.asarray(read)[None], caches, absorbed=absorbed and len(tokens) > 0)
        tokens.append(draw_token(distribution(logits[0, -1], temperature), rng.random()))
        read = tokens[-1:]
    return np.array(tokens, int)


def _checked(model: Model, prompt: Array, count: int, temperature: float, seed: int) -> Array:
    """Return the prompt as an array [T]; raises InputError for the first thing given that is none."""
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
    return prompt.astype(np.int64)  # beside which those drawn stay integers


def _check_drafting(model: Model) -> None:
    """Raise InputError for a model that cannot draft, or cannot check two tokens at once as it would each alone."""
    arch, gate = model.config.arch, model.config.gate
    if not arch.n_mtp_modules:
        raise InputError("model of n_mtp_modules = 0: must have a module that drafts, n_mtp_modules of at least 1")
    if gate is not None and gate.capacity_factor is not None:
        raise InputError(f"capacity_factor = {gate.capacity_factor:g}: must be None, or drafts displace other tokens")
