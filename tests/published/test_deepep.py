"""DeepEP: bandwidths of dispatch and combine, docs/legacy.md for V1 and README of July 2026 for V2, and issue 285.

V2's README says that its figures are logical and contain the traffic of local ranks. A card has 50 GB/s to the network.
"""

import pytest

from repro.facts import load

FACTS = load()
LINE = FACTS["h800_sxm.infiniband_bytes_per_s"].value


@pytest.mark.parametrize(("gpus", "dispatch", "combine"), [(16, 43, 43), (32, 58, 57), (64, 51, 50)])
def test_v1_as_printed(gpus, dispatch, combine):
    assert FACTS[f"deepep_v1.dispatch_{gpus}_bytes_per_s"].value == dispatch * 1e9
    assert FACTS[f"deepep_v1.combine_{gpus}_bytes_per_s"].value == combine * 1e9


def test_v1_as_first_published():
    # README of 25 February 2025, 64 GPUs
    assert FACTS["h800_sxm.dispatch_bytes_per_s"].value == 46e9
    assert FACTS["h800_sxm.combine_bytes_per_s"].value == 45e9


@pytest.mark.parametrize(("ranks", "dispatch", "combine"), [("8x4", 61, 61), ("8x2", 90, 81)])
def test_v2_as_printed(ranks, dispatch, combine):
    assert FACTS[f"deepep_v2.dispatch_{ranks}_bytes_per_s"].value == dispatch * 1e9
    assert FACTS[f"deepep_v2.combine_{ranks}_bytes_per_s"].value == combine * 1e9


@pytest.mark.parametrize(
    ("key", "nodes", "over_the_network"),
    [
        # (nodes - 1) / nodes of the copies go to other nodes: 90 / 2, 81 / 2, 61 x 3 / 4; 58 x 3 / 4, 51 x 7 / 8
        ("deepep_v2.dispatch_8x2", 2, 45.0),
        ("deepep_v2.combine_8x2", 2, 40.5),
        ("deepep_v2.dispatch_8x4", 4, 45.75),
        ("deepep_v1.dispatch_16", 2, 21.5),
        ("deepep_v1.dispatch_32", 4, 43.5),
        ("deepep_v1.dispatch_64", 8, 44.625),
    ],
)
def test_without_a_tokens_own_node_every_figure_is_below_the_line(key, nodes, over_the_network):
    logical = FACTS[f"{key}_bytes_per_s"].value
    assert logical * (nodes - 1) / nodes == over_the_network * 1e9 < LINE


def test_v1_on_32_and_64_gpus_is_above_the_line_as_printed():
    above = [gpus for gpus in (16, 32, 64) if FACTS[f"deepep_v1.dispatch_{gpus}_bytes_per_s"].value > LINE]
    assert above == [32, 64]


def test_on_16_gpus_the_nvlink_binds():
    # issue 285: at 43 GB/s the NVLink moves over 140 GB/s of the 160 that it can
    nvlink, usable = FACTS["deepep_v1.nvlink_16_bytes_per_s"].value, FACTS["h800_sxm.nvlink_usable_bytes_per_s"].value
    assert nvlink == 140e9
    assert nvlink / usable > FACTS["deepep_v1.dispatch_16_bytes_per_s"].value / LINE
