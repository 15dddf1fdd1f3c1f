"""What a numpy model is: its shape, and the conventions beside it, as a published configuration gives them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Config:
    """A model's shape, its rotary embedding, its gate where it has experts, and the eps of its norms.

    Raises: InputError where they contradict, or the shape has what is not built here.
    """

    arch: Architecture
    rope: Rope = field(default_factory=Rope)
    gate: Gate | None = None
    rms_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        """Raise InputError where parts do not fit."""
        arch, attention = self.arch, self.arch.attention
        _check_sizes(arch)
        check_number("rms_norm_eps", self.rms_norm_eps)
        turned, what = attention.qk_head_dim, "head_dim"
        if isinstance(attention, MultiHeadLatentAttention):
            turned, what = attention.qk_rope_head_dim, "qk_rope_head_dim"
        elif attention.qkv_bias or attention.output_bias:
            raise InputError("qkv_bias, output_bias: plain attention has none here; must be false")
        elif attention.qk_norm:
            raise InputError("qk_norm: queries and keys have no norms here; must be false")
        elif attention.n_heads % attention.n_kv_heads:
            raise InputError(f"n_heads = {attention.n_heads}: must be a multiple of n_kv_heads")
        if turned % 2:
            raise InputError(f"{what} = {turned}: must be even, rotary position turns pairs")
        if arch.dense.bias:
            raise InputError("bias of the feed-forward: has none here; must be false")
        if (arch.experts is None) != (self.gate is None) or (arch.n_moe_layers and arch.experts is None):
            raise InputError("experts and gate: must be given both, or neither and no layer with experts")
        if arch.experts and self.gate:
            self.gate.check(arch.experts.n_routed_experts, arch.experts.top_k)


def _check_sizes(arch: Architecture) -> None:
    """Raise InputError for the first size that is no whole number, or too small."""
    attention, experts = vars(arch.attention), vars(arch.experts) if arch.experts else {}
    sizes = {"d_model": arch.d_model, "vocab_size": arch.vocab_size, "d_ff": arch.dense.d_ff, **attention}
    sizes |= {name: size for name, size in experts.items() if name != "n_shared_experts"}
    for name, size in sizes.items():
        if not isinstance(size, bool) and (size is not None or name != "q_lora_rank"):
            check_integer(name, size, least=name != "qk_nope_head_dim")
    for name in ("n_dense_layers", "n_moe_layers", "n_mtp_modules"):
        check_integer(name, getattr(arch, name), least=0)
    check_integer("n_shared_experts", experts.get("n_shared_experts", 0), least=0)
    check_integer("n_layers", arch.n_layers)


def config_from_hf(config: Mapping[str, Any]) -> Config:
    """Return what a published configuration describes.

    Args: config: contents of a config.json of type deepseek_v2 or deepseek_v3. Where the type's class in transformers
        and DeepSeek's own code differ, the first is followed: it scales V2's weights always and never normalises them.
    Raises: InputError naming a field that is missing, wrong, or asks for what is not built here.
    """
    arch, name = architecture_from_hf(config), model_type(config)
    if name not in TYPES:
        raise InputError(f"model_type = {name}: is not built in numpy here; must be {' or '.join(TYPES)}")
    fields = Fields(config)
    for one, allowed in {"hidden_act": "silu", "moe_layer_freq": 1, "mlp_bias": False}.items():
        fields.refuse(one, allowed)
    read_gate = _sigmoid_gate if name == "deepseek_v3" else _softmax_gate
    gate = read_gate(fields) if arch.experts else None
    return Config(arch, _rope(fields, name), gate, _number(config, "rms_norm_eps", 1e-6, least=0, most=1))


def _softmax_gate(fields: Fields) -> Gate:
    fields.refuse("scoring_func", "softmax")
    groups = (1, 1)
    if fields.config.get("topk_method") == "group_limited_greedy":
        groups = fields.count("n_group"), fields.count("topk_group")
    scale = _number(fields.config, "routed_scaling_factor", 1.0)
    return Gate("softmax", *groups, scores_per_group=1, normalised=False, scale=scale)


def _sigmoid_gate(fields: Fields) -> Gate:
    fields.refuse("scoring_func", "sigmoid")
    normalised = "norm_topk_prob" not in fields.config or fields.flag("norm_topk_prob")
    scale = _number(fields.config, "routed_scaling_factor", 2.5)
    return Gate("sigmoid", fields.count("n_group"), fields.count("topk_group"), normalised=normalised, scale=scale)


def _rope(fields: Fields, name: str) -> Rope:
    """Return the rotary embedding, from `rope_parameters` or from `rope_theta` and `rope_scaling`, its older names."""
    config = fields.config
    given = _rope_fields(config)
    for one in (fields, Fields(given)):
        one.refuse("partial_rotary_factor", 1)
    theta = _number(given if "rope_theta" in given else config, "rope_theta", 10_000.0, least=1)
    if theta == 1:
        raise InputError("rope_theta = 1: must be above 1")
    # V2 has neighbours always, V3 unless its configuration says otherwise.
    interleaved = name == "deepseek_v2" or "rope_interleave" not in config or fields.flag("rope_interleave")
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in ("default", "yarn"):
        raise InputError(f"rope_type = {preview(kind)}: is not built here; must be default or yarn")
    return Rope(theta, interleaved, _yarn(given, config) if kind == "yarn" else None)


def _rope_fields(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object that describes the rotary embedding, empty where there is none."""
    found = {name: config[name] for name in ("rope_parameters", "rope_scaling") if config.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, Mapping):
            raise InputError(f"{name} = {preview(value)}: must be an object or null")
    if len(found) == 2 and found["rope_parameters"] != found["rope_scaling"]:
        raise InputError("rope_parameters, rope_scaling: are both given and differ; give one")
    return next(iter(found.values()), {})


def _yarn(given: Mapping[str, Any], config: Mapping[str, Any]) -> Yarn:
    longest = _number(config, "max_position_embeddings", None, least=1)
    original = _number(given, "original_max_position_embeddings", longest, least=1)
    factor = _number(given, "factor", None, least=1e-3)
    if original is None or (factor is None and longest is None):
        raise InputError("original_max_position_embeddings, max_position_embeddings: one is missing that YaRN needs")
    truncate = given.get("truncate", True)
    if not isinstance(truncate, bool):
        raise InputError(f"truncate = {preview(truncate)}: must be true or false")
    return Yarn(
        longest / original if factor is None else factor,
        original,
        _turns(given, "beta_fast", 32),
        _turns(given, "beta_slow", 1),
        _number(given, "mscale", None),
        _number(given, "mscale_all_dim", None),
        _number(given, "attention_factor", None),
        truncate,
    )


def _turns(given: Mapping[str, Any], name: str, default: float) -> float:
    """Return YaRN's beta; 0 means the default, as transformers has it."""
    return _number(given, name, default, least=0 if given.get(name) == 0 else LEAST_TURNS) or default


def _number(
    given: Mapping[str, Any], name: str, default: float | None, *, least: float = 0, most: float = LARGEST
) -> Any:
    """Return a number, the default where it is missing or null; raises InputError for anything else."""
    value = given.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InputError(f"{name} = {preview(value)}: must be a number from {least:g} to {most:g}")
    return value


def config_to_hf(config: Config) -> dict[str, Any]:
    """Return the configuration that describes a model in the published fields, type and class included.

    Args: config: with MLA and experts, gated as V2 or V3.
    Raises: InputError naming what no published type describes.
    """
    arch, gate, rope = config.arch, config.gate, config.rope
    a, e = arch.attention, arch.experts
    if isinstance(a, GroupedQueryAttention) or e is None or gate is None:
        raise InputError("only models with MLA and experts have a published form here")
    sigmoid = gate.scoring == "sigmoid"
    if gate.scores_per_group != (2 if sigmoid else 1) or sigmoid != e.correction_bias:
        raise InputError("gate: is neither V2's nor V3's, which rank groups by 1 and 2 scores, with a bias in V3 alone")
    if not sigmoid and (gate.normalised or not rope.interleaved):
        raise InputError("gate or rope: V2's weights are not normalised and its pairs are neighbours")
    fields = {
        "architectures": ["DeepseekV3ForCausalLM" if sigmoid else "DeepseekV2ForCausalLM"],
        "model_type": "deepseek_v3" if sigmoid else "deepseek_v2",
        "vocab_size": arch.vocab_size,
        "hidden_size": arch.d_model,
        "intermediate_size": arch.dense.d_ff,
        "num_hidden_layers": arch.n_layers,
        "first_k_dense_replace": arch.n_dense_layers,
        "num_nextn_predict_layers": arch.n_mtp_modules,
        "tie_word_embeddings": arch.tied_embeddings,
        "num_attention_heads": a.n_heads,
        "num_key_value_heads": a.n_heads,
        "q_lora_rank": a.q_lora_rank,
        "kv_lora_rank": a.kv_lora_rank,
        "qk_nope_head_dim": a.qk_nope_head_dim,
        "qk_rope_head_dim": a.qk_rope_head_dim,
        "v_head_dim": a.v_head_dim,
        "attention_bias": a.bias,
        "n_routed_experts": e.n_routed_experts,
        "n_shared_experts": e.n_shared_experts,
        "num_experts_per_tok": e.top_k,
        "moe_intermediate_size": e.d_expert,
        "scoring_func": gate.scoring,
        "topk_method": "noaux_tc" if sigmoid else "group_limited_greedy",
        "n_group": gate.n_groups,
        "topk_group": gate.topk_group,
        "norm_topk_prob": gate.normalised,
        "routed_scaling_factor": gate.scale,
        "rope_interleave": rope.interleaved,
        "hidden_act": "silu",
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": rope.theta,
    }
    return fields if rope.yarn is None else {**fields, **_published_yarn(rope.yarn)}


def _published_yarn(yarn: Yarn) -> dict[str, Any]:
    given = {
        "type": "yarn",
        "factor": yarn.factor,
        "original_max_position_embeddings": yarn.original_context,
        "beta_fast": yarn.beta_fast,
        "beta_slow": yarn.beta_slow,
        "mscale": yarn.mscale,
        "mscale_all_dim": yarn.mscale_all_dim,
        "attention_factor": yarn.attention_factor,
        "truncate": yarn.truncate,
    }
    longest = ceil(yarn.factor * yarn.original_context)
    return {
        "max_position_embeddings": min(longest, int(LARGEST)),  # which is read; the factor stands beside it
        "rope_scaling": {name: value for name, value in given.items() if value is not None},
    }
