"""Reads a model's shape from its published Hugging Face configuration; what it does not know, it names and refuses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repro.errors import InputError, preview
from repro.files import read_json
from repro.models.architecture import (
    Architecture,
    GatedFeedForward,
    GroupedQueryAttention,
    MixtureOfExperts,
    MultiHeadLatentAttention,
)

LARGEST = 10**9  # of any one field: no model comes near it
# Families whose configurations carry a name of their own: class of the model, and the type it is read as.
CLASSES = {
    "DeepseekV2ForCausalLM": "deepseek_v2",
    "DeepseekV3ForCausalLM": "deepseek_v3",
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "MixtralForCausalLM": "mixtral",
}


def read_config(path: Path) -> dict[str, Any]:
    """Return the contents of a config.json.

    Args: path: the file, or the folder that it lies in.
    Raises: InputError naming the file where it cannot be read, or is not a JSON object.
    """
    return read_json(path / "config.json" if path.is_dir() else path)


def architecture_from_hf(config: Mapping[str, Any]) -> Architecture:
    """Return the shape that a configuration describes.

    Args: config: of model type deepseek_v2, deepseek_v3, llama, qwen2 or mixtral, or of a class that these have.
    Raises: InputError for another type, a field that is missing or of a wrong kind, or fields that contradict.
    """
    return READERS[model_type(config)](Fields(config))


def model_type(config: Mapping[str, Any]) -> str:
    """Return the type that a configuration is read as, by its own name or, for a family of its own, by its class.

    Raises: InputError naming a type or class that is not known, or the two where they contradict.
    """
    name, classes = config.get("model_type"), config.get("architectures")
    known = ", ".join(CLASSES.values())
    if name is None and classes is None:
        inside = "; the one inside text_config is not read, give it as a file" if "text_config" in config else ""
        raise InputError(f"model_type: is missing; must be one of: {known}{inside}")
    if name is not None and not isinstance(name, str):
        raise InputError(f"model_type = {preview(name)}: must be one of: {known}")
    if classes is None:
        if name not in READERS:
            raise InputError(f"model_type = {preview(name)}: is not known; must be one of: {known}")
        return name
    if not isinstance(classes, list) or [one for one in CLASSES if [one] == classes] == []:
        raise InputError(f"architectures = {preview(classes)}: must name one of: {', '.join(CLASSES)}")
    if name in READERS and CLASSES[classes[0]] != name:
        raise InputError(f"architectures = {preview(classes)}: contradicts model_type = {preview(name)}")
    return CLASSES[classes[0]]


@dataclass(frozen=True)
class Fields:
    """A configuration whose fields are checked as they are read."""

    config: Mapping[str, Any]

    def count(self, name: str, *, zero: bool = False) -> int:
        """Return a whole number; raises InputError where it is missing, not whole, too small or absurd."""
        if name not in self.config:
            raise InputError(f"{name}: is missing")
        value, least = self.config[name], 0 if zero else 1
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
            raise InputError(f"{name} = {preview(value)}: must be a whole number from {least} to {LARGEST:,}")
        return value

    def count_or_null(self, name: str) -> int | None:
        """Return a whole number, or None where the field is there and null; raises as `count` does."""
        return None if name in self.config and self.config[name] is None else self.count(name)

    def count_if_given(self, name: str, default: int, *, zero: bool = False) -> int:
        """Return a whole number, or the default where the field is missing or null; raises as `count` does."""
        return default if self.config.get(name) is None else self.count(name, zero=zero)

    def flag(self, name: str) -> bool:
        """Return true or false, false where missing or null, as the library takes it; raises InputError else."""
        value = self.config.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise InputError(f"{name} = {preview(value)}: must be true or false")
        return value

    def refuse(self, name: str, *allowed: object) -> None:
        """Raise InputError where a field is given with a value whose counts would differ."""
        value = self.config.get(name)
        if value is not None and value not in allowed:
            listed = " or ".join(json.dumps(one) for one in allowed) or "null"
            raise InputError(f"{name} = {preview(value)}: is not counted here; must be {listed}")


def _divides(small_name: str, small: int, large_name: str, large: int) -> int:
    """Return large / small; raises InputError naming both where it is no whole number."""
    if large % small:
        raise InputError(f"{large_name} = {large}: must be a multiple of {small_name} = {small}")
    return large // small


def _at_most(small_name: str, small: int, large_name: str, large: int) -> None:
    if small > large:
        raise InputError(f"{small_name} = {small}: must be at most {large_name} = {large}")


def _grouped(fields: Fields, *, qkv_bias: bool, output_bias: bool) -> GroupedQueryAttention:
    n_heads = fields.count("num_attention_heads")
    n_kv_heads = fields.count_or_null("num_key_value_heads") or n_heads  # null means one for each head
    _divides("num_key_value_heads", n_kv_heads, "num_attention_heads", n_heads)
    if fields.config.get("head_dim") is not None:
        head_dim = fields.count("head_dim")
    else:
        head_dim = _divides("num_attention_heads", n_heads, "hidden_size", fields.count("hidden_size"))
    return GroupedQueryAttention(n_heads, n_kv_heads, head_dim, qkv_bias, output_bias)


def _dense_model(fields: Fields, attention: GroupedQueryAttention, *, mlp_bias: bool) -> Architecture:
    for experts in ("num_local_experts", "num_experts", "n_routed_experts"):
        fields.refuse(experts)
    return Architecture(
        d_model=fields.count("hidden_size"),
        vocab_size=fields.count("vocab_size"),
        n_dense_layers=fields.count("num_hidden_layers"),
        n_moe_layers=0,
        attention=attention,
        dense=GatedFeedForward(fields.count("intermediate_size"), mlp_bias),
        tied_embeddings=fields.flag("tie_word_embeddings"),
    )


def _llama(fields: Fields) -> Architecture:
    bias = fields.flag("attention_bias")
    attention = _grouped(fields, qkv_bias=bias, output_bias=bias)
    return _dense_model(fields, attention, mlp_bias=fields.flag("mlp_bias"))


def _qwen2(fields: Fields) -> Architecture:
    if fields.flag("use_sliding_window"):
        raise InputError("use_sliding_window = true: is not counted here; must be false")
    return _dense_model(fields, _grouped(fields, qkv_bias=True, output_bias=False), mlp_bias=False)


def _mixtral(fields: Fields) -> Architecture:
    fields.refuse("sliding_window")
    n_routed_experts, top_k = fields.count("num_local_experts"), fields.count("num_experts_per_tok")
    _at_most("num_experts_per_tok", top_k, "num_local_experts", n_routed_experts)
    d_expert = fields.count("intermediate_size")
    return Architecture(
        d_model=fields.count("hidden_size"),
        vocab_size=fields.count("vocab_size"),
        n_dense_layers=0,
        n_moe_layers=fields.count("num_hidden_layers"),
        attention=_grouped(fields, qkv_bias=False, output_bias=False),
        dense=GatedFeedForward(d_expert),
        experts=MixtureOfExperts(n_routed_experts, 0, top_k, d_expert),
        tied_embeddings=fields.flag("tie_word_embeddings"),
    )


def _latent(fields: Fields) -> MultiHeadLatentAttention:
    n_heads = fields.count("num_attention_heads")
    # Of no use to MLA, but it must not contradict.
    _divides("num_key_value_heads", fields.count_if_given("num_key_value_heads", 1), "num_attention_heads", n_heads)
    return MultiHeadLatentAttention(
        n_heads=n_heads,
        q_lora_rank=fields.count_or_null("q_lora_rank"),
        kv_lora_rank=fields.count("kv_lora_rank"),
        qk_nope_head_dim=fields.count("qk_nope_head_dim"),
        qk_rope_head_dim=fields.count("qk_rope_head_dim"),
        v_head_dim=fields.count("v_head_dim"),
        bias=fields.flag("attention_bias"),
    )


def _experts(fields: Fields, *, correction_bias: bool) -> MixtureOfExperts:
    n_routed_experts, top_k = fields.count("n_routed_experts"), fields.count("num_experts_per_tok")
    _at_most("num_experts_per_tok", top_k, "n_routed_experts", n_routed_experts)
    n_group, topk_group = (fields.config.get(name) for name in ("n_group", "topk_group"))
    greedy = not correction_bias and fields.config.get("topk_method") == "greedy"  # which knows no groups
    if n_group is not None and topk_group is not None and not greedy:
        n_group, topk_group = fields.count("n_group"), fields.count("topk_group")
        per_group = _divides("n_group", n_group, "n_routed_experts", n_routed_experts)
        _at_most("topk_group", topk_group, "n_group", n_group)
        reachable = topk_group * per_group
        _at_most("num_experts_per_tok", top_k, "the experts of topk_group groups", reachable)
    n_shared_experts = (
        0 if fields.config.get("n_shared_experts", 0) is None else fields.count("n_shared_experts", zero=True)
    )
    return MixtureOfExperts(
        n_routed_experts, n_shared_experts, top_k, fields.count("moe_intermediate_size"), correction_bias
    )


def _deepseek(fields: Fields, *, correction_bias: bool) -> Architecture:
    n_layers, first = fields.count("num_hidden_layers"), fields.count("first_k_dense_replace", zero=True)
    _at_most("first_k_dense_replace", first, "num_hidden_layers", n_layers)
    for indexer in ("index_n_heads", "index_head_dim", "index_topk"):
        fields.refuse(indexer)
    # Every so many layers from the first, as DeepSeek's own code has it; all published models have every one.
    every = fields.count_if_given("moe_layer_freq", 1)
    n_moe_layers = len(range(-(-first // every) * every, n_layers, every))
    n_mtp_modules = fields.count_if_given("num_nextn_predict_layers", 0, zero=True)
    return Architecture(
        d_model=fields.count("hidden_size"),
        vocab_size=fields.count("vocab_size"),
        n_dense_layers=n_layers - n_moe_layers,
        n_moe_layers=n_moe_layers,
        attention=_latent(fields),
        dense=GatedFeedForward(fields.count("intermediate_size")),
        experts=_experts(fields, correction_bias=correction_bias),
        n_mtp_modules=n_mtp_modules,
        tied_embeddings=fields.flag("tie_word_embeddings"),
    )


def _deepseek_v2(fields: Fields) -> Architecture:
    fields.refuse("topk_method", "greedy", "group_limited_greedy")
    return _deepseek(fields, correction_bias=False)


def _deepseek_v3(fields: Fields) -> Architecture:
    fields.refuse("topk_method", "noaux_tc")
    return _deepseek(fields, correction_bias=True)


READERS = {
    "deepseek_v2": _deepseek_v2,
    "deepseek_v3": _deepseek_v3,
    "llama": _llama,
    "qwen2": _qwen2,
    "mixtral": _mixtral,
}
