"""The numpy model's speed and memory beside PyTorch's, and beside what the machine allows.

Every measurement is a process of its own, so that its threads and its memory are its own; a case's processes run in
turn, round by round, and ratios are taken within a round. PyTorch and transformers are the optional peer: they are used
where `make .venv-oracles/.installed` has put them. With --record FILE the medians are written beside the machine's
name, as the notebooks read them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / ".venv-oracles" / "bin" / "python"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
ROUNDS = 3
BASE = {"tokens": 4096, "experts": 64}
CONTEXTS = (1024, 2048, 4096, 8192)


def cases() -> list[tuple[str, dict, list[str]]]:
    """Return name, sizes and sides of each case; the first side of a case is what the others are compared with."""
    both = ["numpy", "torch eager", "torch grouped"]
    moe = [("experts forward", BASE, both), ("experts forward and backward", BASE, both)]
    moe += [("experts forward", BASE | {"tokens": tokens}, ["numpy"]) for tokens in (1024, 16384)]
    moe += [("experts forward", BASE | {"experts": experts}, ["numpy"]) for experts in (16, 256)]
    moe += [("dense forward", {"tokens": 4096, "d_ff": d_ff}, ["numpy"]) for d_ff in (1536, 16384)]
    decode = []
    for context in CONTEXTS:
        for kind in ("MHA", "GQA", "MLA absorbed", "MLA expanded"):
            sides = ["numpy"]
            if context == 4096 and kind == "MLA absorbed":  # the library expands always: absorbed by hand too
                sides += ["torch eager", "torch absorbed"]
            elif context == 4096 and kind == "MLA expanded":
                sides += ["torch eager"]
            decode.append((f"decode {kind}", {"context": context, "batch": 8}, sides))
    training = [("training step", {"tokens": 512}, both)]
    limits = [("matrix product 2048", {}, ["numpy", "torch eager"]), ("memory read", {}, ["numpy"])]
    return limits + moe + decode + training


def run(name: str, sizes: dict, side: str) -> dict:
    """Measure one side of one case in its own process: seconds of each repetition, peak bytes, work done."""
    own = side == "numpy"
    # Experts and rows are shared among threads of our own; products of the small model are too small to share.
    blas = 1 if own and name.startswith(("experts", "dense", "training")) else CORES
    threads = {key: str(blas) for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable if own else str(PEER), str(HERE / ("nano_numpy.py" if own else "nano_torch.py"))]
    request = json.dumps({"name": name, "side": side, "workers": CORES, **sizes})
    done = subprocess.run([*command, request], env={**os.environ, **threads}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name}, {side}: failed\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, sizes: dict, sides: list[str], count: int) -> list[dict]:
    """Return one row per side: median seconds over rounds, peak bytes, and the ratio of times to the first side's."""
    rounds = [{side: run(name, sizes, side) for side in sides} for _ in range(count)]
    rows = []
    for side in sides:
        medians = [statistics.median(one[side]["seconds"]) for one in rounds]
        ratios = [
            taken / statistics.median(one[sides[0]]["seconds"]) for taken, one in zip(medians, rounds, strict=True)
        ]
        found = rounds[0][side]
        rows.append({
            "case": name, **sizes, "side": side, "seconds": statistics.median(medians), "slowest": max(medians),
            "peak_bytes": found["peak_bytes"], "flop": found.get("flop"), "bytes": found.get("bytes"),
            "ratio": statistics.median(ratios),
        })  # fmt: skip
    return rows


def show(row: dict, limits: dict[str, float]) -> None:
    """Print one row, with its share of what the machine allows where it does products or reads memory."""
    sizes = ", ".join(f"{key} {row[key]}" for key in ("tokens", "experts", "d_ff", "context", "batch") if key in row)
    share = ""
    if row["flop"] and "FLOP/s" in limits:
        share = f"{row['flop'] / row['seconds'] / limits['FLOP/s']:.2f} of the matmul rate"
    if row["bytes"] and "bytes/s" in limits:
        share = f"{row['bytes'] / row['seconds'] / limits['bytes/s']:.2f} of the memory's rate"
    print(
        f"{row['case']:<29}{sizes:<27}{row['side']:<14}{row['seconds'] * 1e3:>9.1f} ms {row['ratio']:>7.2f} x"
        f"{row['peak_bytes'] / 1e6:>8.0f} MB  {share}".rstrip(), flush=True,
    )  # fmt: skip


def machine() -> dict[str, str]:
    """Return what a reader needs to know of the machine; no name of its own."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    import numpy

    return {
        "date": date.today().isoformat(),
        "processor": model,
        "cores": str(CORES),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
    }


def main() -> None:
    """Measure every case; sides that cannot run here are left out, and said to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the medians as JSON")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this, and the limits")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="processes per side of a case")
    arguments = parser.parse_args()
    peer = (PEER.parent.parent / ".installed").exists()
    if not peer:
        print("no PyTorch beside: make .venv-oracles/.installed adds the peer's columns")
    print(f"{'case':<70}{'median':>12} {'to numpy':>9}{'peak':>11}")
    rows, limits = [], {}
    for name, sizes, sides in cases():
        if arguments.only not in name and name not in ("matrix product 2048", "memory read"):
            continue
        for row in measure(name, sizes, [side for side in sides if peer or side == "numpy"], arguments.rounds):
            if row["side"] == "numpy" and row["case"] == "matrix product 2048":
                limits["FLOP/s"] = row["flop"] / row["seconds"]
            if row["case"] == "memory read":
                limits["bytes/s"] = row["bytes"] / row["seconds"]
            show(row, limits)
            rows.append(row)
    if arguments.record:
        arguments.record.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
