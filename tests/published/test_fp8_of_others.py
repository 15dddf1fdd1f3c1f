"""What FP8 gave others: TorchTitan on 256 B200 (pytorch.org, 26 March 2026), Ling 2.0 (arXiv 2510.22115, 5.1)."""

import pytest

from repro.facts import load

FACTS = load()
TOKENS = {way: FACTS[f"torchtitan_v3.{way}_tokens_per_s"].value for way in ("baseline", "deepep", "mxfp8")}


def test_torchtitan_as_printed():
    assert TOKENS == {"baseline": 651, "deepep": 859, "mxfp8": 918}


@pytest.mark.parametrize(
    ("way", "over", "gain"), [("deepep", "baseline", "32%"), ("mxfp8", "baseline", "41%"), ("mxfp8", "deepep", "7%")]
)
def test_torchtitan_gains_by_deepep_and_by_mxfp8(way, over, gain):
    # 859 / 651 = 1.3195, 918 / 651 = 1.4101, 918 / 859 = 1.0687
    assert f"{TOKENS[way] / TOKENS[over] - 1:.0%}" == gain


@pytest.mark.parametrize(
    ("key", "printed"), [("loss_error", 0.25e-2), ("mean_loss_error", 0.1e-2), ("tokens", 900e9), ("mfu_gain", 0.15)]
)
def test_ling_as_printed(key, printed):
    assert FACTS[f"ling_2.{key}"].value == printed


def test_ling_bounds_the_loss_as_v3s_report_does():
    assert FACTS["ling_2.loss_error"].value == FACTS["fp8.loss_error"].value
