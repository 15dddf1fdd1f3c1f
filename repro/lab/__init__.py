"""Runs, checks and shows the notebooks, and the command line; no science."""
