"""DeepSeek's profiler trace of one overlapped pair (github.com/deepseek-ai/profile-data, train.json), read again.

The file has no licence and is not kept here. With PROFILE_DATA_TRACE set to a copy, every fact is computed again.
"""

import os
from pathlib import Path

import pytest

from repro.experiments.overlap_trace import read_trace, summarize
from repro.facts import load

TRACE = {fact.key.removeprefix("trace."): fact.value for fact in load().under("trace")}
# Without the file there is nothing to run: pytest skips a test that has no parameters.
COPIES = [os.environ["PROFILE_DATA_TRACE"]] if os.environ.get("PROFILE_DATA_TRACE") else []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pair_ms", 129.012),
        ("forward_ms", 35.894),
        ("input_ms", 58.587),
        ("weight_ms", 29.805),
        ("forward_transfer_ms", 41.358),
        ("backward_transfer_ms", 39.094),
        ("notify_ms", 32.578),
        ("hidden_transfer_share", 0.9634),
        ("cast_share", 0.1194),
        ("fp8_product_ms", 69.258),
        ("transfer_multiprocessors", 20),
        ("memory_bytes", 84943110144),
        ("dispatch_bytes_per_s", 30.87e9),
        ("combine_bytes_per_s", 38.35e9),
        ("pair_flop_per_s", 509.9e12),
        ("fp8_product_flop_per_s", 846.2e12),
        ("attention_forward_flop_per_s", 555.7e12),
    ],
)
def test_each_number_a_second_time(name, value):
    assert TRACE[name] == value


def test_every_fact_of_the_trace_is_typed_above():
    assert len(TRACE) == 17


def test_the_phases_leave_4_7_ms_of_the_pair_without_computation():
    # sums by annotation: attn(F) 17.479 + mlp(F) 18.415, attn(B) 37.363 + mlp(B) 21.224, attn(W) 9.554 + mlp(W) 20.251
    assert TRACE["forward_ms"] == pytest.approx(17.479 + 18.415)
    assert TRACE["input_ms"] == pytest.approx(37.363 + 21.224)
    assert TRACE["weight_ms"] == pytest.approx(9.554 + 20.251)
    computes = TRACE["forward_ms"] + TRACE["input_ms"] + TRACE["weight_ms"]
    assert TRACE["pair_ms"] - computes == pytest.approx(4.726)


def test_the_transfers_are_the_sums_of_their_kernels():
    # as the trace lists them in us: 4 dispatches and 4 combines forward, then backward
    assert 1e3 * TRACE["forward_transfer_ms"] == pytest.approx(4604 + 4154 + 4437 + 4188 + 6002 + 6074 + 5847 + 6052)
    assert 1e3 * TRACE["backward_transfer_ms"] == pytest.approx(3320 + 3575 + 3613 + 3113 + 6549 + 6543 + 5889 + 6492)


def test_2_9_ms_of_the_transfers_have_no_computation_beside_them():
    sent = TRACE["forward_transfer_ms"] + TRACE["backward_transfer_ms"]
    assert (1 - TRACE["hidden_transfer_share"]) * sent == pytest.approx(2.943, abs=5e-3)


def test_bytes_over_the_median_durations():
    # the medians lie between 3.613 and 4.154 ms, and between 6.052 and 6.074 ms
    dispatch, combine = (4096 * 3.96 * size for size in (7168 + 56 * 4, 2 * 7168))
    assert TRACE["dispatch_bytes_per_s"] == pytest.approx(dispatch / 3.8835e-3, rel=2e-4)
    assert TRACE["combine_bytes_per_s"] == pytest.approx(combine / 6.063e-3, rel=2e-4)


def test_65_8_tflop_in_a_pair():
    # a layer multiplies 187.1M of attention, 1.8M of the gate and 9 x 44.0M of experts; 128 x 320 x 2048.5 by attention
    per_token = 6 * (187_105_280 + 1_835_008 + 9 * 44_040_192 + 128 * 320 * 2048.5)
    assert TRACE["pair_flop_per_s"] == pytest.approx(4 * 4096 * per_token / 0.129012, rel=1e-4)


def test_attention_forward():
    # four kernels: 1248, 1199, 1280 and 1221 us
    assert TRACE["attention_forward_flop_per_s"] == pytest.approx(
        4 * 4096 * 2 * 128 * 320 * 2048.5 / (1248 + 1199 + 1280 + 1221) * 1e6, rel=1e-3
    )


@pytest.mark.parametrize("path", COPIES)
def test_a_copy_of_the_trace_gives_the_same(path):
    numbers = summarize(read_trace(Path(path)))
    for name, value in TRACE.items():
        assert float(f"{numbers[name]:.4g}") == float(f"{value:.4g}"), name
        if isinstance(value, int) or name.endswith("_ms"):
            assert numbers[name] == pytest.approx(value, rel=1e-9), name
