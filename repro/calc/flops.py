"""FLOP of one token in training, counted layer by layer from a model's shape."""

from repro.calc.param_count import mtp_parts, parts
from repro.calc.run_cost import attention_flop_per_token
from repro.models.architecture import Architecture


def matmul_parameters(arch: Architecture, *, mtp_counted: bool) -> int:
    """Return the parameters that matrix products multiply with each token: no embedding, norm or bias.

    Args: arch: of the model. mtp_counted: whether modules for multi-token prediction are, which training runs.
    """
    found = parts(arch) + (mtp_parts(arch) if mtp_counted else [])
    return sum(part.multiplied for part in found)


def attention_over_context(
    arch: Architecture,
    sequence_length: int,
    *,
    causal: bool,
    mtp_counted: bool,
    flop_per_parameter_per_token: float = 6,
) -> float:
    """Return the FLOP of one token's attention over its context, in all layers.

    Args: arch: of the model. sequence_length: tokens. causal: whether a token attends to itself and those before it
        alone. mtp_counted: whether the layers of multi-token prediction are. flop_per_parameter_per_token: 6 for
        forward and backward.
    Returns: FLOP per token.
    Source: Kaplan et al. (arXiv 2001.08361), equation 2.2, with the context averaged over a causal sequence.
    """
    attention = arch.attention
    return attention_flop_per_token(
        arch.n_layers + (arch.n_mtp_modules if mtp_counted else 0),
        attention.n_heads,
        attention.qk_head_dim,
        attention.v_head_dim,
        sequence_length,
        causal=causal,
        flop_per_parameter_per_token=flop_per_parameter_per_token,
    )


def counted_flop_per_token(
    arch: Architecture,
    sequence_length: int,
    *,
    causal: bool,
    mtp_counted: bool,
    flop_per_parameter_per_token: float = 6,
) -> float:
    """Return the FLOP of one token, matrix products and attention over the context added up.

    Args: as in attention_over_context.
    Returns: FLOP per token; softmax, norms and activations, far below a per cent, are left out.
    """
    products = flop_per_parameter_per_token * matmul_parameters(arch, mtp_counted=mtp_counted)
    return products + attention_over_context(
        arch,
        sequence_length,
        causal=causal,
        mtp_counted=mtp_counted,
        flop_per_parameter_per_token=flop_per_parameter_per_token,
    )
