"""DeepSeek's mechanisms at toy size in numpy: attention, experts, multi-token prediction, forward and backward."""

from repro.nano.checkpoint.load_save import load_checkpoint, save_checkpoint
from repro.nano.config import Config, config_from_hf
from repro.nano.gate import Gate
from repro.nano.model import Model, init_model
from repro.nano.param_shapes import flatten
from repro.nano.presets import small_config, wide_config
from repro.nano.rope import Rope, Yarn
from repro.nano.training.loop import evaluate, train
from repro.nano.training.optimizer import Recipe
from repro.nano.training.toy_data import batches

__all__ = [
    "Config", "Gate", "Model", "Recipe", "Rope", "Yarn", "batches", "config_from_hf", "evaluate", "flatten",
    "init_model", "load_checkpoint", "save_checkpoint", "small_config", "train", "wide_config",
]  # fmt: skip
