"""An audit of what two widely read documents claim about DeepSeek-V2 and V3."""

FINDING = "application/vnd.repro.finding+json"  # the mimetype under which a notebook's outputs carry findings
DISTRIBUTION = "deepseek-cost-audit"
__version__ = "0.3.0"
