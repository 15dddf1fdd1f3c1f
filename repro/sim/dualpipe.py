"""DualPipe and DualPipeV: two streams of micro-batches on each rank, the forward of one beside the other's backward.

Both follow the same eight steps. In DualPipe the streams enter at the two ends, and each rank holds a stage for either;
in DualPipeV, DualPipe cut in half, the one stream is what the last rank returns of the other, as in a V.
"""

from collections import deque
from collections.abc import Callable

from repro.errors import InputError
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Kind, Pass, Schedule, Task

Place = Callable[[int, int], tuple[int, int]]  # micro-batch and stage, by stream and how many of it came before


def dualpipe(ranks: int, micro_batches: int) -> Schedule:
    """Return DualPipe: the second half of the micro-batches enters at the last rank.

    Raises: InputError for odd numbers, or fewer than two micro-batches per rank.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.1 and figure 5; deepseek-ai/DualPipe, dualpipe.py.
    """
    for name, value in {"ranks": ranks, "micro_batches": micro_batches}.items():
        if value % 2:
            raise InputError(f"{name} = {value}: must be even for DualPipe")
    _enough(micro_batches, ranks, "DualPipe")
    half = micro_batches // 2

    def order(rank: int) -> tuple[Task, ...]:
        mirrored = ranks - 1 - rank
        near = int(rank > mirrored)  # the direction of stream 0, that enters at the nearer end

        def place(stream: int, i: int) -> tuple[int, int]:
            return (half + i, mirrored) if stream != near else (i, rank)

        return dualpipe_rank_order(ranks // 2, min(rank, mirrored), half, place)

    return Schedule("DualPipe", micro_batches, ranks, tuple(map(order, range(ranks))), bidirectional=True)


def dualpipev(ranks: int, micro_batches: int) -> Schedule:
    """Return DualPipeV: each rank holds two of twice as many stages, one on the way there, one on the way back.

    Raises: InputError for fewer than two micro-batches per rank.
    Source: deepseek-ai/DualPipe, dualpipev.py.
    """
    _enough(micro_batches, ranks, "DualPipeV")

    def order(rank: int) -> tuple[Task, ...]:
        back = 2 * ranks - 1 - rank
        return dualpipe_rank_order(ranks, rank, micro_batches, lambda stream, i: (i, back if stream else rank))

    return Schedule("DualPipeV", micro_batches, 2 * ranks, tuple(map(order, range(ranks))))


def dualpipe_rank_order(depth: int, rank: int, micro_batches: int, place: Place) -> tuple[Task, ...]:
    """Return the order of one rank, in the eight steps of the published code.

    Args: depth: ranks from an end to the middle. rank: from 0 at the end. micro_batches: of each of the two streams,
        at least 2 * depth. place: which pass each is. Stream 0 comes from the end, 1 from the middle.
    Source: deepseek-ai/DualPipe, dualpipe.py and dualpipev.py, step.
    """
    work, inner, outer = _RankOrder(place), depth - rank - 1, rank + 1
    # Step 1: forward, of stream 0 alone.
    for _ in range(2 * inner):
        work.alone(FORWARD, 0)
    # Step 2: forward, of both in turn.
    for _ in range(outer):
        work.alone(FORWARD, 0)
        work.alone(FORWARD, 1)
    # Step 3: the first to come back, with its part for the weights where it would wait.
    for _ in range(inner):
        work.alone(INPUT, 1)
        work.weight()
        work.alone(FORWARD, 1)
    # Step 4: the main one, overlapped; but the middle rank begins one by one, so that its neighbour waits less.
    for i in range(micro_batches - 2 * depth + outer):
        if i == inner == 0:
            work.alone(FORWARD, 0)
            work.alone(BACKWARD, 1)
        else:
            work.overlapped(0, 1)
        work.overlapped(1, 0)
    # Step 5: stream 0 has no forward left.
    for _ in range(inner):
        work.alone(BACKWARD, 1)
        work.overlapped(1, 0)
    # Step 6: backward, of both in turn; in the second half only the part for the input.
    for i in range(2 * outer):
        work.alone(BACKWARD if i < outer else INPUT, 1 - i % 2)
    # Step 7: weights where the rank would wait.
    for _ in range(inner):
        work.weight()
        work.alone(INPUT, 0)
    # Step 8: the weights that are left.
    for _ in range(outer):
        work.weight()
    return tuple(work.order)


class _RankOrder:
    """The order of one rank as it grows: what is next of each stream, and the weight parts that are put off."""

    def __init__(self, place: Place) -> None:
        """Begin with nothing done."""
        self.order: list[Task] = []
        self._place, self._put_off = place, deque()
        self._forward, self._backward = [0, 0], [0, 0]

    def alone(self, kind: Kind, stream: int) -> None:
        """Add the next pass of a stream."""
        self.order.append((self._next(kind, stream),))

    def overlapped(self, forward: int, backward: int) -> None:
        """Add the next forward of one stream together with the next backward of the other."""
        self.order.append((self._next(FORWARD, forward), self._next(BACKWARD, backward)))

    def weight(self) -> None:
        """Add the weight part that has waited longest."""
        self.order.append((Pass(WEIGHT, *self._put_off.popleft()),))

    def _next(self, kind: Kind, stream: int) -> Pass:
        done = self._forward if kind == FORWARD else self._backward
        at = self._place(stream, done[stream])
        done[stream] += 1
        if kind == INPUT:
            self._put_off.append(at)
        return Pass(kind, *at)


def _enough(micro_batches: int, ranks: int, name: str) -> None:
    """Raise InputError where the pipeline is never full."""
    if micro_batches < 2 * ranks:
        raise InputError(f"micro_batches = {micro_batches}: must be at least {2 * ranks} for {name}, twice the ranks")
