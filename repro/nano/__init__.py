"""DeepSeek's mechanisms at toy size in numpy: attention, experts, multi-token prediction, forward and backward."""

from repro.nano.checkpoint import load_checkpoint, save_checkpoint
from repro.nano.config import Config, read
from repro.nano.gate import Gate
from repro.nano.model import Model
from repro.nano.rope import Rope, Yarn

__all__ = ["Config", "Gate", "Model", "Rope", "Yarn", "load_checkpoint", "read", "save_checkpoint"]
