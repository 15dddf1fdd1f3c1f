"""Losses and loads of mixtures of experts, typed again from the papers.

DeepSeekMoE (arXiv 2401.06066), table 1 and section 4.4; DeepSeek-V3 report (arXiv 2412.19437), section 4.5.3; both read
on 27 November 2026. Auxiliary-Loss-Free Load Balancing (arXiv 2408.15664), table 2, read that day as others quote it.
"""

import pytest

from repro.facts import load

FACTS = load()


@pytest.mark.parametrize(
    ("model", "printed"),
    [
        ("dense", 2.060),
        ("hash", 1.932),
        ("switch", 1.881),
        ("gshard", 1.867),
        ("deepseekmoe", 1.808),
        ("shared_2", 1.806),
        ("shared_4", 1.811),
    ],
)
def test_deepseekmoe_loss_on_the_pile(model, printed):
    assert FACTS[f"mixture.{model}_pile_loss"].value == printed


@pytest.mark.parametrize(("way", "printed"), [("sequence_wise", 2.085), ("loss_free", 2.080), ("batch_wise", 2.080)])
def test_v3_section_4_5_3_validation_loss_at_3b(way, printed):
    assert FACTS[f"balancing.v3_3b_{way}_loss"].value == printed


@pytest.mark.parametrize(
    ("model", "perplexity", "max_violation"),
    [
        ("1b_controlled", 9.56, 0.72),
        ("1b_loss_free", 9.50, 0.04),
        ("3b_controlled", 7.97, 0.52),
        ("3b_loss_free", 7.92, 0.04),
    ],
)
def test_loss_free_table_2(model, perplexity, max_violation):
    assert FACTS[f"balancing.paper_{model}_perplexity"].value == perplexity
    assert FACTS[f"balancing.paper_{model}_maxvio"].value == max_violation
