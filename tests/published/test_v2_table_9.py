"""DeepSeek-V2 report (arXiv 2405.04434), table 9: elements cached per token by MHA and by MLA."""

import pytest

from repro.facts import load

FACTS = load()


@pytest.mark.parametrize(
    ("size", "mha", "mla", "share"), [("small", 110.6e3, 15.6e3, "14%"), ("large", 860.2e3, 34.6e3, "4%")]
)
def test_the_cache_of_mla_is_14_and_4_per_cent_of_that_of_mha(size, mha, mla, share):
    assert FACTS[f"mla.{size}_mha_cache_elements"].value == mha
    assert FACTS[f"mla.{size}_mla_cache_elements"].value == mla
    assert f"{mla / mha:.0%}" == share  # as appendix D.2 says
