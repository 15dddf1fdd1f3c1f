"""The published names of every tensor, and where each lies in the parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from repro.arrays import Array
from repro.nano.config import Config

# Published names of each part of a layer; {e} is an expert, and a pair is laid in one array, one after the other.
ATTENTION = {
    "q_proj": "q_proj.weight",
    "q_a_proj": "q_a_proj.weight",
    "q_a_proj_bias": "q_a_proj.bias",
    "q_a_layernorm": "q_a_layernorm.weight",
    "q_b_proj": "q_b_proj.weight",
    "kv_a_proj_with_mqa": "kv_a_proj_with_mqa.weight",
    "kv_a_proj_with_mqa_bias": "kv_a_proj_with_mqa.bias",
    "kv_a_layernorm": "kv_a_layernorm.weight",
    "kv_b_proj": "kv_b_proj.weight",
    "o_proj": "o_proj.weight",
    "o_proj_bias": "o_proj.bias",
}
FEED_FORWARD = {"gate_up_proj": ("gate_proj.weight", "up_proj.weight"), "down_proj": ("down_proj.weight",)}
GATE = {"weight": "gate.weight", "e_score_correction_bias": "gate.e_score_correction_bias"}
MODULE = {"hnorm": "hnorm", "enorm": "enorm", "eh_proj": "eh_proj", "norm": "shared_head.norm"}
BLOCK = {"input_layernorm": "input_layernorm.weight", "post_attention_layernorm": "post_attention_layernorm.weight"}


@dataclass(frozen=True)
class Place:
    """Where one published tensor lies in the parameters.

    holder, key: the dictionary or list, and the key in it, whose value is a shape until it is read. names: of the
    tensors that make it, one after the other along the rows. stacked: whether names come expert by expert.
    """

    holder: Any
    key: Any
    names: list[list[str]]
    stacked: bool = False

    def pieces(self, whole: Array) -> Iterator[tuple[str, Array]]:
        """Yield each tensor's name with its part of the parameter, or of an array laid out alike, as views."""
        for number, names in enumerate(self.names):
            one = whole[number] if self.stacked else whole
            rows = len(one) // len(names)
            for part, name in enumerate(names):
                yield name, one[part * rows : (part + 1) * rows]


def places(config: Config, tree: dict) -> Iterator[Place]:
    """Yield where each parameter's tensors are, by the published names.

    Args: config: of the model. tree: shapes or arrays, nested as the parameters are.
    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    yield Place(tree, "embed_tokens", [["model.embed_tokens.weight"]])
    if "lm_head" in tree:
        yield Place(tree, "lm_head", [["lm_head.weight"]])
    yield Place(tree, "norm", [["model.norm.weight"]])
    for number, layer in enumerate(tree["layers"]):
        yield from _block_places(layer, f"model.layers.{number}.", config)
    for number, module in enumerate(tree["mtp"], start=config.arch.n_layers):
        prefix = f"model.layers.{number}."
        for key, name in MODULE.items():
            yield Place(module, key, [[f"{prefix}{name}.weight"]])
        yield from _block_places(module["block"], prefix, config)


def _block_places(layer: dict, prefix: str, config: Config) -> Iterator[Place]:
    for key, name in BLOCK.items():
        yield Place(layer, key, [[prefix + name]])
    for key in layer["self_attn"]:
        yield Place(layer["self_attn"], key, [[f"{prefix}self_attn.{ATTENTION[key]}"]])
    feed, inside = layer["mlp"], f"{prefix}mlp."
    if "gate" not in feed:
        yield from _feed_forward_places(feed, inside)
        return
    for key in feed["gate"]:
        yield Place(feed["gate"], key, [[inside + GATE[key]]])
    for key, parts in FEED_FORWARD.items():
        names = [[f"{inside}experts.{e}.{part}" for part in parts] for e in range(config.arch.experts.n_routed_experts)]
        yield Place(feed["experts"], key, names, stacked=True)
    if "shared_experts" in feed:
        yield from _feed_forward_places(feed["shared_experts"], f"{inside}shared_experts.")


def _feed_forward_places(feed: dict, prefix: str) -> Iterator[Place]:
    for key, parts in FEED_FORWARD.items():
        yield Place(feed, key, [[prefix + part for part in parts]])
