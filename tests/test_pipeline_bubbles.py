"""Idle time of pipelines and traffic of experts, worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.calc import interconnect, pipeline_bubbles

ranks = st.integers(1, 64).map(lambda half: 2 * half)
duration = st.floats(0.01, 100)


def test_bubbles_of_eight_ranks():
    # forward 1, backward 2, of it 1 for the weights, a forward and a backward together 3
    assert pipeline_bubbles.bubble_1f1b(8, 1, 2) == 21  # 7 x 3
    assert pipeline_bubbles.bubble_zb1p(8, 1, 2, 1) == 7  # 7 x (1 + 2 - 2)
    assert pipeline_bubbles.bubble_dualpipe(8, 2, 1, 3) == 6  # 3 x (3 + 2 - 3)
    assert pipeline_bubbles.bubble_interleaved(8, 1, 2, 3) == 7  # 7 x 3 / 3
    assert pipeline_bubbles.bubble_dualpipev(8, 2, 1, 3) == 14  # of 16 stages: 7 x (3 + 2 - 3)


def test_bubbles_of_unlike_durations():
    assert pipeline_bubbles.bubble_1f1b(4, 1, 2.5) == 10.5  # 3 x 3.5
    assert pipeline_bubbles.bubble_zb1p(4, 1, 2.5, 0.75) == 6  # 3 x (3.5 - 1.5)
    assert pipeline_bubbles.bubble_dualpipe(4, 2.5, 0.75, 3.25) == 3.5  # 1 x (3.25 + 2.5 - 2.25)
    assert pipeline_bubbles.bubble_interleaved(4, 1, 2.5, 2) == 5.25  # 3 x 3.5 / 2
    assert pipeline_bubbles.bubble_dualpipev(4, 2.5, 0.75, 3.25) == 10.5  # 3 x (3.25 + 2.5 - 2.25)


def test_the_shortest_pipelines_have_no_bubble():
    assert pipeline_bubbles.bubble_1f1b(1, 1, 2) == 0
    assert pipeline_bubbles.bubble_zb1p(1, 1, 2, 1) == 0
    assert pipeline_bubbles.bubble_dualpipe(2, 2, 1, 3) == 0  # forward from both ends at once
    assert pipeline_bubbles.bubble_interleaved(1, 1, 2, 4) == 0
    assert pipeline_bubbles.bubble_dualpipev(1, 2, 1, 3) == 0


def test_bytes_to_experts_and_back():
    # 4 nodes x 7168 elements x (1 + 2) bytes
    assert (
        interconnect.expert_traffic_bytes(7168, 4, dispatch_bytes_per_element=1, combine_bytes_per_element=2) == 86_016
    )


def test_the_time_of_a_steps_traffic_as_printed():
    # DeepSeek's hardware paper (arXiv 2505.09343), section 2.3.2: (1 + 2) bytes x 32 tokens x 9 x 7K over 50 GB/s
    sent = 32 * interconnect.expert_traffic_bytes(7000, 9, dispatch_bytes_per_element=1, combine_bytes_per_element=2)
    assert f"{sent / 50e9 * 1e6:.2f}" == "120.96"


def test_a_rank_without_a_stage_is_an_error():
    with pytest.raises(ZeroDivisionError):
        pipeline_bubbles.bubble_interleaved(4, 1, 2, 0)


@given(ranks, duration, duration)
def test_with_one_stage_on_a_rank_interleaving_is_1f1b(n, forward, backward):
    plain = pipeline_bubbles.bubble_1f1b(n, forward, backward)
    assert pipeline_bubbles.bubble_interleaved(n, forward, backward, 1) == plain


@given(ranks, duration, duration, duration)
def test_dualpipe_cut_in_half_idles_as_the_whole(n, backward, weight, overlapped):
    whole = pipeline_bubbles.bubble_dualpipe(n, backward, weight, overlapped)
    assert pipeline_bubbles.bubble_dualpipev(n // 2, backward, weight, overlapped) == whole


@given(ranks, duration, duration)
def test_without_work_on_weights_to_move_zero_bubble_is_1f1b(n, forward, backward):
    assert pipeline_bubbles.bubble_zb1p(n, forward, backward, 0) == pipeline_bubbles.bubble_1f1b(n, forward, backward)


@given(ranks, duration, duration, st.floats(0, 1))
def test_no_later_schedule_idles_longer_than_1f1b(n, forward, backward, share):
    # overlapping saves no time here, and the weights take a share of the backward pass
    weight = share * min(forward, backward)
    one, zero, dual = (
        pipeline_bubbles.bubble_1f1b(n, forward, backward),
        pipeline_bubbles.bubble_zb1p(n, forward, backward, weight),
        pipeline_bubbles.bubble_dualpipe(n, backward, weight, forward + backward),
    )
    assert zero <= one
    assert dual <= one


@given(ranks, duration, duration, st.floats(0.1, 10))
def test_bubbles_are_linear_in_the_durations(n, forward, backward, times):
    once = pipeline_bubbles.bubble_dualpipe(n, backward, forward / 4, forward + backward)
    scaled = pipeline_bubbles.bubble_dualpipe(n, times * backward, times * forward / 4, times * (forward + backward))
    assert math.isclose(scaled, times * once, rel_tol=1e-9, abs_tol=1e-9)


@given(st.integers(1, 20_000), st.integers(1, 64), st.integers(1, 64))
def test_traffic_adds_up_over_nodes(d_model, one, other):
    first, second, both = (
        interconnect.expert_traffic_bytes(d_model, n, dispatch_bytes_per_element=1, combine_bytes_per_element=2)
        for n in (one, other, one + other)
    )
    assert first + second == both
