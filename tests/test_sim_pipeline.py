"""Pipeline schedules, task by task: tiny ones worked by hand, what every one keeps to, and where formulas are exact."""

import subprocess
import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from repro.calc.memory import ParallelLayout
from repro.errors import InputError
from repro.sim import (
    BACKWARD,
    FORWARD,
    INPUT,
    SCHEDULES,
    WEIGHT,
    Durations,
    Pass,
    Schedule,
    exact_bubble,
    published_formula,
    schedule,
    simulate,
)

NAMES = list(SCHEDULES)
DUAL = ["DualPipe", "DualPipeV"]
UNIT = Durations(forward=1, backward=2, weight=1, overlapped=3)
NONE, WHOLE, SLOW = st.just(0), st.integers(1, 30), st.integers(0, 9)
INFINITY, NAN = float("inf"), float("nan")


@st.composite
def schedules(draw, names=NAMES, least=1):
    """Return any published schedule of up to 7 ranks."""
    name, ranks = draw(st.sampled_from(names)), draw(st.integers(least, 7))
    if name == "DualPipe":
        half = draw(st.integers(1, 4))
        return schedule(name, ranks=2 * half, micro_batches=4 * half + 2 * draw(st.integers(0, 5)))
    if name == "DualPipeV":
        return schedule(name, ranks=ranks, micro_batches=2 * ranks + draw(st.integers(0, 5)))
    if name == "interleaved":
        chunks = draw(st.integers(2, 4))
        return schedule(name, ranks=ranks, micro_batches=ranks * draw(st.integers(1, 4)), chunks=chunks)
    return schedule(name, ranks=ranks, micro_batches=draw(st.integers(1, 16)))


@st.composite
def times(draw, transfer=NONE, number=WHOLE):
    """Return any durations, where not said otherwise exact ones without transfers."""
    forward, for_input, weight = draw(number), draw(number), draw(number)
    backward = for_input + weight
    overlapped = max(forward, backward) + draw(st.integers(0, 40))
    return Durations(forward=forward, backward=backward, weight=weight, overlapped=overlapped, transfer=draw(transfer))


def durations(forward, for_input, weight, overlapped=None, transfer=0):
    """Return durations by the parts of the backward; overlapping saves nothing unless it is said."""
    return Durations(
        forward=forward,
        backward=for_input + weight,
        weight=weight,
        overlapped=forward + for_input + weight if overlapped is None else overlapped,
        transfer=transfer,
    )


def run(name, ranks, micro_batches, lasting=UNIT, **chunks):
    return simulate(schedule(name, ranks=ranks, micro_batches=micro_batches, **chunks), lasting)


def shown(result, rank):
    """Return a rank's tasks as one string: what, micro-batch.stage, start."""
    letter = {FORWARD: "F", BACKWARD: "B", INPUT: "I", WEIGHT: "W"}
    return " ".join(
        "&".join(f"{letter[kind]}{micro_batch}.{stage}" for kind, micro_batch, stage in bar.task) + f"@{bar.start}"
        for bar in result.bars()
        if bar.rank == rank
    )


def by_hand(*orders, micro_batches=1, stages=None):
    """Return a schedule of one's own, of orders written as F0.0, micro-batch and stage."""
    kinds = {"F": FORWARD, "B": BACKWARD, "I": INPUT, "W": WEIGHT}

    def task(text):
        return tuple(Pass(kinds[one[0]], *map(int, one[1:].split("."))) for one in text.split("&"))

    return Schedule(
        "by hand", micro_batches, stages or len(orders), tuple(tuple(map(task, order.split())) for order in orders)
    )


# Worked by hand: a forward 1, a backward 2, of it 1 for the weights, a forward and a backward together 3


def test_two_ranks_gpipe():
    found = run("GPipe", 2, 2)
    assert shown(found, 0) == "F0.0@0 F1.0@1 B1.0@5 B0.0@7"
    assert shown(found, 1) == "F0.1@1 F1.1@2 B1.1@3 B0.1@5"
    assert (found.makespan, found.bubble, found.activations) == (9, [3, 3], [2, 2])


def test_two_ranks_1f1b():
    found = run("1F1B", 2, 2)
    assert shown(found, 0) == "F0.0@0 F1.0@1 B0.0@4 B1.0@7"
    assert shown(found, 1) == "F0.1@1 B0.1@2 F1.1@4 B1.1@5"
    assert (found.makespan, found.bubble, found.activations) == (9, [3, 3], [2, 1])


def test_two_ranks_zb1p():
    found = run("ZB1P", 2, 2)
    assert shown(found, 0) == "F0.0@0 F1.0@1 I0.0@3 W0.0@4 I1.0@5 W1.0@6"
    assert shown(found, 1) == "F0.1@1 I0.1@2 F1.1@3 I1.1@4 W0.1@5 W1.1@6"  # the weights one micro-batch later
    assert (found.makespan, found.bubble, found.activations) == (7, [1, 1], [2, 2])


def test_two_ranks_interleaved():
    # Twice as many stages of the same length: rank 0 has stages 0 and 2, rank 1 stages 1 and 3.
    found = run("interleaved", 2, 2)
    assert shown(found, 0) == "F0.0@0 F1.0@1 F0.2@2 F1.2@3 B0.2@6 B1.2@9 B0.0@11 B1.0@13"
    assert shown(found, 1) == "F0.1@1 F1.1@2 F0.3@3 B0.3@4 F1.3@6 B1.3@7 B0.1@9 B1.1@11"
    assert (found.makespan, found.bubble, found.activations) == (15, [3, 3], [4, 3])


def test_two_ranks_dualpipe():
    # Micro-batches 0 and 1 enter at rank 0, 2 and 3 at rank 1; each rank has both stages.
    found = run("DualPipe", 2, 4)
    assert shown(found, 0) == "F0.0@0 F2.1@1 F1.0@2 B2.1@3 F3.1&B0.0@5 B3.1@8 I1.0@10 W1.0@11"
    assert shown(found, 1) == "F2.0@0 F0.1@1 F3.0@2 B0.1@3 F1.1&B2.0@5 B1.1@8 I3.0@10 W3.0@11"
    assert (found.makespan, found.bubble, found.activations) == (12, [0, 0], [3, 3])
    assert [found.schedule.direction(i) for i in range(4)] == [0, 0, 1, 1]


def test_one_rank_dualpipev():
    # The one rank has both stages, and hands to itself.
    found = run("DualPipeV", 1, 2)
    assert shown(found, 0) == "F0.0@0 F0.1@1 F1.0@2 B0.1@3 F1.1&B0.0@5 B1.1@8 I1.0@10 W1.0@11"
    assert (found.makespan, found.bubble) == (12, [0])


def test_what_is_sent_arrives_later():
    found = simulate(schedule("GPipe", ranks=2, micro_batches=2), durations(1, 1, 1, transfer=1))
    assert shown(found, 0) == "F0.0@0 F1.0@1 B1.0@7 B0.0@9"
    assert shown(found, 1) == "F0.1@2 F1.1@3 B1.1@4 B0.1@6"


def test_what_a_rank_hands_to_itself_arrives_at_once():
    lasting = durations(1, 1, 1, transfer=5)
    assert run("DualPipeV", 1, 2, lasting).makespan == 12
    # Three stages on one rank, then the middle one on another.
    assert simulate(by_hand("F0.0 F0.1 F0.2 B0.2 B0.1 B0.0", stages=3), lasting).makespan == 9
    assert simulate(by_hand("F0.0 F0.2 B0.2 B0.0", "F0.1 B0.1", stages=3), lasting).makespan == 9 + 4 * 5


# What every schedule keeps to


@given(schedules(), times(transfer=SLOW))
@settings(deadline=None)
def test_every_pass_once_and_none_before_what_it_needs(order, lasting):
    result, ended, seen = simulate(order, lasting), {}, Counter()
    for bar in result.bars():
        for kind, micro_batch, stage in bar.task:
            for part in (INPUT, WEIGHT) if kind == BACKWARD else (kind,):
                ended[part, micro_batch, stage] = bar.end, bar.rank
                seen[part, micro_batch, stage] += 1
    sizes = range(order.micro_batches), range(order.stages)
    assert seen == {(kind, i, stage): 1 for kind in (FORWARD, INPUT, WEIGHT) for i in sizes[0] for stage in sizes[1]}

    def arrives(rank, needed):
        end, source = ended[needed]
        return end + (lasting.transfer if source != rank else 0)

    lasts = {(FORWARD,): lasting.forward, (BACKWARD,): lasting.backward, (FORWARD, BACKWARD): lasting.overlapped}
    lasts |= {(INPUT,): lasting.backward - lasting.weight, (WEIGHT,): lasting.weight}
    earliest = {}  # that a rank is free, whose tasks come in their order
    for bar in result.bars():
        needed = []
        for kind, i, stage in bar.task:
            if kind == FORWARD and stage:
                needed.append((FORWARD, i, stage - 1))
            if kind in (BACKWARD, INPUT):
                needed += [(FORWARD, i, stage)] + [(INPUT, i, stage + 1)] * (stage < order.stages - 1)
            if kind == WEIGHT:
                needed.append((INPUT, i, stage))
        after = [arrives(bar.rank, one) for one in needed] + [earliest.get(bar.rank, 0)]
        assert bar.start == max(after)  # no sooner, and no later
        assert bar.end - bar.start == lasts[tuple(one.kind for one in bar.task)]
        earliest[bar.rank] = bar.end


@given(schedules(), times())
@settings(deadline=None)
def test_backwards_are_as_many_as_forwards_and_ranks_hold_the_stages_that_are_published(order, lasting):
    counts = Counter(one.kind for tasks in order.orders for task in tasks for one in task)
    assert counts[FORWARD] == counts[BACKWARD] + counts[WEIGHT] == order.micro_batches * order.stages
    assert counts[INPUT] == counts[WEIGHT]
    assert order.stages_held == [published_formula(order, lasting).parameters] * order.ranks
    assert order.model_copies == (2 if order.name == "DualPipe" else 1)


@given(schedules(), times(transfer=SLOW))
@settings(deadline=None)
def test_busy_time_is_that_of_the_tasks_and_no_makespan_is_below_what_must_be_done(order, lasting):
    result = simulate(order, lasting)
    f, b, w, both = lasting.forward, lasting.backward, lasting.weight, lasting.overlapped
    for rank, tasks in enumerate(order.orders):
        pairs = sum(len(task) == 2 for task in tasks)
        share = order.micro_batches * order.stages // order.ranks  # passes of a rank, forward or backward
        assert result.busy[rank] == share * (f + b) - pairs * (f + b - both)
        assert result.busy[rank] + result.bubble[rank] == result.makespan
    moves = 2 * (order.ranks - 1) * lasting.transfer
    assert result.makespan >= order.stages * (f + lasting.input) + w + moves  # one micro-batch there and back


@given(schedules(), times(transfer=SLOW), st.fractions(Fraction(1, 9), 9))
@settings(deadline=None)
def test_the_unit_of_time_changes_nothing(order, lasting, times):
    names = ("forward", "backward", "weight", "overlapped", "transfer")
    scaled = Durations(**{name: times * getattr(lasting, name) for name in names})
    once, again = simulate(order, lasting), simulate(order, scaled)
    assert again.makespan == times * once.makespan
    assert again.bubble == [times * one for one in once.bubble]
    assert again.activations == once.activations


@given(schedules(), times(number=st.floats(0.01, 100)))
@settings(deadline=None)
def test_floats_lead_to_the_same_as_the_fractions_they_are(order, lasting):
    names = ("forward", "backward", "weight", "overlapped")
    exact = Durations(**{name: Fraction(getattr(lasting, name)) for name in names})
    assert simulate(order, lasting).makespan == pytest.approx(float(simulate(order, exact).makespan), rel=1e-12)


@given(schedules(), times(transfer=SLOW), st.sampled_from(["forward", "backward", "overlapped"]))
@settings(deadline=None)
def test_no_longer_task_makes_a_step_shorter(order, lasting, which):
    names = ("forward", "backward", "weight", "overlapped", "transfer")
    longer = {name: getattr(lasting, name) for name in names}
    longer[which] += 3
    longer["overlapped"] = max(longer[which], longer["overlapped"])
    assert simulate(order, Durations(**longer)).makespan >= simulate(order, lasting).makespan


@pytest.mark.parametrize("name", NAMES)
def test_sixteen_ranks_and_a_thousand_micro_batches(name):
    micro_batches = 1008 if name == "interleaved" else 1000  # 1008 is a multiple of 16
    found = run(name, 16, micro_batches)
    assert found.bubble == [published_formula(found.schedule, UNIT).bubble] * 16


# Where the published formulas are exact


@given(schedules(["GPipe", "1F1B", "interleaved"]), times())
@settings(deadline=None)
def test_with_whole_backwards_the_formula_is_exact_for_all_durations(order, lasting):
    assert simulate(order, lasting).bubble == [published_formula(order, lasting).bubble] * order.ranks


@given(schedules(["ZB1P"], least=2), times())
@settings(deadline=None)
def test_zb1p_is_exact_where_the_weights_fit_into_gaps_and_micro_batches_are_as_many_as_ranks(order, lasting):
    fits = lasting.weight <= min(lasting.forward, lasting.input) and order.micro_batches >= order.ranks
    bubble, published = simulate(order, lasting).bubble, published_formula(order, lasting).bubble
    assert len(set(bubble)) == 1
    assert (bubble[0] == published) if fits else (bubble[0] > published)


@pytest.mark.parametrize(
    ("parts", "bubble", "published"),
    [
        ((1, 1, 1), 3, 3),  # 3 x (1 + 1 - 1)
        ((2, 3, 1), 12, 12),
        ((1, 1, 2), 3, 0),  # the last rank cannot begin before three forwards: never below 3 x 1
        ((1, 3, 2), 9, 6),  # the first rank has four forwards, and waits for three input parts: 3 x 3
        ((3, 1, 2), 9, 6),
    ],
)
def test_zb1p_on_four_ranks(parts, bubble, published):
    found = run("ZB1P", 4, 8, durations(*parts))
    assert found.bubble == [bubble] * 4
    assert published_formula(found.schedule, durations(*parts)).bubble == published


@given(schedules(DUAL), st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
@settings(deadline=None)
def test_dualpipe_is_exact_on_the_middle_ranks_where_forward_and_input_part_are_equal(order, forward, less, more):
    assume(less <= forward)
    lasting = durations(forward, forward, less, forward + less + more)
    bubble, published = simulate(order, lasting).bubble, published_formula(order, lasting).bubble
    depth = order.stages // 2
    assert all(bubble[rank] == published for rank in range(max(depth - 2, 0), depth))
    # Farther out a rank overlaps fewer pairs, and is busier by what each would have saved.
    saved = 2 * forward + less - lasting.overlapped
    assert bubble[:depth] == [published - max(depth - 2 - rank, 0) * saved for rank in range(depth)]


@given(schedules(DUAL), times())
@settings(deadline=None)
def test_dualpipe_is_a_bound_where_the_input_part_is_longer_and_none_where_the_forward_is(order, lasting):
    depth = order.stages // 2
    assume(depth > 1 and lasting.weight <= lasting.input)
    f, i = lasting.forward, lasting.input
    over = published_formula(order, lasting).bubble - simulate(order, lasting).bubble[depth - 1]
    assert over == min((depth - 1) * (i - f), f)  # above 0, 0 or below


@given(schedules(), times())
@settings(deadline=None)
def test_closed_forms_that_hold_for_all_durations(order, lasting):
    assert simulate(order, lasting).bubble == exact_bubble(order, lasting)


@pytest.mark.parametrize(
    ("parts", "published", "bubble"),
    [
        # parts: F, B - W, W, F&B; published: 3 (F&B + B - 3W)
        ((1, 1, 1, 3), 6, [6, 6, 6, 6]),  # as figure 5 has it
        ((2, 2, 2, 5), 9, [7, 8, 9, 9]),  # pairs that save 1
        ((2, 2, 1, 5), 15, [15, 15, 15, 15]),
        ((3, 4, 2, 9), 27, [24, 24, 24, 24]),  # one more forward on the middle rank, while the first backward comes
        ((4, 2, 2, 8), 18, [24, 24, 24, 24]),  # forwards take 3 x 4 until the middle rank begins
        ((1, 1, 2, 4), 3, [6, 6, 6, 6]),  # weights that outlast the last way back
        ((1, 1, 3, 4), -3, [1, 2, 3, 3]),  # less than nothing by the formula
    ],
)
def test_dualpipe_on_eight_ranks(parts, published, bubble):
    assert published_formula(schedule("DualPipe", ranks=8, micro_batches=16), durations(*parts)).bubble == published
    for micro_batches in (16, 20, 40):  # how many does not matter
        found = run("DualPipe", 8, micro_batches, durations(*parts))
        assert found.bubble == bubble + bubble[::-1]
        assert run("DualPipeV", 4, micro_batches, durations(*parts)).bubble == bubble


def test_transfers_lengthen_gpipe_by_one_way_there_and_back_and_1f1b_with_every_micro_batch():
    slow = durations(2, 2, 2, transfer=1)
    assert [run("GPipe", 4, m, slow).bubble[0] for m in (8, 12, 16)] == [3 * (2 + 4 + 2 * 1)] * 3
    # A round of four micro-batches on the last rank waits for six transfers.
    assert [run("1F1B", 4, m, slow).bubble[0] for m in (8, 12, 16)] == [34, 40, 46]
    assert [run("DualPipe", 4, m, slow).bubble[0] for m in (8, 12, 16)] == [13, 16, 19]


# What a rank keeps


@pytest.mark.parametrize("ranks", [4, 8, 16])
def test_the_memory_of_table_2_is_counted(ranks):
    micro_batches = 3 * ranks
    one, zero, dual = (run(name, ranks, micro_batches) for name in ("1F1B", "ZB1P", "DualPipe"))
    half = run("DualPipeV", ranks // 2, micro_batches)
    assert one.activations == [ranks - rank for rank in range(ranks)]
    assert zero.activations == [ranks] * ranks
    assert dual.activations == [ranks + 1] * ranks
    assert half.activations == [ranks + 1] * (ranks // 2)
    assert [x.schedule.stages_held[0] for x in (one, zero, dual, half)] == [1, 1, 2, 2]
    assert [x.schedule.model_copies for x in (one, zero, dual, half)] == [1, 1, 2, 1]
    for found in (one, zero, dual, half):
        assert max(found.activations) == published_formula(found.schedule, UNIT).activations


def test_activations_freed_by_the_input_part_are_those_of_1f1b():
    zero = schedule("ZB1P", ranks=8, micro_batches=20)
    assert simulate(zero, UNIT, freed_by=INPUT).activations == run("1F1B", 8, 20).activations
    dual = schedule("DualPipe", ranks=8, micro_batches=20)
    assert simulate(dual, UNIT, freed_by=INPUT).activations == [9] * 8  # split backwards are never at the peak


def test_activations_of_the_other_schedules():
    assert run("GPipe", 4, 12).activations == [12] * 4
    for ranks, chunks in ((4, 2), (4, 3), (8, 2)):
        found = run("interleaved", ranks, 3 * ranks, chunks=chunks)
        # In micro-batches through all of a rank: as published, ranks x (1 + (ranks - 1) / (ranks x chunks))
        assert Fraction(found.activations[0], chunks) == ranks * (1 + Fraction(ranks - 1, ranks * chunks))
        assert max(found.activations) == published_formula(found.schedule, UNIT).activations


@pytest.mark.parametrize("ranks", [2, 8, 16])
def test_each_stage_of_dualpipe_keeps_as_many_as_the_closed_form_of_memory_says(ranks):
    layout = ParallelLayout(gpus=2048, pipeline_ranks=ranks, expert_ranks=64, tokens_per_micro_batch=4096)
    for rank, tasks in enumerate(schedule("DualPipe", ranks=ranks, micro_batches=2 * ranks).orders):
        for stage in layout.stages(rank):
            held = peak = 0
            for one in (one for task in tasks for one in task if one.stage == stage):
                held += {FORWARD: 1, BACKWARD: -1, WEIGHT: -1, INPUT: 0}[one.kind]
                peak = max(peak, held)
            assert peak == layout.in_flight(stage)


# Orders of one's own


def test_an_order_of_ones_own():
    found = simulate(by_hand("F0.0 I0.0 W0.0"), durations(1, 2, 4))
    assert (found.makespan, found.bubble, found.activations) == (7, [0], [1])


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (
            by_hand("F0.0 B0.0 F1.0 B1.0", "F1.1 B1.1 F0.1 B0.1", micro_batches=2),
            "schedule 'by hand': deadlock: rank 0 waits for backward for input of micro-batch 0 on stage 1; "
            "rank 1 waits for forward of micro-batch 1 on stage 0",
        ),
        (
            by_hand("B0.0 F0.0"),
            "schedule 'by hand': deadlock: rank 0 waits for forward of micro-batch 0 on stage 0",
        ),
        (
            by_hand("F0.0 W0.0 I0.0"),
            "schedule 'by hand': deadlock: rank 0 waits for backward for input of micro-batch 0 on stage 0",
        ),
        (
            by_hand("F0.0&B0.0"),
            "schedule 'by hand': deadlock: rank 0 waits for forward of micro-batch 0 on stage 0",
        ),
        (
            by_hand("F0.0 B0.0", "F0.1"),
            "schedule 'by hand': deadlock: rank 0 waits for backward for input of micro-batch 0 on stage 1, "
            "which no rank runs",
        ),
        (
            by_hand("F0.0", "F0.1 B0.1"),
            "schedule 'by hand': no rank runs the backward for input of micro-batch 0 on stage 0",
        ),
        (by_hand("F0.0 I0.0"), "schedule 'by hand': no rank runs the backward for weight of micro-batch 0 on stage 0"),
        (
            by_hand("F0.0 B0.0 F0.0"),
            "schedule 'by hand': rank 0 repeats the forward of micro-batch 0 on stage 0, already run on rank 0",
        ),
        (
            by_hand("F0.0 B0.0 W0.0"),
            "schedule 'by hand': rank 0 repeats the backward for weight of micro-batch 0",
        ),
        (
            by_hand("F0.0 B0.0 F1.0"),
            "schedule 'by hand': forward of micro-batch 1 on stage 0: must be one of its 1 micro-batches and 1 stages",
        ),
        (by_hand("B0.0&F0.0"), "schedule 'by hand': rank 0: task "),
        (by_hand("F0.0 B0.0", "", stages=1), "schedule 'by hand': rank 1 has no task: must have at least one"),
        (Schedule("by hand", 1, 1, ((Pass(FORWARD, 0, 0),),)), "schedule 'by hand': rank 0: task "),
        (Schedule("by hand", 1, 1, (((Pass("sideways", 0, 0),),),)), "schedule 'by hand': rank 0: task "),
    ],
)
def test_impossible_orders(order, message):
    with pytest.raises(InputError) as refused:
        simulate(order, UNIT)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_a_deadlock_of_many_ranks_names_the_first_eight():
    # Ten ranks that all want to run backward first.
    order = by_hand(*(f"B0.{rank} F0.{rank}" for rank in range(10)))
    with pytest.raises(InputError, match=r"rank 7 waits for .* on stage 7; 2 more ranks wait$"):
        simulate(order, UNIT)


# What is refused


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("dualpipe", {}, "unknown schedule 'dualpipe'; did you mean DualPipe?"),
        ("ZB-H1", {}, "unknown schedule 'ZB-H1'; "),
        (7, {}, "unknown schedule '7'; there are: GPipe, 1F1B, interleaved, ZB1P, DualPipe, DualPipeV"),
        ("DualPipe", {"ranks": 7}, "ranks = 7: must be even for DualPipe"),
        ("DualPipe", {"micro_batches": 21}, "micro_batches = 21: must be even for DualPipe"),
        ("DualPipe", {"micro_batches": 14}, "micro_batches = 14: must be at least 16 for DualPipe, twice the ranks"),
        ("DualPipeV", {"micro_batches": 15}, "micro_batches = 15: must be at least 16 for DualPipeV, twice the ranks"),
        ("interleaved", {}, "micro_batches = 20: must be a multiple of ranks = 8 for the interleaved schedule"),
        ("interleaved", {"chunks": 1}, "chunks = 1: must be a whole number of at least 2"),
        ("1F1B", {"chunks": 2}, "chunks = 2: must be left out for 1F1B; only interleaved has chunks"),
        ("1F1B", {"ranks": 0}, "ranks = 0: must be a whole number of at least 1"),
        ("1F1B", {"ranks": 2.0}, "ranks = 2.0: must be a whole number of at least 1"),
        ("1F1B", {"ranks": True}, "ranks = True: must be a whole number of at least 1"),
        ("1F1B", {"micro_batches": -1}, "micro_batches = -1: must be a whole number of at least 1"),
        ("1F1B", {"micro_batches": NAN}, "micro_batches = nan: must be a whole number of at least 1"),
        ("1F1B", {"micro_batches": 125001}, "8 stages times 125001 micro-batches = 1000008: must be at most 1000000"),
        ("1F1B", {"micro_batches": 10**9}, "8 stages times 1000000000 micro-batches = 8000000000: must be at most "),
    ],
)
def test_undefined_schedules(name, sizes, message):
    with pytest.raises(InputError) as refused:
        schedule(name, **{"ranks": 8, "micro_batches": 20} | sizes)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"forward": 0}, "forward = 0: must be a number above 0 and below 1e+290"),
        ({"backward": -1}, "backward = -1: must be a number above 0 and below 1e+290"),
        ({"weight": NAN}, "weight = nan: must be a number above 0 and below 1e+290"),
        ({"overlapped": INFINITY}, "overlapped = inf: must be a number above 0 and below 1e+290"),
        ({"forward": 1e300}, "forward = 1e+300: must be a number above 0 and below 1e+290"),
        ({"forward": "1"}, "forward = '1': must be a number above 0 and below 1e+290"),
        ({"transfer": -1}, "transfer = -1: must be a number of at least 0 and below 1e+290"),
        ({"weight": 2.5}, "weight = 2.5: must be below backward = 2, which includes it"),
        (
            {"weight": 2},
            "weight = 2: must be below backward = 2, which includes it",
        ),  # no time for the input is refused
        ({"overlapped": 1.5}, "overlapped = 1.5: must be at least backward = 2, the longer of forward and backward"),
        ({"forward": 4}, "overlapped = 3: must be at least forward = 4, the longer of forward and backward"),
    ],
)
def test_durations_that_contradict(given_, message):
    with pytest.raises(InputError) as refused:
        Durations(**{"forward": 1, "backward": 2, "weight": 1, "overlapped": 3} | given_)
    assert str(refused.value) == message


def test_pairs_no_shorter_than_the_longer_part_are_allowed():
    assert run("DualPipe", 4, 8, durations(1, 1, 1, 2)).bubble == [1, 1, 1, 1]  # 1 x (2 + 2 - 3)


def test_another_convention_and_another_name_are_refused():
    with pytest.raises(InputError, match="freed_by = 'all': must be 'backward_for_input' or 'backward_for_weight'"):
        simulate(schedule("1F1B", ranks=2, micro_batches=2), UNIT, freed_by="all")
    for of in (published_formula, exact_bubble):
        with pytest.raises(InputError, match="unknown schedule 'by hand'"):
            of(by_hand("F0.0 B0.0"), UNIT)
    with pytest.raises(InputError, match="ranks = 0: must be a whole number of at least 1"):
        Schedule("by hand", 1, 1, ())


def test_schedules_load_neither_numpy_nor_the_model():
    heavy = ("numpy", "ml_dtypes", "scipy", "repro.nano")
    code = f"import sys, repro.sim; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
