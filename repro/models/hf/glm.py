"""GLM-4.7-Flash: DeepSeek-V3's layout under a name of its own."""

from repro.errors import InputError, preview
from repro.models.architecture import Architecture
from repro.models.hf.deepseek import read_deepseek_v3
from repro.models.hf.fields import Fields


def read_glm4_moe_lite(fields: Fields) -> Architecture:
    """Return the architecture of a Glm4MoeLiteForCausalLM."""
    arch, kinds = read_deepseek_v3(fields), fields.config.get("mlp_layer_types")
    counts = {"dense": arch.n_dense_layers, "sparse": arch.n_moe_layers}  # which transformers writes out by layer
    fits = isinstance(kinds, list) and len(kinds) == arch.n_layers
    if kinds is not None and not (fits and kinds == [kind for kind, count in counts.items() for _ in range(count)]):
        counted = " and then ".join(f"{count} {kind}" for kind, count in counts.items())
        raise InputError(f"mlp_layer_types = {preview(kinds)}: must be {counted}, by first_k_dense_replace")
    return arch
