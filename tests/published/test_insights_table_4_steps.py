"""Insights into DeepSeek-V3 (arXiv 2505.09343), table 4: the parts of a step, and a step simulated from them."""

from dataclasses import replace

import pytest

from repro.calc.flops import attention_flop_per_token
from repro.calc.param_count import mtp_parts, parts
from repro.errors import InputError
from repro.facts import load
from repro.models.hf_config import architecture_from_hf
from repro.sim import (
    StepTotals,
    compare_schedules,
    durations_from_totals,
    scale_stages,
    schedule,
    without_saving,
)
from repro.sim.all_to_all import copy_bytes

FACTS = load()
RANKS = FACTS["deepseek_v3.pipeline_ranks"].value
TOKENS = FACTS["deepseek_v3.tokens_per_micro_batch"].value
PIPELINES = FACTS["deepseek_v3.gpus"].value // RANKS
SIZES = {"ranks": RANKS, "micro_batches": int(FACTS["deepseek_v3.sequences_per_step"].value // PIPELINES)}
ORDER = schedule("DualPipe", **SIZES)
INFINIBAND = FACTS["h800_sxm.infiniband_bytes_per_s"].value
V3 = architecture_from_hf(FACTS.model("deepseek_v3").content)
ROWS = {
    "forward": "step_forward_s", "backward": "step_backward_s", "weight": "step_weight_s", "overlapped": "step_pairs_s",
    "bubble": "step_bubble_s", "optimizer": "step_optimizer_s", "step": "step_s",
}  # fmt: skip
# 1F, 1B, 1W, 1F1B, bubble, opt and time/step as printed
PRINTED = {
    "deepseek_v3": (1.13, 1.99, 0.48, 13.95, 2.06, 0.29, 19.926),  # MPFT
    "deepseek_v3_mrft": (1.13, 1.99, 0.48, 14.00, 2.03, 0.31, 19.946),
}


def totals(network="deepseek_v3"):
    return StepTotals(**{name: FACTS[f"{network}.{row}"].value for name, row in ROWS.items()})


def lasting(booked_by, ranks=None):
    return durations_from_totals(ORDER, totals(), booked_by=booked_by, ranks=ranks)


def steps(durations, **how):
    outside = totals().optimizer + totals().unlisted
    return compare_schedules(["1F1B", "ZB1P", "DualPipe"], durations, **SIZES, outside=outside, **how)


@pytest.mark.parametrize("network", PRINTED)
def test_the_rows_are_parts_of_one_step_and_add_up_to_it(network):
    # 1.13 + 1.99 + 0.48 + 13.95 + 2.06 + 0.29 = 19.90 and 1.13 + 1.99 + 0.48 + 14.00 + 2.03 + 0.31 = 19.94: six
    # figures of two places each add up to within 0.03
    assert tuple(vars(totals(network)).values()) == PRINTED[network]
    assert 0 < totals(network).unlisted < 0.03


def test_120_micro_batches_pass_each_of_16_ranks():
    assert SIZES == {"ranks": 16, "micro_batches": 120}  # 15,360 sequences over 2,048 / 16 pipelines


def test_milliseconds_of_one_micro_batch_on_one_stage():
    # On average a rank runs 19.625 forwards, 8.125 whole and 11.5 split backwards, and 100.375 pairs.
    by_parts, by_tasks = lasting("parts"), lasting("tasks")
    for found in (by_parts, by_tasks):
        assert [f"{1e3 * time:.1f}" for time in (found.forward, found.backward, found.overlapped)] == [
            "57.6", "125.9", "139.0",  # 1.13 / 19.625, (1.99 + 0.48) / 19.625, 13.95 / 100.375
        ]  # fmt: skip
    assert [f"{1e3 * time:.1f}" for time in (by_parts.input, by_parts.weight)] == ["101.4", "24.5"]
    assert [f"{1e3 * time:.1f}" for time in (by_tasks.input, by_tasks.weight)] == ["84.1", "41.7"]


def test_a_pair_saves_a_quarter_which_is_what_its_all_to_all_takes_at_the_rate_of_the_links():
    # 57.6 + 125.9 - 139.0 = 44.5 ms. Sent: 59 layers / 16 ranks x 4,096 tokens x 3.96 x 7/8 nodes x (7,392 + 14,336)
    # bytes, forward and backward, over 50 GB/s: 45.5 ms
    found = lasting("parts")
    saved = found.forward + found.backward - found.overlapped
    sizes = copy_bytes(V3.d_model, group=128, scale_bytes=4)
    layers = (V3.n_moe_layers + V3.n_mtp_modules) / RANKS
    all_to_all = 2 * layers * TOKENS * 3.96 * 7 / 8 * sum(sizes.values()) / INFINIBAND
    assert f"{saved * 1e3:.1f} {all_to_all * 1e3:.1f}" == "44.5 45.5"
    assert f"{saved / (found.forward + found.backward):.0%}" == "24%"


@pytest.mark.parametrize(
    ("booked_by", "step", "bubble", "over"),
    [
        ("parts", {"1F1B": "25.1", "ZB1P": "24.3", "DualPipe": "19.0"}, "1.2", {"1F1B": "1.32", "ZB1P": "1.28"}),
        ("tasks", {"1F1B": "25.1", "ZB1P": "23.8", "DualPipe": "18.7"}, "0.8", {"1F1B": "1.34", "ZB1P": "1.28"}),
    ],
)
def test_a_simulated_step_is_4_to_6_per_cent_short_of_the_measured(booked_by, step, bubble, over):
    # 17.55 s of passes and 0.316 s after them are given; the bubble alone is simulated, 0.8 to 1.2 s where 2.06 were
    # measured. 1F1B: 120 x 183.5 + 15 x 183.5 ms; ZB1P: 15 x (F + I - W) idle.
    found = steps(lasting(booked_by))
    assert {name: f"{one.step:.1f}" for name, one in found.items()} == step
    assert f"{found['DualPipe'].bubble:.1f}" == bubble
    missing = totals().step - found["DualPipe"].step
    assert missing == pytest.approx(totals().bubble - found["DualPipe"].bubble, abs=1e-9)
    assert 0.04 < missing / totals().step < 0.065
    assert {name: f"{found['DualPipe'].speedup_over(found[name]):.2f}" for name in over} == over


def test_nearly_all_of_the_gain_is_pairs():
    # Pairs that save nothing: 120 x 183.5 ms and a bubble make 23.9 or 23.6 s, 0.3 to 0.4 s short of ZB1P.
    for booked_by in ("parts", "tasks"):
        found, plain = steps(lasting(booked_by)), steps(without_saving(lasting(booked_by)))
        gained, idle = found["ZB1P"].step - found["DualPipe"].step, plain["ZB1P"].step - plain["DualPipe"].step
        assert 0.05 < idle / gained < 0.09


def test_the_rows_cannot_be_those_of_a_middle_rank():
    # 17 forwards, 17 backwards and 103 pairs: 145 ms for a backward, and 135 for a pair that has one
    with pytest.raises(InputError, match=r"overlapped = .*: must be at least backward"):
        lasting("parts", ranks=[7])
    # Those of an end rank could be: 23 and 97. Then pairs would save 13 ms of 157, and DualPipe gain 9% on ZB1P.
    found = lasting("parts", ranks=[0])
    assert f"{1e3 * (found.forward + found.backward - found.overlapped):.1f}" == "12.7"
    at_the_end = steps(found)
    assert f"{at_the_end['DualPipe'].speedup_over(at_the_end['ZB1P']):.2f}" == "1.09"


def test_transfers_between_ranks_are_short_and_dualpipe_stays_ahead():
    # 4,096 x 7,168 x 2 bytes over 50 GB/s are 1.17 ms, 0.02 of a forward
    found = lasting("parts")
    transfer = TOKENS * V3.d_model * 2 / INFINIBAND
    assert f"{transfer * 1e3:.2f} ms, {transfer / found.forward:.2f} F" == "1.17 ms, 0.02 F"
    still = steps(found)["DualPipe"].step
    added = {
        (overlap, hide): steps(
            replace(found, transfer=transfer), overlap_transfers=overlap, pairs_hide_transfers=hide
        )["DualPipe"].step - still
        for overlap in (True, False) for hide in (True, False)
    }  # fmt: skip
    assert {how: f"{time:.2f}" for how, time in added.items()} == {
        (True, True): "0.04", (True, False): "0.16", (False, True): "0.04", (False, False): "0.17",
    }  # fmt: skip


def flop_per_stage():
    """Return the multiplied parameters of 15 stages of four layers, and of one with the last, MTP and both heads."""
    attention = attention_flop_per_token(V3, TOKENS, causal=True, mtp_counted=False, flop_per_parameter_per_token=1)
    by_part = {part.name: part.multiplied for part in parts(V3)}
    head = by_part.pop("head")
    layer = (sum(by_part.values()) + attention) / V3.n_layers
    mtp = sum(part.multiplied for part in mtp_parts(V3)) + attention / V3.n_layers
    return [4 * layer] * (RANKS - 1) + [(V3.n_layers - 4 * (RANKS - 1)) * layer + head + mtp]


def test_uneven_stages_could_take_more_than_what_is_missing():
    # The last of these stages is 1.21 of the mean: 1 + 1.39 + 2.54 layers of 4.06. Where V3 cut is not published.
    each = flop_per_stage()
    relative = [flop * RANKS / sum(each) for flop in each]
    assert f"{relative[0]:.2f} {relative[-1]:.2f}" == "0.99 1.21"
    for booked_by in ("parts", "tasks"):
        found = steps(scale_stages(lasting(booked_by), relative))
        even = steps(lasting(booked_by))
        assert even["DualPipe"].step < totals().step < found["DualPipe"].step
        # Each rank of DualPipe holds a stage from either end, so that a long last one costs it less.
        assert found["DualPipe"].step - even["DualPipe"].step < (found["ZB1P"].step - even["ZB1P"].step) / 2
