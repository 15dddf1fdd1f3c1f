"""Parameters of a model, to the last one: in total, per token, and part by part."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from repro.models.architecture import Architecture, Attention
from repro.models.inventory import PARTS, Tensor, attention_shapes, inventory


@dataclass(frozen=True)
class Part:
    """One part of a model."""

    name: str
    total: int  #: all its parameters
    active: int  #: those that one token passes through
    multiplied: int  #: those that a matrix product multiplies with one token; a shared matrix has these alone


def parts(arch: Architecture) -> list[Part]:
    """Return the parts of the main model, which add up to it; a tied head has no parameters of its own."""
    return sum_by_part(row for row in inventory(arch) if row.block != "mtp")


def mtp_parts(arch: Architecture) -> list[Part]:
    """Return the parts of all modules for multi-token prediction; embedding and head are the main model's."""
    return sum_by_part(row for row in inventory(arch) if row.block == "mtp")


def attention_part(attention: Attention, d_model: int) -> Part:
    """Return one layer's attention."""
    shapes = attention_shapes(attention, d_model).items()
    return sum_by_part(Tensor(role, role, shape, "attention") for role, shape in shapes)[0]


def sum_by_part(rows: Iterable[Tensor]) -> list[Part]:
    """Return the sums of rows by part, without parts that have nothing."""
    sums = {part: [0, 0, 0] for part in PARTS}
    for row in rows:
        passed, counts = prod(row.shape) * row.top_k * len(row.layers), sums[row.part]
        if not row.shared:
            counts[0] += row.elements * len(row.layers)
            counts[1] += passed
        counts[2] += passed * row.multiplied
    return [Part(name, *counts) for name, counts in sums.items() if any(counts)]


def total_parameters(arch: Architecture, *, mtp_counted: bool = False) -> int:
    """Return all parameters, on request with the modules for multi-token prediction, which papers leave out."""
    return sum(part.total for part in parts(arch) + (mtp_parts(arch) if mtp_counted else []))


def expert_parameters(arch: Architecture) -> int:
    """Return the parameters of one routed expert, 0 in a model without experts."""
    rows = (row for row in inventory(arch) if row.part == "routed experts" and row.block == "experts")
    return sum(prod(row.shape) for row in rows)


def active_parameters(arch: Architecture, *, embedding_counted: bool, head_counted: bool = True) -> int:
    """Return the parameters of the main model that one token passes through, of the routed experts the chosen ones.

    Args:
        arch: a tied table counts once, where either embedding or head is counted.
        embedding_counted: with the embedding's table, of which a token reads one row; conventions differ.
        head_counted: with the output head.
    """
    table_counted = embedding_counted or (arch.tied_embeddings and head_counted)
    counted = {"embedding": table_counted, "head": head_counted}  # a tied head has no parameters of its own
    return sum(part.active for part in parts(arch) if counted.get(part.name, True))
