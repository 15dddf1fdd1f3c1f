"""Transfers that block or hide, stages of unequal length, and a step's time: worked by hand, and what always holds."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sim_pipeline import SLOW, by_hand, durations, schedules, shown, times

from repro.errors import InputError
from repro.sim import (
    BACKWARD,
    FORWARD,
    INPUT,
    WEIGHT,
    Durations,
    StepTotals,
    compare_schedules,
    count_tasks,
    durations_from_totals,
    scale_stages,
    schedule,
    simulate,
    without_saving,
)

UNIT = Durations(forward=1, backward=2, weight=1, overlapped=3)
SENT = replace(UNIT, transfer=1)
# Two micro-batches down three ranks; the middle one pairs the second's forward with the first's backward.
PAIRED = by_hand("F0.0 F1.0 B0.0 B1.0", "F0.1 F1.1&B0.1 B1.1", "F0.2 B0.2 F1.2 B1.2", micro_batches=2, stages=3)


# Transfers


def test_a_rank_that_waits_for_its_sends_starts_later():
    order = schedule("GPipe", ranks=2, micro_batches=2)
    assert simulate(order, SENT).makespan == 11
    found = simulate(order, SENT, overlap_transfers=False)
    assert shown(found, 0) == "F0.0@0 F1.0@2 B1.0@8 B0.0@11"  # the second forward after the first is sent
    assert shown(found, 1) == "F0.1@2 F1.1@4 B1.1@5 B0.1@8"  # the second backward after the first is sent
    assert (found.makespan, found.busy, found.bubble) == (13, [6, 6], [7, 7])


def test_what_goes_nowhere_holds_nobody_up():
    order = by_hand("F0.0 I0.0 W0.0", "F0.1 I0.1 W0.1")
    assert shown(simulate(order, SENT), 1) == "F0.1@2 I0.1@3 W0.1@4"
    blocking = simulate(order, SENT, overlap_transfers=False)
    assert shown(blocking, 0) == "F0.0@0 I0.0@5 W0.0@6"  # the first stage sends no gradient on
    assert shown(blocking, 1) == "F0.1@2 I0.1@3 W0.1@5"  # the last sends no activation, and a gradient until 5
    late = by_hand("F0.0 I0.0 W0.0 F1.0 B1.0", "F0.1 I0.1 W0.1 F1.1 B1.1", micro_batches=2)
    assert " W0.1@5 F1.1@9 " in shown(simulate(late, SENT, overlap_transfers=False), 1)  # F1.0 ends at 8
    ready = by_hand("F0.0 F1.0 I0.0 W0.0 B1.0", "F0.1 I0.1 W0.1 F1.1 B1.1", micro_batches=2)
    assert " W0.1@5 F1.1@6 " in shown(simulate(ready, SENT, overlap_transfers=False), 1)  # at once
    alone = schedule("DualPipeV", ranks=1, micro_batches=2)
    assert simulate(alone, replace(UNIT, transfer=5), overlap_transfers=False).makespan == 12  # it hands to itself


@pytest.mark.parametrize(
    ("transfer", "hidden", "makespan", "after"),
    [
        (1, False, 21, "F0.2@4 B0.2@5 F1.2@12 B1.2@13"),  # the pair runs from 8 to 11
        (1, True, 20, "F0.2@4 B0.2@5 F1.2@11 B1.2@12"),
        (4, True, 36, "F0.2@10 B0.2@11 F1.2@21 B1.2@22"),  # from 17 to 20: a transfer after its start is 21
    ],
)
def test_a_pair_that_hides_its_transfers(transfer, hidden, makespan, after):
    found = simulate(PAIRED, replace(UNIT, transfer=transfer), pairs_hide_transfers=hidden)
    assert (found.makespan, shown(found, 2)) == (makespan, after)


def test_a_pair_holds_its_rank_up_unless_it_hides_its_transfers():
    order = by_hand(  # as before, with a third micro-batch whose forward follows the pair
        "F0.0 F1.0 F2.0 B0.0 B1.0 B2.0", "F0.1 F1.1&B0.1 F2.1 B1.1 B2.1", "F0.2 B0.2 F1.2 B1.2 F2.2 B2.2",
        micro_batches=3, stages=3,
    )  # fmt: skip
    for overlap, hidden, start in ((True, False, 11), (False, False, 12), (False, True, 11)):
        found = simulate(order, SENT, overlap_transfers=overlap, pairs_hide_transfers=hidden)
        assert f" F2.1@{start} " in shown(found, 1)


@given(schedules(), times(transfer=SLOW))
@settings(deadline=None)
def test_overlapping_is_never_slower_than_blocking_nor_hiding_than_not(order, lasting):
    made = {
        (overlap, hide): simulate(order, lasting, overlap_transfers=overlap, pairs_hide_transfers=hide)
        for overlap in (True, False)
        for hide in (True, False)
    }
    for choice in (True, False):
        assert made[True, choice].makespan <= made[False, choice].makespan
        assert made[choice, True].makespan <= made[choice, False].makespan
    at_once = simulate(order, replace(lasting, transfer=0))
    assert all(at_once.makespan <= found.makespan for found in made.values())
    if not lasting.transfer:
        assert all(found.starts == at_once.starts for found in made.values())


# Stages


def test_a_long_last_stage_by_hand():
    # Stage 0 takes 1 and 2, stage 1 twice as long: rank 1 works from 1 to 13 without a gap.
    lasting = scale_stages(UNIT, (1, 2))
    found = simulate(schedule("1F1B", ranks=2, micro_batches=2), lasting)
    assert shown(found, 0) == "F0.0@0 F1.0@1 B0.0@7 B1.0@13"
    assert shown(found, 1) == "F0.1@1 B0.1@3 F1.1@7 B1.1@9"
    assert (found.makespan, found.busy, found.bubble) == (15, [6, 12], [9, 3])


def test_dualpipe_puts_a_long_last_stage_on_both_end_ranks_and_pairs_save_the_lesser():
    # Rank 0 holds stage 0 of micro-batches 0 and 1, stage 1 of 2 and 3; rank 1 the other way round.
    # A pair on stage 0 saves 1 + 2 - 2.5 = 0.5, on stage 1 twice that: F on 1 beside B on 0 takes 2 + 2 - 0.5.
    lasting = scale_stages(replace(UNIT, overlapped=2.5), (1, 2))
    found = simulate(schedule("DualPipe", ranks=2, micro_batches=4), lasting)
    assert shown(found, 0) == "F0.0@0 F2.1@1 F1.0@3 B2.1@4 F3.1&B0.0@8 B3.1@11.5 I1.0@15.5 W1.0@16.5"
    assert found.busy == [17.5, 17.5]  # 2 x (3 + 6) less the pair's saving
    assert found.bubble == [0, 0]


def test_stages_may_differ_in_what_they_send():
    # The first stage's activations take 3, the second's gradients 1.
    lasting = (replace(UNIT, transfer=3), SENT)
    found = simulate(schedule("GPipe", ranks=2, micro_batches=1), lasting)
    assert shown(found, 1) == "F0.1@4 B0.1@5"
    assert shown(found, 0) == "F0.0@0 B0.0@8"


@given(schedules(), times(transfer=SLOW), st.booleans(), st.booleans())
@settings(deadline=None)
def test_equal_stages_are_the_case_of_one_duration(order, lasting, overlap, hide):
    how = {"overlap_transfers": overlap, "pairs_hide_transfers": hide}
    once = simulate(order, lasting, **how)
    for same in ([lasting] * order.stages, lambda stage: lasting, scale_stages(lasting, [1] * order.stages)):
        again = simulate(order, same, **how)
        assert (again.starts, again.ends, again.busy) == (once.starts, once.ends, once.busy)


@given(schedules(), times(transfer=SLOW), st.data())
@settings(deadline=None)
def test_uneven_stages(order, lasting, data):
    stage_times = data.draw(st.lists(st.integers(1, 5), min_size=order.stages, max_size=order.stages))
    by_stage = scale_stages(lasting, stage_times)
    found = simulate(order, by_stage)
    assert found.makespan >= max(found.busy)
    for rank, tasks in enumerate(order.orders):
        apart = sum(by_stage[one.stage].by_kinds[one.kind,] for task in tasks for one in task)
        pairs = [task for task in tasks if len(task) == 2]
        saved = [
            min(f.forward + f.backward - f.overlapped for f in (by_stage[one.stage] for one in task)) for task in pairs
        ]
        assert found.busy[rank] == apart - sum(saved)
    longest = data.draw(st.integers(0, order.stages - 1))
    more = simulate(order, scale_stages(lasting, [t + (stage == longest) for stage, t in enumerate(stage_times)]))
    assert more.makespan >= found.makespan


@pytest.mark.parametrize(
    ("lasting", "message"),
    [
        ([UNIT] * 3, "durations of 3 stages: must be of the schedule's 2"),
        ([UNIT, 1], "durations of stage 1 = 1: must be Durations"),
        (lambda stage: stage, "durations of stage 0 = 0: must be Durations"),
    ],
)
def test_durations_of_stages_that_are_none(lasting, message):
    with pytest.raises(InputError) as refused:
        simulate(schedule("1F1B", ranks=2, micro_batches=2), lasting)
    assert str(refused.value) == message


def test_stages_that_are_not_there():
    for stage in (2, -1):
        order = by_hand("F0.0 B0.0", f"F0.{stage} B0.{stage}") if stage > 0 else by_hand("F0.0 B0.0", "F0.1 B0.1")
        if stage < 0:
            minus = tuple((one[0]._replace(stage=-1),) for one in order.orders[1])
            order = replace(order, orders=(order.orders[0], minus))
        with pytest.raises(InputError, match=f"on stage {stage}: must be on one of its 2 stages, counted from 0"):
            simulate(order, [UNIT, UNIT])
    assert [one.transfer for one in scale_stages(SENT, (2, 3))] == [1, 1]  # as much is sent as ever
    with pytest.raises(InputError, match=r"stage_times\[1\] = 0: must be a number above 0"):
        scale_stages(UNIT, (1, 0))


# A step


def test_a_step_by_hand():
    # 8 micro-batches of 3 and a bubble of 3 x 3, 3 x (1 + 2 - 2) or 1 x (3 + 2 - 3), and 1 for the optimizer
    found = compare_schedules(["1F1B", "ZB1P", "DualPipe"], UNIT, ranks=4, micro_batches=8, outside=1)
    assert {name: (one.step, one.bubble) for name, one in found.items()} == {
        "1F1B": (34, 9), "ZB1P": (28, 3), "DualPipe": (27, 2),
    }  # fmt: skip
    assert found["ZB1P"].idle_share == 3 / 28
    assert found["DualPipe"].speedup_over(found["1F1B"]) == 34 / 27


def test_pairs_make_dualpipe_alone_faster():
    # Middle ranks run 5 pairs of 2.5 in place of 3, the others 4 or less of them, and idle less for it.
    fast = replace(UNIT, overlapped=2.5)
    sizes = {"ranks": 4, "micro_batches": 8}
    found = compare_schedules(["1F1B", "ZB1P", "DualPipe"], fast, **sizes)
    plain = compare_schedules(["1F1B", "ZB1P", "DualPipe"], without_saving(fast), **sizes)
    assert [found[name].step for name in ("1F1B", "ZB1P")] == [plain[name].step for name in ("1F1B", "ZB1P")]
    pairs = count_tasks(schedule("DualPipe", **sizes), ranks=[1])[FORWARD, BACKWARD]
    assert plain["DualPipe"].step - found["DualPipe"].step == pairs * 0.5 + (2 - 1.5)  # and 1 x (F&B + B - 3 W)


def test_tasks_are_counted_over_ranks():
    order = schedule("DualPipe", ranks=2, micro_batches=4)  # F F F B F&B B I W on either rank
    assert count_tasks(order) == {(FORWARD,): 3, (BACKWARD,): 2, (FORWARD, BACKWARD): 1, (INPUT,): 1, (WEIGHT,): 1}
    wide = schedule("DualPipe", ranks=16, micro_batches=120)
    assert count_tasks(wide, ranks=[0])[FORWARD, BACKWARD] == 97
    assert count_tasks(wide)[FORWARD, BACKWARD] == Fraction(97 + 98 + 99 + 100 + 101 + 102 + 103 + 103, 8)


def totals_of(order, lasting, booked_by, ranks=None):
    """Return what a step spends on each kind of task if each takes its duration."""
    count = count_tasks(order, ranks=ranks)
    whole, apart = count[BACKWARD,], count[WEIGHT,]
    split = lasting.input * (whole + apart), lasting.weight * (whole + apart)
    backward, weight = (
        split if booked_by == "parts" else (lasting.backward * whole + lasting.input * apart, lasting.weight * apart)
    )
    pairs = lasting.overlapped * count[FORWARD, BACKWARD]
    forward = lasting.forward * count[FORWARD,]
    return StepTotals(
        forward=forward, backward=backward, weight=weight, overlapped=pairs, bubble=5, optimizer=1,
        step=forward + backward + weight + pairs + 6,
    )  # fmt: skip


@given(schedules(["DualPipe", "DualPipeV"], least=2), times(), st.sampled_from(["parts", "tasks"]), st.booleans())
@settings(deadline=None)
def test_durations_come_back_from_their_totals(order, lasting, booked_by, end):
    ranks = [0] if end else None
    totals = totals_of(order, lasting, booked_by, ranks)
    assert durations_from_totals(order, totals, booked_by=booked_by, ranks=ranks) == replace(lasting, transfer=0)
    assert totals.unlisted == 0


def test_totals_by_hand():
    # Either rank runs 3 forwards, 2 whole backwards, a split one and a pair.
    order = schedule("DualPipe", ranks=2, micro_batches=4)
    totals = StepTotals(forward=3, backward=6, weight=3, overlapped=4, bubble=2, optimizer=1, step=20)
    assert (totals.busy, totals.unlisted) == (16, 1)
    parts = durations_from_totals(order, totals, booked_by="parts")  # three input parts, three of weights
    assert (parts.forward, parts.input, parts.weight, parts.overlapped) == (1, 2, 1, 4)
    tasks = replace(totals, backward=9, weight=2, overlapped=5)  # 2 x (I + W) + I = 9, W = 2
    found = durations_from_totals(order, tasks, booked_by="tasks", transfer=3)
    assert (found.input, found.weight, found.transfer) == (pytest.approx(5 / 3), 2, 3)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("DualPipe", {"booked_by": "rows"}, "booked_by = 'rows': must be 'parts' or 'tasks'"),
        ("DualPipe", {"ranks": [4]}, "rank = 4: must be below 4, the schedule's ranks"),
        ("DualPipe", {"ranks": []}, "ranks = []: must be at least one"),
        ("ZB1P", {}, "schedule 'ZB1P': no task is backward: must have all kinds"),
        ("1F1B", {}, "schedule '1F1B': no task is backward_for_input: must have all kinds"),
    ],
)
def test_totals_that_say_nothing(name, changed, message):
    order = schedule(name, ranks=4, micro_batches=8)
    totals = StepTotals(forward=1, backward=1, weight=1, overlapped=1, bubble=1, optimizer=1, step=6)
    with pytest.raises(InputError) as refused:
        durations_from_totals(order, totals, **{"booked_by": "parts"} | changed)
    assert str(refused.value) == message


def test_times_below_0_are_refused():
    with pytest.raises(InputError, match="outside = -1: must be a number of at least 0"):
        compare_schedules(["1F1B"], UNIT, ranks=2, micro_batches=2, outside=-1)
    with pytest.raises(InputError, match="bubble = -1: must be a number of at least 0"):
        StepTotals(forward=1, backward=1, weight=1, overlapped=1, bubble=-1, optimizer=1, step=6)
    with pytest.raises(InputError, match="weight = 1: must be below backward = 1"):
        durations(1, 0, 1)
