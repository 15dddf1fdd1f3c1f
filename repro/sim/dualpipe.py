"""DualPipe and DualPipeV: each rank runs the forward of one stream of micro-batches beside another stream's backward.

The two do not wait for each other, so the transfers of one hide behind the computation of the other. In DualPipe the
streams enter at the two ends, and each rank holds a stage for either direction. DualPipeV is DualPipe cut in half: one
stream runs down the ranks and back up, as in a V, and its way back takes the place of the second stream.
"""

from collections import deque
from collections.abc import Callable

from repro.errors import InputError
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Kind, Pass, Schedule, Task

Place = Callable[[int, int], tuple[int, int]]  # stream, passes of it so far -> micro-batch, stage
Step = tuple[tuple[Kind, int], ...]  # of a task: kind and stream of its passes


def dualpipe(ranks: int, micro_batches: int) -> Schedule:
    """Return DualPipe: the second half of the micro-batches enters at the last rank.

    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.1 and figure 5; deepseek-ai/DualPipe, dualpipe.py.
    """
    for name, value in {"ranks": ranks, "micro_batches": micro_batches}.items():
        if value % 2:
            raise InputError(f"{name} = {value}: must be even for DualPipe")
    _check_fills(micro_batches, ranks, "DualPipe")
    half = micro_batches // 2

    def order(rank: int) -> tuple[Task, ...]:
        mirrored = ranks - 1 - rank
        near = int(rank > mirrored)  # direction of stream 0, which enters at the nearer end

        def place(stream: int, i: int) -> tuple[int, int]:
            return (half + i, mirrored) if stream != near else (i, rank)

        return dualpipe_rank_order(ranks // 2, min(rank, mirrored), half, place)

    return Schedule("DualPipe", micro_batches, ranks, tuple(map(order, range(ranks))), bidirectional=True)


def dualpipev(ranks: int, micro_batches: int) -> Schedule:
    """Return DualPipeV: each rank holds two of the 2 * ranks stages, one on the way down and one on the way back.

    Source: deepseek-ai/DualPipe, dualpipev.py.
    """
    _check_fills(micro_batches, ranks, "DualPipeV")

    def order(rank: int) -> tuple[Task, ...]:
        back = 2 * ranks - 1 - rank
        return dualpipe_rank_order(ranks, rank, micro_batches, lambda stream, i: (i, back if stream else rank))

    return Schedule("DualPipeV", micro_batches, 2 * ranks, tuple(map(order, range(ranks))))


def _check_fills(micro_batches: int, ranks: int, name: str) -> None:
    if micro_batches < 2 * ranks:
        raise InputError(f"micro_batches = {micro_batches}: must be at least {2 * ranks} for {name}, twice the ranks")


def dualpipe_rank_order(depth: int, rank: int, micro_batches: int, place: Place) -> tuple[Task, ...]:
    """Return the order of one rank, counted from 0 at an end, in the eight steps of the published code.

    Stream 0 comes from the end, 1 from the middle, `depth` ranks away, each of at least 2 * depth micro-batches.

    Source: deepseek-ai/DualPipe, dualpipe.py and dualpipev.py, step.
    """
    inner, outer = depth - rank - 1, rank + 1
    (f0, f1), (b0, b1), (i0, i1) = _by_stream(FORWARD), _by_stream(BACKWARD), _by_stream(INPUT)
    w: Step = ((WEIGHT, 0),)  # always the oldest deferred one, so the stream is ignored
    overlapped: list[Step] = [f0 + b1, f1 + b0] * (micro_batches - 2 * depth + outer)
    if inner == 0:  # the middle rank runs its first pair apart, so that its neighbour waits less
        overlapped[:1] = [f0, b1]
    plan: list[Step] = [
        *[f0] * (2 * inner),  # 1: forwards of stream 0
        *[f0, f1] * outer,  # 2: forwards of both streams in turn
        *[i1, w, f1] * inner,  # 3: backwards of stream 1, split; weight gradients fill the waits
        *overlapped,  # 4: the main step
        *[b1, f1 + b0] * inner,  # 5: stream 0 has no forward left
        *([b1, b0] * outer)[:outer],  # 6: backwards of both streams in turn,
        *([i1, i0] * outer)[outer:],  # in the second half their input gradients alone
        *[w, i0] * inner,  # 7: deferred weight gradients fill the waits
        *[w] * outer,  # 8: the weight gradients that are left
    ]
    forwards, backwards = [0, 0], [0, 0]  # passes so far, by stream
    deferred: deque[tuple[int, int]] = deque()

    def next_pass(kind: Kind, stream: int) -> Pass:
        if kind == WEIGHT:
            return Pass(WEIGHT, *deferred.popleft())
        passes = forwards if kind == FORWARD else backwards
        micro_batch, stage = place(stream, passes[stream])
        passes[stream] += 1
        if kind == INPUT:
            deferred.append((micro_batch, stage))
        return Pass(kind, micro_batch, stage)

    return tuple(tuple(next_pass(*each) for each in task) for task in plan)


def _by_stream(kind: Kind) -> tuple[Step, Step]:
    return ((kind, 0),), ((kind, 1),)
