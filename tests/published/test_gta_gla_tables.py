"""Hardware-Efficient Attention for Fast Decoding (arXiv 2505.21487), tables 2 and 5: perplexity, lower is better."""

import pytest

from repro.facts import load

FACTS = load()
TABLES = {
    "1471m": {"mha": 10.311, "mla": 10.256, "gqa_4": 10.202},
    "183m": {"mqa": 16.972, "mha": 16.715, "gqa_4": 16.578, "mla": 16.318},
}


@pytest.mark.parametrize("size", TABLES)
def test_as_printed_from_worst_to_best(size):
    stored = {
        fact.key.split(".")[1].removesuffix("_perplexity"): fact.value for fact in FACTS.under(f"attention_{size}")
    }
    assert stored == TABLES[size]
    assert list(TABLES[size].values()) == sorted(TABLES[size].values(), reverse=True)


@pytest.mark.parametrize(("size", "per_cent"), [("1471m", 0.5), ("183m", 2.4)])
def test_mla_is_better_than_multi_head_attention_by_little(size, per_cent):
    # 10.311 / 10.256 = 1.0054; 16.715 / 16.318 = 1.0243
    table = TABLES[size]
    assert 100 * (table["mha"] / table["mla"] - 1) == pytest.approx(per_cent, abs=0.05)


def test_at_1_47b_grouped_queries_are_better_than_mla():
    assert TABLES["1471m"]["gqa_4"] < TABLES["1471m"]["mla"]


@pytest.mark.parametrize(("cache_bytes", "elements"), [(8192, 2 * 16 * 128), (2048, 2 * 4 * 128), (1152, 512 + 64)])
def test_table_5_cache_of_a_layer_in_bf16(cache_bytes, elements):
    # 16 heads of 128; 4 groups; a latent of 512 and a rotary key of 64
    assert cache_bytes == 2 * elements
