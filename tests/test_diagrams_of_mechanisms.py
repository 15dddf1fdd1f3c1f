"""Diagrams of MLA, of a module that drafts, of a token's way, and of what overlaps: what is written, and where."""

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from repro.lab.diagrams import draw_latent_attention, draw_mtp, draw_network, draw_overlap
from repro.lab.figures import BLUE, GREEN, RED

pytestmark = pytest.mark.usefixtures("plain_matplotlib")


def texts(figure):
    (axes,) = figure.axes
    return {text.get_text(): text for text in axes.texts if text.get_text()}


def test_both_forms_of_mla_cache_the_same_and_one_expands_it():
    figure = draw_latent_attention(128, 512, 64)
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written.count("latent: 512 elements") == written.count("key: 64") == 2
    assert written.count("× W^UK and W^UV, for 128 heads") == 1
    assert {"query × W^UK", "sum × W^UV", "attention with 128 keys and values"} < set(written)


def test_a_token_crosses_between_nodes_once_and_goes_on_to_each_expert():
    (axes,) = draw_network(8, "160 GB/s", "50 GB/s", experts=(1, 2), title="Once").axes
    ways = [line.get_xydata() for line in axes.get_lines()]
    assert len(ways) == 2
    assert (ways[0][:4] == ways[1][:4]).all()  # up to the node where it lands
    assert ways[1][-1, 0] - ways[0][-1, 0] == pytest.approx(6.6 / 8)
    assert {"Once", "NVLink: 160 GB/s", "InfiniBand between nodes: 50 GB/s for each GPU"} < set(texts(axes.figure))


def test_without_experts_the_network_shows_no_way_and_says_what_a_node_is():
    (axes,) = draw_network(4, "1", "2").axes
    assert not axes.get_lines()
    assert "A node is a server with 4 GPUs, each with a network card of its own" in texts(axes.figure)
    colours = {patch.get_facecolor() for patch in axes.patches if isinstance(patch, FancyArrowPatch)}
    assert len(colours) == 1


def test_pieces_of_a_lane_stand_at_their_times_in_lanes_from_the_top():
    figure = draw_overlap({"computes": [("F", 0, 1, BLUE), ("B", 1, 3, GREEN)], "sends": [("F", 1, 1, RED)]}, "At once")
    boxes = [patch.get_bbox() for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    assert [box.x0 for box in boxes] == pytest.approx([3.4, 6.7, 6.7])
    assert (boxes[1].width + 0.06) / (boxes[0].width + 0.06) == pytest.approx(3)
    assert boxes[0].y0 == boxes[1].y0 > boxes[2].y0
    placed = texts(figure)
    assert placed["At once"].get_position()[1] > placed["computes"].get_position()[1] > boxes[2].y1


def test_a_kept_draft_yields_two_tokens_and_a_wrong_one_is_replaced():
    (axes,) = draw_mtp("85% to 90%").axes
    written = texts(axes.figure)
    kept, wrong = written["kept, 85% to 90%: two tokens from one pass"], written["else: one token"]
    assert {"token i + 2: a draft", "draft of i + 2", "the same head", "thrown away"} < set(written)
    assert kept.get_color() == GREEN
    assert wrong.get_color() == RED
    assert kept.get_position()[1] > written["the draft, i + 2"].get_position()[1] > wrong.get_position()[1]
    inside = [axes.viewLim.contains(*text.get_position()) for text in axes.texts]
    assert all(inside)
