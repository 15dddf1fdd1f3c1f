"""DeepSeek-V2 report (arXiv 2405.04434), table 1: elements cached per token, and the 93.3% of its abstract."""

import pytest

from repro.calc import kv_cache
from repro.facts import load
from repro.models.hf_config import architecture_from_hf

FACTS = load()
V2, LITE, DENSE = (
    architecture_from_hf(FACTS.model(name).content) for name in ("deepseek_v2", "deepseek_v2_lite", "deepseek_67b")
)
BITS = FACTS["deepseek_v2.cache_bits"].value
MLA = kv_cache.elements_per_token(V2)


def with_kv_heads(shape, n_kv_heads):
    return kv_cache.elements_per_token(kv_cache.with_kv_heads(shape, n_kv_heads))


def saved(bits, baseline_bits):
    own, dense = (
        kv_cache.bytes_per_token(kv_cache.elements_per_token(shape), bits_per_element=size)
        for shape, size in ((V2, bits), (DENSE, baseline_bits))
    )
    return f"{100 * (1 - own / dense):.1f}"


@pytest.mark.parametrize(
    ("n_kv_heads", "elements"),
    [
        (128, 1_966_080),  # MHA: 2 n_h d_h l = 2 x 128 x 128 x 60
        (8, 122_880),  # GQA: 2 n_g d_h l = 2 x 8 x 128 x 60
        (1, 15_360),  # MQA: 2 d_h l = 2 x 128 x 60
    ],
)
def test_plain_heads(n_kv_heads, elements):
    assert with_kv_heads(V2, n_kv_heads) == elements


def test_latent_attention():
    # (d_c + d_h^R) l = (512 + 64) x 60; 9/2 d_h l = 4.5 x 128 x 60
    assert MLA == 34_560 == 4.5 * 128 * 60


def test_the_dimensions_that_the_caption_names():
    attention = V2.attention
    assert attention.v_head_dim == attention.qk_nope_head_dim == 128  # d_h
    assert attention.kv_lora_rank == 4 * 128  # d_c = 4 d_h
    assert attention.qk_rope_head_dim == 128 / 2  # d_h^R = d_h / 2


def test_equal_to_2_25_groups():
    # 34,560 / 15,360 of one group
    assert MLA / with_kv_heads(V2, 1) == 2.25
    assert with_kv_heads(V2, 2) < MLA < with_kv_heads(V2, 4)


def test_deepseek_67b_caches_with_8_groups():
    # 2 x 8 x 128 x 95
    assert kv_cache.elements_per_token(DENSE) == 194_560


def test_93_3_per_cent_take_6_bits_against_16():
    # 34,560 x 6 / 8 = 25,920 bytes of 194,560 x 2 = 389,120: 6.66%
    assert saved(BITS, 16) == "93.3"
    assert FACTS["deepseek_v2.cache_reduction"].value == 0.933


def test_in_one_format_it_is_82_2_per_cent_and_against_8_bits_86_7():
    # 34,560 / 194,560 = 17.76%; 25,920 / 194,560 = 13.32%
    assert saved(16, 16) == "82.2"
    assert saved(BITS, 8) == "86.7"


def test_table_9_prints_v2_lite_and_its_multi_head_twin():
    # 576 x 27 = 15,552; 2 x 16 x 128 x 27 = 110,592
    assert f"{kv_cache.elements_per_token(LITE) / 1e3:.1f}K" == "15.6K"
    assert f"{with_kv_heads(LITE, LITE.attention.n_heads) / 1e3:.1f}K" == "110.6K"
    assert f"{MLA / 1e3:.1f}K" == "34.6K"  # of the larger pair
