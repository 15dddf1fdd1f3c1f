"""The whole model: tokens to logits, the loss with all gradients, and decoding with a cache.

Tokens are embedded, pass the layers, and are normed; the output head turns the result into logits of the next token.
Modules for multi-token prediction continue from the normed output. `loss_and_gradients` runs all of it forward, keeps
what each part saves, and walks the same parts backward. Tables of the rotary embedding are built once per call.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from repro.arrays import Array, IntArray
from repro.errors import InputError
from repro.nano import ops
from repro.nano.attention import KVCache
from repro.nano.balance import Balance, auxiliary_loss
from repro.nano.block import BlockSaved, block, block_backward, layer_cache
from repro.nano.config import Config
from repro.nano.gate import Routing
from repro.nano.mtp import MtpSaved, mtp_module, mtp_module_backward
from repro.nano.numerics.packed_weights import PackedWeight
from repro.nano.ops import NormSaved, Params, Weight
from repro.nano.param_shapes import init_params, iter_leaves, param_shapes
from repro.nano.rope import CosSin, cos_sin_tables
from repro.validate import check_integer, check_number


@dataclass(frozen=True)
class Loss:
    """Cross-entropies in nats, and what is added to them.

    Source: DeepSeek-V3 report (arXiv 2412.19437), equations 24 and 25.
    """

    main: float  #: of the next token
    mtp: tuple[float, ...] = ()  #: of each module, one token further ahead each
    mtp_weight: float = 0.0  #: λ, which multiplies the modules' mean
    balance: float = 0.0  #: auxiliary losses of all gates, weighted
    loads: tuple[IntArray, ...] = field(default=(), repr=False, compare=False)  #: by gate: tokens per expert, [E]

    @property
    def total(self) -> float:
        """What training minimises."""
        modules = self.mtp_weight * sum(self.mtp) / len(self.mtp) if self.mtp else 0.0
        return self.main + modules + self.balance


class ModelSaved(NamedTuple):
    """What the main model saves; `blocks` is empty where no backward pass follows."""

    blocks: list[BlockSaved]
    norm: NormSaved
    cos_sin: CosSin  #: of the tokens' positions


@dataclass
class Model:
    """A decoder-only model: configuration, nested parameters, and the number of threads that share the experts."""

    config: Config
    params: Params
    workers: int = 1

    def __post_init__(self) -> None:
        check_integer("workers", self.workers)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the residual stream: float32 or float64."""
        return self.params["norm"].dtype

    @property
    def head(self) -> Weight:
        """The output head, [V, d_model], which is the embedding if the two are tied."""
        return self.params["embed_tokens" if self.config.arch.tied_embeddings else "lm_head"]

    @ops.ignore_blas_flags
    def forward(self, tokens: IntArray, caches: Sequence[KVCache] | None = None, *, absorbed: bool = False) -> Array:
        """Return the logits of each next token: [B, T] -> [B, T, V].

        Args:
            tokens: ids, [B, T].
            caches: from `new_caches`; they hold the tokens before these and grow by these.
            absorbed: MLA's form in decoding, for the same logits.

        Raises:
            InputError: tokens or caches do not fit; no cache has changed.
        """
        tokens = self.check_tokens(tokens)
        if caches is not None:
            self._check_caches(caches, *tokens.shape)
        hidden, _ = self.hidden_states(tokens, caches, absorbed=absorbed, save=False)
        return ops.linear(hidden, self.head)

    def routings(self, tokens: IntArray) -> list[Routing]:
        """Return what the gates decide about tokens [B, T]: one routing of B · T tokens per layer with experts."""
        return [saved.routing for saved in self.saved_by_layer(tokens) if saved.routing]

    @ops.ignore_blas_flags
    def saved_by_layer(self, tokens: IntArray) -> list[BlockSaved]:
        """Return what each layer's forward pass over tokens [B, T] saves for its backward pass."""
        return self.hidden_states(self.check_tokens(tokens))[1].blocks

    @ops.ignore_blas_flags
    def mtp_logits(self, tokens: IntArray) -> list[Array]:
        """Return each module k's logits, [B, T - k, V], at position i of token i + k + 1; T must exceed the modules."""
        tokens = self.check_tokens(tokens, more_than=self.config.arch.n_mtp_modules)
        hidden, saved = self.hidden_states(tokens, save=False)
        return [ops.linear(output, self.head) for output in self._mtp_outputs(hidden, tokens, saved.cos_sin)[0]]

    def new_caches(self, batch: int, capacity: int) -> list[KVCache]:
        """Return one empty cache per layer of the main model, for `batch` sequences of up to `capacity` tokens."""
        check_integer("batch", batch)
        check_integer("capacity", capacity, least=0)
        return [layer_cache(self.config, batch, capacity, self.dtype) for _ in range(self.config.arch.n_layers)]

    def generate(self, prompt: IntArray, count: int, *, absorbed: bool = False) -> IntArray:
        """Return the `count` likeliest next tokens, with a cache, `absorbed` after the prompt: [B, T] -> [B, count]."""
        prompt = self.check_tokens(prompt)
        check_integer("count", count, least=0)
        caches = self.new_caches(len(prompt), prompt.shape[1] + count)
        logits, tokens = self.forward(prompt, caches), np.zeros((len(prompt), count), int)
        for i in range(count):
            tokens[:, i] = logits[:, -1].argmax(axis=-1)  # [B]
            if i < count - 1:
                logits = self.forward(tokens[:, i : i + 1], caches, absorbed=absorbed)  # [B, 1, V]
        return tokens

    @ops.ignore_blas_flags
    def loss_and_gradients(
        self, tokens: IntArray, *, mtp_weight: float = 0.3, balance: Balance | None = None,
        targets: Sequence[IntArray] | None = None,
    ) -> tuple[Loss, Params]:  # fmt: skip
        """Return the loss of predicting each token from those before it, and its gradients.

        Args:
            tokens: ids, [B, T + 1].
            mtp_weight: λ of the modules' losses, if there are any.
            balance: auxiliary losses to add; its biases are moved by the training loop.
            targets: what each depth k is to predict, [B, T - k]; None for the tokens themselves. Where it is -1,
                nothing is to be predicted, and the depth's loss is the mean over the rest.

        Returns:
            The loss, and gradients nested as the parameters are; selection biases have none.

        Source: DeepSeek-V3 report (arXiv 2412.19437), equations 24 and 25.
        """
        if any(isinstance(weight, PackedWeight) for _, weight in iter_leaves(self.params)):
            raise InputError("weights are packed as they are stored: load them with packed=False to train")
        n_mtp_modules = self.config.arch.n_mtp_modules
        tokens = self.check_tokens(tokens, more_than=n_mtp_modules + 1)
        inputs = tokens[:, :-1]  # [B, T]
        hidden, saved = self.hidden_states(inputs)  # [B, T, d_model]
        outputs, saved_modules = self._mtp_outputs(hidden, inputs, saved.cos_sin)
        losses, d_outputs = [], []
        d_head: Any = 0  # [V, d_model], summed over depths
        for depth, output in enumerate([hidden, *outputs]):
            share = output.shape[1] / inputs.shape[1]  # the report divides each depth's sum by all T positions
            weight = share * (mtp_weight / n_mtp_modules if depth else 1)
            logits = ops.linear(output, self.head)  # [B, T - depth, V]
            wanted = tokens[:, depth + 1 :] if targets is None else targets[depth]  # [B, T - depth]
            loss, d_logits = ops.cross_entropy(logits, wanted)  # [B, T - depth, V]
            saved_output = ops.save_for_backward(output, self.head)
            d_output, d_head_at_depth = ops.linear_backward(d_logits * weight, saved_output, self.head)
            losses.append(loss * share)
            d_outputs.append(d_output)  # [B, T - depth, d_model]
            d_head = d_head + d_head_at_depth
        routings = [block.routing for block in (*saved.blocks, *(module.block for module in saved_modules))]
        auxiliary, d_scores = self._auxiliary(routings, balance, len(inputs))
        gradients = self._backward(inputs, d_outputs, d_head, saved, saved_modules, d_scores)
        loads = tuple(routing.load for routing in routings if routing)
        return Loss(losses[0], tuple(losses[1:]), mtp_weight, auxiliary, loads), gradients

    def _auxiliary(
        self, routings: list[Routing | None], balance: Balance | None, n_sequences: int
    ) -> tuple[float, list[Array | None]]:
        """Return the sum of the gates' balancing losses, and per block the gradient of its scores, [B · T, E]."""
        gate, total = self.config.gate, 0.0
        d_scores: list[Array | None] = [None] * len(routings)
        if balance and balance.has_loss and gate:
            for i, routing in enumerate(routings):
                if routing:
                    loss, d_scores[i] = auxiliary_loss(routing, balance, gate, n_sequences)
                    total += loss
        return total, d_scores

    def check_tokens(self, tokens: IntArray, *, more_than: int = 0) -> IntArray:
        """Return tokens as an array; raise InputError unless they are ids from the vocabulary, [B, T > more_than]."""
        try:
            tokens, size = np.asarray(tokens), self.config.arch.vocab_size
        except ValueError:
            raise InputError("tokens of unequal lengths: must be integers [B, T]") from None
        if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer) or not tokens.size:
            kind = f"shape {tokens.shape} and type {tokens.dtype}"
            raise InputError(f"tokens of {kind}: must be integers [B, T], at least one")
        if tokens.min() < 0 or tokens.max() >= size:
            raise InputError(f"tokens from {tokens.min()} to {tokens.max()}: must be from 0 to {size - 1}")
        if tokens.shape[1] <= more_than:
            modules = f"with {self.config.arch.n_mtp_modules} modules"
            raise InputError(f"tokens of {tokens.shape[1]}: must be more than {more_than}, {modules}")
        return tokens

    def _check_caches(self, caches: Sequence[KVCache], batch: int, count: int) -> None:
        n_layers, expected = self.config.arch.n_layers, layer_cache(self.config, batch, 0, self.dtype)
        distinct = len({id(cache) for cache in caches})
        if not n_layers == len(caches) == distinct or any(cache.batch != batch for cache in caches):
            raise InputError(f"caches: must be one per layer, {n_layers}, of {batch} sequences")
        for cache in caches:
            if cache.layout != expected.layout:
                raise InputError("caches: must be this model's own, as new_caches gives them")
            if cache.length != caches[0].length:
                raise InputError(f"caches: hold {caches[0].length} and {cache.length} tokens, must hold the same")
            cache.check_room(count)

    def hidden_states(
        self, tokens: IntArray, caches: Sequence[KVCache] | None = None, *, absorbed: bool = False, save: bool = True
    ) -> tuple[Array, ModelSaved]:
        """Return the normed output of the last layer, [B, T, d_model], for tokens that `check_tokens` has passed."""
        p, config = self.params, self.config
        h = np.asarray(p["embed_tokens"][tokens])  # [B, T, d_model]
        start = caches[0].length if caches else 0
        cos_sin = cos_sin_tables(config.rope, config.rotary_dim, start, tokens.shape[1], h.dtype)
        saved_blocks = []
        for i, layer in enumerate(p["layers"]):
            cache = caches[i] if caches else None
            h, saved = block(h, layer, config, cos_sin, cache, absorbed=absorbed, workers=self.workers, save=save)
            if save:
                saved_blocks.append(saved)
        hidden, saved_norm = ops.rms_norm(h, p["norm"], config.rms_norm_eps)  # [B, T, d_model]
        return hidden, ModelSaved(saved_blocks, saved_norm, cos_sin)

    def _mtp_outputs(self, hidden: Array, tokens: IntArray, cos_sin: CosSin) -> tuple[list[Array], list[MtpSaved]]:
        """Return the output of each module k, [B, T - k, d_model], and what it saves."""
        outputs, saved = [], []
        for depth, p in enumerate(self.params["mtp"], start=1):
            embedded = np.asarray(self.params["embed_tokens"][tokens[:, depth:]])  # [B, T - depth, d_model]
            cos_sin = cos_sin[0][: embedded.shape[1]], cos_sin[1][: embedded.shape[1]]
            hidden, saved_module = mtp_module(hidden[:, :-1], embedded, p, self.config, cos_sin, workers=self.workers)
            outputs.append(hidden)
            saved.append(saved_module)
        return outputs, saved

    def _backward(
        self, inputs: IntArray, d_outputs: list[Array], d_head: Array, saved: ModelSaved, saved_modules: list[MtpSaved],
        d_scores: list[Array | None],
    ) -> Params:  # fmt: skip
        """Go back through all modules and layers, from the gradient of each depth's output, [B, T - depth, d_model]."""
        p, config, workers, n_layers = self.params, self.config, self.workers, len(saved.blocks)
        d_embedding = np.zeros_like(p["embed_tokens"])  # [V, d_model]
        d_modules: list[Params] = []
        d_layers: list[Params] = []
        for k in reversed(range(len(saved_modules))):
            d_y, module, saved_module, d_s = d_outputs[k + 1], p["mtp"][k], saved_modules[k], d_scores[n_layers + k]
            d_hidden, d_embedded, d_module = mtp_module_backward(
                d_y, module, config, saved_module, workers=workers, d_scores=d_s
            )
            d_outputs[k][:, :-1] += d_hidden
            np.add.at(d_embedding, inputs[:, k + 1 :], d_embedded)
            d_modules.insert(0, d_module)
        d_h, d_norm = ops.rms_norm_backward(d_outputs[0], p["norm"], saved.norm)  # [B, T, d_model]
        for i in reversed(range(n_layers)):
            layer, saved_block, d_s = p["layers"][i], saved.blocks[i], d_scores[i]
            d_h, d_layer = block_backward(d_h, layer, config, saved_block, workers=workers, d_scores=d_s)
            d_layers.insert(0, d_layer)
        np.add.at(d_embedding, inputs, d_h)
        tied = config.arch.tied_embeddings
        tables = {"embed_tokens": d_embedding + d_head} if tied else {"embed_tokens": d_embedding, "lm_head": d_head}
        return {**tables, "layers": d_layers, "norm": d_norm, "mtp": d_modules}


def init_model(config: Config, *, seed: int, std: float = 0.02, dtype: type = np.float32) -> Model:
    """Return a model with normally distributed weights, gains of one and biases of zero.

    Args:
        config: shape of the model.
        seed: of the weights, 0 or more.
        std: standard deviation of all weights; V3's is 0.006.
        dtype: np.float32 or np.float64, of parameters and residual stream.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 4.2.
    """
    check_integer("seed", seed, least=0)
    check_number("std", std)
    if dtype is None or np.dtype(dtype) not in (np.float32, np.float64):
        raise InputError(f"dtype = {dtype}: must be float32 or float64")
    return Model(config, init_params(param_shapes(config), np.random.default_rng(seed), std, dtype))
