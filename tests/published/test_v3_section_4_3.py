"""DeepSeek-V3 report (arXiv 2412.19437), section 4.3: two phases that extend the context."""

import pytest

from repro.facts import load

FACTS = {fact.key.removeprefix("deepseek_v3."): fact.value for fact in load().under("deepseek_v3")}


@pytest.mark.parametrize(("phase", "length", "sequences"), [(1, 32 * 1024, 1920), (2, 128 * 1024, 480)])
def test_both_phases_take_1000_steps_of_62_9_million_tokens(phase, length, sequences):
    assert FACTS["extension_steps"] == 1000
    assert FACTS[f"extension_{phase}_length"] == length
    assert FACTS[f"extension_{phase}_sequences"] == sequences
    # 32,768 x 1920 = 131,072 x 480 = 4096 x 15,360, a step of pre-training too
    assert length * sequences == FACTS["sequence_length"] * FACTS["sequences_per_step"] == 62_914_560
