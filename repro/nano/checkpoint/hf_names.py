"""Where each published tensor lies in the parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from repro.arrays import Array
from repro.models.inventory import Tensor
from repro.nano.config import Config
from repro.nano.param_shapes import iter_parameters


@dataclass(frozen=True)
class Place:
    """One parameter and the published tensors in it."""

    holder: Any  #: the dictionary that holds it under its key, a shape until it is read
    key: Any
    names: list[tuple[str, ...]]  #: of the tensors, one after the other along the rows; expert by expert where stacked
    tensor: Tensor  #: the first one's row in the inventory
    stacked: bool = False

    def pieces(self, whole: Array) -> Iterator[tuple[str, Array]]:
        """Yield each tensor's name with its part of the parameter, or of an array laid out alike, as views."""
        for expert, names in enumerate(self.names):
            matrix = whole[expert] if self.stacked else whole
            rows = len(matrix) // len(names)
            for part, name in enumerate(names):
                yield name, matrix[part * rows : (part + 1) * rows]


def places(config: Config, tree: dict[str, Any]) -> Iterator[Place]:
    """Yield where the tensors of each parameter are, in a tree of shapes, arrays or gradients nested alike.

    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    for parameter in iter_parameters(config.arch):
        holder: Any = tree
        for key in parameter.path[:-1]:
            holder = holder[key]
        if parameter.path[-1] in holder:  # selection biases have no gradient
            names = list(zip(*(tensor.names(parameter.layer) for tensor in parameter.tensors), strict=True))
            yield Place(holder, parameter.path[-1], names, parameter.tensors[0], parameter.stacked)
