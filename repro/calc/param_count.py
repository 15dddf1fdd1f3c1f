"""Parameters of a model, to the last one: in total, per token, and part by part."""

from dataclasses import dataclass

from repro.models.architecture import Architecture

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


def parts(arch: Architecture) -> list[Part]:
    """Return the parts of the main model, which add up to it; a tied head has no parameters of its own.

    Args: arch: of the model.
    Returns: parts with counts in parameters.
    """
    d, table = arch.d_model, arch.vocab_size * arch.d_model
    attention, dense = arch.attention, arch.dense
    norms = (NORMS_PER_LAYER * arch.n_layers + 1) * d
    found = [
        Part("embedding", table, table, 0),
        _every_token(
            "attention",
            arch.n_layers * attention.parameters(d),
            arch.n_layers * attention.matmul_parameters(d),
        ),
        _every_token(
            "dense feed-forward",
            arch.n_dense_layers * dense.parameters(d),
            arch.n_dense_layers * dense.matmul_parameters(d),
        ),
        *moe_parts(arch, arch.n_moe_layers),
        Part("norms", norms, norms, 0),
        Part("head", 0 if arch.tied_embeddings else table, 0 if arch.tied_embeddings else table, table),
    ]
    return [part for part in found if part.total or part.multiplied]


def moe_parts(arch: Architecture, n_layers: int) -> list[Part]:
    """Return gate, shared and routed experts of so many layers; none for a model without experts."""
    moe = arch.experts
    if moe is None:
        return []
    weights = n_layers * moe.n_routed_experts * arch.d_model
    bias = n_layers * moe.n_routed_experts * moe.correction_bias
    expert = n_layers * moe.expert.parameters(arch.d_model)
    shared = moe.n_shared_experts * expert
    return [
        Part("gate", weights + bias, weights + bias, weights),
        Part("shared experts", shared, shared, shared),
        Part("routed experts", moe.n_routed_experts * expert, moe.top_k * expert, moe.top_k * expert),
    ]


def mtp_parts(arch: Architecture) -> list[Part]:
    """Return the parts of all modules for multi-token prediction; embedding and head are the main model's.

    Args: arch: of the model. Each module is a projection of two vectors to one, a layer like the last of the main
        model, and three norms.
    Returns: parts with counts in parameters; the head is multiplied once more per module.
    Source: DeepSeek-V3 report (arXiv 2412.19437), section 2.2; README_WEIGHTS.md of its repository.
    """
    n, d = arch.n_mtp_modules, arch.d_model
    if not n:
        return []
    attention, dense = arch.attention, arch.dense
    norms = n * (NORMS_PER_LAYER + NORMS_PER_MTP_MODULE) * d
    feed_forward = moe_parts(arch, n) or [
        _every_token("dense feed-forward", n * dense.parameters(d), n * dense.matmul_parameters(d))
    ]
    return [
        _every_token("projection", n * 2 * d * d, n * 2 * d * d),
        _every_token("attention", n * attention.parameters(d), n * attention.matmul_parameters(d)),
        *feed_forward,
        Part("norms", norms, norms, 0),
        Part("head of the main model", 0, 0, n * arch.vocab_size * d),
    ]


def total_parameters(arch: Architecture, *, mtp_counted: bool = False) -> int:
    """Return all parameters.

    Args: arch: of the model. mtp_counted: whether modules for multi-token prediction are, which papers leave out.
    """
    found = parts(arch) + (mtp_parts(arch) if mtp_counted else [])
    return sum(part.total for part in found)


def active_parameters(arch: Architecture, *, embedding_counted: bool, head_counted: bool = True) -> int:
    """Return the parameters of the main model that one token passes through, of the routed experts the chosen ones.

    Args: arch: of the model. embedding_counted: whether the embedding's table is, of which a token reads one row.
        head_counted: whether the head is. A tied table counts once, where either is counted.
    """
    left_out = set() if embedding_counted else {"embedding"}
    if arch.tied_embeddings:
        left_out = set() if embedding_counted or head_counted else {"embedding"}
    elif not head_counted:
        left_out.add("head")
    return sum(part.active for part in parts(arch) if part.name not in left_out)


def _every_token(name: str, total: int, multiplied: int) -> Part:
    """Return a part that every token passes through whole."""
    return Part(name, total, total, multiplied)
