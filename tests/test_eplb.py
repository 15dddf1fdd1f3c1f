"""Serving's balance: the published example, what every placement keeps to, how even it is, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import InputError
from repro.nano.balance import max_violation
from repro.nano.serving.eplb import (
    NOWHERE,
    Placement,
    balanced_packing,
    load_per_gpu,
    rebalance_experts,
    replicate_experts,
)

README_LOAD = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
README_SIZES = {"num_replicas": 16, "num_groups": 4, "num_nodes": 2, "num_gpus": 8}
PREFILL = {"num_replicas": 288, "num_groups": 8, "num_nodes": 4, "num_gpus": 32}  # V3's report, section 3.4.1
DECODE = {
    "num_replicas": 320,
    "num_groups": 8,
    "num_nodes": 40,
    "num_gpus": 320,
}  # one expert a GPU, as in section 3.4.2


@st.composite
def cases(draw):
    """Return loads with many equal ones, and sizes that fit, of which about half are hierarchical."""
    num_nodes, num_groups = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    n_experts, num_gpus = num_groups * draw(st.integers(1, 4)), num_nodes * draw(st.integers(1, 4))
    num_replicas = num_gpus * (-(-n_experts // num_gpus) + draw(st.integers(0, 3)))
    row = st.lists(st.integers(0, 9) | st.floats(0, 1e6, allow_subnormal=False), min_size=n_experts, max_size=n_experts)
    load = draw(st.lists(row, min_size=1, max_size=3))
    sizes = {"num_replicas": num_replicas, "num_groups": num_groups, "num_nodes": num_nodes, "num_gpus": num_gpus}
    return np.array(load, float), sizes


def zipf(exponent, n_layers=8):
    """Return loads of 256 experts that fall with the power of their rank, ranks in another order in each layer."""
    load = np.arange(1.0, 257) ** -exponent
    return np.random.default_rng(1).permuted(np.tile(load, (n_layers, 1)), axis=1)


def in_order(load, num_replicas):
    """Return the placement that knows no load: experts as they are numbered, then the first ones once more."""
    n_layers, n_experts = load.shape
    physical = np.arange(num_replicas) % n_experts
    counts = np.bincount(physical, minlength=n_experts)
    return Placement(np.tile(physical, (n_layers, 1)), np.empty(0), np.tile(counts, (n_layers, 1)))


def imbalance(load, placement, sizes):
    return max_violation(load_per_gpu(load, placement, sizes["num_gpus"]))


# What is published


def test_the_published_example():
    found = rebalance_experts(README_LOAD, **README_SIZES)
    assert found.phy2log.tolist() == [  # as printed in the README of deepseek-ai/EPLB
        [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
        [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
    ]
    # What its code (commit d52c72d) returns beside: replicas by expert in the order they were made, and their number.
    assert found.log2phy[0].tolist() == [
        *([12, -1], [15, 13], [11, -1], [6, -1], [7, 5], [0, 2]),
        *([1, -1], [3, -1], [4, -1], [9, -1], [8, 10], [14, -1]),
    ]
    assert found.logcnt.tolist() == [[1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1], [1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1]]


def test_loads_of_the_published_example_by_hand():
    found = load_per_gpu(README_LOAD, rebalance_experts(README_LOAD, **README_SIZES), 8)
    node_0 = [165 / 2 + 39, 165 / 2 + 4, 73 + 104 / 2, 61 + 104 / 2]
    node_1 = [183 / 2 + 56, 183 / 2 + 40, 90 + 132 / 2, 86 + 132 / 2]
    assert found[0].tolist() == node_0 + node_1
    assert max_violation(found)[0] == pytest.approx((90 + 132 / 2) / (sum(README_LOAD[0]) / 8) - 1)


def test_nodes_that_do_not_share_the_groups_are_filled_as_one():
    sizes = {"num_replicas": 8, "num_groups": 3, "num_nodes": 2, "num_gpus": 4}
    load = [[7, 3, 12, 5, 1, 9], [40, 2, 3, 4, 6, 5]]
    found = rebalance_experts(load, **sizes)
    # Layer 0: 12 and 9 are halved. 7, 6, 6 and 5 to a GPU each; then 4.5 to 5, 4.5 to the first 6, 3 to 6 and 1 to 7.
    # Layer 1: 40 is in three. A third each and 6 to a GPU each; then 5 to 6, and 4, 3 and 2 to the thirds.
    # The code of deepseek-ai/EPLB (commit d52c72d) returns the same.
    assert found.phy2log.tolist() == [[0, 4, 2, 5, 2, 1, 3, 5], [0, 3, 0, 2, 0, 1, 4, 5]]
    assert found.log2phy[0, [2, 5]].tolist() == [[2, 4, -1], [7, 3, -1]]  # the first half of 9 went to 5
    assert load_per_gpu(load, found, 4)[0].tolist() == [8, 10.5, 9, 9.5]


# What every placement keeps to


@given(cases())
@settings(deadline=None)
def test_every_expert_is_somewhere_and_every_place_is_taken(case):
    load, sizes = case
    found = rebalance_experts(load, **sizes)
    assert found.phy2log.shape == (len(load), sizes["num_replicas"])
    assert found.logcnt.shape == load.shape
    assert found.logcnt.min() >= 1
    assert found.logcnt.sum(axis=1).tolist() == [sizes["num_replicas"]] * len(load)
    for experts, counts in zip(found.phy2log, found.logcnt, strict=True):
        assert np.bincount(experts, minlength=load.shape[1]).tolist() == counts.tolist()


@given(cases())
@settings(deadline=None)
def test_both_directions_tell_the_same(case):
    load, sizes = case
    found = rebalance_experts(load, **sizes)
    assert found.log2phy.shape == (*load.shape, found.logcnt.max())
    for layer, experts in enumerate(found.phy2log):
        for expert, places in enumerate(found.log2phy[layer].tolist()):
            count = found.logcnt[layer, expert]
            assert sorted(places[:count]) == np.flatnonzero(experts == expert).tolist()
            assert places[count:] == [NOWHERE] * (len(places) - count)


@given(cases())
@settings(deadline=None)
def test_a_group_and_all_its_copies_lie_in_one_node(case):
    load, sizes = case
    num_nodes, num_groups = sizes["num_nodes"], sizes["num_groups"] * sizes["num_nodes"]
    load = np.concatenate([load] * num_nodes, axis=1)
    found = rebalance_experts(
        load, **sizes | {"num_groups": num_groups, "num_replicas": sizes["num_replicas"] * num_nodes}
    )
    groups = found.phy2log // (load.shape[1] // num_groups)
    for layer in groups.reshape(len(load), num_nodes, -1):
        held = [set(node.tolist()) for node in layer]
        assert [len(one) for one in held] == [num_groups // num_nodes] * num_nodes
        assert set.union(*held) == set(range(num_groups))


@given(cases())
@settings(deadline=None)
def test_no_load_is_lost_and_no_gpu_below_what_it_must_bear(case):
    load, sizes = case
    found = rebalance_experts(load, **sizes)
    gpus = load_per_gpu(load, found, sizes["num_gpus"])
    assert gpus.sum(axis=1) == pytest.approx(load.sum(axis=1))
    heaviest = (load / found.logcnt).max(axis=1)
    assert np.all(gpus.max(axis=1) >= heaviest * (1 - 1e-12))
    assert np.all(gpus.max(axis=1) >= gpus.mean(axis=1) * (1 - 1e-12))
    assert np.all(max_violation(gpus) >= -1e-12)
    assert np.all(max_violation(gpus) <= sizes["num_gpus"] - 1 + 1e-12)


@given(cases())
@settings(deadline=None)
def test_layers_do_not_know_of_each_other_nor_of_the_unit(case):
    load, sizes = case
    together, doubled = rebalance_experts(load, **sizes), rebalance_experts(2 * load, **sizes)
    for layer in range(len(load)):
        alone = rebalance_experts(load[[layer]], **sizes)
        assert alone.phy2log[0].tolist() == together.phy2log[layer].tolist()
        assert alone.logcnt[0].tolist() == together.logcnt[layer].tolist()
    assert doubled.phy2log.tolist() == together.phy2log.tolist()


# The two greedy rules


def pack_slowly(load, n_packs):
    """Return what each pack holds, one item after another."""
    packs = [[] for _ in range(n_packs)]
    for item in sorted(range(len(load)), key=lambda one: -load[one]):
        open_ones = [held for held in packs if len(held) < len(load) // n_packs]
        min(open_ones, key=lambda held: sum(load[one] for one in held)).append(item)
    return [item for held in packs for item in held]


@given(st.integers(1, 4), st.integers(2, 4), st.data())
def test_items_go_to_the_lightest_pack_with_room(n_packs, size, data):
    row = st.lists(st.integers(0, 9), min_size=n_packs * size, max_size=n_packs * size)
    load = data.draw(st.lists(row, min_size=1, max_size=3))
    assert balanced_packing(np.array(load, float), n_packs).tolist() == [pack_slowly(one, n_packs) for one in load]


def test_packs_by_hand():
    # 9 | 7, then 6 to 7, 3 to 9, 2 to 9 + 3, which is full, and 1 where there is room.
    assert balanced_packing(np.array([[1.0, 9, 2, 6, 3, 7]]), 2).tolist() == [[1, 4, 2, 5, 3, 0]]
    assert balanced_packing(np.array([[1.0, 9, 2]]), 3).tolist() == [[0, 1, 2]]


def test_equal_loads_take_turns():
    found = rebalance_experts(np.ones((1, 4)), num_replicas=8, num_groups=1, num_nodes=1, num_gpus=2)
    assert found.phy2log.tolist() == [[0, 2, 0, 2, 1, 3, 1, 3]]
    assert found.log2phy.tolist() == [[[0, 2], [4, 6], [1, 3], [5, 7]]]


def test_without_any_load_the_first_expert_is_copied():
    found = rebalance_experts(np.zeros((1, 3)), num_replicas=6, num_groups=1, num_nodes=1, num_gpus=6)
    assert found.phy2log.tolist() == [[0, 1, 2, 0, 0, 0]]
    assert load_per_gpu(np.zeros((1, 3)), found, 6).tolist() == [[0] * 6]


def test_copies_by_hand():
    # 12 and 6 and 5: 12 is halved, 6 (before the equal halves) is, 6 as the half of 12 is in three, then 5 is halved.
    copied, rank, counts = replicate_experts(np.array([[5.0, 6, 12]]), 7)
    assert copied.tolist() == [[0, 1, 2, 2, 1, 2, 0]]
    assert rank.tolist() == [[0, 0, 0, 1, 1, 2, 1]]
    assert counts.tolist() == [[2, 2, 3]]


@given(st.lists(st.integers(1, 99), min_size=1, max_size=8), st.integers(0, 12))
def test_no_other_copies_would_make_the_busiest_replica_less_busy(load, redundant):
    *_, counts = replicate_experts(np.array([load], float), len(load) + redundant)
    busiest = max(Fraction(one, int(count)) for one, count in zip(load, counts[0], strict=True))
    # For all to be below it, each expert needs more replicas than its load is multiples of it.
    assert sum(one // busiest + 1 for one in load) > len(load) + redundant


# How even


@pytest.mark.parametrize(
    "sizes", [PREFILL, PREFILL | {"num_replicas": 256}, DECODE], ids=["prefill", "packed", "decode"]
)
@pytest.mark.parametrize("exponent", [0, 0.25, 0.5, 1, 1.5])
def test_skewed_loads_lie_more_evenly_than_in_order(exponent, sizes):
    load = zipf(exponent)
    before = imbalance(load, in_order(load, sizes["num_replicas"]), sizes)
    assert np.all(imbalance(load, rebalance_experts(load, **sizes), sizes) <= before)


@pytest.mark.parametrize("exponent", [1, 1.5])
def test_copies_do_what_packing_cannot(exponent):
    load, packed = zipf(exponent), PREFILL | {"num_replicas": 256}
    least = load.max(axis=1) / load.sum(axis=1) * 32 - 1  # a GPU must hold the busiest expert
    assert np.all(imbalance(load, rebalance_experts(load, **packed), packed) >= least)
    assert np.all(imbalance(load, rebalance_experts(load, **PREFILL), PREFILL) < least)


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1, 1.5])
def test_one_replica_a_gpu_is_as_even_as_the_busiest_replica_allows(exponent):
    load = zipf(exponent)
    found = rebalance_experts(load, **DECODE)
    least = (load / found.logcnt).max(axis=1) / load.sum(axis=1) * 320 - 1
    assert imbalance(load, found, DECODE) == pytest.approx(least)


@pytest.mark.parametrize("num_replicas", [4, 6, 8])
def test_two_busy_groups_apart_and_a_busy_group_in_its_node(num_replicas):
    # Experts 0 and 1 are one group. Its node bears all load, however many copies there are; without groups, each half.
    load, sizes = [[8, 8, 0, 0]], {"num_replicas": num_replicas, "num_nodes": 2, "num_gpus": 2}
    by_node, over_all = (rebalance_experts(load, num_groups=num_groups, **sizes) for num_groups in (2, 1))
    assert load_per_gpu(load, by_node, 2).tolist() == [[16, 0]]
    assert load_per_gpu(load, over_all, 2)[0] == pytest.approx([8, 8])


@pytest.mark.parametrize("exponent", [0.5, 1])
def test_nodes_bear_their_groups_whatever_is_copied(exponent):
    load = zipf(exponent)
    groups = np.sort(load.reshape(8, 8, 32).sum(axis=2))
    gpus = load_per_gpu(load, rebalance_experts(load, **PREFILL), 32)
    nodes = gpus.reshape(8, 4, 8).sum(axis=2)
    assert np.all(nodes.max(axis=1) >= groups[:, -1] + groups[:, 0] - 1e-9)  # the busiest group has one beside it
    assert np.all(max_violation(gpus) >= max_violation(nodes) - 1e-12)
    over_all = PREFILL | {"num_groups": 1}
    assert np.all(imbalance(load, rebalance_experts(load, **over_all), over_all) < max_violation(gpus))


def test_greedy_copies_may_be_worse_than_one_more_of_each():
    # Expert 0 is in three, two of which meet on one of two GPUs; with two replicas of each, both would bear 5.
    load, sizes = np.array([[10.0, 0]]), {"num_replicas": 4, "num_groups": 1, "num_nodes": 1, "num_gpus": 2}
    found = rebalance_experts(load, **sizes)
    assert found.phy2log.tolist() == [[0, 0, 0, 1]]
    assert imbalance(load, found, sizes) == pytest.approx([1 / 3])
    assert imbalance(load, in_order(load, 4), sizes) == [0]


def test_imbalance_by_hand():
    assert max_violation(np.array([[3, 1], [2, 2], [0, 0], [0, 5]])).tolist() == [0.5, 0, 0, 1]


def test_other_loads_than_were_balanced():
    found = rebalance_experts([[6, 2, 4, 0]], num_replicas=6, num_groups=1, num_nodes=1, num_gpus=2)
    assert found.logcnt.tolist() == [[2, 1, 2, 1]]
    assert load_per_gpu([[0, 0, 0, 7]], found, 2).sum() == 7
    assert sorted(load_per_gpu([[0, 0, 0, 7]], found, 2)[0]) == [0, 7]


# What is refused


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_groups": 5}, "experts = 12: must be a multiple of num_groups = 5"),
        ({"num_replicas": 18}, "num_replicas = 18: must be a multiple of num_gpus = 8"),
        ({"num_nodes": 3}, "num_gpus = 8: must be a multiple of num_nodes = 3"),
        ({"num_replicas": 8}, "num_replicas = 8: must be at least the 12 experts"),
        ({"num_replicas": 16.0}, "num_replicas = 16.0: must be a whole number of at least 1"),
        ({"num_groups": 0}, "num_groups = 0: must be a whole number of at least 1"),
        ({"num_nodes": -1}, "num_nodes = -1: must be a whole number of at least 1"),
        ({"num_gpus": True}, "num_gpus = True: must be a whole number of at least 1"),
    ],
)
def test_sizes_that_contradict(sizes, message):
    with pytest.raises(InputError) as refused:
        rebalance_experts(README_LOAD, **README_SIZES | sizes)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("load", "message"),
    [
        ([1, 2], "weight of shape (2,): must be [layers, experts], at least one of each"),
        (np.ones((1, 2, 2)), "weight of shape (1, 2, 2): must be [layers, experts], at least one of each"),
        (np.ones((0, 2)), "weight of shape (0, 2): must be [layers, experts], at least one of each"),
        ([[]], "weight of shape (1, 0): must be [layers, experts], at least one of each"),
        ([[1, 2], [3, -4]], "weight[1, 1] = -4: must be a number of at least 0 and below 1e+300"),
        ([[1, float("nan")]], "weight[0, 1] = nan: must be a number of at least 0 and below 1e+300"),
        ([[float("inf"), 1]], "weight[0, 0] = inf: must be a number of at least 0 and below 1e+300"),
        ([[1, 2], [3]], "weight: must be numbers, [layers, experts]"),
        ([["much", 2]], "weight: must be numbers, [layers, experts]"),
    ],
)
def test_loads_that_are_none(load, message):
    with pytest.raises(InputError) as refused:
        rebalance_experts(load, num_replicas=2, num_groups=1, num_nodes=1, num_gpus=1)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("load", "num_gpus", "message"),
    [
        ([[1, 2, 3]], 2, "weight of shape (1, 3): must be (1, 2), [layers, experts] of the placement"),
        ([[1, 2]] * 2, 2, "weight of shape (2, 2): must be (1, 2), [layers, experts] of the placement"),
        ([[1, 2]], 3, "num_replicas = 4: must be a multiple of num_gpus = 3"),
        ([[1, 2]], 0, "num_gpus = 0: must be a whole number of at least 1"),
        ([[1, -2]], 2, "weight[0, 1] = -2: must be a number of at least 0 and below 1e+300"),
    ],
)
def test_loads_that_do_not_fit_the_placement(load, num_gpus, message):
    placement = rebalance_experts([[3, 1]], num_replicas=4, num_groups=1, num_nodes=1, num_gpus=2)
    with pytest.raises(InputError) as refused:
        load_per_gpu(load, placement, num_gpus)
    assert str(refused.value) == message
