"""Speed, cost and profit of serving, and what drafted tokens bring, each worked by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import TINY

from repro.calc import serving
from repro.calc.param_count import active_parameters, parts

share = st.floats(0, 1)
positive = st.floats(1e-3, 1e12)


def test_bytes_touched_per_token():
    # 37e9 x 4 bits = 18.5e9 bytes
    assert serving.touched_bytes_per_token(37e9, bits_per_parameter=4) == 18.5e9
    # and 1,000 tokens of 70,272 bytes in the cache
    assert serving.touched_bytes_per_token(
        37e9, bits_per_parameter=4, cached_tokens=1000, cache_bytes_per_token=70_272
    ) == pytest.approx(18.5e9 + 70.272e6, rel=1e-15)


def test_a_context_without_tokens_or_without_bytes_touches_nothing():
    assert serving.touched_bytes_per_token(16, bits_per_parameter=8, cached_tokens=5) == 16
    assert serving.touched_bytes_per_token(16, bits_per_parameter=8, cache_bytes_per_token=5) == 16


def test_a_rate_bound_by_bandwidth():
    # 370e9 bytes/s over 18.5e9 bytes
    assert serving.bandwidth_bound_tokens_per_s(18.5e9, 370e9) == 20


def test_cost_of_tokens():
    # 87,072 USD over 168,000 millions
    assert serving.usd_per_million_tokens(87_072, 168e9) == pytest.approx(0.518286, abs=5e-7)


@pytest.mark.parametrize(
    ("acceptance", "drafted", "printed"),
    [
        # Leviathan et al. (arXiv 2211.17192), table 1, drafts at no cost
        (0.6, 2, "1.96"),
        (0.7, 3, "2.53"),
        (0.8, 2, "2.44"),
        (0.8, 5, "3.69"),
        (0.9, 2, "2.71"),
        (0.9, 10, "6.86"),
    ],
)
def test_speedups_as_printed(acceptance, drafted, printed):
    assert f"{serving.speculative_speedup(acceptance, draft_cost=0, drafted=drafted):.2f}" == printed


def test_one_draft_is_the_default():
    # 1 + 0.85
    assert serving.speculative_tokens_per_step(0.85) == 1.85
    # 1.85 / (1 + 0.25)
    assert serving.speculative_speedup(0.85, draft_cost=0.25) == pytest.approx(1.48, rel=1e-15)


def test_each_draft_costs_its_time():
    # 1 + 0.5 + 0.25 + 0.125 = 1.875 tokens in 1 + 3 x 0.25 = 1.75 steps
    assert serving.speculative_speedup(0.5, draft_cost=0.25, drafted=3) == pytest.approx(1.875 / 1.75, rel=1e-15)


@pytest.mark.parametrize("drafted", [1, 2, 7])
def test_all_or_no_drafts_kept(drafted):
    assert serving.speculative_tokens_per_step(0, drafted) == 1
    assert serving.speculative_tokens_per_step(1, drafted) == 1 + drafted


def test_without_drafts_a_step_yields_its_token():
    assert serving.speculative_tokens_per_step(0.9, 0) == 1
    assert serving.speculative_speedup(0.9, draft_cost=1, drafted=0) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: serving.bandwidth_bound_tokens_per_s(0, 1),
        lambda: serving.usd_per_million_tokens(1, 0),
    ],
)
def test_a_zero_below_the_line_is_an_error(call):
    with pytest.raises(ZeroDivisionError):
        call()


@given(st.floats(0, 0.99), st.integers(0, 30))
def test_tokens_per_step_follow_the_closed_form(acceptance, drafted):
    closed = (1 - acceptance ** (drafted + 1)) / (1 - acceptance)
    assert math.isclose(serving.speculative_tokens_per_step(acceptance, drafted), closed, rel_tol=1e-12)


@given(share, share, st.integers(0, 10))
def test_more_kept_drafts_never_yield_less(one, other, drafted):
    low, high = sorted((one, other))
    fewer, more = (serving.speculative_tokens_per_step(acceptance, drafted) for acceptance in (low, high))
    assert 1 <= fewer <= more <= 1 + drafted


@given(share, st.integers(1, 10))
def test_free_drafts_never_slow_down_and_dear_ones_always_do(acceptance, drafted):
    assert serving.speculative_speedup(acceptance, draft_cost=0, drafted=drafted) >= 1
    assert serving.speculative_speedup(acceptance, draft_cost=1, drafted=drafted) <= 1


@given(positive, st.integers(1, 32), st.floats(0, 1e6), st.floats(0, 1e6))
def test_context_only_adds_bytes(parameters, bits, tokens, cache):
    alone = serving.touched_bytes_per_token(parameters, bits_per_parameter=bits)
    with_context = serving.touched_bytes_per_token(
        parameters, bits_per_parameter=bits, cached_tokens=tokens, cache_bytes_per_token=cache
    )
    assert math.isclose(with_context, alone + tokens * cache, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("speedup", "cost", "drafted", "needed"),
    [
        (1.8, 0.0, 1, 0.8),  # 1 + a
        (2.0, 0.0, 1, 1.0),
        (1.5, 0.2, 1, 0.8),  # (1 + a) / 1.2
        (2.0, 0.0, 2, (math.sqrt(5) - 1) / 2),  # a + a² = 1: the golden section
        (1.0, 0.3, 1, 0.3),
    ],
)
def test_the_acceptance_that_a_speedup_needs(speedup, cost, drafted, needed):
    assert serving.acceptance_needed(speedup, draft_cost=cost, drafted=drafted) == pytest.approx(needed, abs=1e-12)


@given(share, st.floats(0, 0.9), st.integers(1, 5))
def test_acceptance_for_inverts_the_speedup(acceptance, cost, drafted):
    speedup = serving.speculative_speedup(acceptance, draft_cost=cost, drafted=drafted)
    found = serving.acceptance_needed(speedup, draft_cost=cost, drafted=drafted)
    assert serving.speculative_speedup(found, draft_cost=cost, drafted=drafted) == pytest.approx(speedup, rel=1e-9)


def test_doubling_with_one_draft_at_any_cost_cannot_be():
    assert serving.acceptance_needed(2.0, draft_cost=0.01) is None


def test_experts_touched_by_hand():
    assert serving.expected_experts_hit(8, 2, 1) == pytest.approx(2)
    assert serving.expected_experts_hit(8, 2, 2) == pytest.approx(3.5)  # 2 + 2 · 6/8
    assert serving.expected_experts_hit(256, 8, 1e6) == pytest.approx(256)


def test_parameters_read_by_one_token_are_the_active_ones_without_embedding_and_norms():
    norms = sum(part.active for part in parts(TINY) if part.name == "norms")
    assert serving.parameters_read_per_step(TINY, 1) == pytest.approx(
        active_parameters(TINY, embedding_counted=False) - norms
    )


def test_a_step_of_many_tokens_reads_every_expert_and_two_tokens_cost_no_more():
    assert serving.parameters_read_per_step(TINY, 1e6) == pytest.approx(serving.parameters_read_per_step(TINY, 2e6))
    module = serving.parameters_read_per_draft(TINY, 1e6) / serving.parameters_read_per_step(TINY, 1e6)
    assert serving.memory_bound_draft_cost(TINY, 1e6) == pytest.approx(module)
    assert serving.memory_bound_draft_cost(TINY, 1) > serving.memory_bound_draft_cost(TINY, 100)
