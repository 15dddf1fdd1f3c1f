"""Diagrams of mechanisms: the numbers they are given stand in them, and their parts lie where they should."""

import pytest
from matplotlib.colors import to_hex

from repro.experiments.recall_layer import GROUPS, RecallLayer
from repro.lab.diagrams import draw_head_view, draw_kv_caches, draw_pipeline, draw_training_memory
from repro.lab.figures import BLUE, ORANGE

pytestmark = pytest.mark.usefixtures("plain_matplotlib")


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_diagram_of_caches_writes_what_each_keeps():
    sizes = {"MHA": 32768, "GQA": 2048, "MQA": 256, "MLA": 576}
    assert [f"{size:,}" for size in sizes.values()] == [t for t in texts_of(draw_kv_caches(sizes)) if t[0].isdigit()]
    assert not any(text[0].isdigit() for text in texts_of(draw_kv_caches()))


def test_a_diagram_of_training_memory_sums_the_bytes_of_each_scheme():
    sizes = {"master_weights": (4, 4), "weights": (1, 2), "gradients": (4, 2), "moments": (4, 8)}
    texts = texts_of(draw_training_memory(sizes, ("V3", "BF16")))
    assert {"V3: 13", "BF16: 16", "1 byte"} <= set(texts)


def test_in_a_diagram_of_a_pipeline_each_rank_faces_its_mirror_image():
    numbers = [int(text) for text in texts_of(draw_pipeline(4, layers=8, gpus_per_rank=2)) if text.isdigit()]
    assert numbers == [0, 0, 3, 1, 1, 2, 2, 2, 1, 3, 3, 0]  # rank, stage from the front, stage from the back


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
