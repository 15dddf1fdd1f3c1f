"""Readers of published configurations, one module per family."""
