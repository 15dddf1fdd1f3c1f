"""The cache of keys and values: elements and bytes by hand, and what must be so for all sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.calc import kv_cache
from repro.facts import load
from repro.models.architecture import Architecture, GatedFeedForward, GroupedQueryAttention, MultiHeadLatentAttention
from repro.models.hf_config import architecture_from_hf

MLA = MultiHeadLatentAttention(
    n_heads=6, q_lora_rank=3, kv_lora_rank=5, qk_nope_head_dim=2, qk_rope_head_dim=1, v_head_dim=4
)
TINY = Architecture(
    d_model=8,
    vocab_size=10,
    n_dense_layers=1,
    n_moe_layers=2,
    attention=MLA,
    dense=GatedFeedForward(5),
    n_mtp_modules=1,
    tied_embeddings=True,
)


def built_in(name):
    return architecture_from_hf(load().model(name).content)


def test_elements_of_a_latent_and_a_shared_key():
    # 3 layers x (5 + 1); the module for multi-token prediction is not served
    assert kv_cache.elements_per_token(TINY) == 18


@pytest.mark.parametrize(
    ("n_kv_heads", "elements"),
    [
        (6, 144),  # MHA: 3 layers x a key and a value x 6 heads x 4
        (2, 48),  # GQA: 3 x 2 x 2 x 4
        (1, 24),  # MQA: 3 x 2 x 1 x 4
    ],
)
def test_elements_with_plain_heads(n_kv_heads, elements):
    plain = kv_cache.with_kv_heads(TINY, n_kv_heads)
    assert kv_cache.elements_per_token(plain) == elements
    assert plain.attention == GroupedQueryAttention(6, n_kv_heads, 4)
    assert (plain.n_layers, plain.d_model, plain.tied_embeddings) == (3, 8, True)


@pytest.mark.parametrize(
    ("name", "printed_kb"),
    [
        # DeepSeek's hardware paper (arXiv 2505.09343), table 1, in kB of BF16
        ("deepseek_v3", "70.272"),  # 61 x (512 + 64) x 2 bytes
        ("qwen2_5_72b", "327.680"),  # 80 x 2 x 8 x 128 x 2
        ("llama_3_1_405b", "516.096"),  # 126 x 2 x 8 x 128 x 2
    ],
)
def test_bytes_as_printed(name, printed_kb):
    elements = kv_cache.elements_per_token(built_in(name))
    assert f"{kv_cache.bytes_per_token(elements, bits_per_element=16) / 1e3:.3f}" == printed_kb


def test_v2s_cache_is_93_3_per_cent_smaller():
    # 60 x 576 x 6 bits = 25,920 bytes; 95 x 2 x 8 x 128 x 16 bits = 389,120 bytes
    small = kv_cache.bytes_per_token(kv_cache.elements_per_token(built_in("deepseek_v2")), bits_per_element=6)
    large = kv_cache.bytes_per_token(kv_cache.elements_per_token(built_in("deepseek_67b")), bits_per_element=16)
    assert (small, large) == (25_920, 389_120)
    assert 1 - small / large == pytest.approx(0.93339, abs=5e-6)


def test_bytes_of_odd_formats():
    # 18 elements of 6 bits = 108 bits
    assert kv_cache.bytes_per_token(18, bits_per_element=6) == 13.5


@given(st.integers(1, 12), st.integers(1, 12))
def test_elements_are_linear_in_the_heads_kept(one, other):
    first, second, both = (
        kv_cache.elements_per_token(kv_cache.with_kv_heads(TINY, heads)) for heads in (one, other, one + other)
    )
    assert first + second == both
