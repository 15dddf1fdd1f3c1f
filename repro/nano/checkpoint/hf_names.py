"""Where each published tensor lies in the parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any

from repro.arrays import Array
from repro.models.inventory import Tensor
from repro.nano.config import Config
from repro.nano.param_shapes import iter_parameters


@dataclass(frozen=True)
class Place:
    """Where published tensors lie in the parameters.

    Attributes:
        holder, key: the dictionary, and the key in it, whose value is a shape until it is read.
        names: of the tensors that make it, one after the other along the rows; by expert where they are stacked.
        tensor: the first one's row in the inventory.
        stacked: whether the first axis runs over experts.
    """

    holder: Any
    key: Any
    names: list[tuple[str, ...]]
    tensor: Tensor
    stacked: bool = False

    def pieces(self, whole: Array) -> Iterator[tuple[str, Array]]:
        """Yield each tensor's name with its part of the parameter, or of an array laid out alike, as views."""
        for expert, names in enumerate(self.names):
            matrix = whole[expert] if self.stacked else whole
            rows = len(matrix) // len(names)
            for part, name in enumerate(names):
                yield name, matrix[part * rows : (part + 1) * rows]


def places(config: Config, tree: dict[str, Any]) -> Iterator[Place]:
    """Yield where the tensors of each parameter are.

    Args:
        config: of the model.
        tree: shapes, arrays or gradients, nested as the parameters are.

    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    for path, tensors, layer in (parameter for parameter in iter_parameters(config.arch)):
        holder = reduce(getitem, path[:-1], tree)
        if path[-1] in holder:  # selection biases have no gradient
            names = list(zip(*(tensor.names(layer) for tensor in tensors), strict=True))
            yield Place(holder, path[-1], names, tensors[0], "{expert}" in tensors[0].role)
