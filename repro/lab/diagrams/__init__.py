"""Diagrams of the mechanisms, drawn by code from the numbers they show, in the look of all figures.

A diagram stands where a mechanism is first named. Each function takes the figures that it writes, so that a picture
follows its assumptions, and returns a matplotlib figure for `show_figure`. What is kept in memory is orange, what is
computed is blue, what travels is green, what is left out is grey.
"""

from repro.lab.diagrams.attention import draw_head_view, draw_kv_caches, draw_latent_attention
from repro.lab.diagrams.cost import draw_cost_path, draw_sum
from repro.lab.diagrams.experts import draw_active, draw_moe_token, draw_mtp
from repro.lab.diagrams.machines import draw_network, draw_overlap, draw_pipeline
from repro.lab.diagrams.numbers import draw_bits, draw_promotion, draw_training_memory

__all__ = [
    "draw_active",
    "draw_bits",
    "draw_cost_path",
    "draw_head_view",
    "draw_kv_caches",
    "draw_latent_attention",
    "draw_moe_token",
    "draw_mtp",
    "draw_network",
    "draw_overlap",
    "draw_pipeline",
    "draw_promotion",
    "draw_sum",
    "draw_training_memory",
]
