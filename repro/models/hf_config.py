"""Reads a model's architecture from its config.json. A new family is a reader under hf/ and a row in FAMILIES."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from repro.errors import InputError, preview
from repro.files import read_json
from repro.models.architecture import Architecture
from repro.models.hf.deepseek import read_deepseek_v2, read_deepseek_v3
from repro.models.hf.fields import Fields
from repro.models.hf.glm import read_glm4_moe_lite
from repro.models.hf.llama import read_llama
from repro.models.hf.mixtral import read_mixtral
from repro.models.hf.qwen import read_qwen2, read_qwen3


class Family(NamedTuple):
    """A family's class in transformers, by which others of its layout name themselves too, and its reader."""

    class_name: str
    read: Callable[[Fields], Architecture]


FAMILIES = {
    "deepseek_v2": Family("DeepseekV2ForCausalLM", read_deepseek_v2),
    "deepseek_v3": Family("DeepseekV3ForCausalLM", read_deepseek_v3),
    "llama": Family("LlamaForCausalLM", read_llama),
    "qwen2": Family("Qwen2ForCausalLM", read_qwen2),
    "mixtral": Family("MixtralForCausalLM", read_mixtral),
    "qwen3": Family("Qwen3ForCausalLM", read_qwen3),
    "glm4_moe_lite": Family("Glm4MoeLiteForCausalLM", read_glm4_moe_lite),
}


def read_config(path: Path) -> dict[str, Any]:
    """Return the contents of a config.json, given the file or its folder."""
    return read_json(path / "config.json" if path.is_dir() else path)


def architecture_from_hf(config: Mapping[str, Any]) -> Architecture:
    """Return the architecture that a configuration describes; refuses one that does not say all of it."""
    return FAMILIES[model_type(config)].read(Fields(config))


def model_type(config: Mapping[str, Any]) -> str:
    """Return the type that a configuration is read as, by its own name or, for a family of its own, by its class."""
    name, classes, known = config.get("model_type"), config.get("architectures"), ", ".join(FAMILIES)
    if name is None and classes is None:
        inside = "; the one inside text_config is not read, give it as a file" if "text_config" in config else ""
        raise InputError(f"model_type: is missing; must be one of: {known}{inside}")
    if name is not None and not isinstance(name, str):
        raise InputError(f"model_type = {preview(name)}: must be one of: {known}")
    if classes is None:
        if name not in FAMILIES:
            raise InputError(f"model_type = {preview(name)}: is not known; must be one of: {known}")
        return name
    by_class = {family.class_name: known_type for known_type, family in FAMILIES.items()}
    if not isinstance(classes, list) or len(classes) != 1 or classes[0] not in list(by_class):
        raise InputError(f"architectures = {preview(classes)}: must name one of: {', '.join(by_class)}")
    if name in FAMILIES and by_class[classes[0]] != name:
        raise InputError(f"architectures = {preview(classes)}: contradicts model_type = {preview(name)}")
    return by_class[classes[0]]
