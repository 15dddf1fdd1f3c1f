"""Scales of tiles: worked values, bounds of the error, and what zeros, infinities and edges give."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from repro.errors import InputError
from repro.nano.numerics.formats import E4M3, E5M2, E5M6, FORMATS, round_to_format
from repro.nano.numerics.scaling import LEAST_SCALE, WHOLE_TENSOR, quantize

ALL = list(FORMATS.values())
TILES = [WHOLE_TENSOR, (1, 128), (128, 128), (128, 1), (1, 3), (2, 2), (None, 1), (1, None)]
moderate = st.floats(-1e6, 1e6, width=32)
matrices = arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=moderate)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def tiles_of(x, tile):
    """Yield each tile's places of a matrix and its slices."""
    down, across = (size or length for size, length in zip(tile, x.shape, strict=True))
    for i, top in enumerate(range(0, x.shape[0], down)):
        for j, left in enumerate(range(0, x.shape[1], across)):
            yield (i, j), (slice(top, top + down), slice(left, left + across))


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_each_tile_is_scaled_so_that_its_largest_is_the_formats(form, tile):
    x = normal(9, 300) * 10
    q = quantize(x, form, tile)
    for place, part in tiles_of(x, tile):
        scale = np.float32(np.abs(x[part]).max() / np.float32(form.largest))
        assert q.scales[place] == scale
        assert np.array_equal(q.values[part], round_to_format(x[part] / scale, form) * scale)


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
@given(x=matrices, tile=st.sampled_from([WHOLE_TENSOR, (1, 3), (2, 2), (3, 1)]), power_of_two=st.booleans())
def test_errors_are_at_most_half_a_step(form, x, tile, power_of_two):
    q = quantize(x, form, tile, power_of_two=power_of_two)
    relative = 2.0 ** -(form.mantissa_bits + 1)
    for place, part in tiles_of(x, tile):
        bound = np.maximum(np.abs(x[part]) * relative, q.scales[place] * form.smallest / 2)
        assert np.all(np.abs(q.values[part] - x[part]) <= bound * (1 + 1e-5))


@given(x=matrices, exponent=st.integers(-20, 20), tile=st.sampled_from([WHOLE_TENSOR, (1, 3), (2, 2)]))
def test_powers_of_two_pass_through(x, exponent, tile):
    x = np.where(np.abs(x) < 1e-3, 0, x)  # far from the smallest numbers of float32
    factor = np.float32(2.0**exponent)
    assert np.array_equal(quantize(x * factor, tile=tile).codes, quantize(x, tile=tile).codes)


@given(x=matrices)
def test_scales_that_are_powers_of_two_are_the_next_above(x):
    exact, whole = quantize(x, tile=(1, 3)).scales, quantize(x, tile=(1, 3), power_of_two=True).scales
    assert np.all(np.frexp(whole)[0] == 0.5)
    zero = exact == 1
    assert np.all((whole >= exact) & (whole < 2 * exact) | zero)


def test_a_scale_that_is_a_power_of_two_already_stays():
    assert quantize(np.array([[448.0 * 4, 1]]), power_of_two=True).scales == [[4]]
    assert quantize(np.array([[449.0 * 4, 1]]), power_of_two=True).scales == [[8]]


def test_v3s_activation_by_hand():
    # The largest of the tile, 2, is put at 448: the scale is 1/224. 0.3 is then 67.2, between 64 and 72: 64.
    q = quantize(np.array([[2.0, 0.3, -1.0]]))
    assert q.scales == pytest.approx(np.array([[1 / 224]]))
    assert q.values == pytest.approx(np.array([[2, 64 / 224, -1]]))


def test_an_outlier_costs_its_own_tile_alone():
    x = np.full((1, 256), 0.01, np.float32)
    x[0, 0] = 1000
    fine, coarse = quantize(x).values, quantize(x, tile=WHOLE_TENSOR).values
    assert np.all(coarse[0, 1:] == 1000 / 448 * 2.0**-8)  # three steps of 2^-9: 0.0045 of them is 2.3, rounded to 2
    assert np.abs(fine[0, 128:] - 0.01).max() < 1e-8


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_zeros_have_the_scale_one(form):
    x = np.zeros((2, 4), np.float32)
    x[1, 2] = 5
    q = quantize(x, form, (1, 2))
    assert q.scales.tolist() == [[1, 1], [1, np.float32(5) / np.float32(form.largest)]]
    assert np.array_equal(q.values != 0, x != 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_what_is_no_number_takes_its_whole_tile_and_no_other(form, bad):
    x = normal(4, 6)
    x[1, 2] = bad
    values = quantize(x, form, (2, 3)).values
    assert np.isnan(values[:2, :3]).all()
    assert np.isfinite(values[2:]).all()
    assert np.isfinite(values[:, 3:]).all()


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_the_smallest_numbers_of_float32_make_no_scale_of_zero(form):
    x = np.array([[2.0**-149, 2.0**-126, 0]], np.float32)
    q = quantize(x, form)
    assert q.scales == [[LEAST_SCALE]]
    assert q.values[0].tolist() == [0, 2.0**-126, 0]


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (2, 0, 5)])
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_nothing_quantized_is_nothing(shape, tile, form):
    q = quantize(np.zeros(shape, np.float32), form, tile)
    assert q.values.shape == q.shape == shape
    assert q.codes.nbytes == 0


@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_a_stack_is_its_matrices_one_by_one(form, tile):
    x = normal(3, 4, 10)
    q = quantize(x, form, tile)
    for number in range(3):
        alone = quantize(x[number], form, tile)
        assert np.array_equal(q.values[number], alone.values)
        assert np.array_equal(q[number].values, alone.values)


@pytest.mark.parametrize("tile", [WHOLE_TENSOR, (1, 3), (1, None)], ids=str)
@pytest.mark.parametrize("form", ALL, ids=lambda one: one.name)
def test_rows_can_be_taken_where_they_share_no_scale(form, tile):
    q, rows = quantize(normal(5, 7), form, tile), np.array([4, 0, 0])
    assert np.array_equal(q[rows].values, q.values[rows])
    assert q[rows].shape == (3, 7)


def test_rows_that_share_scales_cannot_be_taken_apart():
    with pytest.raises(InputError, match=r"tile = \(2, 2\): rows share scales"):
        quantize(normal(4, 4), tile=(2, 2))[1:3]


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_a_transposed_matrix_has_its_scales_transposed(tile):
    q = quantize(normal(5, 7), E5M2, tile)
    assert np.array_equal(q.T.values, q.values.T)
    assert q.T.shape == (7, 5)


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(ALL))
def test_bytes_are_codes_and_scales(rows, columns, form):
    q = quantize(np.ones((rows, columns), np.float32), form, (1, 128))
    row = columns if form.bits == 8 else 3 * math.ceil(columns / 2)
    assert q.nbytes == rows * (row + 4 * math.ceil(columns / 128))


def test_twelve_bits_lie_along_a_row():
    with pytest.raises(InputError, match="E5M6: codes of 12 bits cannot be transposed"):
        _ = quantize(normal(2, 4), E5M6).T


def test_float64_is_taken_to_float32_first():
    # The middle between 1 and 1.125, and a hair more that float32 does not see: a tie, to the even 1.
    x = np.array([[448.0, 1.0625 + 1e-12]])
    assert quantize(x).values[0, 1] == 1


@pytest.mark.parametrize(
    ("x", "tile", "message"),
    [
        (np.ones(3), (1, 2), r"x of shape \(3,\): must be matrices"),
        (np.ones((3, 3)), (0, 2), r"tile = \(0, 2\): must be rows and columns of at least 1"),
        (np.ones((3, 3)), (1, -1), r"tile = \(1, -1\)"),
    ],
)
def test_what_cannot_be_quantized(x, tile, message):
    with pytest.raises(InputError, match=message):
        quantize(x, E4M3, tile)


def test_e5m6_keeps_eight_times_as_much_as_e4m3():
    x = normal(64, 256)
    errors = [np.abs(quantize(x, form).values - x).max() for form in (E4M3, E5M6)]
    assert errors[1] < errors[0] / 6


def test_what_is_quantized_where_nothing_else_is_asked_for():
    x = np.arange(1.0, 3 * 257 + 1).reshape(3, 257)
    q = quantize(x)
    assert (q.form, q.tile, q.scales.shape) == (E4M3, (1, 128), (3, 3))
    assert np.array_equal(q.scales, np.float32([row[[127, 255, 256]] for row in x]) / np.float32(448))


@pytest.mark.parametrize("largest", [1e-45, 1e-38, 448 * 2.0**-127])
def test_a_scale_is_at_least_the_smallest_normal_number_of_fp32(largest):
    assert quantize([[0, largest]]).scales.item() == 2.0**-126
    assert quantize([[0, largest]], power_of_two=True).scales.item() == 2.0**-126
