"""Parameters of a model, to the last one: in total, per token, and part by part."""

from dataclasses import dataclass

from repro.calc.architecture import Architecture

NORMS_PER_LAYER = 2
NORMS_PER_MTP_MODULE = 3  # of the hidden state, of the embedding, and before the head


@dataclass(frozen=True)
class Part:
    """One part of a model: all its parameters, and those that one token passes through.

    multiplied: of the latter, those that a matrix product multiplies with the token.
    """

    name: str
    total: int
    active: int
    multiplied: int


def parts(shape: Architecture) -> list[Part]:
    """Return the parts of the main model, which add up to it; a tied head has no parameters of its own.

    Args: shape: of the model.
    Returns: parts with counts in parameters.
    """
    d, table = shape.d_model, shape.vocabulary * shape.d_model
    attention, dense = shape.attention, shape.dense
    norms = (NORMS_PER_LAYER * shape.n_layers + 1) * d
    found = [
        Part("embedding", table, table, 0),
        _every_token(
            "attention",
            shape.n_layers * attention.parameters(d),
            shape.n_layers * attention.multiplied_parameters(d),
        ),
        _every_token(
            "dense feed-forward", shape.n_dense * dense.parameters(d), shape.n_dense * dense.multiplied_parameters(d)
        ),
        *moe_parts(shape, shape.n_moe),
        Part("norms", norms, norms, 0),
        Part("head", 0 if shape.tied else table, 0 if shape.tied else table, table),
    ]
    return [part for part in found if part.total or part.multiplied]


def moe_parts(shape: Architecture, n_layers: int) -> list[Part]:
    """Return gate, shared and routed experts of so many layers; none for a model without experts."""
    moe = shape.experts
    if moe is None:
        return []
    weights = n_layers * moe.n_routed * shape.d_model
    bias = n_layers * moe.n_routed * moe.correction_bias
    expert = n_layers * moe.expert.parameters(shape.d_model)
    shared = moe.n_shared * expert
    return [
        Part("gate", weights + bias, weights + bias, weights),
        Part("shared experts", shared, shared, shared),
        Part("routed experts", moe.n_routed * expert, moe.top_k * expert, moe.top_k * expert),
    ]


def mtp_parts(shape: Architecture) -> list[Part]:
    """Return the parts of all modules for multi-token prediction; embedding and head are the main model's.

    Args: shape: of the model. Each module is a projection of two vectors to one, a layer like the last of the main
        model, and three norms.
    Returns: parts with counts in parameters; the head is multiplied once more per module.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 2.2; README_WEIGHTS.md of its repository.
    """
    n, d = shape.n_mtp, shape.d_model
    if not n:
        return []
    attention, dense = shape.attention, shape.dense
    norms = n * (NORMS_PER_LAYER + NORMS_PER_MTP_MODULE) * d
    feed_forward = moe_parts(shape, n) or [
        _every_token("dense feed-forward", n * dense.parameters(d), n * dense.multiplied_parameters(d))
    ]
    return [
        _every_token("projection", n * 2 * d * d, n * 2 * d * d),
        _every_token("attention", n * attention.parameters(d), n * attention.multiplied_parameters(d)),
        *feed_forward,
        Part("norms", norms, norms, 0),
        Part("head of the main model", 0, 0, n * shape.vocabulary * d),
    ]


def total_parameters(shape: Architecture, *, mtp_counted: bool = False) -> int:
    """Return all parameters.

    Args: shape: of the model. mtp_counted: whether modules for multi-token prediction are, which papers leave out.
    """
    found = parts(shape) + (mtp_parts(shape) if mtp_counted else [])
    return sum(part.total for part in found)


def active_parameters(shape: Architecture, *, embedding_counted: bool, head_counted: bool = True) -> int:
    """Return the parameters of the main model that one token passes through, of the routed experts the chosen ones.

    Args: shape: of the model. embedding_counted: whether the embedding's table is, of which a token reads one row.
        head_counted: whether the head is. A tied table counts once, where either is counted.
    """
    left_out = set() if embedding_counted else {"embedding"}
    if shape.tied:
        left_out = set() if embedding_counted or head_counted else {"embedding"}
    elif not head_counted:
        left_out.add("head")
    return sum(part.active for part in parts(shape) if part.name not in left_out)


def _every_token(name: str, total: int, multiplied: int) -> Part:
    """Return a part that every token passes through whole."""
    return Part(name, total, total, multiplied)
