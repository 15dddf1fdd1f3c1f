"""Experiments on the numpy model that are too long for a notebook: what a run is, how it is watched and recorded."""
