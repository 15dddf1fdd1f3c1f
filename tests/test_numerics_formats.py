"""Formats of few bits: every code, every tie, what is too large, and what is no number."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.nano.numerics.formats import E4M3, E5M2, E5M6, FORMATS, decode, encode, round_to_format

EIGHT = [E4M3, E5M2]
ALL = list(FORMATS.values())
floats32 = st.floats(width=32, allow_nan=True, allow_infinity=True)


def value_by_hand(code, form):
    """Return what a code stands for: sign, exponent and mantissa taken apart."""
    sign = -1.0 if code >> (form.bits - 1) else 1.0
    exponent = code >> form.mantissa_bits & (2**form.exponent_bits - 1)
    mantissa = code & (2**form.mantissa_bits - 1)
    top = exponent == 2**form.exponent_bits - 1
    if form is E4M3 and top and mantissa == 7:
        return math.nan
    if form is not E4M3 and top:
        return math.nan if mantissa else sign * math.inf
    lead, power = (1, exponent) if exponent else (0, 1)
    return sign * (lead + mantissa / 2**form.mantissa_bits) * 2.0 ** (power - 1 + form.min_exponent)


def values(form):
    """Return all codes of a format, as they are stored one beside the other, and their values by hand."""
    codes = np.arange(2**form.bits)
    by_hand = np.array([value_by_hand(int(code), form) for code in codes], np.float32)
    if form.bits == 8:
        return codes.astype(np.uint8), by_hand
    pairs = codes.reshape(-1, 2)
    three = [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255]
    return np.stack(three, axis=1).astype(np.uint8).reshape(-1), by_hand


def same(one, other):
    """Return whether numbers are the same, zeros by sign too, and none where the other is none."""
    one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
    both = np.isnan(one) & np.isnan(other)
    return bool(np.all(both | ((one == other) & (np.signbit(one) == np.signbit(other)))))


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_every_code_by_hand(form):
    codes, by_hand = values(form)
    assert same(decode(codes, form, len(by_hand)), by_hand)


@pytest.mark.parametrize("form", EIGHT, ids=lambda one: one.name)
def test_every_code_as_ml_dtypes_has_it(form):
    codes = np.arange(256, dtype=np.uint8)
    assert same(decode(codes, form, 256), codes.view(form.dtype).astype(np.float32))
    assert float(ml_dtypes.finfo(form.dtype).max) == form.largest
    assert float(ml_dtypes.finfo(form.dtype).smallest_subnormal) == form.smallest


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_every_finite_number_of_a_format_is_itself_and_has_its_code(form):
    codes, by_hand = values(form)
    finite = np.isfinite(by_hand)
    assert same(round_to_format(by_hand[finite], form), by_hand[finite])
    if form.bits == 8:
        assert np.array_equal(encode(by_hand[finite], form), codes[finite])
    else:
        assert same(decode(encode(by_hand, form), form, len(by_hand)), round_to_format(by_hand, form))


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_neighbours_meet_in_the_middle_and_ties_go_to_the_even_code(form):
    _, by_hand = values(form)
    ordered = np.unique(by_hand[np.isfinite(by_hand)])
    low, high = ordered[:-1].astype(np.float64), ordered[1:].astype(np.float64)
    middle = ((low + high) / 2).astype(np.float32)
    assert np.array_equal(middle, (low + high) / 2)  # a float32 holds it exactly
    assert same(round_to_format(np.nextafter(middle, -np.inf, dtype=np.float32), form) + 0.0, low + 0.0)
    assert same(round_to_format(np.nextafter(middle, np.inf, dtype=np.float32), form) + 0.0, high + 0.0)
    step = high - low  # of either neighbour the one with an even mantissa
    even = np.where(np.rint(np.minimum(np.abs(low), np.abs(high)) / step) % 2 == 0, 0, 1)
    nearer_zero = np.where(np.abs(low) < np.abs(high), low, high)
    farther = np.where(np.abs(low) < np.abs(high), high, low)
    assert same(round_to_format(middle, form) + 0.0, np.where(even == 0, nearer_zero, farther) + 0.0)


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_too_large_is_the_largest_and_no_number_stays_none(form):
    x = np.array([1e30, np.inf, form.largest * 1.5, -np.inf, -1e30, np.nan, 0.0, -0.0, 1e-30, -1e-30], np.float32)
    top = form.largest
    expected = [top, top, top, -top, -top, math.nan, 0.0, -0.0, 0.0, -0.0]
    assert same(round_to_format(x, form), expected)
    assert same(decode(encode(x, form), form, len(x)), expected)


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_codes_of_fp32_that_signal_no_number_warn_of_nothing(form):
    x = np.array([0x7F800001, 0x7F810000, 0xFF810000, 0x7FC00000], np.uint32).view(np.float32)
    assert np.isnan(round_to_format(x, form)).all()
    assert np.isnan(decode(encode(x, form), form, 4)).all()
    assert round_to_format(np.array([1e300]), form) == form.largest


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
@given(st.lists(floats32, min_size=1, max_size=9))
def test_codes_hold_what_rounding_gives(form, x):
    assert same(decode(encode(np.array(x, np.float32), form), form, len(x)), round_to_format(np.array(x), form))


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
@given(floats32.filter(math.isfinite))
def test_nothing_of_the_format_is_nearer(form, x):
    found = float(round_to_format(np.array([x]), form)[0])
    if abs(x) >= form.largest:
        assert found == math.copysign(form.largest, x)
    else:
        spacing = max(2.0 ** (math.frexp(x)[1] - 1), 2.0**form.min_exponent) * 2.0**-form.mantissa_bits
        assert abs(found - x) <= spacing / 2
        assert found / form.smallest == round(found / form.smallest)
    assert math.copysign(1, found) == math.copysign(1, x)


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
@given(floats32.filter(math.isfinite), floats32.filter(math.isfinite))
def test_order_is_kept(form, one, other):
    low, high = round_to_format(np.array(sorted([one, other])), form)
    assert low <= high


@given(st.integers(0, 2**32 - 1))
def test_eight_bits_are_those_of_ml_dtypes_for_any_float32_within_range(bits):
    x = np.array([bits], np.uint32).view(np.float32)
    for form in EIGHT:
        inside = np.clip(x, -form.largest, form.largest)
        assert same(round_to_format(x, form), inside.astype(form.dtype).astype(np.float32))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6])
def test_two_numbers_of_twelve_bits_take_three_bytes(count):
    x = np.random.default_rng(count).standard_normal((3, count)).astype(np.float32)
    codes = encode(x, E5M6)
    assert codes.shape == (3, 3 * ((count + 1) // 2))
    assert codes.dtype == np.uint8
    assert same(decode(codes, E5M6, count), round_to_format(x, E5M6))


def test_twelve_bits_by_hand():
    # 1.0 is 0 01111 000000, so 0x3C0; -2.5 is 1 10000 010000, so 0xC10
    assert encode(np.array([1.0, -2.5]), E5M6).tolist() == [0x3C, 0x0C, 0x10]
    assert encode(np.array([1.0]), E5M6).tolist() == [0x3C, 0x00, 0x00]


def test_sizes_of_the_formats():
    assert [one.bits for one in ALL] == [8, 8, 12]
    assert [one.smallest for one in ALL] == [2.0**-9, 2.0**-16, 2.0**-20]
    assert E5M6.largest == (2 - 2.0**-6) * 2.0**15


@pytest.mark.parametrize("form", [E4M3, E5M2], ids=lambda form: form.name)
@pytest.mark.parametrize("lower", [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_codes_looked_up_by_half_a_number_are_those_of_a_cast(form, lower):
    # Every upper half there is, with lower halves below, at and above a half of its last bit: 393,216 numbers.
    x = ((np.arange(2**16, dtype=np.uint32) << 16) | lower).view(np.float32)
    x = x[np.abs(x) <= form.largest]  # without NaN, and without what a cast does not saturate
    assert np.array_equal(encode(x, form), x.astype(form.dtype).view(np.uint8))
