"""Published pipeline schedules by name: in what order each rank works through the micro-batches of a step."""

from collections.abc import Callable, Iterable

from repro.errors import InputError, unknown_name
from repro.sim.dualpipe import dualpipe, dualpipev
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Kind, Pass, Schedule, Task
from repro.validate import check_integer

LARGEST = 1_000_000  # stages times micro-batches, which take half a minute and 2 GB


def schedule(name: str, *, ranks: int, micro_batches: int, chunks: int | None = None) -> Schedule:
    """Return a published schedule.

    Args: name: one of SCHEDULES. ranks: of the pipeline. micro_batches: of a step, from both ends together. chunks:
        stages of one rank in the interleaved schedule, 2 by default; a stage is then 1 / chunks of a rank's layers, and
        takes as much less time.
    Raises: InputError for an unknown name, and for sizes that the schedule is not defined for.
    """
    if not isinstance(name, str) or name not in SCHEDULES:
        raise unknown_name("schedule", str(name), SCHEDULES)
    check_integer("ranks", ranks)
    check_integer("micro_batches", micro_batches)
    if chunks is not None:
        check_integer("chunks", chunks, least=2)
        if name != "interleaved":
            raise InputError(f"chunks = {chunks}: must be left out for {name}, as only interleaved has them")
    stages = ranks * {"interleaved": chunks or 2, "DualPipeV": 2}.get(name, 1)
    if stages * micro_batches > LARGEST:
        many = f"{stages} stages times {micro_batches} micro-batches"
        raise InputError(f"{many} are {stages * micro_batches}: must be at most {LARGEST}")
    sizes = {"ranks": int(ranks), "micro_batches": int(micro_batches)}
    return SCHEDULES[name](**sizes, **({"chunks": int(chunks or 2)} if name == "interleaved" else {}))


def gpipe(ranks: int, micro_batches: int) -> Schedule:
    """Return the schedule that runs all micro-batches forward, then all backward, the last one first.

    Source: Huang et al. (arXiv 1811.06965), figure 2, here without recomputation.
    """
    orders = (
        [_one(FORWARD, i, rank) for i in range(micro_batches)]
        + [_one(BACKWARD, i, rank) for i in reversed(range(micro_batches))]
        for rank in range(ranks)
    )
    return _schedule("GPipe", micro_batches, ranks, orders)


def one_f_one_b(ranks: int, micro_batches: int) -> Schedule:
    """Return the schedule that runs backward as soon as it can, one forward and one backward in turn.

    Source: Narayanan et al. (arXiv 2104.04473), section 2.2.1.
    """
    orders = (
        _in_turn(
            [_one(FORWARD, i, rank) for i in range(micro_batches)],
            [[_one(BACKWARD, i, rank)] for i in range(micro_batches)],
            ahead=ranks - 1 - rank,
        )
        for rank in range(ranks)
    )
    return _schedule("1F1B", micro_batches, ranks, orders)


def interleaved(ranks: int, micro_batches: int, chunks: int) -> Schedule:
    """Return 1F1B where each rank holds several stages, every so many ranks one, and turns to the next in groups.

    Raises: InputError where micro-batches are no multiple of ranks, the size of a group.
    Source: Narayanan et al. (arXiv 2104.04473), section 2.2.2, in the order of the Megatron-LM code.
    """
    if micro_batches % ranks:
        raise InputError(f"micro_batches = {micro_batches}: must be a multiple of ranks = {ranks} where interleaved")
    visits = [  # of a rank: each group of micro-batches passes one of its stages after the other
        (chunk, group + i) for group in range(0, micro_batches, ranks) for chunk in range(chunks) for i in range(ranks)
    ]
    orders = (
        _in_turn(
            [_one(FORWARD, i, chunk * ranks + rank) for chunk, i in visits],
            [[_one(BACKWARD, i, (chunks - 1 - chunk) * ranks + rank)] for chunk, i in visits],
            ahead=2 * (ranks - 1 - rank) + (chunks - 1) * ranks,
        )
        for rank in range(ranks)
    )
    return _schedule("interleaved", micro_batches, ranks * chunks, orders)


def zb1p(ranks: int, micro_batches: int) -> Schedule:
    """Return 1F1B where only the part for the input runs at once, and that for the weights later the later the rank.

    A rank puts off as many weight parts as its number says, so that all hold activations of equally many micro-batches.
    Source: Qi et al. (arXiv 2401.10241), section 2.1, ZB-H1, which the V3 report calls ZB1P.
    """

    def backward(i: int, rank: int) -> list[Task]:
        return [_one(INPUT, i, rank)] + ([_one(WEIGHT, i - rank, rank)] if i >= rank else [])

    orders = (
        _in_turn(
            [_one(FORWARD, i, rank) for i in range(micro_batches)],
            [backward(i, rank) for i in range(micro_batches)],
            ahead=ranks - 1 - rank,
        )
        + [_one(WEIGHT, i, rank) for i in range(max(micro_batches - rank, 0), micro_batches)]
        for rank in range(ranks)
    )
    return _schedule("ZB1P", micro_batches, ranks, orders)


def _in_turn(forward: list[Task], backward: list[list[Task]], *, ahead: int) -> list[Task]:
    """Return so many forwards ahead, then a forward and a backward in turn, then the backwards that are left."""
    ahead = min(ahead, len(forward))
    order = forward[:ahead]
    for i, tasks in enumerate(backward):
        order += forward[ahead + i : ahead + i + 1] + tasks
    return order


def _one(kind: Kind, micro_batch: int, stage: int) -> Task:
    """Return the task of a single pass."""
    return (Pass(kind, micro_batch, stage),)


def _schedule(name: str, micro_batches: int, stages: int, orders: Iterable[list[Task]]) -> Schedule:
    """Return a schedule of tasks that are given rank by rank."""
    return Schedule(name, micro_batches, stages, tuple(tuple(order) for order in orders))


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "GPipe": gpipe,
    "1F1B": one_f_one_b,
    "interleaved": interleaved,
    "ZB1P": zb1p,
    "DualPipe": dualpipe,
    "DualPipeV": dualpipev,
}
