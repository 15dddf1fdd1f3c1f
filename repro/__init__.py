"""An audit of what two widely read documents claim about DeepSeek-V2 and V3."""

__version__ = "0.2.0"
