"""DeepSeek-V3 report (arXiv 2412.19437), figure 5, and the picture of DualPipeV: cell by cell.

Read from the pictures in the README of deepseek-ai/DualPipe (commit 3da1bbe), which shows figure 5 again: F a forward,
BB a full backward, B and W its parts, one letter a unit of time and a dot where the rank idles. Below each row the
numbers of the micro-batches, where a task begins; figure 5 prints only those that enter at device 0. Some of the last
backwards have a border in common with a blank before them: they are drawn as pairs without a forward.
"""

import pytest

from repro.sim import BACKWARD, FORWARD, INPUT, WEIGHT, Durations, schedule, simulate

UNIT = Durations(forward=1, backward=2, weight=1, overlapped=3)
CELLS = {FORWARD: "F", BACKWARD: "BB", INPUT: "B", WEIGHT: "W"}

FIGURE_5 = """
FFFFFFFFBWFBWFBWFFBB...FBBFBBFBBFBBFBB.BBFBB.BBFBB.BBFBBBBBWBWBWBW
0123456          7      0 8   1 9   2     3     4     5   66778899
.FFFFFFFFBWFBWFFBB..FBBFBBFBBFBBFBBFBBFBB.BBFBB.BBFBB.BBBBBBWBWBWW
 01234 5       6     0 7   1 8   2 9   3     4     5    6  7 87989
..FFFFFFFFBWFFBB.FBBFBBFBBFBBFBBFBBFBBFBBFBB.BBFBB.BB.BBBBBBBWBWWW
  012 3 4    5    0 6   1 7   2 8   3 9   4     5     6   7 879 89
...FFFFFFFFFBBFBBFBBFBBFBBFBBFBBFBBFBBFBBFBBFBB.BB.BB.BBBBBBBBWWWW
   0 1 2 3 4   0 5   1 6   2 7   3 8   4 9   5     6    7  8 9 8 9
...FFFFFFFFFBBFBBFBBFBBFBBFBBFBBFBBFBBFBBFBBFBB.BB.BB.BBBBBBBBWWWW
    0 1 2 3 0 4   1 5   2 6   3 7   4 8   5 9   6     7   8 9 8 9
..FFFFFFFFBWFFBB.FBBFBBFBBFBBFBBFBBFBBFBBFBB.BBFBB.BB.BBBBBBBWBWWW
     0 1 2003 1  4   2 5   3 6   4 7   5 8   6 9   7    8  9   9
.FFFFFFFFBWFBWFFBB..FBBFBBFBBFBBFBBFBBFBB.BBFBB.BBFBB.BBBBBBWBWBWW
      0 1002113 2   4   3 5   4 6   5 7   6 8   7 9   8   9 9
FFFFFFFFBWFBWFBWFFBB...FBBFBBFBBFBBFBB.BBFBB.BBFBB.BBFBBBBBWBWBWBW
       0001112223 3    4   4 5   5 6   6 7   7 8   8 9  9
""".strip("\n").split("\n")

DUALPIPEV = """
FFFFFFFFBWFBWFBWFFBB...FBBFBBFBBFBBFBB.BBFBB.BBFBB.BBFBBBBBWBWBWBW
0123456000111222373    40 84 51 95 62  6 73  7 84  8 95 9 66778899
.FFFFFFFFBWFBWFFBB..FBBFBBFBBFBBFBBFBBFBB.BBFBB.BBFBB.BBBBBBWBWBWW
 0123405100211362   40 73 51 84 62 95 73  6 84  7 95  8 6 97987989
..FFFFFFFFBWFFBB.FBBFBBFBBFBBFBBFBBFBBFBBFBB.BBFBB.BB.BBBBBBBWBWWW
  0120314200351  40 62 51 73 62 84 73 95 84  6 95  7  6 8 79879989
...FFFFFFFFFBBFBBFBBFBBFBBFBBFBBFBBFBBFBBFBBFBB.BB.BB.BBBBBBBBWWWW
   0011223340 40 51 51 62 62 73 73 84 84 95 95  6  6  7 7 88998899
""".strip("\n").split("\n")

PICTURES = pytest.mark.parametrize(
    ("picture", "order"),
    [
        (FIGURE_5, schedule("DualPipe", ranks=8, micro_batches=20)),
        (DUALPIPEV, schedule("DualPipeV", ranks=4, micro_batches=10)),
    ],
    ids=["figure 5", "DualPipeV"],
)


def drawn(picture, order):
    """Return when each task begins in the picture, [ranks][tasks], if its cells follow in the order given."""
    starts = []
    for row, tasks in zip(picture[::2], order.orders, strict=True):
        at, begin = 0, []
        for task in tasks:
            cells = "".join(CELLS[one.kind] for one in task)
            at += len(row[at:]) - len(row[at:].lstrip("."))
            assert row[at : at + len(cells)] == cells
            begin.append(at)
            at += len(cells)
        assert at == len(row)
        starts.append(begin)
    return starts


@PICTURES
def test_the_cells_of_every_device_follow_as_printed(picture, order):
    for begin, labels, tasks in zip(drawn(picture, order), picture[1::2], order.orders, strict=True):
        printed = {}
        for at, task in zip(begin, tasks, strict=True):
            for one in task:
                if not order.direction(one.micro_batch):
                    printed[at] = str(one.micro_batch)
                at += len(CELLS[one.kind])
        assert {at: label for at, label in enumerate(labels) if label != " "} == printed


@PICTURES
def test_a_step_takes_as_long_as_printed_and_idles_as_much(picture, order):
    found = simulate(order, UNIT)
    assert [len(row) for row in picture[::2]] == [found.makespan] * order.ranks == [66] * order.ranks
    assert [row.count(".") for row in picture[::2]] == found.bubble == [6] * order.ranks


@PICTURES
def test_each_task_begins_when_printed_but_for_some_last_backwards_drawn_later_than_they_can_run(picture, order):
    found, begin = simulate(order, UNIT), drawn(picture, order)
    for rank, tasks in enumerate(order.orders):
        last_forward = max(i for i, task in enumerate(tasks) if task[-1].kind == FORWARD)  # alone
        for i, task in enumerate(tasks):
            if found.starts[rank][i] != begin[rank][i]:
                assert found.starts[rank][i] < begin[rank][i]
                assert i > last_forward
                assert [one.kind for one in task] in ([BACKWARD], [INPUT])


@PICTURES
def test_the_printed_times_are_possible(picture, order):
    ended = {}
    for begin, tasks in zip(drawn(picture, order), order.orders, strict=True):
        for at, task in zip(begin, tasks, strict=True):
            end = at + len("".join(CELLS[one.kind] for one in task))
            ended |= {(INPUT if kind == BACKWARD else kind, i, stage): end for kind, i, stage in task}
    for begin, tasks in zip(drawn(picture, order), order.orders, strict=True):
        for at, task in zip(begin, tasks, strict=True):
            for kind, i, stage in task:
                if kind == FORWARD and stage:
                    assert ended[FORWARD, i, stage - 1] <= at
                if kind in (BACKWARD, INPUT) and stage < order.stages - 1:
                    assert ended[INPUT, i, stage + 1] <= at
                if kind == WEIGHT:
                    assert ended[INPUT, i, stage] <= at
