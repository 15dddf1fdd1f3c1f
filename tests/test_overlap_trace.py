"""The reader of DeepSeek's profiler trace, on a trace of one layer that is short enough to work by hand."""

import json
import subprocess
import sys

import pytest

from repro.errors import InputError
from repro.experiments.overlap_trace import (
    EXPECTED,
    FP8_PRODUCT,
    PHASES,
    Kernel,
    busy_ms,
    chunk,
    fp8_flop,
    hidden_share,
    main,
    read_trace,
    summarize,
    unit,
)  # fmt: skip
from repro.facts import load
from repro.models.hf_config import architecture_from_hf
from repro.models.inventory import inventory

PRODUCT = "void cutlass::device_kernel<dpsk::grouped_gemm::cuda::fp8_ptp128c::GemmKernel>(Params)"
WEIGHT = PRODUCT.replace("fp8_ptp128c", "fp8_dptp128c_acc")
CAST = "void cuda::per_token_cast_to_fp8_with_channels<__nv_bfloat16, 128>(int)"
TRANSPOSE = "void cuda::batched_transpose<512, 128, 1, 1>(unsigned char const*)"
SWIGLU = "void cuda::swiglu_forward_with_weight_and_per_token_cast_to_fp8<__nv_bfloat16>(unsigned char*)"
LINE_UP = "cuda::expand_to_fused_with_scales_impl(int4 const*, int4*)"
DISPATCH, COMBINE = (f"void dpsk::ep::internode::{kind}<false, 8>(int4*)" for kind in ("dispatch", "combine"))
NOTIFY = "void dpsk::ep::internode::cached_notify<false>(int)"
FLASH = ["void flash::compute_attn_ws<192>", *(f"void flash::FlashAttnBwd{part}<192>" for part in ("Pre", "", "Post"))]


def row(phase, name, start, dur, stream=7, grid=(112, 1, 1)):
    return phase, name, start, dur, stream, grid


def kernels():
    """One layer, in us: the times of the kernels of interest, and products of 1 us each within a phase's own time.

    compute  0-100 attn(F), 100-200 mlp(F), idle to 240, mlp(B) 240-340, attn(B) 340-500, mlp(W) 500-600 on two
    streams, attn(W) 600-640; transfers 80-120 dispatch(F), 190-230 combine(F), 300-340 and 400-420 backward, the last
    after 20 us of waiting.
    """
    send = (20, 1, 1)
    rows = [
        row("attn(F)", CAST, 0, 20), row("attn(F)", FLASH[0], 20, 75),
        row("mlp(F)", LINE_UP, 100, 40, grid=(2048, 1, 1)), row("mlp(F)", SWIGLU, 140, 56),
        row("mlp(B)", LINE_UP, 240, 96, grid=(1024, 2, 1)),
        row("attn(B)", TRANSPOSE, 340, 30), row("attn(B)", FLASH[1], 370, 23),
        row("attn(B)", FLASH[2], 393, 90), row("attn(B)", FLASH[3], 483, 10),
        row("mlp(W)", CAST, 500, 92), row("mlp(W)", CAST, 510, 90, stream=23), row("attn(W)", CAST, 600, 35),
        row("dispatch(F)", DISPATCH, 80, 40, 27, send), row("combine(F)", COMBINE, 190, 40, 27, send),
        row("combine(B)", CAST, 290, 10, 27), row("combine(B)", DISPATCH, 300, 40, 27, send),
        row("dispatch(B)", NOTIFY, 380, 20, 27, send), row("dispatch(B)", COMBINE, 400, 20, 27, send),
    ]  # fmt: skip
    ends = {"attn(F)": 100, "mlp(F)": 200, "mlp(B)": 340, "attn(B)": 500, "mlp(W)": 600, "attn(W)": 640}
    for phase, count in EXPECTED[FP8_PRODUCT].items():  # the last `count` us of each phase
        name = WEIGHT if "W" in phase else PRODUCT
        rows += [row(phase, name, ends[phase] - count + place, 1) for place in range(count)]
    return rows


def trace(rows=None, **changes):
    """Return a trace as the profiler writes it: the CPU works phase by phase and launches a kernel each us."""
    events = []
    for place, phase in enumerate(PHASES):
        events.append({"ph": "X", "cat": "user_annotation", "name": phase, "ts": 1000 * place, "dur": 999})
    for number, (phase, name, start, dur, stream, grid) in enumerate(kernels() if rows is None else rows):
        launch = 1000 * PHASES.index(phase) + number
        events.append({"ph": "X", "cat": "cuda_runtime", "ts": launch, "dur": 1, "args": {"correlation": number}})
        events[-1]["name"] = "cudaLaunchKernel"
        args = {"correlation": number, "stream": stream, "grid": list(grid)}
        events.append({"ph": "X", "cat": "kernel", "name": name, "ts": start, "dur": dur, "args": args})
    device = {"numSms": 132, "totalGlobalMem": 84_943_110_144}
    return {"deviceProperties": [device], "traceEvents": [*events, {"ph": "M", "name": "thread_name"}], **changes}


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "train.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def numbers(written):
    return summarize(read_trace(written(trace())))


def test_the_device_and_the_multiprocessors_that_transfers_take(numbers):
    assert numbers["layers"] == 1
    assert (numbers["multiprocessors"], numbers["transfer_multiprocessors"]) == (132, 20)
    assert numbers["memory_bytes"] == 84_943_110_144


@pytest.mark.parametrize(
    ("name", "ms"),
    [
        ("pair_ms", 0.640),
        ("compute_ms", 0.600),  # all but 200 to 240
        ("compute_idle_ms", 0.040),
        ("transfer_ms", 0.140),  # 40 + 40 + 40 + 20
        ("notify_ms", 0.020),
        ("forward_ms", 0.200),
        ("input_ms", 0.260),
        ("weight_ms", 0.140),  # two streams, and each moment counts once
        ("forward_transfer_ms", 0.080),
        ("backward_transfer_ms", 0.060),
        ("dispatch_min_ms", 0.040),
        ("combine_min_ms", 0.020),
        ("combine_median_ms", 0.030),
        ("combine_max_ms", 0.040),
        ("cast_ms", 0.185),  # 20 + 30 + 100 on two streams + 35; neither SwiGLU's nor the one on the transfers' stream
        ("fp8_product_ms", 0.035),  # 35 products of 1 us
    ],
)
def test_times(numbers, name, ms):
    assert numbers[name] == pytest.approx(ms)


def test_hidden_is_the_part_of_the_transfers_beside_which_a_kernel_computes(numbers):
    assert numbers["hidden_transfer_share"] == pytest.approx(
        1 - 30 / 140
    )  # 200 to 230 of the combine has nothing beside
    assert numbers["hidden_transfer_and_notify_share"] == pytest.approx(1 - 30 / 160)


def test_ratios_of_computation_alone_and_with_transfers_one_by_one(numbers):
    assert numbers["compute_backward_over_forward"] == pytest.approx(400 / 200)
    assert numbers["compute_weight_over_forward"] == pytest.approx(140 / 200)
    assert numbers["compute_overlapped_over_forward"] == pytest.approx(640 / 200)
    assert numbers["compute_overlapped_over_both"] == pytest.approx(640 / 600)
    assert numbers["serial_backward_over_forward"] == pytest.approx(460 / 280)
    assert numbers["serial_weight_over_forward"] == pytest.approx(140 / 280)
    assert numbers["serial_overlapped_over_forward"] == pytest.approx(640 / 280)
    assert numbers["serial_overlapped_over_both"] == pytest.approx(640 / 740)


def test_bytes_of_dispatch_and_combine(numbers):
    # 4096 tokens, 3.96 copies: FP8 with 56 scales of 4 bytes in 40 us, BF16 in 30 us; 7 of 8 copies leave the node
    assert numbers["dispatch_bytes_per_s"] == pytest.approx(4096 * 3.96 * (7168 + 224) / 40e-6)
    assert numbers["combine_bytes_per_s"] == pytest.approx(4096 * 3.96 * 14_336 / 30e-6)
    for name in ("dispatch", "combine"):
        assert numbers[f"{name}_infiniband_bytes_per_s"] == pytest.approx(7 / 8 * numbers[f"{name}_bytes_per_s"])


def test_flop_of_the_pair(numbers):
    # per token: attention's five matrices, gate, 9 experts; then scores and values of 128 heads over 2048.5 tokens
    attention = 7168 * 1536 + 1536 * 24_576 + 7168 * 576 + 512 * 32_768 + 16_384 * 7168
    matrices = attention + 7168 * 256 + 9 * 3 * 7168 * 2048
    pair = 4096 * 6 * (matrices + 128 * 320 * 2048.5)
    assert numbers["pair_flop_per_s"] == pytest.approx(pair / 640e-6)
    assert numbers["pair_of_bf16_peak_share"] == pytest.approx(pair / 640e-6 / 989.4e12)


def test_flop_of_attention_one_third_forward(numbers):
    forward = 4096 * 2 * 128 * 320 * 2048.5
    assert numbers["attention_forward_flop_per_s"] == pytest.approx(forward / 75e-6)
    assert numbers["attention_backward_flop_per_s"] == pytest.approx(2 * forward / 123e-6)


def test_flop_of_fp8_products_with_the_two_computed_again(written, numbers):
    # 2048 blocks of 16 rows are 8 times 4096, the even share
    again = 1536 * 24_576 + 512 * 32_768
    attention = 7168 * 1536 + 7168 * 576 + 16_384 * 7168 + again
    flop = 2 * 4096 * (3 * attention + again + 3 * 9 * 3 * 7168 * 2048)
    assert fp8_flop(read_trace(written(trace()))) == flop
    assert numbers["routed_rows_over_even"] == 1
    assert numbers["fp8_product_flop_per_s"] == pytest.approx(flop / 35e-6)
    assert numbers["fp8_product_of_fp8_peak_share"] == pytest.approx(flop / 35e-6 / 1978.9e12)


def test_times_count_from_the_first_kernel_and_any_start(written, numbers):
    later = [(phase, name, start + 7e6, *rest) for phase, name, start, *rest in kernels()]
    assert summarize(read_trace(written(trace(later)))) == pytest.approx(numbers)


def test_the_layers_are_those_of_the_published_configuration():
    facts = load()
    published = [
        row for row in inventory(architecture_from_hf(facts.model("deepseek_v3").content)) if row.block == "experts"
    ]
    described = [row for row in inventory(chunk(4)) if row.block == "experts"]
    assert [(row.role, row.shape, row.experts, row.top_k) for row in described] == [
        (row.role, row.shape, row.experts, row.top_k) for row in published if "bias" not in row.role
    ]


def test_peaks_and_copies_are_those_of_the_facts_and_of_the_simulation():
    from repro.experiments import overlap_trace
    from repro.sim.all_to_all import copy_bytes

    facts = load()
    for name, peak in overlap_trace.PEAKS.items():
        assert facts[f"h800_sxm.{name}_dense_flop_per_s"].value == peak
    sizes = copy_bytes(7168, group=overlap_trace.SCALED, scale_bytes=overlap_trace.SCALE_BYTES)
    assert sizes == {"dispatch": 7392, "combine": 14_336}


def interval(start, end):
    return Kernel("a", "mlp(F)", 7, start, end, 1)


def test_overlapping_kernels_are_busy_once():
    nested = [interval(0, 1000), interval(200, 300), interval(900, 1500), interval(2000, 2500)]
    assert busy_ms(nested) == 2
    assert busy_ms(nested[:1], nested[3:]) == 1.5
    assert busy_ms([]) == 0
    assert hidden_share([interval(800, 1200)], [interval(0, 900), interval(1100, 3000)]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pair_ms", "ms"), ("memory_bytes", "bytes"), ("dispatch_bytes_per_s", "bytes/s"), ("cast_share", "share"),
     ("pair_flop_per_s", "FLOP/s"), ("transfer_multiprocessors", "SMs"), ("serial_overlapped_over_both", "ratio")],
)  # fmt: skip
def test_units(name, expected):
    assert unit(name) == expected


def without(phase, name):
    return [kernel for kernel in kernels() if kernel[:2] != (phase, name)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not JSON", "is not valid JSON"),
        ("[]", "must hold one JSON object, not a list"),
        ({"a": 1}, "not a PyTorch profiler's trace: KeyError: 'traceEvents'"),
        (trace(traceEvents=[1]), "not a PyTorch profiler's trace: AttributeError"),
        (trace(deviceProperties=[]), "not a PyTorch profiler's trace: IndexError"),
        (trace(traceEvents=[{"ph": "X", "name": "a"}]), "not a PyTorch profiler's trace: KeyError: 'cat'"),
        (trace([]), "has no kernels"),
        (trace(without("attn(B)", FLASH[2])), "2 kernels named like flash:: in attn(B): must be 3 in each of 1 layers"),
        (trace(without("mlp(B)", PRODUCT)), "in mlp(B): must be 4 in each of 1 layers"),
        (trace(without("combine(B)", DISPATCH)), "in combine(B): must be 1 in each of 1 layers"),
        (trace([(*kernel[:4], 7, (1, 1, 1)) for kernel in kernels()]), "computes on the stream of the transfers"),
        (trace([*kernels(), row("attn(F)", "copy", 0, 0)]), 'kernel "copy": ts = 0.0, dur = 0.0: must be finite'),
        (trace([*kernels(), row("attn(F)", "copy", 0, float("nan"))]), "dur = nan: must be finite"),
        (trace([*kernels(), row("attn(F)", "copy", 0, "long")]), "not a PyTorch profiler's trace: ValueError"),
    ],
)  # fmt: skip
def test_what_is_no_such_trace_is_refused_in_one_line(written, content, message):
    with pytest.raises(InputError) as error:
        read_trace(written(content))
    assert message in str(error.value)
    assert "train.json: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_trace_without_the_annotations_is_refused(written):
    content = trace()
    content["traceEvents"] = [e for e in content["traceEvents"] if e["name"] != "mlp(W)"]
    with pytest.raises(InputError, match="must be launched within one of: attn"):
        read_trace(written(content))
    content["traceEvents"] = [e for e in content["traceEvents"] if e.get("cat") == "user_annotation"]
    content["traceEvents"].append(trace()["traceEvents"][0])
    with pytest.raises(InputError, match="has no kernels"):
        read_trace(written(content))


def test_an_annotation_that_is_there_twice_is_refused(written):
    content = trace()
    content["traceEvents"].append({**content["traceEvents"][0], "ts": 50_000})
    with pytest.raises(InputError, match="must have each of these annotations once for each layer"):
        read_trace(written(content))


def test_the_command_prints_each_number_with_its_unit(written, numbers, capsys):
    assert main([str(written(trace()))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(numbers)
    assert lines[4].split() == ["pair_ms", "0.64", "ms"]


def test_the_command_prints_json(written, numbers, capsys):
    assert main([str(written(trace())), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {name: entry["value"] for name, entry in printed.items()} == numbers
    assert printed["pair_flop_per_s"]["unit"] == "FLOP/s"


@pytest.mark.slow
def test_a_missing_file_is_one_line_and_status_1(tmp_path):
    command = [sys.executable, "-m", "repro.experiments.overlap_trace", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("none.json: cannot be read: No such file or directory\n")
    assert done.stderr.startswith("overlap_trace: error: ")
    assert done.stderr.count("\n") == 1
