"""Idle time of pipeline schedules in closed form, and the bytes that expert parallelism sends."""

from repro.errors import InputError


def bubble_gpipe(ranks: int, forward: float, backward: float) -> float:
    """Return the idle time of one rank where all micro-batches run forward, then all backward, in the durations' unit.

    Args: ranks: pipeline stages. forward, backward: durations of one micro-batch on one rank, backward in full.
    Source: Narayanan et al. (arXiv 2104.04473), section 2.2.1; Huang et al. (arXiv 1811.06965), section 2.3.
    """
    return (ranks - 1) * (forward + backward)


def bubble_1f1b(ranks: int, forward: float, backward: float) -> float:
    """Return the idle time of one rank, one forward one backward, in the unit of the durations.

    Args: ranks: pipeline stages. forward, backward: durations of one micro-batch on one rank, backward in full.
    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2.
    """
    return (ranks - 1) * (forward + backward)


def bubble_interleaved(ranks: int, forward: float, backward: float, chunks: float) -> float:
    """Return the idle time of one rank that holds several stages of 1F1B, every so many ranks one.

    Args: forward, backward: of one micro-batch on one rank, all its stages together. chunks: stages of a rank.
    Raises: ZeroDivisionError where there are none.
    Source: Narayanan et al. (arXiv 2104.04473), section 2.2.2.
    """
    return (ranks - 1) * (forward + backward) / chunks


def bubble_zb1p(ranks: int, forward: float, backward: float, weight: float) -> float:
    """Return the idle time of one rank where the backward pass for weights fills gaps.

    Args: weight: duration of that part of the backward pass; the others as for 1F1B.
    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2.
    """
    return (ranks - 1) * (forward + backward - 2 * weight)


def bubble_dualpipe(ranks: int, backward: float, weight: float, overlapped: float) -> float:
    """Return the idle time of one rank of DualPipe.

    Args: ranks: even. overlapped: duration of a forward and a backward run together; the others as for ZB1P.
    Raises: InputError for an odd number of ranks.
    Source: DeepSeek-V3 report (arXiv 2412.19437), table 2.
    """
    if ranks % 2:
        raise InputError(f"pipeline_ranks = {ranks}: must be even for DualPipe")
    return (ranks / 2 - 1) * (overlapped + backward - 3 * weight)


def bubble_dualpipev(ranks: int, backward: float, weight: float, overlapped: float) -> float:
    """Return the idle time of one rank of DualPipeV, which has as many ranks as DualPipe's half of as many stages.

    Args: ranks: half the stages. The durations as for DualPipe, of one micro-batch on one stage.
    Source: README of deepseek-ai/DualPipe, which counts in stages.
    """
    return (ranks - 1) * (overlapped + backward - 3 * weight)


def expert_traffic_bytes(
    d_model: int, nodes: float, *, dispatch_bytes_per_element: float, combine_bytes_per_element: float
) -> float:
    """Return the bytes that one token sends between nodes in one layer, to its experts and back.

    Args: d_model: elements of a token's vector. nodes: that it is sent to, each once. dispatch_bytes_per_element: 1 for
        FP8. combine_bytes_per_element: 2 for BF16.
    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2.2 and 3.3.3.
    """
    return nodes * d_model * (dispatch_bytes_per_element + combine_bytes_per_element)


def experts_per_node(nvlink_bytes_per_s: float, infiniband_bytes_per_s: float) -> float:
    """Return how many experts of one node a token reaches over NVLink in the time of one transfer between nodes.

    Raises: ZeroDivisionError where the second rate is 0.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 3.2.2.
    """
    return nvlink_bytes_per_s / infiniband_bytes_per_s
