"""Matrix products of a layer of DeepSeek-V3 on a Hopper GPU: FP8 with its casts against BF16, forward and backward.

Needs PyTorch with CUDA on an H100, H200 or H800; no other part of the project does. Run:

    python benchmarks/fp8_products.py --record benchmarks/recorded/fp8_products.json

Each of the layer's matrices is multiplied three times, as in training: for the output, for the gradient of its input,
and for its own gradient. In FP8 both operands have a scale for 128 elements (activations and gradients) or for 128 x
128 (weights). What is cast anew for each product is cast here: inputs, output gradients, and both once more along
tokens for the weight's gradient. Weights are cast once in a step and left out. The kernels are PyTorch's own, so this
asks what FP8 gains with ordinary kernels; DeepSeek's are faster. Medians over rounds in which the formats take turns.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

TOKENS, ROUNDS, REPEATS = 4096, 7, 5
FP8, LARGEST = torch.float8_e4m3fn, 448.0
# Rows, input and output width. A GPU holds 4 of 256 routed experts; on even choice each gets 4,096 x 64 x 8 / 256 rows.
SHAPES = {
    "q_a_proj": (TOKENS, 7168, 1536),
    "q_b_proj": (TOKENS, 1536, 24576),
    "kv_b_proj": (TOKENS, 512, 32768),
    "o_proj": (TOKENS, 16384, 7168),
    "shared expert, gate and up": (TOKENS, 7168, 4096),
    "shared expert, down": (TOKENS, 2048, 7168),
    "a routed expert, gate and up": (2 * TOKENS, 7168, 4096),
    "a routed expert, down": (2 * TOKENS, 2048, 7168),
}
COPIES = {name: 4 if name.startswith("a routed") else 1 for name in SHAPES}


@torch.compile
def cast_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x [M, K] in FP8 with a scale for each 128 elements of a row, [M, K / 128]."""
    tiles = x.view(x.shape[0], -1, 128).float()
    scale = tiles.abs().amax(-1, keepdim=True).clamp(min=1e-12) / LARGEST
    return (tiles / scale).to(FP8).view_as(x), scale.squeeze(-1)


@torch.compile
def cast_columns(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x [M, K] transposed, [K, M] in FP8, with a scale for each 128 elements along M, [K, M / 128]."""
    tiles = x.t().reshape(x.shape[1], -1, 128).float()
    scale = tiles.abs().amax(-1, keepdim=True).clamp(min=1e-12) / LARGEST
    return (tiles / scale).to(FP8).view(x.shape[1], x.shape[0]).contiguous(), scale.squeeze(-1)


def cast_weight(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return w [N, K] in FP8 with a scale for each block of 128 x 128, [N / 128, K / 128]."""
    blocks = w.view(w.shape[0] // 128, 128, w.shape[1] // 128, 128).float()
    scale = blocks.abs().amax((1, 3), keepdim=True) / LARGEST
    return (blocks / scale).to(FP8).view_as(w), scale[:, 0, :, 0]


def outer(scale: torch.Tensor) -> torch.Tensor:
    """Return scales with their rows next to each other in memory, as the kernel reads those of tiles."""
    return scale.t().contiguous().t()


def multiply(
    a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor], *, blocks: bool
) -> torch.Tensor:
    """Return a [M, K] times b [N, K] transposed; b has a scale for each block, or for each 128 of a row."""
    scale_b = b[1].t() if blocks else outer(b[1]).t()
    return torch._scaled_mm(a[0], b[0].t(), scale_a=outer(a[1]), scale_b=scale_b, out_dtype=torch.bfloat16)


def median_ms(work: Callable[[], object]) -> float:
    """Return the milliseconds of one call, the mean of a few between two events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(REPEATS):
        work()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / REPEATS


def works(m: int, k: int, n: int) -> dict[str, Callable[[], object]]:
    """Return what is timed of one matrix: the three products in BF16 and in FP8, and the casts of FP8."""
    x, w, d_y = (torch.randn(*shape, device="cuda", dtype=torch.bfloat16) for shape in ((m, k), (n, k), (m, n)))
    rows = [cast_rows(x), cast_rows(d_y)]
    columns = [cast_columns(x), cast_columns(d_y)]
    forward, backward = cast_weight(w), cast_weight(w.t().contiguous())
    return {
        "BF16": lambda: (x @ w.t(), d_y @ w, d_y.t() @ x),
        "FP8": lambda: (
            multiply(rows[0], forward, blocks=True),
            multiply(rows[1], backward, blocks=True),
            multiply(columns[1], columns[0], blocks=False),
        ),
        "casts": lambda: (cast_rows(x), cast_rows(d_y), cast_columns(x), cast_columns(d_y)),
    }


def error_of(m: int, k: int, n: int) -> float:
    """Return the relative error of the FP8 output against the product of the same numbers in BF16."""
    x, w = (torch.randn(*shape, device="cuda", dtype=torch.bfloat16) for shape in ((m, k), (n, k)))
    exact, rounded = x @ w.t(), multiply(cast_rows(x), cast_weight(w), blocks=True)
    return float((rounded - exact).float().norm() / exact.float().norm())


def measure() -> dict[str, object]:
    """Return the machine, and a row for each matrix and kind of work: median, least and most milliseconds."""
    rows: list[dict[str, object]] = []
    for name, (m, k, n) in SHAPES.items():
        todo = works(m, k, n)
        for work in todo.values():
            work()
        times: dict[str, list[float]] = {kind: [] for kind in todo}
        for _ in range(ROUNDS):
            for kind, work in todo.items():
                times[kind].append(median_ms(work))
        for kind, ms in times.items():
            spread = {"ms": statistics.median(ms), "least_ms": min(ms), "most_ms": max(ms)}
            rows.append({"case": name, "side": kind, "copies": COPIES[name], "flop": 6 * m * k * n, **spread})
    device, day = torch.cuda.get_device_name(), datetime.now(UTC).date().isoformat()
    machine = {"device": device, "torch": torch.__version__, "date": day}
    return {"machine": machine, "rows": rows, "error_of_a_product": error_of(*SHAPES["o_proj"])}


def layer_ms(rows: list[dict[str, object]], kind: str) -> float:
    """Return the milliseconds of one kind of work over the whole layer."""
    return sum(row["copies"] * row["ms"] for row in rows if row["side"] == kind)


def main() -> None:
    """Measure, print, and record where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the numbers as JSON")
    target = parser.parse_args().record
    measured = measure()
    layer = {kind: layer_ms(measured["rows"], kind) for kind in ("BF16", "FP8", "casts")}
    print(", ".join(f"{kind} {ms:.2f} ms" for kind, ms in layer.items()))
    alone, with_casts = (sum(layer[kind] for kind in kinds) / layer["BF16"] for kinds in (("FP8",), ("FP8", "casts")))
    print(f"FP8 over BF16: {alone:.3f}, with casts {with_casts:.3f}")
    if target:
        target.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
