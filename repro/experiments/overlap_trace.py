"""Reads the profiler trace that DeepSeek published of one overlapped pair: a forward and a backward chunk of DualPipe.

A GPU runs kernels, its pieces of work, on streams: queues that run beside each other. This one computes on two streams.
On a third it sends tokens to the experts of other GPUs (dispatch) and results back (combine). A transfer is hidden
while any kernel computes. The CPU's annotations say what each kernel is for: attn(F) for the forward pass, mlp(B) for
gradients of inputs, mlp(W) for gradients of weights. Backward, combine(B) runs a dispatch and dispatch(B) a combine.

Three things are inferred: the shapes of the FP8 products, from their number in each phase and V3's sizes; how many
tokens the routed experts get, from a kernel's grid; and the bytes sent, from the nodes that a token reaches. All else
is read. The trace is not part of this project. Download train.json from github.com/deepseek-ai/profile-data and run

    python -m repro.experiments.overlap_trace train.json
"""

import argparse
import json
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf, prod
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from repro.calc.flops import attention_flop_per_token, counted_flop_per_token
from repro.calc.param_count import expert_parameters
from repro.errors import InputError, preview
from repro.files import read_json
from repro.models.architecture import Architecture, GatedFeedForward, MixtureOfExperts, MultiHeadLatentAttention
from repro.models.inventory import inventory

TRANSFER, NOTIFY = r"::(dispatch|combine)<", r"::\w*notify\w*<"  # names of kernels
FP8_PRODUCT, ATTENTION, LINE_UP = r"fp8\w*ptp128c\w*::GemmKernel", r"flash::", r"::expand_to_fused"
CAST = r"^(?!.*swiglu).*(cast|transpose)"  # to FP8, back, and between layouts; SwiGLU's kernels cast some on the way
# How often a layer runs them. Attention multiplies by 5 matrices, and its backward pass computes the two again that
# expand latents. An expert's gate and up are one product, down is the other; the 4 routed experts of a GPU share a
# kernel forward and for inputs, and have one each for weights; the shared expert has its own.
EXPECTED = {
    FP8_PRODUCT: {"attn(F)": 5, "mlp(F)": 4, "mlp(B)": 4, "attn(B)": 7, "mlp(W)": 10, "attn(W)": 5},
    TRANSFER: {"dispatch(F)": 1, "combine(F)": 1, "combine(B)": 1, "dispatch(B)": 1},
    ATTENTION: {"attn(F)": 1, "attn(B)": 3},
    LINE_UP: {"mlp(F)": 1, "mlp(B)": 1},
}
PHASES = tuple(dict.fromkeys(phase for counts in EXPECTED.values() for phase in counts))
COMPUTED_AGAIN = ("self_attn.q_b_proj.weight", "self_attn.kv_b_proj.weight")
TOP_K = 8  # routed experts of a token
TOKENS = 4096  # one sequence on each GPU, by the README of the trace
NODES = 8  # 64 GPUs by 8
NODES_REACHED = 3.96  # by a token, which may be on one of them: notebook 16, random scores through V3's gate
ROWS_PER_BLOCK = 16  # of the kernel that lines tokens up by expert: the cast that follows has 16 times its grid
SCALED, SCALE_BYTES, BF16_BYTES = 128, 4, 2  # elements of a dispatched token that share a scale
PEAKS = {"bf16": 989.4e12, "fp8": 1978.9e12}  # dense FLOP/s of an H800
UNITS = {"_ms": "ms", "_bytes_per_s": "bytes/s", "_flop_per_s": "FLOP/s", "_bytes": "bytes", "_share": "share"}
UNITS |= {"multiprocessors": "SMs", "layers": "layers"}


class Kernel(NamedTuple):
    """One piece of work on the GPU."""

    name: str
    phase: str  #: the annotation within which the CPU launched it
    stream: int
    start_us: float
    end_us: float
    blocks: int  #: of its grid, 0 for a copy


class Trace(NamedTuple):
    """What one GPU did for a pair of chunks."""

    kernels: tuple[Kernel, ...]  #: by start
    layers: int  #: of each chunk
    multiprocessors: int
    memory_bytes: int

    def named(self, pattern: str, *phases: str) -> list[Kernel]:
        """Return the kernels whose name matches a pattern, in some phases or in all."""
        found = re.compile(pattern).search
        return [kernel for kernel in self.kernels if kernel.phase in (phases or PHASES) and found(kernel.name)]

    def compute(self, *phases: str) -> list[Kernel]:
        """Return what runs on other streams than the transfers, in some phases or in all."""
        sending = {kernel.stream for kernel in self.named(TRANSFER)}
        return [kernel for kernel in self.named("", *phases) if kernel.stream not in sending]

    @property
    def span_ms(self) -> float:
        """From the first kernel's start to the last one's end."""
        return (max(kernel.end_us for kernel in self.kernels) - self.kernels[0].start_us) / 1e3


def chunk(layers: int) -> Architecture:
    """Return V3's layers with experts, without embedding and head.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 4.2.
    """
    attention = MultiHeadLatentAttention(128, 1536, 512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128)
    return Architecture(7168, 0, 0, layers, attention, GatedFeedForward(0), MixtureOfExperts(256, 1, TOP_K, 2048))


def read_trace(path: Path) -> Trace:
    """Return the kernels of a PyTorch profiler's trace, each with the phase that launched it.

    Raises:
        InputError: naming the file, if it is missing, no JSON, or no trace of a pair of V3's chunks.
    """
    data = read_json(path)
    try:
        events = [event for event in data["traceEvents"] if event.get("ph") == "X"]
        spans = [e for e in events if e["cat"] == "user_annotation" and e["name"] in PHASES]
        phases = _phase_by_launch(events, sorted((e["ts"], e["ts"] + e["dur"], e["name"]) for e in spans))
        on_gpu = [e for e in events if e["cat"] in ("kernel", "gpu_memcpy", "gpu_memset")]
        kernels = tuple(sorted((_kernel(event, phases) for event in on_gpu), key=lambda kernel: kernel.start_us))
        device, annotated = data["deviceProperties"][0], Counter(span["name"] for span in spans)
        trace = Trace(kernels, annotated["mlp(F)"], int(device["numSms"]), int(device["totalGlobalMem"]))
        _check(trace, annotated)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: not a PyTorch profiler's trace: {type(error).__name__}: {error}") from None
    return trace


def _phase_by_launch(events: Iterable[dict[str, Any]], spans: Sequence[tuple[float, float, str]]) -> dict[int, str]:
    """Return the phase of each launch by its correlation, the number that a launch and its kernel share."""
    starts, phases = [start for start, _, _ in spans], {}
    for event in events:
        if event["cat"] in ("cuda_runtime", "cuda_driver") and "correlation" in event["args"]:
            place = bisect_right(starts, event["ts"]) - 1
            if place >= 0 and event["ts"] < spans[place][1]:
                phases[event["args"]["correlation"]] = spans[place][2]
    return phases


def _kernel(event: dict[str, Any], phases: dict[int, str]) -> Kernel:
    name, args, start, duration = preview(event["name"]), event["args"], float(event["ts"]), float(event["dur"])
    if not (abs(start) < inf and 0 <= duration < inf) or (event["cat"] == "kernel" and duration == 0):
        raise InputError(f"kernel {name}: ts = {start}, dur = {duration}: must be finite, dur above 0")
    if args["correlation"] not in phases:
        raise InputError(f"kernel {name}: must be launched within one of: {', '.join(PHASES)}")
    blocks, phase = prod(args["grid"]) if "grid" in args else 0, phases[args["correlation"]]
    return Kernel(event["name"], phase, int(args["stream"]), start, start + duration, int(blocks))


def _check(trace: Trace, annotated: Counter[str]) -> None:
    """Raise InputError unless the trace has kernels, and in each phase as many of each kind as whole layers have."""
    if not trace.kernels:
        raise InputError("has no kernels, nothing that ran on a GPU")
    if {kernel.stream for kernel in trace.named(TRANSFER)} & {kernel.stream for kernel in trace.named(FP8_PRODUCT)}:
        raise InputError("computes on the stream of the transfers, which must have one of their own")
    if not trace.layers or {annotated[phase] for phase in PHASES} != {trace.layers}:
        raise InputError(f"must have each of these annotations once for each layer: {', '.join(PHASES)}")
    for pattern, counts in EXPECTED.items():
        for phase, count in counts.items():
            if (found := len(trace.named(pattern, phase))) != count * trace.layers:
                wanted = f"must be {count} in each of {trace.layers} layers"
                raise InputError(f"{found} kernels named like {pattern} in {phase}: {wanted}")


def busy_ms(*groups: Iterable[Kernel]) -> float:
    """Return the time in which at least one kernel of any group runs."""
    total_us, reached = 0.0, -inf
    for start, end in sorted((kernel.start_us, kernel.end_us) for group in groups for kernel in group):
        total_us += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total_us / 1e3


def hidden_share(sent: Sequence[Kernel], computing: Sequence[Kernel]) -> float:
    """Return the share of one group's busy time in which the other is busy too."""
    return (busy_ms(sent) + busy_ms(computing) - busy_ms(sent, computing)) / busy_ms(sent)


def summarize(trace: Trace) -> dict[str, float]:
    """Return every number that the trace of a pair gives, by a name that ends in its unit."""
    device = {"layers": trace.layers, "multiprocessors": trace.multiprocessors, "memory_bytes": trace.memory_bytes}
    return device | _overlap(trace) | _passes(trace) | _transfers(trace) | _rates(trace)


def _overlap(trace: Trace) -> dict[str, float]:
    sent, waiting, computing = trace.named(TRANSFER), trace.named(NOTIFY), trace.compute()
    casts = [kernel for kernel in computing if re.search(CAST, kernel.name)]
    return {
        "transfer_multiprocessors": max(kernel.blocks for kernel in sent),  # one block each
        "pair_ms": trace.span_ms,
        "compute_ms": busy_ms(computing),
        "compute_idle_ms": trace.span_ms - busy_ms(computing),
        "transfer_ms": busy_ms(sent),
        "notify_ms": busy_ms(waiting),
        "hidden_transfer_share": hidden_share(sent, computing),
        "hidden_transfer_and_notify_share": hidden_share([*sent, *waiting], computing),
        "cast_ms": busy_ms(casts),
        "cast_share": busy_ms(casts) / busy_ms(computing),
    }


def _passes(trace: Trace) -> dict[str, float]:
    """Return times of F, I and W (forward, and backward for inputs and for weights), and ratios of two kinds.

    In "compute" a pass is what its kernels compute; in "serial" its transfers are added, as if nothing overlapped.
    """
    f, i, w = (busy_ms(trace.compute(f"attn({letter})", f"mlp({letter})")) for letter in "FBW")
    sent_f, sent_b = (busy_ms(trace.named(TRANSFER, f"dispatch({x})", f"combine({x})")) for x in "FB")
    times = {"forward_ms": f, "input_ms": i, "weight_ms": w}
    times |= {"forward_transfer_ms": sent_f, "backward_transfer_ms": sent_b}
    for kind, forward, backward in (("compute", f, i + w), ("serial", f + sent_f, i + w + sent_b)):
        times |= {
            f"{kind}_backward_over_forward": backward / forward,
            f"{kind}_weight_over_forward": w / forward,
            f"{kind}_overlapped_over_forward": trace.span_ms / forward,
            f"{kind}_overlapped_over_both": trace.span_ms / (forward + backward),
        }
    return times


def _transfers(trace: Trace) -> dict[str, float]:
    d_model, result = chunk(1).d_model, dict[str, float]()
    sizes = {"dispatch": d_model + d_model / SCALED * SCALE_BYTES, "combine": d_model * BF16_BYTES}
    for name, copy_bytes in sizes.items():
        times = [(kernel.end_us - kernel.start_us) / 1e3 for kernel in trace.named(f"::{name}<")]
        result |= {f"{name}_{by.__name__}_ms": by(times) for by in (min, median, max)}
        rate = TOKENS * NODES_REACHED * copy_bytes / (median(times) / 1e3)
        result |= {f"{name}_bytes_per_s": rate, f"{name}_infiniband_bytes_per_s": rate * (1 - 1 / NODES)}
    return result


def _rates(trace: Trace) -> dict[str, float]:
    arch, rates = chunk(trace.layers), dict[str, float]()
    pair = TOKENS * counted_flop_per_token(arch, TOKENS, causal=True, mtp_counted=False)
    attention = TOKENS * attention_flop_per_token(arch, TOKENS, causal=True, mtp_counted=False)
    fp8_ms = busy_ms(trace.named(FP8_PRODUCT))
    for name, flop, ms, peak in (
        ("pair", pair, trace.span_ms, "bf16"),
        ("fp8_product", fp8_flop(trace), fp8_ms, "fp8"),
        ("attention_forward", attention * 1 / 3, busy_ms(trace.named(ATTENTION, "attn(F)")), "bf16"),
        ("attention_backward", attention * 2 / 3, busy_ms(trace.named(ATTENTION, "attn(B)")), "bf16"),
    ):
        rates[f"{name}_flop_per_s"] = flop / (ms / 1e3)
        rates[f"{name}_of_{peak}_peak_share"] = flop / (ms / 1e3) / PEAKS[peak]
    rows, even_rows = _routed_rows(trace, "mlp(F)", "mlp(B)"), 2 * trace.layers * TOKENS * TOP_K
    return rates | {"fp8_product_ms": fp8_ms, "routed_rows_over_even": rows / even_rows}


def fp8_flop(trace: Trace) -> float:
    """Return the FLOP of all FP8 products, with those computed again and the padding of experts' rows."""
    rows = [row for row in inventory(chunk(1)) if row.multiplied and row.part in ("attention", "shared experts")]
    passed = sum(prod(row.shape) * (4 if row.role in COMPUTED_AGAIN else 3) for row in rows)
    routed = _routed_rows(trace, "mlp(F)") + 2 * _routed_rows(trace, "mlp(B)")  # forward, for inputs, for weights
    return 2 * (trace.layers * TOKENS * passed + routed * expert_parameters(chunk(1)))


def _routed_rows(trace: Trace, *phases: str) -> int:
    return ROWS_PER_BLOCK * sum(kernel.blocks for kernel in trace.named(LINE_UP, *phases))


def unit(name: str) -> str:
    """Return the unit of a number, by the end of its name; what has none is a ratio."""
    return next((text for end, text in UNITS.items() if name.endswith(end)), "ratio")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the numbers of a trace, or one line on what is wrong with it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="overlap_trace", description="Measure the overlap in DeepSeek's trace.")
    parser.add_argument("trace", type=Path, metavar="FILE", help="train.json of github.com/deepseek-ai/profile-data")
    parser.add_argument("--json", action="store_true", help="print JSON")
    try:
        args = parser.parse_args(arguments)
        numbers = summarize(read_trace(args.trace))
    except InputError as error:
        print(f"overlap_trace: error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({name: {"value": value, "unit": unit(name)} for name, value in numbers.items()}, indent=2))
    else:
        print(*(f"{name:<36} {value:>12.6g} {unit(name)}" for name, value in numbers.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
