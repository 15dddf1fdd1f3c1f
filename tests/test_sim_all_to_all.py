"""Which nodes and GPUs tokens reach, sampled and in closed form, and what that sends over which links."""

from dataclasses import replace
from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reach_laws import reach_law_by_best_two, sigmoid_of_normal

from repro.errors import InputError
from repro.facts import Ledger, load
from repro.nano.config import config_from_hf
from repro.nano.gate import Gate, route, select_experts
from repro.sim.all_to_all import (
    Deployment,
    busiest_link,
    copies_sent,
    copy_bytes,
    expected_reach,
    free_experts_per_node,
    link_loads,
    measure_reach,
    reach_law,
    route_tokens,
    units_reached,
)
from repro.spread import standard_error

FACTS = Ledger(load())
EVENLY = {"quantile": lambda share: share, "cdf": lambda score: np.clip(score, 0, 1)}  # scores from 0 to 1


def published(name, n_nodes, gpus_per_node):
    config = config_from_hf(FACTS.config(name))
    moe = config.arch.experts
    return Deployment(moe.n_routed_experts, moe.top_k, config.gate, n_nodes, gpus_per_node)


V3 = published("deepseek_v3", 8, 8)
V2 = published("deepseek_v2", 8, 1)  # 8 devices, a group on each
SMALL = Deployment(12, 3, Gate(n_group=3, topk_group=2), 3, 2)
SEEDS = range(4)


def mean(law):
    return sum(count * chance for count, chance in enumerate(law))


def groups_reached(scores, deployment):
    experts = select_experts(scores, deployment.gate, deployment.top_k)
    return units_reached(experts, deployment.n_routed_experts, deployment.gate.n_group).sum(axis=1)


def near(found, expected, width=5):
    return abs(found.mean - expected) <= width * found.half


# Sampling


def test_the_published_gates():
    assert (V3.n_routed_experts, V3.top_k, V3.n_gpus) == (256, 8, 64)
    assert (V3.gate.n_group, V3.gate.topk_group, V3.gate.scores_per_group) == (8, 4, 2)
    assert (V2.n_routed_experts, V2.top_k, V2.n_gpus) == (160, 6, 8)
    assert (V2.gate.n_group, V2.gate.topk_group, V2.gate.scores_per_group) == (8, 3, 1)
    assert V3.unlimited.gate == replace(V3.gate, topk_group=8)


@pytest.mark.parametrize("deployment", [V3, V2, SMALL, replace(V3, gate=replace(V3.gate, scoring_func="softmax"))])
@pytest.mark.parametrize("skew", [0, 0.7])
def test_tokens_pass_the_gate_that_models_pass(deployment, skew):
    rng = np.random.default_rng(3)
    popularity = np.float32(skew) * rng.standard_normal(deployment.n_routed_experts, np.float32)
    logits = np.float32(2) * rng.standard_normal((50, deployment.n_routed_experts), np.float32) + popularity
    routed = route(
        logits, {"weight": np.eye(deployment.n_routed_experts, dtype=np.float32)}, deployment.gate, deployment.top_k
    )
    found = route_tokens(deployment, 50, seed=3, skew=skew, noise=2.0)
    assert np.array_equal(np.sort(found), np.sort(routed.experts))


def test_whom_tokens_reach_by_hand():
    experts = np.array([[0, 1, 2], [0, 5, 11], [4, 7, 8]])  # 12 in three nodes of two GPUs with two experts each
    assert units_reached(experts, 12, 3).tolist() == [[True, False, False], [True, True, True], [False, True, True]]
    assert units_reached(experts, 12, 6).sum(axis=1).tolist() == [2, 3, 3]


@pytest.mark.parametrize("deployment", [V3, V2])
@pytest.mark.parametrize("skew", [0, 1.5])
def test_the_limit_holds_for_every_token_and_costs_no_expert(deployment, skew):
    experts = route_tokens(deployment, 3000, seed=1, skew=skew)
    assert (
        units_reached(experts, deployment.n_routed_experts, deployment.gate.n_group).sum(axis=1).max()
        <= deployment.gate.topk_group
    )
    assert all(len(set(token)) == deployment.top_k for token in experts.tolist())


def test_a_seed_says_all_and_another_something_else():
    one, same, other = (route_tokens(SMALL, 2000, seed=seed, skew=0.5) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_popular_experts_are_picked_more_often():
    even, skewed = (np.bincount(route_tokens(V3, 4000, seed=1, skew=skew).ravel(), minlength=256) for skew in (0, 1.0))
    assert even.max() < 1.5 * even.mean()  # 125 on average, of standard deviation 11
    assert skewed.max() > 3 * skewed.mean()


def test_means_and_errors_by_hand():
    found = standard_error([1, 2, 3, 6])  # deviations -2, -1, 0, 3: 14 / 3 over 4
    assert (found.mean, found.half) == (3, pytest.approx((14 / 12) ** 0.5))


def test_averages_of_reach_are_those_of_its_shares():
    found = measure_reach(V3, 3000, seeds=SEEDS, skew=0.5)
    assert sum(found.by_nodes) == pytest.approx(1)
    assert mean(found.by_nodes) == pytest.approx(found.nodes.mean)
    assert found.experts_per_node == pytest.approx(8 / found.nodes.mean)
    assert found.nodes.mean <= found.gpus.mean <= 8


def test_errors_say_how_far_other_seeds_are():
    # 40 batches: their means scatter as a batch's error says, within a factor of 1.5
    batches = [measure_reach(V2.unlimited, 500, seeds=range(5 * n, 5 * n + 5), skew=0).nodes for n in range(40)]
    scatter = np.std([one.mean for one in batches], ddof=1)
    error = np.mean([one.half**2 for one in batches]) ** 0.5
    assert 1 / 1.5 < scatter / error < 1.5


# Closed forms


def counted(deployment):
    """Return the law of groups reached over all sets of experts, each as likely, without a limit."""
    size = deployment.n_routed_experts // deployment.gate.n_group
    counts = [
        len({expert // size for expert in chosen})
        for chosen in combinations(range(deployment.n_routed_experts), deployment.top_k)
    ]
    return np.bincount(counts, minlength=deployment.gate.n_group + 1) / len(counts)


@pytest.mark.parametrize("sizes", [(12, 3, 3), (12, 4, 6), (8, 5, 4), (10, 1, 5), (9, 8, 3), (6, 6, 1)])
def test_without_a_limit_all_sets_are_counted(sizes):
    n_routed_experts, top_k, groups = sizes
    deployment = Deployment(
        n_routed_experts, top_k, Gate(n_group=groups, topk_group=groups, scores_per_group=1), groups, 1
    )
    assert reach_law(deployment) == pytest.approx(counted(deployment))
    assert expected_reach(deployment) == pytest.approx((mean(counted(deployment)),) * 2)


def test_expectations_of_both_models():
    # a node is missed where all 8 are among the other 224 of 256: 8 (1 - C(224, 8) / C(256, 8))
    nodes, gpus = expected_reach(V3)
    assert nodes == pytest.approx(8 * (1 - comb(224, 8) / comb(256, 8)))
    assert (round(nodes, 4), round(gpus, 4)) == (5.2947, 7.6758)
    assert round(expected_reach(V2)[0], 4) == 4.4586
    assert mean(reach_law(V3.unlimited)) == pytest.approx(nodes)


@pytest.mark.parametrize("deployment", [V3.unlimited, V2.unlimited, V2])
def test_sampling_agrees_with_the_closed_forms(deployment):
    found, law = measure_reach(deployment, 5000, seeds=range(8), skew=0), reach_law(deployment)
    assert near(found.nodes, mean(law))
    for share, chance in zip(found.by_nodes, law, strict=False):
        assert share == pytest.approx(chance, abs=5 * (chance / 40_000) ** 0.5 + 1e-4)
    if deployment.gate.topk_group == deployment.gate.n_group:
        assert near(found.gpus, expected_reach(deployment)[1])


@given(st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 30.0]), st.integers(1, 4), st.integers(1, 6))
def test_ranked_by_their_best_score_the_limit_cuts_and_changes_nothing_else(seed, spread, limit, top_k):
    deployment = Deployment(24, top_k, Gate(n_group=4, topk_group=limit, scores_per_group=1), 4, 1)
    scores = np.exp(spread * np.random.default_rng(seed).standard_normal((40, 24)))
    free = groups_reached(scores, deployment.unlimited)
    assert np.array_equal(groups_reached(scores, deployment), np.minimum(free, limit))


@given(st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 30.0]), st.integers(1, 4), st.integers(1, 6))
def test_ranked_by_their_best_two_no_token_reaches_more(seed, spread, limit, top_k):
    deployment = Deployment(24, top_k, Gate(n_group=4, topk_group=limit), 4, 1)
    scores = np.random.default_rng(seed).standard_normal((40, 24))
    for turned in (np.exp(spread * scores), -np.exp(-spread * scores)):
        free = groups_reached(turned, deployment.unlimited)
        assert np.all(groups_reached(turned, deployment) <= np.minimum(free, limit))


def test_both_ranks_by_hand():
    # 9 and 6 are the best of all. By their best, the first two groups come first; by two, 9, 11.9 and 10.3, the others.
    scores = np.array([[9.0, 0, 6, 5.9, 5.2, 5.1]])
    by_two = Deployment(6, 2, Gate(n_group=3, topk_group=2), 3, 1)
    by_best = replace(by_two, gate=replace(by_two.gate, scores_per_group=1))
    assert groups_reached(scores, by_two.unlimited) == groups_reached(scores, by_best) == [2]
    assert groups_reached(scores, by_two) == [1]
    assert set(select_experts(scores, by_two.gate, 2)[0]) == {2, 3}


def orders(deployment, values):
    """Return how many groups the gate reaches with given scores in every order, by count, as shares."""
    every = np.array(list(permutations(values)), float)
    return np.bincount(groups_reached(every, deployment), minlength=deployment.gate.topk_group + 1) / len(every)


@pytest.mark.parametrize("top_k", [1, 2, 3, 4])
@pytest.mark.parametrize("limit", [2, 3])
def test_the_law_by_one_score_over_all_orders(top_k, limit):
    deployment = Deployment(8, top_k, Gate(n_group=4, topk_group=limit, scores_per_group=1), 4, 1)
    assert reach_law(deployment) == pytest.approx(orders(deployment, range(8)))


def test_over_all_orders_the_best_two_reach_fewer_and_by_the_scores():
    deployment = Deployment(8, 2, Gate(n_group=4, topk_group=2), 4, 1)
    bound = mean(reach_law(replace(deployment, gate=replace(deployment.gate, scores_per_group=1))))
    steep, even, flat = (
        mean(orders(deployment, values)) for values in (4.0 ** np.arange(8), range(8), -(4.0 ** -np.arange(8)))
    )
    assert flat < even < steep
    assert steep == pytest.approx(bound)  # of two scores that far apart the better decides


@pytest.mark.parametrize("noise", [0.1, 1.0, 2.0])
def test_the_law_by_the_best_two_agrees_with_sampling(noise):
    quantile, cdf = sigmoid_of_normal(noise)
    law = reach_law_by_best_two(V3, quantile=quantile, cdf=cdf)
    assert sum(law) == pytest.approx(1, abs=3e-4)
    found = measure_reach(V3, 5000, seeds=range(8), skew=0, noise=noise)
    assert near(found.nodes, mean(law), 6)
    assert found.by_nodes[3] == pytest.approx(law[3], abs=5 * (law[3] / 40_000) ** 0.5)


@pytest.mark.parametrize(
    "deployment",
    [
        Deployment(12, 3, Gate(n_group=3, topk_group=2), 3, 1),
        Deployment(24, 6, Gate(n_group=4, topk_group=3), 4, 1),
        Deployment(20, 4, Gate(n_group=5, topk_group=2), 5, 1),
        Deployment(8, 4, Gate(n_group=4, topk_group=2), 4, 1),  # all that it may reach, and both of every group
        Deployment(6, 1, Gate(n_group=2, topk_group=1), 2, 1),
    ],
)
def test_the_law_by_the_best_two_at_other_sizes(deployment):
    law = reach_law_by_best_two(deployment, **EVENLY)
    counts = groups_reached(np.random.default_rng(2).random((60_000, deployment.n_routed_experts)), deployment)
    shares = np.bincount(counts, minlength=deployment.gate.topk_group + 1) / len(counts)
    assert law == pytest.approx(shares, abs=0.01)
    assert sum(law) == pytest.approx(1, abs=1e-3)


def test_finer_grids_settle():
    means = [mean(reach_law_by_best_two(V3, **EVENLY, cells=cells)) for cells in (20, 40, 80)]
    assert abs(means[2] - means[1]) < abs(means[1] - means[0]) / 4
    assert means[2] == pytest.approx(3.95376, abs=2e-4)


def test_quantile_and_distribution_undo_each_other():
    quantile, cdf = sigmoid_of_normal(1.5)
    share = np.array([1e-9, 0.1, 0.5, 0.99])
    assert cdf(quantile(share)) == pytest.approx(share, rel=1e-6)
    assert cdf(np.array([-0.5, 0, 1, 1.7])).tolist() == [0, 0, 1, 1]
    assert quantile(np.array([0.5])) == 0.5


# What is sent


def test_bytes_of_a_copy_by_hand():
    # 7168 elements in FP8 with 56 scales, back in BF16
    assert copy_bytes(7168, group=128, scale_bytes=4) == {"dispatch": 7168 + 224, "combine": 14_336}
    assert copy_bytes(7168, group=128, scale_bytes=1)["dispatch"] == 7168 + 56
    assert copy_bytes(129, group=128, scale_bytes=4)["dispatch"] == 129 + 8  # the last group is not full


def test_copies_by_hand():
    both = copies_sent(V3, 4, 7, own_node_counted=True, landing_counted=True)
    assert both == {"infiniband": 4, "nvlink": 7}
    neither = copies_sent(V3, 4, 8, own_node_counted=False, landing_counted=False)
    assert neither == {"infiniband": 3.5, "nvlink": 7}
    alone = replace(V3, n_nodes=1)
    assert copies_sent(alone, 1, 5, own_node_counted=False, landing_counted=True)["infiniband"] == 0


@pytest.mark.parametrize("deployment", [V3, SMALL, V3.unlimited])
@pytest.mark.parametrize("skew", [0, 1.0])
def test_copies_are_what_the_links_carry(deployment, skew):
    experts = route_tokens(deployment, 64 * deployment.n_gpus, seed=5, skew=skew)
    # each token once from every GPU, so that where it starts is even to the last
    every = np.tile(experts, (deployment.n_gpus, 1))
    loads = {kind: load.sum() / len(every) for kind, load in link_loads(deployment, every).items()}
    nodes, gpus = (
        units_reached(experts, deployment.n_routed_experts, n).sum(axis=1).mean()
        for n in (deployment.n_nodes, deployment.n_gpus)
    )
    expected = copies_sent(deployment, nodes, gpus, own_node_counted=False, landing_counted=False)
    for link, count in expected.items():
        assert loads[f"{link} out"] == pytest.approx(count)
        assert loads[f"{link} in"] == pytest.approx(count)


def test_links_of_two_nodes_by_hand():
    deployment = Deployment(4, 2, Gate(), 2, 2)  # an expert on each GPU
    # from GPU 0 to experts 1 and 2; from 1 to 2 and 3; from 2 to 2 and 3; from 3 to 0 and 1
    loads = link_loads(deployment, np.array([[1, 2], [2, 3], [2, 3], [0, 1]]))
    assert loads["infiniband out"].tolist() == [[1, 1], [0, 1]]
    assert loads["infiniband in"].tolist() == [[0, 1], [1, 1]]  # 3 to 1; 0 to 2 and 1 to 3
    # 0 hands to 1 itself; 1's token lands on 3, which hands to 2; 2 hands to 3; 3's lands on 1, which hands to 0
    assert loads["nvlink out"].tolist() == [[1, 1], [1, 1]]
    assert loads["nvlink in"].tolist() == [[1, 1], [1, 1]]
    # two more from 0, both to 0 and 1: over NVLink to 1 alone
    more = link_loads(deployment, np.repeat([[0, 1], [2, 3], [2, 3], [0, 1]], 2, axis=0))
    assert more["nvlink out"].tolist() == [[2, 2], [2, 2]]
    assert more["infiniband out"].tolist() == [[0, 2], [0, 2]]


def loads_slowly(deployment, experts):
    """Return the copies on each link, token by token and copy by copy."""
    names = ("infiniband out", "infiniband in", "nvlink out", "nvlink in")
    found = {name: np.zeros((deployment.n_nodes, deployment.gpus_per_node), int) for name in names}
    per_gpu, per_node = (
        deployment.n_routed_experts // deployment.n_gpus,
        deployment.n_routed_experts // deployment.n_nodes,
    )
    for token, chosen in enumerate(experts.tolist()):
        start = divmod(token * deployment.n_gpus // len(experts), deployment.gpus_per_node)
        for node in {expert // per_node for expert in chosen}:
            if node != start[0]:
                found["infiniband out"][start] += 1
                found["infiniband in"][node, start[1]] += 1
        for gpu in {expert // per_gpu for expert in chosen}:
            node, number = divmod(gpu, deployment.gpus_per_node)
            if number != start[1]:
                found["nvlink out"][node, start[1]] += 1
                found["nvlink in"][node, number] += 1
    return found


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
@settings(deadline=None)
def test_links_token_by_token(seed, n_nodes, gpus_per_node, tokens_per_gpu, per_gpu):
    deployment = Deployment(n_nodes * gpus_per_node * per_gpu, 1, Gate(), n_nodes, gpus_per_node)
    deployment = replace(deployment, top_k=min(3, deployment.n_routed_experts))
    experts = route_tokens(deployment, tokens_per_gpu * deployment.n_gpus, seed=seed, skew=1)
    loads = link_loads(deployment, experts)
    assert loads.keys() == loads_slowly(deployment, experts).keys()
    assert all(np.array_equal(loads[kind], load) for kind, load in loads_slowly(deployment, experts).items())


def test_the_reports_experts_per_node():
    rates = FACTS["h800_sxm.nvlink_usable_bytes_per_s"], FACTS["h800_sxm.infiniband_bytes_per_s"]
    found = free_experts_per_node(V3, *rates, own_node_counted=True, landing_counted=True)
    assert found == 3.2
    assert FACTS["deepseek_v3.nodes_per_token"] * found == pytest.approx(12.8)  # printed as 13
    # without copies that cross no link: 3.2 x 7/8 over 7/8
    assert free_experts_per_node(V3, *rates, own_node_counted=False, landing_counted=False) == pytest.approx(3.2)
    assert free_experts_per_node(V3, *rates, own_node_counted=False, landing_counted=True) == pytest.approx(2.8)
    assert free_experts_per_node(V3, 360e9, 50e9, own_node_counted=True, landing_counted=True) == pytest.approx(7.2)


def test_at_the_free_number_both_links_take_as_long():
    how = {"own_node_counted": False, "landing_counted": True}
    free = free_experts_per_node(V3, 160e9, 50e9, **how)
    sent = copies_sent(V3, 4, 4 * free, **how)
    assert sent["infiniband"] / 50e9 == pytest.approx(sent["nvlink"] / 160e9)


# The busiest link


def test_the_busiest_of_even_links_is_what_chance_leaves():
    # 64 loads of about n each lie within about 1 / sqrt(n) of their mean; the largest at some 2.4 deviations
    found = busiest_link(V3, 64, seeds=SEEDS, skew=0)
    assert found.keys() == {"infiniband out", "infiniband in", "nvlink out", "nvlink in"}
    into = 64 * 8 * 3.965 / 8 * 7 / 8  # tokens of that number in all nodes, to one of 8, of which 7 are others
    assert found["infiniband in"].mean - found["infiniband in"].half > 1
    assert found["infiniband in"].mean < 1 + 5 / into**0.5
    assert found["infiniband out"].mean < found["infiniband in"].mean  # a sender's copies are nearly the same number


def test_the_busiest_is_over_all_links_of_a_kind():
    loads = [link_loads(SMALL, route_tokens(SMALL, 5 * 6, seed=seed, skew=0.5)) for seed in SEEDS]
    for kind, found in busiest_link(SMALL, 5, seeds=SEEDS, skew=0.5).items():
        ratios = [one[kind].max() / one[kind].mean() for one in loads]
        assert found.mean == pytest.approx(np.mean(ratios))
        assert found.half == pytest.approx(standard_error(ratios).half)


def test_popular_experts_make_links_busy_and_more_tokens_do_not_help():
    even, skewed, longer = (busiest_link(V3, n, seeds=SEEDS, skew=skew) for n, skew in ((32, 0), (32, 1.0), (128, 1.0)))
    for kind in ("infiniband in", "nvlink in"):
        assert skewed[kind].mean > even[kind].mean + 3 * skewed[kind].half
    assert skewed["nvlink in"].mean > 1.5
    assert longer["nvlink in"].mean == pytest.approx(skewed["nvlink in"].mean, rel=0.15)


def test_links_that_carry_nothing_are_even():
    alone = Deployment(8, 2, Gate(), 1, 4)
    found = busiest_link(alone, 4, seeds=[0, 1], skew=0)
    assert found["infiniband in"].mean == found["infiniband out"].mean == 1


# What is refused


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_routed_experts": 13}, "n_routed_experts = 13: must be a multiple of the 6 GPUs"),
        ({"n_nodes": 0}, "n_nodes = 0: must be a whole number of at least 1"),
        ({"gpus_per_node": 1.5}, "gpus_per_node = 1.5: must be a whole number of at least 1"),
        ({"top_k": 9}, "top_k = 9: must be from 1 to the 8 experts reached"),
        ({"gate": Gate(n_group=5)}, "n_routed_experts = 12: must be a multiple of n_group = 5"),
    ],
)
def test_deployments_that_contradict(changed, message):
    with pytest.raises(InputError) as refused:
        replace(SMALL, **changed)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: route_tokens(SMALL, 0, seed=1, skew=0), "n_tokens = 0: must be a whole number of at least 1"),
        (lambda: route_tokens(SMALL, 1, seed=1, skew=-1), "skew = -1: must be a number of at least 0 and below 5"),
        (lambda: route_tokens(SMALL, 1, seed=1, skew=0, noise=0), "noise = 0: must be a number above 0 and below 5"),
        (
            lambda: measure_reach(SMALL, 1, seeds=[1], skew=0),
            "number of seeds = 1: must be at least 2, to tell how far they differ",
        ),
        (
            lambda: busiest_link(SMALL, 0, seeds=[1, 2], skew=0),
            "tokens_per_gpu = 0: must be a whole number of at least 1",
        ),
        (lambda: link_loads(SMALL, np.zeros((7, 3), int)), "7 tokens: must be a multiple of the 6 GPUs"),
        (lambda: reach_law(SMALL), "scores_per_group = 2: must be 1 if groups are limited"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputError) as refused:
        call()
    assert str(refused.value) == message
