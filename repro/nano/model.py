"""The whole model: tokens to logits, the loss of main model and modules with all gradients, decoding with a cache."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.nano.attention import KVCache
from repro.nano.balance import Balance, auxiliary_loss
from repro.nano.block import block, block_backward, layer_cache
from repro.nano.config import Config
from repro.nano.gate import Routing
from repro.nano.mtp import mtp_module, mtp_module_backward
from repro.nano.numerics.packed_weights import PackedWeight
from repro.nano.ops import (
    cross_entropy,
    ignore_blas_flags,
    linear,
    linear_backward,
    rms_norm,
    rms_norm_backward,
    save_for_backward,
)
from repro.nano.param_shapes import init_params, iter_leaves, param_shapes
from repro.validate import check_integer, check_number


@dataclass(frozen=True)
class Loss:
    """Cross-entropies in nats: of the next token, and of one token further for each module.

    mtp_weight: λ, what the mean of the modules' losses is multiplied by. balance: auxiliary losses of all gates,
    weighted. loads: tokens that chose each expert, [E] for each gate, those of modules last.
    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 24 and 25.
    """

    main: float
    mtp: tuple[float, ...] = ()
    mtp_weight: float = 0.0
    balance: float = 0.0
    loads: tuple[Array, ...] = field(default=(), repr=False, compare=False)

    @property
    def total(self) -> float:
        """What training makes small."""
        modules = self.mtp_weight * sum(self.mtp) / len(self.mtp) if self.mtp else 0.0
        return self.main + modules + self.balance


@dataclass
class Model:
    """A decoder-only model: configuration and parameters, nested as the layers are.

    workers: threads that share the experts of a layer.
    """

    config: Config
    params: dict
    workers: int = 1

    def __post_init__(self) -> None:
        """Raise InputError for a number of workers that is none."""
        check_integer("workers", self.workers)

    @property
    def dtype(self) -> np.dtype:
        """Of the residual stream: float32 or float64."""
        return self.params["norm"].dtype

    @property
    def head(self) -> Array:
        """The output head, [V, d_model]; the embedding where the two are tied."""
        return self.params["embed_tokens" if self.config.arch.tied_embeddings else "lm_head"]

    @ignore_blas_flags
    def forward(self, tokens: Array, caches: Sequence[KVCache] | None = None, *, absorbed: bool = False) -> Array:
        """Return the logits of each next token.

        Args: tokens: integers [B, T]. caches: one per layer from `new_caches`, holding the tokens before these, filled
            by the call. absorbed: whether MLA's up-projections are absorbed, for the same logits.
        Returns: [B, T, V].
        Raises: InputError for tokens outside the vocabulary or not [B, T], or a cache that is full or of another size;
            then no cache is changed.
        """
        tokens = self.check_tokens(tokens)
        if caches is not None:
            self._check_caches(caches, *tokens.shape)
        hidden, _ = self.hidden_states(tokens, caches, absorbed=absorbed, save=False)
        return linear(hidden, self.head)

    def routings(self, tokens: Array) -> list[Routing]:
        """Return what the gates decide, one routing of B · T tokens per layer with experts."""
        return [one for one in map(_routing, self.saved_by_layer(tokens)) if one]

    @ignore_blas_flags
    def saved_by_layer(self, tokens: Array) -> list[tuple]:
        """Return what each layer's forward pass over tokens [B, T] keeps for its backward pass."""
        _, (saved_blocks, _) = self.hidden_states(self.check_tokens(tokens))
        return saved_blocks

    @ignore_blas_flags
    def mtp_logits(self, tokens: Array) -> list[Array]:
        """Return each module's logits, the first one's of the token after the next.

        Args: tokens: integers [B, T], T above the number of modules.
        Returns: per depth k, [B, T - k, V]: at position i the logits of token i + k + 1.
        Raises: InputError for too few tokens.
        """
        tokens, n_mtp_modules = self.check_tokens(tokens), self.config.arch.n_mtp_modules
        if tokens.shape[1] <= n_mtp_modules:
            raise InputError(
                f"tokens of {tokens.shape[1]}: must be more than {n_mtp_modules}, with {n_mtp_modules} modules"
            )
        hidden, _ = self.hidden_states(tokens, save=False)
        outputs, _ = self._modules(hidden, tokens)
        return [linear(one, self.head) for one in outputs]

    def new_caches(self, batch: int, capacity: int) -> list[KVCache]:
        """Return one empty cache per layer of the main model, for `batch` sequences of up to `capacity` tokens."""
        check_integer("batch", batch)
        check_integer("capacity", capacity, least=0)
        return [layer_cache(self.config, batch, capacity, self.dtype) for _ in range(self.config.arch.n_layers)]

    def generate(self, prompt: Array, count: int, *, absorbed: bool = False) -> Array:
        """Return the likeliest next tokens one by one, with a cache.

        Args: prompt: integers [B, T]. count: tokens to add. absorbed: MLA's form in decoding.
        Returns: [B, count].
        Raises: InputError for a prompt that is not tokens [B, T], or a count that is none.
        """
        prompt = self.check_tokens(prompt)
        check_integer("count", count, least=0)
        caches = self.new_caches(len(prompt), prompt.shape[1] + count)
        logits, found = self.forward(prompt, caches), []
        for _ in range(count):
            found.append(logits[:, -1].argmax(axis=-1))
            if len(found) < count:
                logits = self.forward(found[-1][:, None], caches, absorbed=absorbed)
        return np.stack(found, axis=1) if found else np.zeros((len(prompt), 0), int)

    @ignore_blas_flags
    def loss_and_gradients(
        self, tokens: Array, *, mtp_weight: float = 0.3, balance: Balance | None = None
    ) -> tuple[Loss, dict]:
        """Return the loss of predicting each token from those before it, and its gradients.

        Args: tokens: integers [B, T + 1]. mtp_weight: λ of the modules' losses, where there are any. balance: of the
            experts, by losses that are added; its biases move in training alone.
        Returns: the loss, and gradients nested as the parameters are; selection biases have none.
        Raises: InputError for weights that are packed, or too few tokens.
        Source: DeepSeek-V3 report (arXiv 2412.19437), equations 24 and 25.
        """
        if any(isinstance(one, PackedWeight) for _, one in iter_leaves(self.params)):
            raise InputError("weights are packed as they are stored: load them with packed=False to train")
        tokens = self.check_tokens(tokens)
        inputs, n_mtp_modules = tokens[:, :-1], self.config.arch.n_mtp_modules
        if inputs.shape[1] <= n_mtp_modules:
            raise InputError(
                f"tokens of {tokens.shape[1]}: must be more than {n_mtp_modules + 1}, with {n_mtp_modules} modules"
            )
        hidden, saved = self.hidden_states(inputs)
        outputs, saved_modules = self._modules(hidden, inputs)
        losses, d_outputs, d_lm_head = [], [], 0
        for depth, output in enumerate([hidden, *outputs]):
            # Each depth's sum is divided by all T positions, as the report has it.
            share = output.shape[1] / inputs.shape[1]
            weight = share * (mtp_weight / n_mtp_modules if depth else 1)
            loss, d_logits = cross_entropy(linear(output, self.head), tokens[:, depth + 1 :])
            d_output, d_one = linear_backward(d_logits * weight, save_for_backward(output, self.head), self.head)
            losses.append(loss * share)
            d_outputs.append(d_output)
            d_lm_head = d_lm_head + d_one
        routings = [_routing(one) for one in (*saved[0], *(module[3] for module in saved_modules))]
        auxiliary, d_scores = self._auxiliary(routings, balance, len(inputs))
        gradients = self._backward(inputs, d_outputs, d_lm_head, saved, saved_modules, d_scores)
        loads = tuple(one.load for one in routings if one)
        return Loss(losses[0], tuple(losses[1:]), mtp_weight, auxiliary, loads), gradients

    def _auxiliary(
        self, routings: list[Routing | None], balance: Balance | None, n_sequences: int
    ) -> tuple[float, list[Array | None]]:
        """Return the sum of the gates' balancing losses, and by block the gradient of the scores, if it has any."""
        if balance is None or not balance.has_loss:
            return 0.0, [None] * len(routings)
        found = [
            auxiliary_loss(one, balance, self.config.gate, n_sequences) if one else (0.0, None) for one in routings
        ]
        return sum(loss for loss, _ in found), [d_scores for _, d_scores in found]

    def check_tokens(self, tokens: Array) -> Array:
        """Return tokens as an array [B, T]; raises InputError for none at all, or for one outside the vocabulary."""
        try:
            tokens, size = np.asarray(tokens), self.config.arch.vocab_size
        except ValueError:
            raise InputError("tokens of unequal lengths: must be integers [B, T]") from None
        if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer) or not tokens.size:
            raise InputError(
                f"tokens of shape {tokens.shape} and type {tokens.dtype}: must be integers [B, T], one at least"
            )
        if tokens.min() < 0 or tokens.max() >= size:
            raise InputError(f"tokens from {tokens.min()} to {tokens.max()}: must be from 0 to {size - 1}")
        return tokens

    def _check_caches(self, caches: Sequence[KVCache], batch: int, count: int) -> None:
        n_layers, wanted = self.config.arch.n_layers, layer_cache(self.config, batch, 0, self.dtype)
        distinct = len({id(one) for one in caches})
        if not n_layers == len(caches) == distinct or any(one.batch != batch for one in caches):
            raise InputError(f"caches: must be one per layer, {n_layers}, of {batch} sequences")
        for one in caches:
            if one.kind != wanted.kind:
                raise InputError("caches: must be this model's own, as new_caches gives them")
            if one.length != caches[0].length:
                raise InputError(f"caches: hold {caches[0].length} and {one.length} tokens, must hold the same")
            one.check_room(count)

    def hidden_states(
        self, tokens: Array, caches: Sequence[KVCache] | None = None, *, absorbed: bool = False, save: bool = True
    ) -> tuple[Array, tuple]:
        """Return the normed output of the last layer, [B, T, d_model], and what the backward pass needs, if kept.

        Args: tokens: integers [B, T] that `check_tokens` has passed. caches, absorbed: as `forward` takes them.
            save: whether what each layer saves is returned too.
        """
        p = self.params
        h = np.asarray(p["embed_tokens"][tokens])
        saved_blocks = []
        for layer, cache in zip(p["layers"], caches or [None] * len(p["layers"]), strict=True):
            h, saved = block(h, layer, self.config, cache, absorbed=absorbed, workers=self.workers, save=save)
            if save:
                saved_blocks.append(saved)
        hidden, saved_norm = rms_norm(h, p["norm"], self.config.rms_norm_eps)
        return hidden, (saved_blocks, saved_norm)

    def _modules(self, hidden: Array, tokens: Array) -> tuple[list[Array], list[tuple]]:
        """Return each module's output, depth k of [B, T - k, d_model], and what the backward pass needs."""
        outputs, saved = [], []
        for depth, module in enumerate(self.params["mtp"], start=1):
            embedded = np.asarray(self.params["embed_tokens"][tokens[:, depth:]])
            hidden, saved_one = mtp_module(hidden[:, :-1], embedded, module, self.config, workers=self.workers)
            outputs.append(hidden)
            saved.append(saved_one)
        return outputs, saved

    def _backward(
        self, inputs: Array, d_outputs: list, d_lm_head: Array, saved: tuple, saved_modules: list, d_scores: list
    ) -> dict:
        """Go back through all layers; d_outputs: the head's part of each depth's gradient; d_scores: by block."""
        p, (saved_blocks, saved_norm) = self.params, saved
        n_layers = len(saved_blocks)
        d_embedding, d_modules = np.zeros_like(p["embed_tokens"]), []
        for depth in range(len(saved_modules), 0, -1):
            d_hidden, d_embedded, d_one = mtp_module_backward(
                d_outputs[depth],
                p["mtp"][depth - 1],
                self.config,
                saved_modules[depth - 1],
                workers=self.workers,
                d_scores=d_scores[n_layers + depth - 1],
            )
            d_outputs[depth - 1][:, :-1] += d_hidden
            np.add.at(d_embedding, inputs[:, depth:], d_embedded)
            d_modules.insert(0, d_one)
        d_h, d_norm = rms_norm_backward(d_outputs[0], p["norm"], saved_norm)
        d_layers = []
        for index in reversed(range(n_layers)):
            d_h, d_layer = block_backward(
                d_h,
                p["layers"][index],
                self.config,
                saved_blocks[index],
                workers=self.workers,
                d_scores=d_scores[index],
            )
            d_layers.insert(0, d_layer)
        np.add.at(d_embedding, inputs, d_h)
        tables = {"embed_tokens": d_embedding, "lm_head": d_lm_head}
        if self.config.arch.tied_embeddings:
            tables = {"embed_tokens": d_embedding + d_lm_head}
        return {**tables, "layers": d_layers, "norm": d_norm, "mtp": d_modules}


def _routing(saved: tuple) -> Routing | None:
    """Return what the gate of a block decided, from what its forward pass kept; None where it has no experts."""
    return saved[-1][0] if isinstance(saved[-1][0], Routing) else None


def init_model(config: Config, *, seed: int, std: float = 0.02, dtype: type = np.float32) -> Model:
    """Return a model with normally distributed weights, gains of one and biases of zero.

    Args: config: what to build. seed: the same one gives the same weights. std: of all weights; DeepSeek-V3 has 0.006.
        dtype: float32 or float64.
    Raises: InputError for another type, or a seed that is none.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 4.2.
    """
    check_integer("seed", seed, least=0)
    check_number("std", std)
    if dtype is None or np.dtype(dtype) not in (np.float32, np.float64):
        raise InputError(f"dtype = {dtype}: must be float32 or float64")
    rng = np.random.default_rng(seed)
    return Model(config, init_params(param_shapes(config), rng, std, dtype))
