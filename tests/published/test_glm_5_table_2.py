"""GLM-5 (arXiv 2602.15763), table 2: tokens kept a pass with 4 speculative steps."""

import pytest

from repro.facts import load

FACTS = load()


@pytest.mark.parametrize(("model", "printed"), [("deepseek_v3_2", 2.55), ("glm_5", 2.76)])
def test_as_printed(model, printed):
    assert FACTS[f"mtp.{model}_tokens_per_pass"].value == printed


@pytest.mark.parametrize(("kept", "chance"), [(2.55, 0.655), (2.76, 0.697)])
def test_an_equal_chance_for_each_of_4_drafts_is_65_and_70_per_cent(kept, chance):
    # 1 + p + p^2 + p^3 + p^4; V3's report has 85 to 90% for the first draft alone
    assert sum(chance**drafts for drafts in range(5)) == pytest.approx(kept, abs=5e-3)
    assert chance < FACTS["mtp.acceptance_low"].value
