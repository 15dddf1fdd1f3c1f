"""Bytes of weights, of a released checkpoint, and of one GPU in training: small cases counted on paper."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repro.calc import memory
from repro.calc.architecture import Architecture, GatedFeedForward, MixtureOfExperts, MultiHeadLatentAttention
from repro.calc.config import architecture
from repro.facts import load

MLA = MultiHeadLatentAttention(n_heads=2, q_lora_rank=3, kv_lora_rank=5, d_nope=2, d_rope=1, d_value=4)
EXPERTS = MixtureOfExperts(n_routed=8, n_shared=1, top_k=2, d_expert=2, correction_bias=True)
TINY = Architecture(
    d_model=4,
    vocabulary=10,
    n_dense=1,
    n_moe=2,
    attention=MLA,
    dense=GatedFeedForward(5),
    experts=EXPERTS,
    n_mtp=1,
)
SIX_LAYERS = replace(TINY, n_moe=5)
LAYOUT = memory.Layout(gpus=16, pipeline_ranks=2, expert_ranks=4, tokens_per_micro_batch=10)
SCHEME = {"weights": 2, "gradients": 4, "master_weights": 4, "moments": 8}


@pytest.mark.parametrize(("bits", "size"), [(32, 28), (16, 14), (8, 7), (4, 3.5)])
def test_bytes_of_seven_weights(bits, size):
    assert memory.weights_bytes(7, bits_per_parameter=bits) == size


@pytest.mark.parametrize(
    ("rows", "columns", "size"),
    [
        (256, 128, 32_768 + 4 * 2),  # 2 x 1 blocks
        (257, 128, 32_896 + 4 * 3),  # one row more begins a third
        (300, 200, 60_000 + 4 * 6),  # 3 x 2
        (1, 1, 1 + 4),
    ],
)
def test_bytes_of_a_matrix_with_a_scale_per_block(rows, columns, size):
    assert memory.block_scaled_bytes(rows, columns, block=128) == size
    assert memory.block_scaled_bytes(columns, rows, block=128) == size


def test_matrices_of_latent_attention():
    assert memory.mla_matrices(MLA, 4) == [
        (3, 4),  # queries down
        (6, 3),  # and up: 2 heads x (2 + 1)
        (6, 4),  # keys and values down, and the shared key: 5 + 1
        (12, 5),  # and up: 2 x (2 + 4)
        (4, 8),  # out: from 2 x 4
    ]


def test_bytes_of_a_released_checkpoint():
    # Scales per 2x2. Attention: 12 + 16, 18 + 24, 24 + 24, 60 + 72, 32 + 32 = 314; norms (3 + 5 + 4 + 4) x 2 = 32.
    # Dense: 3 x (20 + 24) = 132. Expert: 3 x (8 + 8) = 48. Gate: 8x4 x 2 + 8 x 4 = 96; with 9 experts 528.
    # 3 x 346 + 132 + 2 x 528 + two tables of 10x4 x 2 = 160 + last norm 8
    assert memory.released_bytes(TINY, block=2, mtp_counted=False) == 2394
    # 346 + 528 + projection and three norms (32 + 12) x 2 = 88 + both tables again 160
    assert memory.released_bytes(TINY, block=2, mtp_counted=True) == 2394 + 1122
    assert memory.released_bytes(replace(TINY, n_mtp=2), block=2, mtp_counted=True) == 2394 + 2 * 1122


def test_a_gate_without_biases_takes_four_bytes_less_per_expert():
    plain = replace(TINY, experts=replace(EXPERTS, correction_bias=False))
    assert memory.released_bytes(plain, block=2, mtp_counted=False) == 2394 - 2 * 8 * 4


def test_v3s_checkpoint():
    # Elements of the released tensors: 684,531,386,000, of which FP32: 41,540,496 scales and 59 x 256 biases; BF16:
    # four tables 3,706,716,160, gates 59 x 256x7168 = 108,265,472, projection 102,760,448, norms 1,044,480, so
    # 3,918,786,560; FP8: 680,571,043,840. At 4, 2 and 1 bytes: 166,222,400 + 7,837,573,120 + 680,571,043,840
    size = memory.released_bytes(architecture(load().model("deepseek_v3").content), block=128, mtp_counted=True)
    assert size == 688_574_839_360
    # the files are 12 MB larger, by their headers
    assert 0 < load()["deepseek_v3.released_bytes"].value - size < 2e-5 * size


def test_state_of_mixed_precision_adam():
    # ZeRO (arXiv 1910.02054), section 3.1: 16 bytes, FP16 weights and gradients and three copies in FP32
    scheme = {"weights": 2, "gradients": 2, "master_weights": 4, "momentum": 4, "variance": 4}
    assert memory.state_bytes_per_parameter(scheme) == 16


def test_layout():
    assert LAYOUT.data_ranks == 8  # 16 / 2
    assert LAYOUT.chunks_in_flight == 3  # DualPipe: 2 + 1, table 2 of the V3 report


def test_bytes_of_one_gpu():
    # 6 layers / 2 stages x 2 copies = 6 layers. Routed: 6 x 8 experts x 24 / 4 ranks = 288. Others: 6 x (154 of
    # attention + 8x4 + 8 of the gate + 24 shared) = 1308. Tables: 2 x 10x4 = 80.
    assert memory.gpu_bytes(SIX_LAYERS, LAYOUT, SCHEME, 7) == {
        "weights": 2 * 1596,
        "gradients": 4 * 1596,
        "embedding and head": 80 * (2 + 4),
        # routed weights lie on 8 / 4 = 2 GPUs, the rest on 8: 12 x (144 + 1388 / 8)
        "optimiser": 3810,
        # 3 chunks x 10 tokens x 3 layers x 7
        "activations": 630,
    }


def test_one_copy_of_the_parameters_halves_what_copies_double():
    one = memory.gpu_bytes(SIX_LAYERS, replace(LAYOUT, parameter_copies=1), SCHEME, 7)
    assert (one["weights"], one["gradients"], one["activations"]) == (2 * 798, 4 * 798, 630)
    assert one["optimiser"] == 12 * (72 + 734 / 8)


@pytest.mark.parametrize("part", ["gpus", "pipeline_ranks", "expert_ranks"])
def test_no_ranks_are_an_error(part):
    with pytest.raises(ZeroDivisionError):
        memory.gpu_bytes(SIX_LAYERS, replace(LAYOUT, **{part: 0}), SCHEME, 7)


@pytest.mark.parametrize(
    ("element", "output", "recomputed", "size"),
    [
        # residual 2 x 4 x 2 bytes = 16; latents 3 + 6; output 2 x 4 x 2 = 16; 3 experts x (4 + 2 x 2) = 24
        (1, 2, True, 65),
        # 16 + 9 x 2 + 8 x 2 + 24 x 2
        (2, 2, True, 98),
        # 16 + 9 + 8 x 1.5 + 24
        (1, 1.5, True, 61),
        # norms 2 x 4, queries and keys and values 2 x (3 + 3 + 4) = 20, outputs of SwiGLU 3 x 2: 34 more
        (1, 2, False, 99),
        (2, 2, False, 98 + 68),
    ],
)
def test_activations_of_a_token_in_a_layer(element, output, recomputed, size):
    assert (
        memory.activation_bytes_per_token_layer(
            TINY, bytes_per_element=element, attention_output_bytes=output, recomputed=recomputed
        )
        == size
    )


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 300))
def test_scales_take_at_most_four_bytes_per_element_and_shrink_with_the_block(rows, columns, block):
    size = memory.block_scaled_bytes(rows, columns, block=block)
    assert rows * columns + 4 <= size <= 5 * rows * columns
    assert memory.block_scaled_bytes(rows, columns, block=2 * block) <= size
    # a block of one element has a scale of its own
    assert memory.block_scaled_bytes(rows, columns, block=1) == 5 * rows * columns


@given(st.integers(1, 100), st.integers(1, 100))
def test_activations_are_linear_in_the_tokens(tokens, more):
    sizes = [
        memory.gpu_bytes(SIX_LAYERS, replace(LAYOUT, tokens_per_micro_batch=n), SCHEME, 7)["activations"]
        for n in (tokens, more, tokens + more)
    ]
    assert sizes[0] + sizes[1] == sizes[2]


@given(st.integers(1, 64), st.integers(1, 8))
def test_more_gpus_spread_the_optimiser_and_nothing_else(groups, times):
    few, many = (memory.gpu_bytes(SIX_LAYERS, replace(LAYOUT, gpus=8 * n), SCHEME, 7) for n in (groups, groups * times))
    spread = "optimiser"
    assert few[spread] == pytest.approx(times * many[spread], rel=1e-12)
    assert {**few, spread: 0} == {**many, spread: 0}
