"""What others published: every value with its unit, source, locator and standing."""

from repro.facts.loader import Fact, Facts, Ledger, Reference, load

__all__ = ["Fact", "Facts", "Ledger", "Reference", "load"]
