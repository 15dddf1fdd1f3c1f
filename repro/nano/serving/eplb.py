"""Serving's balance: copies of busy experts, and which GPU holds which copy, as DeepSeek's load balancer decides it."""

from dataclasses import dataclass

import numpy as np

from repro.arrays import Array
from repro.errors import InputError
from repro.validate import check_integer

NOWHERE = -1  # pads the list of an expert's replicas where another expert has more
LARGEST = 1e300  # a load must be below it, so that sums of loads stay finite


@dataclass(frozen=True)
class Placement:
    """Where the replicas of each layer's experts lie; GPU g holds the g-th of equal runs of replicas.

    physical_to_logical: the expert that each replica is of, [layers, replicas]. logical_to_physical: the replicas of
    each expert in the order they were made, padded with -1, [layers, experts, most]. counts: of replicas,
    [layers, experts].
    """

    physical_to_logical: Array
    logical_to_physical: Array
    counts: Array


def rebalance_experts(load: Array, *, n_replicas: int, n_groups: int, n_nodes: int, n_gpus: int) -> Placement:
    """Return a placement that spreads load over GPUs: by node where nodes share the groups evenly, else over all.

    Where they do, a group's experts and their copies stay in one node, as tokens that may reach few groups need. Of
    equal loads the first comes first, which the published sort leaves open; loads are 64-bit, as published 32-bit.
    Args: load: of each expert, in any unit, [layers, experts]. n_replicas: per layer. n_groups: of experts, that
        routing is limited to. n_nodes: that the GPUs are in. n_gpus: of all nodes.
    Raises: InputError for a load that is none, or sizes that do not divide.
    Source: deepseek-ai/EPLB on GitHub, README and eplb.py; DeepSeek-V3 report (arXiv 2412.19437), section 3.4.
    """
    load = _loads(load)
    n_layers, n_experts = load.shape
    _check_sizes(n_experts, n_replicas=n_replicas, n_groups=n_groups, n_nodes=n_nodes, n_gpus=n_gpus)
    if n_groups % n_nodes:
        n_groups = n_nodes = 1
    # Step 1: groups to nodes. The order in which the nodes hold the experts, [layers, experts].
    experts = _order_by_node(load, n_groups, n_nodes)
    local = np.take_along_axis(load, experts, axis=1).reshape(n_layers * n_nodes, -1)
    # Step 2: copies of the busiest experts of each node.
    copied, rank, counts = replicate_experts(local, n_replicas // n_nodes)
    # Step 3: replicas to the GPUs of each node.
    held = balanced_packing(np.take_along_axis(local / counts, copied, axis=1), n_gpus // n_nodes)
    copied, rank = (np.take_along_axis(one, held, axis=1).reshape(n_layers, n_nodes, -1) for one in (copied, rank))
    in_order = copied + np.arange(n_nodes)[:, None] * (n_experts // n_nodes)
    physical = np.take_along_axis(experts, in_order.reshape(n_layers, -1), axis=1)
    return _placement(physical, rank.reshape(n_layers, -1), n_experts)


def balanced_packing(load: Array, n_packs: int) -> Array:
    """Return which items each pack holds: heaviest first, each to the lightest pack that still has room.

    Args: load: of items, [rows, items]. n_packs: that hold equally many items each.
    Returns: items, those of the first pack first, in the order they were put there, [rows, items]. With one item a
        pack they stay as they are. Of equal items and equal packs the first goes first.
    Source: deepseek-ai/EPLB, eplb.py, balanced_packing.
    """
    n_rows, n_items = load.shape
    size = n_items // n_packs
    if size == 1:
        return np.tile(np.arange(n_items), (n_rows, 1))
    held = np.empty((n_rows, n_packs, size), np.int64)
    total, filled = np.zeros((n_rows, n_packs)), np.zeros((n_rows, n_packs), np.int64)
    rows = np.arange(n_rows)
    for items in np.argsort(-load, axis=1, kind="stable").T:  # one of every row
        to = rows, np.argmin(np.where(filled < size, total, np.inf), axis=1)
        held[(*to, filled[to])] = items
        total[to] += load[rows, items]
        filled[to] += 1
    return held.reshape(n_rows, n_items)


def replicate_experts(load: Array, n_replicas: int) -> tuple[Array, Array, Array]:
    """Return replicas the busiest of which has the least load it can: each new one copies the expert that is busiest.

    An expert is as busy as each of its replicas, which share its load evenly.
    Args: load: of experts, [rows, experts]. n_replicas: at least as many.
    Returns: the expert of each replica, and how many that expert had before it, both [rows, replicas]; how many
        replicas each expert has, [rows, experts].
    Source: deepseek-ai/EPLB, eplb.py, replicate_experts.
    """
    n_rows, n_experts = load.shape
    copied = np.tile(np.arange(n_replicas), (n_rows, 1))  # the first of each expert, the others to be overwritten
    rank, counts = np.zeros_like(copied), np.ones_like(load, np.int64)
    rows = np.arange(n_rows)
    for replica in range(n_experts, n_replicas):
        busiest = np.argmax(load / counts, axis=1)
        copied[:, replica] = busiest
        rank[:, replica] = counts[rows, busiest]
        counts[rows, busiest] += 1
    return copied, rank, counts


def load_per_gpu(load: Array, placement: Placement, n_gpus: int) -> Array:
    """Return the load of each GPU, an expert's shared evenly among its replicas: [layers, n_gpus].

    Args: load: of each expert, [layers, experts]; not necessarily what was balanced. placement: of replicas. n_gpus:
        that hold equally many of them.
    Raises: InputError where load or GPUs do not fit the placement.
    """
    load, shape = _loads(load), placement.counts.shape
    if load.shape != shape:
        raise InputError(f"load of shape {load.shape}: must be {shape}, [layers, experts] of the placement")
    check_integer("n_gpus", n_gpus)
    n_layers, n_replicas = placement.physical_to_logical.shape
    _check_multiple("n_replicas", n_replicas, "n_gpus", n_gpus)
    shares = np.take_along_axis(load / placement.counts, placement.physical_to_logical, axis=1)
    return shares.reshape(n_layers, n_gpus, -1).sum(axis=2)


def _order_by_node(load: Array, n_groups: int, n_nodes: int) -> Array:
    """Return experts in the order of the nodes that hold their groups, [layers, experts]."""
    n_layers, n_experts = load.shape
    size = n_experts // n_groups
    groups = balanced_packing(load.reshape(n_layers, n_groups, size).sum(axis=2), n_nodes)
    return (groups[:, :, None] * size + np.arange(size)).reshape(n_layers, n_experts)


def _placement(physical: Array, rank: Array, n_experts: int) -> Placement:
    """Return the placement of replicas, from the expert of each and its rank among that expert's."""
    n_layers, n_replicas = physical.shape
    at = np.arange(n_layers)[:, None], physical
    counts = np.zeros((n_layers, n_experts), np.int64)
    np.add.at(counts, at, 1)
    logical = np.full((n_layers, n_experts, counts.max()), NOWHERE)
    logical[(*at, rank)] = np.arange(n_replicas)
    return Placement(physical, logical, counts)


def _loads(load: Array) -> Array:
    """Return loads as 64-bit numbers, or raise InputError where they are none."""
    try:
        load = np.asarray(load, np.float64)
    except (TypeError, ValueError):
        raise InputError("load: must be numbers, [layers, experts]") from None
    if load.ndim != 2 or not load.size:
        raise InputError(f"load of shape {load.shape}: must be [layers, experts], at least one of each")
    wrong = np.argwhere(~((load >= 0) & (load < LARGEST)))  # NaN is neither
    if len(wrong):
        layer, expert = wrong[0]
        value = load[layer, expert]
        raise InputError(f"load[{layer}, {expert}] = {value:g}: must be a number of at least 0 and below {LARGEST:g}")
    return load


def _check_sizes(n_experts: int, **sizes: int) -> None:
    """Raise InputError for sizes that are no whole numbers, do not divide, or leave an expert without a replica."""
    for name, value in sizes.items():
        check_integer(name, value)
    _check_multiple("experts", n_experts, "n_groups", sizes["n_groups"])
    for name, divisor in {"n_replicas": "n_gpus", "n_gpus": "n_nodes"}.items():
        _check_multiple(name, sizes[name], divisor, sizes[divisor])
    if sizes["n_replicas"] < n_experts:
        raise InputError(f"n_replicas = {sizes['n_replicas']}: must be at least the {n_experts} experts")


def _check_multiple(name: str, value: int, of: str, divisor: int) -> None:
    """Raise InputError where a value is no multiple of another."""
    if value % divisor:
        raise InputError(f"{name} = {value}: must be a multiple of {of} = {divisor}")
