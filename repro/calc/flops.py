"""FLOP of one token in training, counted layer by layer: matrix products, and attention over the context."""

from repro.calc.param_count import mtp_parts, parts
from repro.models.architecture import Architecture


def matmul_parameters(arch: Architecture, *, mtp_counted: bool) -> int:
    """Return the parameters that matrix products multiply with each token: no embedding, norm or bias."""
    return sum(part.multiplied for part in parts(arch) + (mtp_parts(arch) if mtp_counted else []))


def attention_flop_per_token(
    arch: Architecture, sequence_length: int, *, causal: bool, mtp_counted: bool,
    flop_per_parameter_per_token: float = 6,
) -> float:  # fmt: skip
    """Return the FLOP of one token's attention over its context, which a rule per parameter leaves out.

    Args:
        arch: of the model.
        sequence_length: tokens.
        causal: a token attends to itself and those before it, on average (sequence_length + 1) / 2, and not to all.
        mtp_counted: with the modules for multi-token prediction.
        flop_per_parameter_per_token: 6 for forward and backward; an element of a key or value costs as much.

    Source: Kaplan et al. (arXiv 2001.08361), equation 2.2, with the context averaged over a causal sequence.
    """
    attention, n_layers = arch.attention, arch.n_layers + arch.n_mtp_modules * mtp_counted
    context = (sequence_length + 1) / 2 if causal else sequence_length
    elements = n_layers * attention.n_heads * (attention.qk_head_dim + attention.v_head_dim)
    return flop_per_parameter_per_token * elements * context


def counted_flop_per_token(
    arch: Architecture, sequence_length: int, *, causal: bool, mtp_counted: bool,
    flop_per_parameter_per_token: float = 6,
) -> float:  # fmt: skip
    """Return the FLOP of one token: matrix products and attention, not softmax, norms and activations (far below 1%).

    Args:
        arch: of the model, whose embedding is read and not multiplied.
        sequence_length: tokens.
        causal: a token attends to itself and those before it, and not to all.
        mtp_counted: with the modules for multi-token prediction.
        flop_per_parameter_per_token: 6 for forward and backward.
    """
    attention = attention_flop_per_token(
        arch, sequence_length, causal=causal, mtp_counted=mtp_counted,
        flop_per_parameter_per_token=flop_per_parameter_per_token,
    )  # fmt: skip
    return flop_per_parameter_per_token * matmul_parameters(arch, mtp_counted=mtp_counted) + attention
