"""The diagram of the way from FLOPs to dollars: a box and a note per step, an operation between each two."""

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from repro.lab.diagrams import draw_cost_path
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
