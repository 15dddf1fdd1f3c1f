"""Diagrams: what they draw is what their arguments say."""

import pytest
from matplotlib.colors import to_hex

from repro.experiments.recall_layer import GROUPS, RecallLayer
from repro.lab.diagrams import draw_head_view
from repro.lab.figures import BLUE, ORANGE

pytestmark = pytest.mark.usefixtures("plain_matplotlib")


def test_a_head_reads_as_many_cached_elements_as_the_layer_gives_it():
    figure = draw_head_view(16, {"MLA": 0, **GROUPS})
    (axes,) = figure.axes
    coloured = [to_hex(patch.get_facecolor()) for patch in axes.patches]
    widths = [16, *(RecallLayer(kind, 16).head_dim for kind in GROUPS)]  # 16, 8, 4, 2
    for colour in (BLUE, ORANGE):
        assert coloured.count(to_hex(colour)) == sum(widths)
    texts = [text.get_text() for text in axes.texts]
    assert "all 16, as key and as value" in texts
    assert [f"{width} as key, {width} as value" in texts for width in widths[1:]] == [True, True, True]
