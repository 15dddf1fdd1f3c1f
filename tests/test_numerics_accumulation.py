"""Sums that keep few bits: worked by hand, against exact fractions, and what must be so of any."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repro.errors import InputError
from repro.nano.numerics.accumulation import Accumulation, block_scaled_matmul, matmul_limited_accumulation
from repro.nano.numerics.errors import error_measures
from repro.nano.numerics.formats import E4M3, round_to_format
from repro.nano.numerics.sample_inputs import DISTRIBUTIONS, draw_inputs, with_loud_tokens, with_outlier_channels
from repro.nano.numerics.scaling import WHOLE_TENSOR, quantize

EXACT = Accumulation(bits=40)


def grid(*shape, seed=0, positive=False):
    """Return random numbers of E4M3."""
    x = np.random.default_rng([seed, *shape]).standard_normal(shape) * 8
    return round_to_format(np.abs(x) if positive else x, E4M3)


def cut(x, place, rounding):
    """Cut a fraction to a multiple of a place."""
    return place * (math.trunc(x / place) if rounding == "truncate" else round(x / place))


def place_of(x, bits):
    """Return the place of the last of so many bits of a fraction."""
    exponent = math.frexp(float(x))[1] - 1 if x else -1
    return Fraction(2) ** (exponent - bits + 1)


def slowly(a, b, how):
    """Return one sum of products by the rule, in exact fractions."""
    products = [Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)]
    total, running = np.float32(0), Fraction(0)
    for start in range(0, len(products), how.group):
        group = products[start : start + how.group]
        terms = [*group, running] if how.running_sum_aligned else group
        place = place_of(max(map(abs, terms)), how.bits)
        added = sum(cut(term, place, how.rounding) for term in terms)
        if not how.running_sum_aligned:
            added += running
        running = cut(added, place_of(added, how.bits), how.rounding) if added else added
        if how.promote_every and (start + how.group) % how.promote_every == 0:
            total, running = total + np.float32(float(running)), Fraction(0)
    return total + np.float32(float(running))


@pytest.mark.parametrize("rounding", ["truncate", "nearest"])
@pytest.mark.parametrize("promote_every", [None, 4, 8])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("bits", [4, 7, 14, 20])
def test_every_sum_is_that_of_exact_fractions(bits, aligned, promote_every, rounding):
    how = Accumulation(bits, 4, rounding, promote_every, aligned)
    a, b = grid(5, 19), grid(7, 19, seed=1)
    found = matmul_limited_accumulation(a, b, how)
    expected = [[slowly(row, column, how) for column in b] for row in a]
    assert np.array_equal(found, np.array(expected, np.float32))


def test_one_group_by_hand():
    # 100 = 1.1001 x 2^6 in binary: with 4 bits the last place kept is 2^3 = 8, so that 100 is 96, and 7 is nothing.
    a = np.array([[100.0, 7, 7, 7]], np.float32)
    b = np.ones((1, 4), np.float32)
    assert matmul_limited_accumulation(a, b, Accumulation(bits=4)) == [[96]]
    # to nearest: 96 + 3 x 8 = 120, and of 120 = 1.111 x 2^6 all four bits are kept
    assert matmul_limited_accumulation(a, b, Accumulation(bits=4, rounding="nearest")) == [[120]]


def test_a_running_sum_swallows_what_is_below_its_last_place():
    # 1,024 ones in instructions of one product: with 5 bits the sum stops growing at 2^5 = 32.
    ones = np.ones((1, 1024), np.float32)
    stuck = Accumulation(bits=5, group=1)
    assert matmul_limited_accumulation(ones, ones, stuck) == [[32]]
    assert matmul_limited_accumulation(ones, ones, Accumulation(bits=5, group=1, promote_every=16)) == [[1024]]


def test_bits_enough_are_exact():
    a, b = grid(9, 300), grid(4, 300, seed=1)
    assert np.array_equal(
        matmul_limited_accumulation(a, b, EXACT), (a.astype(np.float64) @ b.T.astype(np.float64)).astype("f4")
    )


@given(st.integers(-8, 8), st.integers(0, 100), st.sampled_from(["truncate", "nearest"]))
@settings(max_examples=30, deadline=None)
def test_powers_of_two_pass_through(exponent, seed, rounding):
    how, a, b = Accumulation(bits=9, group=8, rounding=rounding), grid(3, 40, seed=seed), grid(2, 40, seed=seed + 1)
    assert np.array_equal(
        matmul_limited_accumulation(a * 2.0**exponent, b, how), matmul_limited_accumulation(a, b, how) * 2.0**exponent
    )


@given(st.integers(0, 100), st.integers(6, 16), st.sampled_from([None, 32, 64]))
@settings(max_examples=30, deadline=None)
def test_truncating_never_adds_to_a_sum_of_one_sign(seed, bits, promote_every):
    a, b = (grid(3, 200, seed=seed + more, positive=True) for more in (0, 1))
    exact = a.astype(np.float64) @ b.T
    found = matmul_limited_accumulation(a, b, Accumulation(bits=bits, promote_every=promote_every))
    assert np.all((found <= exact * (1 + 1e-6)) & (found >= 0))


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_the_sign_of_an_operand_is_the_sign_of_the_sum(seed):
    a, b = grid(3, 70, seed=seed), grid(2, 70, seed=seed + 1)
    assert np.array_equal(
        matmul_limited_accumulation(-a, b, Accumulation()), -matmul_limited_accumulation(a, b, Accumulation())
    )


def test_outputs_know_nothing_of_each_other():
    a, b = grid(300, 64), grid(5, 64, seed=1)
    whole = matmul_limited_accumulation(a, b, Accumulation())
    assert np.array_equal(whole[131:133, 2:4], matmul_limited_accumulation(a[131:133], b[2:4], Accumulation()))


def test_promotion_takes_the_error_of_long_sums_away():
    a, b = (grid(64, 4096, seed=seed, positive=True) for seed in (0, 1))
    exact = a.astype(np.float64) @ b.T.astype(np.float64)
    long, short = (
        np.abs(matmul_limited_accumulation(a, b, Accumulation(promote_every=every)) / exact - 1).max()
        for every in (None, 128)
    )
    assert short < 0.002 < 0.02 < long


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3, 0), (2, 0, 4)])
def test_nothing_adds_up_to_nothing(shape):
    m, n, k = shape
    found = matmul_limited_accumulation(np.zeros((m, k)), np.zeros((n, k)), Accumulation())
    assert found.shape == (m, n)
    assert not found.any()


@pytest.mark.parametrize(("bits", "group"), [(18, 32), (19, 32), (24, 32), (11, 4096)])
def test_many_bits_and_long_instructions_are_exact_fractions_too(bits, group):
    how = Accumulation(bits, group, promote_every=None)
    a, b = grid(2, 70, positive=True), grid(2, 70, seed=1)
    assert np.array_equal(
        matmul_limited_accumulation(a, b, how), np.array([[slowly(r, c, how) for c in b] for r in a], "f4")
    )


def test_a_running_sum_that_is_not_aligned_is_added_exactly():
    # 65,536 - 2^-18 needs 35 bits; cut to 14 it is 2^16 - 2^2
    a, b = np.array([[256.0, -(2.0**-9)]]), np.array([[256.0, 2.0**-9]])
    assert matmul_limited_accumulation(a, b, Accumulation(14, 1, running_sum_aligned=False)) == [[65532]]


def test_promoted_sums_are_fp32():
    a, b = np.array([[2.0**12, 1.0]]), np.array([[2.0**12, 1.0]])  # 2^24 + 1 is no number of FP32
    found = matmul_limited_accumulation(a, b, Accumulation(bits=40, group=1, promote_every=1))
    assert (found.dtype, found.item()) == (np.float32, 2.0**24)
    q = quantize(np.array([[448.0, 0, 448.0 / 2**26, 0]]), tile=(1, 2)), quantize(np.full((1, 4), 448.0), tile=(2, 2))
    summed = block_scaled_matmul(*q, Accumulation(bits=40, group=1, promote_every=1))
    assert (summed.dtype, summed.item()) == (np.float32, 448.0**2)


def test_v3s_sums_are_the_default():
    assert Accumulation() == Accumulation(14, 32, "truncate", None, True)


def test_zeros_and_negative_zeros():
    assert matmul_limited_accumulation(np.zeros((2, 40)), grid(3, 40), Accumulation()).tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize("tiles", [((1, 64), (64, 64)), (WHOLE_TENSOR, WHOLE_TENSOR), ((1, 64), WHOLE_TENSOR)], ids=str)
def test_scaled_products_are_those_of_the_values(tiles):
    x, w = grid(9, 200) * 3, grid(70, 200, seed=1) / 7
    a, b = (quantize(one, E4M3, tile) for one, tile in zip((x, w), tiles, strict=True))
    found = block_scaled_matmul(a, b, Accumulation(bits=36, promote_every=64))
    assert found == pytest.approx(a.values.astype(np.float64) @ b.values.T.astype(np.float64), rel=1e-5, abs=1e-3)


def test_scaled_products_promote_at_every_tile():
    # in each tile the smaller product is below the last place; scales put the tiles' sums side by side
    x = np.array([[256.0, 1.0, 256 / 64, 1 / 64]])
    a, b = quantize(x, E4M3, (1, 2)), quantize(np.ones((1, 4)), E4M3, (2, 2))
    exact = a.values @ b.values.T
    assert exact == pytest.approx(x.sum(), rel=1e-3)
    found = block_scaled_matmul(a, b, Accumulation(bits=6, group=1, promote_every=2))
    assert found == pytest.approx(np.array([[256 + 256 / 64]]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 1}, "bits = 1: must be a whole number of at least 2"),
        ({"bits": 41}, "bits = 41: must be from 2 to 40"),
        ({"bits": 14.5}, "bits = 14.5: must be a whole number"),
        ({"group": 0}, "group = 0: must be a whole number of at least 1"),
        ({"rounding": "up"}, "rounding = 'up': must be truncate or nearest"),
        ({"promote_every": 48}, "promote_every = 48: must be a multiple of an instruction's 32"),
        ({"promote_every": 0}, "promote_every = 0"),
    ],
)
def test_accumulations_that_contradict(fields, message):
    with pytest.raises(InputError, match=message):
        Accumulation(**fields)


def test_products_that_do_not_fit():
    with pytest.raises(InputError, match=r"a of shape \(2, 3\), b of shape \(2, 4\): must be \[M, K\] and \[N, K\]"):
        matmul_limited_accumulation(np.ones((2, 3)), np.ones((2, 4)), Accumulation())
    with pytest.raises(InputError, match=r"tiles of \[64, 128\] columns: must be alike"):
        block_scaled_matmul(quantize(np.ones((2, 9))), quantize(np.ones((2, 9)), tile=(1, 64)), Accumulation())
    with pytest.raises(InputError, match="must be alike and a multiple of promote_every = None"):
        block_scaled_matmul(quantize(np.ones((2, 9))), quantize(np.ones((2, 9))), Accumulation())


# Errors


def test_five_measures_by_hand():
    found = error_measures(np.array([1.1, -4.0, 0.0]), np.array([1.0, -4.5, 0.0]))
    rms = math.sqrt((1 + 4.5**2) / 3)
    assert list(found.values()) == pytest.approx([0.5 / 4.5, 0.5 / rms, 0.5 / 4.5, 0.1, math.sqrt(0.26 / 21.25)])
    assert error_measures(np.ones(2), np.array([0.0, 1.0]))["largest of own"] == math.inf


@given(st.integers(0, 100), st.sampled_from(list(DISTRIBUTIONS)))
def test_made_up_inputs_depend_on_their_seed(seed, distribution):
    one = draw_inputs(distribution, 40, 3, seed=seed)
    assert one.shape == (40, 3)
    assert np.array_equal(one, draw_inputs(distribution, 40, 3, seed=seed))
    assert not np.array_equal(one, draw_inputs(distribution, 40, 3, seed=seed + 1))
    assert (one.min() >= 0 and one.max() < 1) if distribution == "uniform" else one.min() < 0 < one.max()


def test_distributions_are_what_their_names_say():
    normal, lognormal, uniform = (draw_inputs(name, 400, 50, seed=3) for name in ("normal", "lognormal", "uniform"))
    assert [normal.mean(), normal.std()] == pytest.approx([0, 1], abs=0.03)
    assert [uniform.mean(), uniform.std()] == pytest.approx([1 / 2, 12**-0.5], abs=0.01)
    assert np.abs(lognormal) == pytest.approx(np.exp(normal))  # the same draws, and signs after them
    assert np.sign(lognormal).mean() == pytest.approx(0, abs=0.03)


def test_outliers_and_loud_tokens_are_factors():
    x = draw_inputs("normal", 50, 8, seed=1)
    loud = with_outlier_channels(x, 4, 100)
    assert np.array_equal(loud[:, 1:4], x[:, 1:4])
    assert np.array_equal(loud[:, ::4], 100 * np.sign(x[:, ::4]))
    factors = with_loud_tokens(x, 2.0, seed=3) / x
    assert np.allclose(factors, factors[:, :1])
    assert np.log(factors[:, 0]).std() == pytest.approx(2, rel=0.3)


def test_an_unknown_distribution():
    with pytest.raises(InputError, match="distribution = 'cauchy': must be one of: normal, uniform, lognormal"):
        draw_inputs("cauchy", 2, 2, seed=1)
