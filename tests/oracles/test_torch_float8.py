"""Codes and scales of FP8 beside PyTorch's float8 types, bit by bit."""

import numpy as np
import pytest

from repro.nano.numerics.formats import E4M3, E5M2, decode, encode
from repro.nano.numerics.scaling import quantize

torch = pytest.importorskip("torch", reason="torch is not installed; its float8 types are compared with")

TYPES = {E4M3: torch.float8_e4m3fn, E5M2: torch.float8_e5m2}
FORMS = pytest.mark.parametrize("form", list(TYPES), ids=lambda one: one.name)


def codes_of(x, form):
    """Return PyTorch's codes of numbers within the format's range."""
    return torch.from_numpy(x).to(TYPES[form]).view(torch.uint8).numpy()


def inside(x, form):
    return np.clip(x, -form.largest, form.largest)


@FORMS
def test_every_code_decodes_alike(form):
    codes = np.arange(256, dtype=np.uint8)
    theirs = torch.from_numpy(codes).view(TYPES[form]).float().numpy()
    assert np.array_equal(decode(codes, form, 256), theirs, equal_nan=True)


@FORMS
def test_every_number_of_bf16_has_the_same_code(form):
    x = (np.arange(2**16, dtype=np.uint32) << 16).view(np.float32)
    number = ~np.isnan(x)
    assert np.array_equal(encode(x, form)[number], codes_of(inside(x[number], form), form))
    assert np.isnan(decode(encode(x[~number], form), form, int((~number).sum()))).all()


@FORMS
def test_a_million_numbers_of_fp32_have_the_same_codes(form):
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2**32, 10**6, dtype=np.uint32).view(np.float32)
    near = (rng.standard_normal(10**6) * np.exp(4 * rng.standard_normal(10**6))).astype(np.float32)
    for one in (inside(x[~np.isnan(x)], form), inside(near, form)):
        assert np.array_equal(encode(one, form), codes_of(one, form))


@FORMS
@pytest.mark.parametrize("rows", [1, 128])
def test_tiles_are_scaled_alike(form, rows):
    x = np.random.default_rng(2).standard_normal((256, 512)).astype(np.float32)
    tiles = torch.from_numpy(x).reshape(256 // rows, rows, 4, 128)
    scales = tiles.abs().amax(dim=(1, 3), keepdim=True) / form.largest
    codes = (tiles / scales).clamp(-form.largest, form.largest).to(TYPES[form])
    q = quantize(x, form, (rows, 128))
    assert np.array_equal(q.scales, scales[:, 0, :, 0].numpy())
    assert np.array_equal(q.codes, codes.view(torch.uint8).reshape(256, 512).numpy())
    assert np.array_equal(q.values, (codes.float() * scales).reshape(256, 512).numpy())
