"""Balancing experts over GPUs in serving, as DeepSeek's load balancer (EPLB) does it: replicate, then pack.

Experts are fixed to GPUs while requests choose them unevenly, so the busiest GPU sets the pace. EPLB gives spare slots
to further replicas of the busiest experts, which share their load, and packs replicas onto GPUs heaviest first. Where
nodes share the expert groups evenly, it packs groups onto nodes first: tokens that may reach few groups then reach few
nodes. Names are those of the published eplb.py: phy is a replica's slot, log an expert.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from repro.arrays import Array, IntArray
from repro.errors import InputError
from repro.validate import check_integer

NOWHERE = -1  # pads an expert's list of replicas where another expert has more
LARGEST_LOAD = 1e300  # loads must be below it, so that their sums stay finite


@dataclass(frozen=True)
class Placement:
    """Where the replicas of each layer's experts lie; GPU g holds the g-th of equal runs of replicas."""

    phy2log: IntArray  #: [layers, num_replicas], the expert of each replica
    log2phy: IntArray  #: [layers, experts, most replicas], each expert's replicas, oldest first, padded with -1
    logcnt: IntArray  #: [layers, experts], replicas of each expert


def rebalance_experts(
    weight: ArrayLike, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> Placement:
    """Place replicas so that load spreads evenly: group by group where nodes share the groups evenly, else freely.

    Ties go to the lower index; upstream leaves them open. Loads are float64 here, float32 upstream.

    Args:
        weight: [layers, experts]; each expert's load, in any unit.
        num_replicas: replicas per layer, a multiple of num_gpus.
        num_groups: groups of experts, to some of which routing is limited.
        num_nodes: nodes, over which the GPUs divide evenly.
        num_gpus: GPUs of all nodes.

    Source: deepseek-ai/EPLB on GitHub, README and eplb.py; DeepSeek-V3 report (arXiv 2412.19437), section 3.4.
    """
    weight = _checked_loads(weight)
    num_layers, num_experts = weight.shape
    sizes = {"num_replicas": num_replicas, "num_groups": num_groups, "num_nodes": num_nodes, "num_gpus": num_gpus}
    for name, value in sizes.items():
        check_integer(name, value)
    _check_multiple("experts", num_experts, "num_groups", num_groups)
    _check_multiple("num_replicas", num_replicas, "num_gpus", num_gpus)
    _check_multiple("num_gpus", num_gpus, "num_nodes", num_nodes)
    if num_replicas < num_experts:
        raise InputError(f"num_replicas = {num_replicas}: must be at least the {num_experts} experts")
    if num_groups % num_nodes:
        num_groups = num_nodes = 1
    # Step 1: pack groups to nodes. mlog: an expert's index after sorting by node; pphy below: a slot after packing.
    group_size = num_experts // num_groups
    tokens_per_group = weight.reshape(num_layers, num_groups, group_size).sum(axis=2)  # [layers, num_groups]
    groups = balanced_packing(tokens_per_group, num_nodes)  # [layers, num_groups]
    mlog2log = (groups[:, :, None] * group_size + np.arange(group_size)).reshape(num_layers, num_experts)
    # Step 2: replicate the busiest experts within each node.
    tokens_per_mlog = np.take_along_axis(weight, mlog2log, axis=1).reshape(num_layers * num_nodes, -1)
    phy2mlog, phyrank, mlogcnt = replicate_experts(tokens_per_mlog, num_replicas // num_nodes)
    # Step 3: pack replicas to the GPUs of each node.
    tokens_per_phy = np.take_along_axis(tokens_per_mlog / mlogcnt, phy2mlog, axis=1)  # [layers · nodes, replicas]
    pphy2phy = balanced_packing(tokens_per_phy, num_gpus // num_nodes)
    pphy2mlog = np.take_along_axis(phy2mlog, pphy2phy, axis=1).reshape(num_layers, num_nodes, -1)
    pphy2mlog += np.arange(num_nodes)[:, None] * (num_experts // num_nodes)  # numbered over all nodes
    pphyrank = np.take_along_axis(phyrank, pphy2phy, axis=1).reshape(num_layers, -1)
    phy2log = np.take_along_axis(mlog2log, pphy2mlog.reshape(num_layers, -1), axis=1)
    # The other direction.
    layers, logcnt = np.arange(num_layers)[:, None], np.zeros((num_layers, num_experts), np.int64)
    np.add.at(logcnt, (layers, phy2log), 1)
    log2phy = np.full((num_layers, num_experts, logcnt.max()), NOWHERE)
    log2phy[layers, phy2log, pphyrank] = np.arange(num_replicas)
    return Placement(phy2log, log2phy, logcnt)


def balanced_packing(weight: Array, num_packs: int) -> IntArray:
    """Pack equally many items, of weights [X, n], into each pack: heaviest first, each to the lightest pack with room.

    Of equal items and equal packs the first goes first. Where each pack takes one item, items stay as they are. Returns
    items by pack in the order they were put there, [X, n]: the inverse of upstream's pack_index and rank_in_pack.

    Source: deepseek-ai/EPLB, eplb.py, balanced_packing.
    """
    num_rows, num_items = weight.shape
    items_per_pack = num_items // num_packs
    if items_per_pack == 1:
        return np.tile(np.arange(num_items), (num_rows, 1))
    packed = np.empty((num_rows, num_packs, items_per_pack), np.int64)
    pack_weights, pack_items = np.zeros((num_rows, num_packs)), np.zeros((num_rows, num_packs), np.int64)
    rows = np.arange(num_rows)
    for items in np.argsort(-weight, axis=1, kind="stable").T:  # [X], one of every row
        pack = np.argmin(np.where(pack_items < items_per_pack, pack_weights, np.inf), axis=1)  # [X]
        packed[rows, pack, pack_items[rows, pack]] = items
        pack_weights[rows, pack] += weight[rows, items]
        pack_items[rows, pack] += 1
    return packed.reshape(num_rows, num_items)


def replicate_experts(weight: Array, num_phy: int) -> tuple[IntArray, IntArray, IntArray]:
    """Give each further replica to the expert with the highest load per replica, which minimizes the maximum.

    From each expert's load, [X, num_log], returns phy2log, the expert of each replica, and rank, how many replicas that
    expert had before, [X, num_phy] both; and logcnt, [X, num_log], the replicas of each expert.

    Source: deepseek-ai/EPLB, eplb.py, replicate_experts.
    """
    num_rows, num_log = weight.shape
    phy2log = np.tile(np.arange(num_phy), (num_rows, 1))  # the first of each expert, the others to be overwritten
    rank, logcnt = np.zeros_like(phy2log), np.ones_like(weight, np.int64)
    rows = np.arange(num_rows)
    for replica in range(num_log, num_phy):
        busiest = np.argmax(weight / logcnt, axis=1)  # [X]
        phy2log[:, replica] = busiest
        rank[:, replica] = logcnt[rows, busiest]
        logcnt[rows, busiest] += 1
    return phy2log, rank, logcnt


def load_per_gpu(weight: ArrayLike, placement: Placement, num_gpus: int) -> Array:
    """Return the load of each GPU, [layers, num_gpus]: any load, [layers, experts], shared by an expert's replicas."""
    weight, shape = _checked_loads(weight), placement.logcnt.shape
    if weight.shape != shape:
        raise InputError(f"weight of shape {weight.shape}: must be {shape}, [layers, experts] of the placement")
    check_integer("num_gpus", num_gpus)
    num_layers, num_replicas = placement.phy2log.shape
    _check_multiple("num_replicas", num_replicas, "num_gpus", num_gpus)
    shares = np.take_along_axis(weight / placement.logcnt, placement.phy2log, axis=1)  # [layers, num_replicas]
    return shares.reshape(num_layers, num_gpus, -1).sum(axis=2)


def _checked_loads(weight: ArrayLike) -> NDArray[np.float64]:
    """Return loads as 64-bit numbers, each at least 0 and below LARGEST_LOAD."""
    try:
        loads = np.asarray(weight, np.float64)
    except (TypeError, ValueError):
        raise InputError("weight: must be numbers, [layers, experts]") from None
    if loads.ndim != 2 or not loads.size:
        raise InputError(f"weight of shape {loads.shape}: must be [layers, experts], at least one of each")
    wrong = np.argwhere(~((loads >= 0) & (loads < LARGEST_LOAD)))  # NaN is neither
    if len(wrong):
        layer, expert = wrong[0]
        value = f"weight[{layer}, {expert}] = {loads[layer, expert]:g}"
        raise InputError(f"{value}: must be a number of at least 0 and below {LARGEST_LOAD:g}")
    return loads


def _check_multiple(name: str, value: int, divisor_name: str, divisor: int) -> None:
    if value % divisor:
        raise InputError(f"{name} = {value}: must be a multiple of {divisor_name} = {divisor}")
