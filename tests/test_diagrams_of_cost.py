"""Diagrams of the way from FLOPs to dollars, and of active parameters: what is written, in which place, to scale."""

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from repro.lab.diagrams import draw_active, draw_cost_path
from repro.lab.figures import GREEN, RED

pytestmark = pytest.mark.usefixtures("plain_matplotlib")
STEPS = [("FLOPs", "3.3e24"), ("hours", "2.79M"), ("dollars", "$5.5M")]


def texts(figure):
    (axes,) = figure.axes
    return [text.get_text() for text in axes.texts if text.get_text()]


def test_every_step_is_a_box_with_its_figure_and_between_two_stands_what_is_done():
    figure = draw_cost_path(STEPS, ["÷ rate", "× rent"])
    assert texts(figure) == ["FLOPs\n3.3e24", "÷ rate", "hours\n2.79M", "× rent", "dollars\n$5.5M"]
    patches = figure.axes[0].patches
    assert [sum(isinstance(patch, kind) for patch in patches) for kind in (FancyBboxPatch, FancyArrowPatch)] == [3, 2]


def test_notes_stand_under_their_boxes_in_their_colours_below_a_title():
    notes = [("right", GREEN), ("wrong", RED), ("assumed", "black")]
    figure = draw_cost_path(STEPS, ["÷ rate", "× rent"], notes, "The way")
    placed = {text.get_text(): text for text in figure.axes[0].texts}
    for (step, value), (told, colour) in zip(STEPS, notes, strict=True):
        assert placed[told].get_color() == colour
        assert placed[told].get_position()[0] == placed[f"{step}\n{value}"].get_position()[0]
        assert placed[told].get_position()[1] < placed[f"{step}\n{value}"].get_position()[1]
    assert placed["The way"].get_position()[1] == max(text.get_position()[1] for text in placed.values())


def test_active_parameters_are_to_scale_and_the_enlarged_parts_fill_the_whole_width():
    parts = {"experts": 6.0, "attention": 3.5, "head": 0.5}
    axes = draw_active("idle", "working: 10B", parts, share=0.1, title="One in ten").axes[0]
    working, idle, *enlarged = [patch.get_width() for patch in axes.patches]
    assert working / (working + idle) == pytest.approx(0.1)
    assert sum(enlarged) == pytest.approx(working + idle)
    assert [width / sum(enlarged) for width in enlarged] == pytest.approx([0.6, 0.35, 0.05])
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["One in ten", "idle", "working: 10B", "experts\n6.0B", "attention\n3.5B", "head: 0.5B"]
