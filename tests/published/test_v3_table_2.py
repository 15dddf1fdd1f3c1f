"""DeepSeek-V3 report (arXiv 2412.19437), table 2: pipeline bubbles and what each rank keeps."""

import pytest

from repro.calc.memory import ParallelLayout
from repro.calc.pipeline_bubbles import bubble_1f1b, bubble_dualpipe, bubble_zb1p
from repro.facts import load

FACTS = load()
RANKS = FACTS["deepseek_v3.pipeline_ranks"].value


@pytest.mark.parametrize(
    ("ranks", "forward", "backward", "bubble"),
    [
        (8, 1, 2, 21),  # 7 x 3
        (16, 1, 2, 45),  # 15 x 3
        (16, 1.5, 2.5, 60),  # 15 x 4
        (1, 1, 2, 0),  # no pipeline
    ],
)
def test_1f1b(ranks, forward, backward, bubble):
    assert bubble_1f1b(ranks, forward, backward) == bubble


@pytest.mark.parametrize(
    ("ranks", "forward", "backward", "weight", "bubble"),
    [
        (8, 1, 2, 1, 7),  # 7 x (1 + 2 - 2)
        (16, 1, 2, 1, 15),
        (16, 1.5, 2.5, 0.5, 45),  # 15 x (1.5 + 2.5 - 1)
        (16, 1, 2, 0, 45),  # nothing to fill gaps with: as 1F1B
    ],
)
def test_zb1p(ranks, forward, backward, weight, bubble):
    assert bubble_zb1p(ranks, forward, backward, weight) == bubble


@pytest.mark.parametrize(
    ("ranks", "backward", "weight", "overlapped", "bubble"),
    [
        (8, 2, 1, 3, 6),  # 3 x (3 + 2 - 3)
        (16, 2, 1, 3, 14),  # 7 x (3 + 2 - 3)
        (16, 2, 1, 2.5, 10.5),  # 7 x (2.5 + 2 - 3)
        (16, 2.5, 0.5, 4, 35),  # 7 x (4 + 2.5 - 1.5)
        (2, 2, 1, 3, 0),  # both ends feed each other
    ],
)
def test_dualpipe(ranks, backward, weight, overlapped, bubble):
    assert bubble_dualpipe(ranks, backward, weight, overlapped) == bubble


def test_dualpipe_idles_least_on_v3s_ranks_even_where_an_overlap_saves_no_time():
    # a forward 1, a backward 2 of which the weights 1, both together 3: 45, 15, 14
    idle = bubble_1f1b(RANKS, 1, 2), bubble_zb1p(RANKS, 1, 2, 1), bubble_dualpipe(RANKS, 2, 1, 3)
    assert idle == (45, 15, 14)


def test_dualpipe_keeps_two_copies_of_parameters_and_activations_of_one_more_micro_batch():
    # the table's 2x and PP + 1: 17 on 16 ranks, more by 1/PP
    layout = ParallelLayout(gpus=2048, pipeline_ranks=RANKS, expert_ranks=64, tokens_per_micro_batch=4096)
    for rank in range(RANKS // 2):
        assert len(layout.stages(rank)) == 2
        assert sum(layout.in_flight(stage) for stage in layout.stages(rank)) == RANKS + 1 == 17
