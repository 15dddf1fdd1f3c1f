"""Readers of published configurations, one per family; a new family is a reader and a row here."""

from collections.abc import Callable
from typing import NamedTuple

from repro.models.architecture import Architecture
from repro.models.hf.deepseek import read_deepseek_v2, read_deepseek_v3
from repro.models.hf.fields import Fields
from repro.models.hf.glm import read_glm4_moe_lite
from repro.models.hf.llama import read_llama
from repro.models.hf.mixtral import read_mixtral
from repro.models.hf.qwen import read_qwen2, read_qwen3


class Family(NamedTuple):
    """A family of models: its class in transformers, by which others of its layout name themselves, and its reader."""

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
}  # by model_type
