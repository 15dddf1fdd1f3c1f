"""What others published: every value with its unit, its source, the place in the source and who stands behind it."""

from repro.facts.loader import Facts, Ledger, load
from repro.facts.schema import Fact, Published, Reference, Sourced

__all__ = ["Fact", "Facts", "Ledger", "Published", "Reference", "Sourced", "load"]
