"""The numpy model's speed and memory beside PyTorch's, and beside what the machine allows.

Every measurement is a process of its own, so that its threads and its memory are its own; a case's processes run in
turn, round by round, the limit among them, and ratios are taken within a round. PyTorch and transformers are the
optional peer: they are used where `make .venv-oracles/.installed` has put them. With --record FILE the medians are
written beside the machine's name, as the notebooks read them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from repro.machine import available_cores, describe_machine

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / ".venv-oracles" / "bin" / "python"
CORES = available_cores()
ROUNDS = 3
BASE = {"tokens": 4096, "experts": 64}
CONTEXTS = (1024, 2048, 4096, 8192)
MATMUL, MEMORY = "matrix product 2048", "memory read"  # the limits


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
    training = [("training step", {"tokens": 512}, both), ("training step in FP8", {"tokens": 512}, ["numpy"])]
    eight_bits = [
        ("quantise 2048 x 4096", {}, ["numpy", "torch eager"]),
        ("sums of 14 bits, 256 x 4096 x 256", {}, ["numpy"]),
    ]
    limits = [(MATMUL, {}, ["numpy", "torch eager"]), (MEMORY, {}, ["numpy"])]
    return limits + moe + decode + training + eight_bits


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


def limit_of(found: dict) -> tuple[str, str] | None:
    """Return what bounds a case and the count that it goes with: a matrix product's rate, or the memory's."""
    if found.get("flop"):
        return MATMUL, "flop"
    return (MEMORY, "bytes") if found.get("bytes") else None


def measure(name: str, sizes: dict, sides: list[str], count: int) -> list[dict]:
    """Return one row per side: median seconds over rounds, peak bytes, ratio to the first side, share of the limit.

    Machines change speed from minute to minute: ratios and shares are taken within a round, and their median is kept.
    """
    rounds = []
    for _ in range(count):
        one = {side: run(name, sizes, side) for side in sides}
        bound = limit_of(one[sides[0]]) if name not in (MATMUL, MEMORY) else None
        if bound:
            limit = run(bound[0], {}, "numpy")
            one["rate"] = limit[bound[1]] / statistics.median(limit["seconds"])
        rounds.append(one)
    return [row_of(name, sizes, side, sides[0], rounds) for side in sides]


def row_of(name: str, sizes: dict, side: str, first: str, rounds: list[dict]) -> dict:
    """Return what is recorded of one side over all rounds."""
    seconds = [statistics.median(one[side]["seconds"]) for one in rounds]
    ratios = [own / statistics.median(one[first]["seconds"]) for own, one in zip(seconds, rounds, strict=True)]
    found, row = rounds[0][side], {"case": name, **sizes, "side": side}
    row |= {"seconds": statistics.median(seconds), "slowest": max(seconds), "ratio": statistics.median(ratios)}
    row |= {"peak_bytes": found["peak_bytes"], "flop": found.get("flop"), "bytes": found.get("bytes")}
    if bound := limit_of(found) if "rate" in rounds[0] else None:
        shares = [found[bound[1]] / own / one["rate"] for own, one in zip(seconds, rounds, strict=True)]
        row |= {"share": statistics.median(shares), "share_of": bound[0]}
    return row


def show(row: dict) -> None:
    """Print one row, with its share of what the machine allows where it does products or reads memory."""
    sizes = ", ".join(f"{key} {row[key]}" for key in ("tokens", "experts", "d_ff", "context", "batch") if key in row)
    share = f"{row['share']:.2f} of {row['share_of']}" if "share" in row else ""
    print(
        f"{row['case']:<29}{sizes:<27}{row['side']:<15}{row['seconds'] * 1e3:>9.1f} ms {row['ratio']:>7.2f} x"
        f"{row['peak_bytes'] / 1e6:>8.0f} MB  {share}".rstrip(), flush=True,
    )  # fmt: skip


def main() -> None:
    """Measure every case; sides that cannot run here are left out, and said to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the medians as JSON")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="processes per side of a case")
    arguments = parser.parse_args()
    peer = (PEER.parent.parent / ".installed").exists()
    if not peer:
        print("no PyTorch beside: make .venv-oracles/.installed adds the peer's columns")
    print(f"{'case':<71}{'median':>12} {'to numpy':>9}{'peak':>11}")
    rows = []
    for name, sizes, sides in cases():
        if arguments.only in name:
            for row in measure(name, sizes, [side for side in sides if peer or side == "numpy"], arguments.rounds):
                show(row)
                rows.append(row)
    if arguments.record:
        arguments.record.write_text(
            json.dumps({"machine": describe_machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
