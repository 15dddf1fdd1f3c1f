"""Which parameters a model has: the shape of each, nested as the layers are, and how they begin.

The inventory tells what there is. Here each row finds its place by its role: published names without "model." and
".weight", the gate and up projection fused in one array for speed, the experts of a layer stacked along a first axis.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from repro.arrays import Array
from repro.models.architecture import Architecture
from repro.models.inventory import Shape, Tensor, inventory
from repro.nano.config import Config

FUSED = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}


def iter_leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Array]]:
    """Yield each array of nested dicts and lists with its path, such as layers.0.self_attn.o_proj."""
    if isinstance(tree, dict | list):
        for key, child in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from iter_leaves(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def flatten(tree: Any) -> Array:
    """Return all arrays of nested dicts and lists as one, [elements]."""
    return np.concatenate([array.ravel() for _, array in iter_leaves(tree)])


class Parameter(NamedTuple):
    """One array of the parameters: where it lies, and the published tensors of `layer` that make it."""

    path: tuple[str | int, ...]
    tensors: tuple[Tensor, ...]
    layer: int

    @property
    def stacked(self) -> bool:
        """Whether the first axis runs over experts."""
        return "{expert}" in self.tensors[0].role

    @property
    def shape(self) -> Shape:
        """Of the whole array; fused tensors lie one after the other along the rows."""
        rows, *rest = self.tensors[0].shape
        return (*([self.tensors[0].experts] if self.stacked else []), rows * len(self.tensors), *rest)


def iter_parameters(arch: Architecture) -> Iterator[Parameter]:
    """Yield every parameter, in the order in which they are drawn."""
    rows = [row for row in inventory(arch) if not row.shared]
    for (block, layers), alike in groupby(rows, key=lambda row: (row.block, row.layers)):
        at: dict[tuple[str, ...], list[Tensor]] = {}
        for row in alike:
            at.setdefault(_keys(row.role), []).append(row)
        for number, layer in enumerate(layers):
            prefix = {"model": (), "mtp": ("mtp", number)}.get(block, ("layers", layer))
            yield from (Parameter((*prefix, *keys), tuple(tensors), layer) for keys, tensors in at.items())


def _keys(role: str) -> tuple[str, ...]:
    """Return the keys that lead to a tensor within its block: ("mlp", "gate_up_proj") for mlp.up_proj.weight."""
    *keys, leaf, kind = [key for key in role.split(".") if key != "{expert}"]
    if leaf == "gate":  # a table of its own, as its bias is no projection's
        return (*keys, leaf, kind)
    return (*keys, FUSED.get(leaf, leaf) + ("_bias" if kind == "bias" else ""))


def param_shapes(config: Config) -> dict[str, Any]:
    """Return the shape of every parameter, nested as the parameters are."""
    tree: dict[str, Any] = {}
    for parameter in iter_parameters(config.arch):
        node: dict[Any, Any] = tree
        for key in parameter.path[:-1]:
            node = node.setdefault(key, {})
        node[parameter.path[-1]] = parameter.shape
    return tree | {blocks: list(tree.get(blocks, {}).values()) for blocks in ("layers", "mtp")}


def init_params(tree: Any, rng: np.random.Generator, std: float, dtype: type, name: str = "") -> Any:
    """Return the tree of shapes as arrays: gains of one, biases of zero, the rest normally distributed."""
    if isinstance(tree, dict):
        return {key: init_params(child, rng, std, dtype, key) for key, child in tree.items()}
    if isinstance(tree, list):
        return [init_params(child, rng, std, dtype) for child in tree]
    if name.endswith("bias"):
        return np.zeros(tree, dtype)
    if name.endswith("norm"):
        return np.ones(tree, dtype)
    return (rng.standard_normal(tree) * std).astype(dtype)
