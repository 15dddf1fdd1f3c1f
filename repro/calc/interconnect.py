"""Bytes that expert parallelism sends between nodes."""


def expert_traffic_bytes(
    d_model: int, nodes: float, *, dispatch_bytes_per_element: float, combine_bytes_per_element: float
) -> float:
    """Return the bytes that one token sends in one layer, once to each node with experts of its own, and back.

    Source: DeepSeek-V3 report (arXiv 2412.19437), sections 3.2.2 and 3.3.3: dispatch in FP8, combine in BF16.
    """
    return nodes * d_model * (dispatch_bytes_per_element + combine_bytes_per_element)
