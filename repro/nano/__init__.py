"""DeepSeek's mechanisms at toy size in numpy: attention, experts, multi-token prediction, forward and backward."""

from repro.nano.checkpoint import load_checkpoint, save_checkpoint
from repro.nano.config import Config, read
from repro.nano.corpus import batches
from repro.nano.gate import Gate
from repro.nano.layout import joined
from repro.nano.model import Model, initialised
from repro.nano.optimizer import Recipe
from repro.nano.presets import small, wide
from repro.nano.rope import Rope, Yarn
from repro.nano.trainer import evaluate, train

__all__ = [
    "Config",
    "Gate",
    "Model",
    "Recipe",
    "Rope",
    "Yarn",
    "batches",
    "evaluate",
    "initialised",
    "joined",
    "load_checkpoint",
    "read",
    "save_checkpoint",
    "small",
    "train",
    "wide",
]
