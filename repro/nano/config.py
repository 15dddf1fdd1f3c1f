"""A numpy model's configuration: the shape that `models` reads, and the conventions beside it.

Counting needs the shape alone. Running a model also takes how position is encoded, how the gate scores and groups its
experts, and the eps of the norms. `config_from_hf` reads all of it from a published config.json and refuses what is
not built here; `config_to_hf` writes a config.json that reads back as the same model.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

from repro.errors import InputError, preview
from repro.models.architecture import Architecture, GroupedQueryAttention, MultiHeadLatentAttention
from repro.models.hf.fields import LARGEST, Fields
from repro.models.hf_config import architecture_from_hf, model_type
from repro.nano.gate import Gate
from repro.nano.rope import LEAST_TURNS, Rope, Yarn
from repro.validate import check_integer, check_number

TYPES = ("deepseek_v2", "deepseek_v3")
MLA_FIELDS = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
MAY_BE_ZERO = ("qk_nope_head_dim", "n_shared_experts", "n_dense_layers", "n_moe_layers", "n_mtp_modules")
GATE_FIELDS = ("scoring_func", "n_group", "topk_group", "norm_topk_prob", "routed_scaling_factor")


@dataclass(frozen=True)
class Config:
    """A model's shape, rotary embedding, gate if it has experts, and eps of its norms but the latents'."""

    arch: Architecture
    rope: Rope = field(default_factory=Rope)
    gate: Gate | None = None
    rms_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        arch, attention = self.arch, self.arch.attention
        _check_sizes(arch)
        check_number("rms_norm_eps", self.rms_norm_eps)
        if isinstance(attention, GroupedQueryAttention):
            if attention.qkv_bias or attention.output_bias:
                raise InputError("qkv_bias, output_bias: plain attention has no biases here; must be false")
            if attention.qk_norm:
                raise InputError("qk_norm: queries and keys have no norms here; must be false")
            if attention.n_heads % attention.n_kv_heads:
                raise InputError(f"n_heads = {attention.n_heads}: must be a multiple of n_kv_heads")
        if self.rotary_dim % 2:
            name = "qk_rope_head_dim" if isinstance(attention, MultiHeadLatentAttention) else "head_dim"
            raise InputError(f"{name} = {self.rotary_dim}: must be even: RoPE rotates pairs")
        if arch.dense.bias:
            raise InputError("mlp_bias: the feed-forward has no bias here; must be false")
        if (arch.experts is None) != (self.gate is None) or (arch.n_moe_layers and arch.experts is None):
            raise InputError("experts and gate: must be given both, or neither and no layer with experts")
        if arch.experts and self.gate:
            self.gate.check(arch.experts.n_routed_experts, arch.experts.top_k)

    @property
    def rotary_dim(self) -> int:
        """Dimensions of each head that rotary position turns."""
        attn = self.arch.attention
        return attn.qk_rope_head_dim if isinstance(attn, MultiHeadLatentAttention) else attn.head_dim


def _check_sizes(arch: Architecture) -> None:
    """Raise InputError for the first size that is not a whole number, or too small."""
    sizes = {"d_model": arch.d_model, "vocab_size": arch.vocab_size, "d_ff": arch.dense.d_ff}
    sizes |= vars(arch.attention) | (vars(arch.experts) if arch.experts else {})
    sizes |= {name: getattr(arch, name) for name in ("n_dense_layers", "n_moe_layers", "n_mtp_modules", "n_layers")}
    for name, size in sizes.items():
        if not name.endswith(("bias", "norm")) and (size is not None or name != "q_lora_rank"):
            check_integer(name, size, least=0 if name in MAY_BE_ZERO else 1)


def config_from_hf(config: Mapping[str, Any]) -> Config:
    """Return what the contents of a config.json of type deepseek_v2 or deepseek_v3 describe.

    Where the type's class in transformers and DeepSeek's own code differ, this follows transformers, which always
    scales V2's weights and never normalises them. Refuses fields that are missing, wrong, or ask for what is not built.
    """
    arch, hf_type = architecture_from_hf(config), model_type(config)
    if hf_type not in TYPES:
        raise InputError(f"model_type = {hf_type}: is not built in numpy here; must be {' or '.join(TYPES)}")
    fields = Fields(config)
    for name, allowed in {"hidden_act": "silu", "moe_layer_freq": 1, "mlp_bias": False}.items():
        fields.refuse(name, allowed)
    gate = _gate(fields, sigmoid=hf_type == "deepseek_v3") if arch.experts else None
    return Config(arch, _rope(fields, hf_type), gate, _number(config, "rms_norm_eps", 1e-6, least=0, most=1))


def _gate(fields: Fields, *, sigmoid: bool) -> Gate:
    fields.refuse("scoring_func", "sigmoid" if sigmoid else "softmax")
    grouped = sigmoid or fields.config.get("topk_method") == "group_limited_greedy"
    groups = (fields.count("n_group"), fields.count("topk_group")) if grouped else (1, 1)
    norm = sigmoid and ("norm_topk_prob" not in fields.config or fields.flag("norm_topk_prob"))
    scale = _number(fields.config, "routed_scaling_factor", 2.5 if sigmoid else 1.0)
    return Gate("sigmoid" if sigmoid else "softmax", *groups, 2 if sigmoid else 1, norm, scale)


def _rope(fields: Fields, hf_type: str) -> Rope:
    """Read the rotary embedding from `rope_parameters`, or from `rope_theta` and `rope_scaling`, its older names."""
    config, scaling = fields.config, _rope_scaling(fields.config)
    for source in (fields, Fields(scaling)):
        source.refuse("partial_rotary_factor", 1)
    theta = _number(scaling if "rope_theta" in scaling else config, "rope_theta", 10_000.0, least=1)
    if theta == 1:
        raise InputError("rope_theta = 1: must be above 1")
    # V2 always pairs neighbours, V3 unless its configuration says otherwise.
    interleaved = hf_type == "deepseek_v2" or "rope_interleave" not in config or fields.flag("rope_interleave")
    rope_type = scaling.get("rope_type", scaling.get("type", "default"))
    if rope_type not in ("default", "yarn"):
        raise InputError(f"rope_type = {preview(rope_type)}: is not built here; must be default or yarn")
    return Rope(theta, interleaved, _yarn(scaling, config) if rope_type == "yarn" else None)


def _rope_scaling(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that describes the rotary embedding, empty if there is none."""
    objects = {name: config[name] for name in ("rope_parameters", "rope_scaling") if config.get(name) is not None}
    for name, value in objects.items():
        if not isinstance(value, Mapping):
            raise InputError(f"{name} = {preview(value)}: must be an object or null")
    if len(objects) == 2 and objects["rope_parameters"] != objects["rope_scaling"]:
        raise InputError("rope_parameters, rope_scaling: are both given and differ; give one")
    return next(iter(objects.values()), {})


def _yarn(scaling: Mapping[str, Any], config: Mapping[str, Any]) -> Yarn:
    longest = _number(config, "max_position_embeddings", None, least=1)
    original = _number(scaling, "original_max_position_embeddings", longest, least=1)
    factor = _number(scaling, "factor", None, least=1e-3)
    if original is None or (factor is None and longest is None):
        raise InputError("original_max_position_embeddings, max_position_embeddings: one is missing that YaRN needs")
    truncate = scaling.get("truncate", True)
    if not isinstance(truncate, bool):
        raise InputError(f"truncate = {preview(truncate)}: must be true or false")
    factor = longest / original if factor is None else factor
    beta_fast, beta_slow = _turns(scaling, "beta_fast", 32), _turns(scaling, "beta_slow", 1)
    optional = {name: _number(scaling, name, None) for name in ("mscale", "mscale_all_dim", "attention_factor")}
    return Yarn(factor, original, beta_fast, beta_slow, **optional, truncate=truncate)


def _turns(scaling: Mapping[str, Any], name: str, default: float) -> float:
    """Return YaRN's beta; 0 means the default, as in transformers."""
    return _number(scaling, name, default, least=0 if scaling.get(name) == 0 else LEAST_TURNS) or default


def _number(
    fields: Mapping[str, Any], name: str, default: float | None, *, least: float = 0, most: float = LARGEST
) -> Any:
    """Return a number, or the default if it is missing or null; raise InputError for anything else."""
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InputError(f"{name} = {preview(value)}: must be a number from {least:g} to {most:g}")
    return value


def config_to_hf(config: Config) -> dict[str, Any]:
    """Return the published form of a model with MLA and experts, gated as V2 or V3; refuses what no type describes."""
    arch, gate, rope = config.arch, config.gate, config.rope
    attn, experts = arch.attention, arch.experts
    if isinstance(attn, GroupedQueryAttention) or experts is None or gate is None:
        raise InputError("only models with MLA and experts have a published form here")
    sigmoid = gate.scoring_func == "sigmoid"
    if gate.scores_per_group != (2 if sigmoid else 1) or sigmoid != experts.correction_bias:
        raise InputError("gate: is neither V2's nor V3's, which rank groups by 1 and 2 scores, with a bias in V3 alone")
    if not sigmoid and (gate.norm_topk_prob or not rope.interleaved):
        raise InputError("gate or rope: V2's weights are not normalised and its pairs are neighbours")
    fields: dict[str, Any] = {
        "architectures": ["DeepseekV3ForCausalLM" if sigmoid else "DeepseekV2ForCausalLM"],
        "model_type": "deepseek_v3" if sigmoid else "deepseek_v2",
        "vocab_size": arch.vocab_size, "hidden_size": arch.d_model, "intermediate_size": arch.dense.d_ff,
        "num_hidden_layers": arch.n_layers, "first_k_dense_replace": arch.n_dense_layers,
        "num_nextn_predict_layers": arch.n_mtp_modules, "tie_word_embeddings": arch.tied_embeddings,
        "num_attention_heads": attn.n_heads, "num_key_value_heads": attn.n_heads, "attention_bias": attn.bias,
        "n_routed_experts": experts.n_routed_experts, "n_shared_experts": experts.n_shared_experts,
        "num_experts_per_tok": experts.top_k, "moe_intermediate_size": experts.d_expert,
        "topk_method": "noaux_tc" if sigmoid else "group_limited_greedy", "rope_interleave": rope.interleaved,
        "hidden_act": "silu", "rms_norm_eps": config.rms_norm_eps, "rope_theta": rope.theta,
    }  # fmt: skip
    fields |= {name: getattr(attn, name) for name in MLA_FIELDS} | {name: getattr(gate, name) for name in GATE_FIELDS}
    if rope.yarn is not None:
        scaling = {"type": "yarn"} | {name: value for name, value in asdict(rope.yarn).items() if value is not None}
        # The context length is read and must not be absurd; the factor beside it is what counts.
        longest = min(ceil(rope.yarn.factor * rope.yarn.original_max_position_embeddings), int(LARGEST))
        fields |= {"max_position_embeddings": longest, "rope_scaling": scaling}
    return fields
