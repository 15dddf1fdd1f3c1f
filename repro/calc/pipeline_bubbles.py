"""How long one pipeline rank idles in a step, in closed form, for each schedule.

Args of all: `ranks` of the pipeline; durations of one micro-batch on one rank in any unit, that of the result:
`forward`, `backward` in full, `weight` for the backward's part for the weights, and `overlapped` for a forward and a
backward run together.

Source: DeepSeek-V3 report (arXiv 2412.19437), table 2, unless a function names its own.
"""

from repro.errors import InputError


def bubble_1f1b(ranks: int, forward: float, backward: float) -> float:
    """Return the bubble of one forward one backward, which is GPipe's too: that schedule only keeps more activations.

    Source: table 2; for GPipe Narayanan et al. (arXiv 2104.04473), section 2.2.1, and Huang et al. (arXiv
        1811.06965), section 2.3.
    """
    return (ranks - 1) * (forward + backward)


def bubble_interleaved(ranks: int, forward: float, backward: float, chunks: float) -> float:
    """Return the bubble of interleaved 1F1B with `chunks` stages per rank, whose durations are all of them together.

    Source: Narayanan et al. (arXiv 2104.04473), section 2.2.2.
    """
    return (ranks - 1) * (forward + backward) / chunks


def bubble_zb1p(ranks: int, forward: float, backward: float, weight: float) -> float:
    """Return the bubble of ZB1P, where the backward pass for weights fills gaps."""
    return (ranks - 1) * (forward + backward - 2 * weight)


def bubble_dualpipe(ranks: int, backward: float, weight: float, overlapped: float) -> float:
    """Return the bubble of DualPipe; refuses an odd number of ranks."""
    if ranks % 2:
        raise InputError(f"pipeline_ranks = {ranks}: must be even for DualPipe")
    return (ranks / 2 - 1) * (overlapped + backward - 3 * weight)


def bubble_dualpipev(ranks: int, backward: float, weight: float, overlapped: float) -> float:
    """Return the bubble of DualPipeV, which folds 2 · ranks stages onto the ranks; durations are of one stage.

    Source: README of deepseek-ai/DualPipe, which counts in stages.
    """
    return (ranks - 1) * (overlapped + backward - 3 * weight)
