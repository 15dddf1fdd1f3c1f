"""Google MaxText: FLOP of a training step by calculate_tflops_training_per_device, and the rule of its own test.

The function counts matrix products with gates, and a causal matrix as half of the square, where this project counts the
diagonal whole: (length + 1) / 2 tokens against length / 2. It was run on 27 November 2026 with the sizes of
deepseek2-16b.yml and deepseek3-671b.yml. Its test holds it to 6 x active parameters and attention, within 5%.
"""

import pytest

from repro.calc.flops import attention_flop_per_token, counted_flop_per_token
from repro.facts import load
from repro.models.hf_config import architecture_from_hf

FACTS = load()
BATCH = 4
CASES = [
    # model, length, TFLOP that the function returned, parameters and layers x heads x dimensions of its test
    ("deepseek_v2_lite", 8192, 593.272422531072, 2.4e9, 27 * 16 * (128 + 64 + 128)),
    ("deepseek_v3", 4096, 4103.370952409088, 37e9, 61 * 128 * (128 + 64 + 128)),
]


def step_tflop(name, length, *, causal, diagonal_whole=True):
    model = architecture_from_hf(FACTS.model(name).content)
    flop = counted_flop_per_token(model, length, causal=causal, mtp_counted=False)
    if causal and not diagonal_whole:
        square = attention_flop_per_token(model, length, causal=False, mtp_counted=False)
        flop += square / 2 - attention_flop_per_token(model, length, causal=True, mtp_counted=False)
    return BATCH * length * flop / 1e12


@pytest.mark.parametrize(("name", "length", "returned", "_parameters", "_elements"), CASES)
def test_ours_is_theirs_to_every_digit_with_half_of_the_square(name, length, returned, _parameters, _elements):
    assert step_tflop(name, length, causal=True, diagonal_whole=False) == pytest.approx(returned, rel=1e-14)
    assert FACTS[f"maxtext.{name.removeprefix('deepseek_')}_step_flop"].value == returned * 1e12


@pytest.mark.parametrize(("name", "length", "returned", "_parameters", "elements"), CASES)
def test_the_diagonal_is_what_we_count_more(name, length, returned, _parameters, elements):
    # half a token of context for each: 6 x elements / 2; 0.0136 of 593.27 and 0.123 of 4103.37 TFLOP
    more = step_tflop(name, length, causal=True) - returned
    assert more == pytest.approx(3 * elements * BATCH * length / 1e12, rel=1e-9)
    assert more / returned < 4e-5


@pytest.mark.parametrize(("name", "length", "returned", "parameters", "elements"), CASES)
def test_the_rule_of_its_test_is_within_its_5_per_cent(name, length, returned, parameters, elements):
    # 6 x 4 x 8192 x 2.4e9 + 3 x 27 x 4 x 8192^2 x 16 x 320 = 583.2; 3637.2 + 503.0 = 4140.3
    rule = (6 * BATCH * length * parameters + 3 * BATCH * length**2 * elements) / 1e12
    assert rule == pytest.approx({"deepseek_v2_lite": 583.18, "deepseek_v3": 4140.27}[name], abs=5e-3)
    assert step_tflop(name, length, causal=True) == pytest.approx(rule, rel=0.05)


def test_the_whole_matrix_makes_704_60_of_593_29_for_v2_lite():
    assert f"{step_tflop('deepseek_v2_lite', 8192, causal=True):.2f}" == "593.29"
    assert f"{step_tflop('deepseek_v2_lite', 8192, causal=False):.2f}" == "704.60"
