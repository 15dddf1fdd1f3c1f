"""Published pipeline schedules by name: the order in which each rank works through a step's micro-batches.

Ranks idle while the pipeline fills with forwards and drains of backwards. GPipe runs all forwards first, and so holds
the activations of every micro-batch. 1F1B starts backwards as soon as it can, and holds no more than there are ranks.
Interleaving gives each rank several short stages, so that the pipeline fills sooner. Zero-bubble schedules defer
weight gradients into the gaps. DualPipe feeds the pipeline from both ends.
"""

from collections.abc import Callable, Iterable, Sequence

from repro.errors import InputError, unknown_name
from repro.sim.dualpipe import dualpipe, dualpipev
from repro.sim.tasks import BACKWARD, FORWARD, INPUT, WEIGHT, Kind, Pass, Schedule, Task
from repro.validate import check_integer

LARGEST = 1_000_000  # stages times micro-batches, which take half a minute and 2 GB


def schedule(name: str, *, ranks: int, micro_batches: int, chunks: int | None = None) -> Schedule:
    """Return one of SCHEDULES, or raise InputError for an unknown name, or sizes that it is not defined for.

    Micro-batches are those of a step, from both ends together; chunks are the stages per rank of the interleaved
    schedule, 2 by default, each of 1 / chunks of a rank's layers and of the time.
    """
    if not isinstance(name, str) or name not in SCHEDULES:
        raise unknown_name("schedule", str(name), SCHEDULES)
    check_integer("ranks", ranks)
    check_integer("micro_batches", micro_batches)
    if chunks is not None:
        check_integer("chunks", chunks, least=2)
        if name != "interleaved":
            raise InputError(f"chunks = {chunks}: must be left out for {name}; only interleaved has chunks")
    stages = ranks * {"interleaved": chunks or 2, "DualPipeV": 2}.get(name, 1)
    if stages * micro_batches > LARGEST:
        product = f"{stages} stages times {micro_batches} micro-batches = {stages * micro_batches}"
        raise InputError(f"{product}: must be at most {LARGEST}")
    sizes = {"ranks": int(ranks), "micro_batches": int(micro_batches)}
    return SCHEDULES[name](**sizes, **({"chunks": int(chunks or 2)} if name == "interleaved" else {}))


def gpipe(ranks: int, micro_batches: int) -> Schedule:
    """Return GPipe: all micro-batches forward, then all backward, the last one first.

    Source: Huang et al. (arXiv 1811.06965), figure 2, here without recomputation.
    """
    indices = range(micro_batches)
    orders = tuple(_tasks(FORWARD, indices, rank) + _tasks(BACKWARD, indices[::-1], rank) for rank in range(ranks))
    return Schedule("GPipe", micro_batches, ranks, orders)


def one_f_one_b(ranks: int, micro_batches: int) -> Schedule:
    """Return 1F1B: each backward runs as soon as it can, one forward and one backward in turn.

    Source: Narayanan et al. (arXiv 2104.04473), section 2.2.1.
    """
    indices = range(micro_batches)

    def order(rank: int) -> tuple[Task, ...]:
        backwards = [_tasks(BACKWARD, [i], rank) for i in indices]
        return _alternate(_tasks(FORWARD, indices, rank), backwards, warmup=ranks - 1 - rank)

    return Schedule("1F1B", micro_batches, ranks, tuple(map(order, range(ranks))))


def interleaved_1f1b(ranks: int, micro_batches: int, chunks: int) -> Schedule:
    """Return interleaved 1F1B: rank r holds stages r, r + ranks, ..., and changes stage every `ranks` micro-batches.

    Source: Narayanan et al. (arXiv 2104.04473), section 2.2.2, in the order of the Megatron-LM code.
    """
    if micro_batches % ranks:
        must = f"must be a multiple of ranks = {ranks} for the interleaved schedule"
        raise InputError(f"micro_batches = {micro_batches}: {must}")
    visits = [  # of a rank: each group of micro-batches passes its stages one after another
        (chunk, group + i) for group in range(0, micro_batches, ranks) for chunk in range(chunks) for i in range(ranks)
    ]

    def order(rank: int) -> tuple[Task, ...]:
        forwards = [(Pass(FORWARD, i, chunk * ranks + rank),) for chunk, i in visits]
        backwards = [_tasks(BACKWARD, [i], (chunks - 1 - chunk) * ranks + rank) for chunk, i in visits]
        return _alternate(forwards, backwards, warmup=2 * (ranks - 1 - rank) + (chunks - 1) * ranks)

    return Schedule("interleaved", micro_batches, ranks * chunks, tuple(map(order, range(ranks))))


def zb_h1(ranks: int, micro_batches: int) -> Schedule:
    """Return ZB-H1: 1F1B with a split backward; input gradients run at once, rank r defers r weight gradients.

    The deferral lets every rank hold the activations of equally many micro-batches.

    Source: Qi et al. (arXiv 2401.10241), section 2.1; the V3 report calls it ZB1P.
    """
    indices = range(micro_batches)

    def order(rank: int) -> tuple[Task, ...]:
        inputs, weights = _tasks(INPUT, indices, rank), _tasks(WEIGHT, indices, rank)
        backwards = [[task] for task in inputs[:rank]] + [[*pair] for pair in zip(inputs[rank:], weights, strict=False)]
        tasks = _alternate(_tasks(FORWARD, indices, rank), backwards, warmup=ranks - 1 - rank)
        return tasks + weights[max(micro_batches - rank, 0) :]

    return Schedule("ZB1P", micro_batches, ranks, tuple(map(order, range(ranks))))


def _alternate(forwards: Sequence[Task], backwards: Iterable[Iterable[Task]], *, warmup: int) -> tuple[Task, ...]:
    """Return `warmup` forwards, then forwards and backwards in turn, then the backwards that are left."""
    order = [*forwards[:warmup]]
    for i, backward in enumerate(backwards, start=warmup):
        order += [*forwards[i : i + 1], *backward]
    return tuple(order)


def _tasks(kind: Kind, micro_batches: Iterable[int], stage: int) -> tuple[Task, ...]:
    return tuple((Pass(kind, i, stage),) for i in micro_batches)


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "GPipe": gpipe, "1F1B": one_f_one_b, "interleaved": interleaved_1f1b, "ZB1P": zb_h1, "DualPipe": dualpipe,
    "DualPipeV": dualpipev,
}  # fmt: skip
