"""Bytes of weights, of a released checkpoint, and of one GPU in training: small cases counted on paper."""

from dataclasses import replace

import pytest
import shapes
from hypothesis import given
from hypothesis import strategies as st

from repro.calc import memory
from repro.calc.param_count import total_parameters
from repro.errors import InputError
from repro.facts import load
from repro.models.architecture import Architecture, GatedFeedForward, GroupedQueryAttention
from repro.models.hf_config import architecture_from_hf

EXPERTS = replace(shapes.EXPERTS, n_routed_experts=8)  # shared evenly by four GPUs
TINY = replace(shapes.TINY, experts=EXPERTS)
SIX_LAYERS = replace(TINY, n_moe_layers=5)
LAYOUT = memory.ParallelLayout(gpus=16, pipeline_ranks=2, expert_ranks=4, tokens_per_micro_batch=10)
DENSE = Architecture(
    4, 10, n_dense_layers=2, n_moe_layers=0, attention=GroupedQueryAttention(4, 2, 3), dense=GatedFeedForward(5)
)
BUILT_IN = {
    key: architecture_from_hf(entry.content) for key, entry in load().published.items() if key.startswith("config.")
}
KEPT = memory.ActivationBytes(dense=5, experts=7)
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


def test_bytes_of_a_released_checkpoint():
    # Scales per 2x2. Attention: 12 + 16, 18 + 24, 24 + 24, 60 + 72, 32 + 32 = 314; norms (3 + 5 + 4 + 4) x 2 = 32.
    # Dense: 3 x (20 + 24) = 132. Expert: 3 x (8 + 8) = 48. Gate: 8x4 x 2 + 8 x 4 = 96; with 9 experts 528.
    # 3 x 346 + 132 + 2 x 528 + two tables of 10x4 x 2 = 160 + last norm 8
    assert memory.checkpoint_bytes(TINY, block=2, mtp_counted=False) == 2394
    # 346 + 528 + projection and three norms (32 + 12) x 2 = 88 + both tables again 160
    assert memory.checkpoint_bytes(TINY, block=2, mtp_counted=True) == 2394 + 1122
    assert memory.checkpoint_bytes(replace(TINY, n_mtp_modules=2), block=2, mtp_counted=True) == 2394 + 2 * 1122


def test_a_gate_without_biases_takes_four_bytes_less_per_expert():
    plain = replace(TINY, experts=replace(EXPERTS, correction_bias=False))
    assert memory.checkpoint_bytes(plain, block=2, mtp_counted=False) == 2394 - 2 * 8 * 4


def test_bytes_of_checkpoints_of_other_kinds():
    # queries not compressed: 24 + 24 in place of 28 + 42 and of a norm's 3 x 2, in 3 layers
    plain = replace(TINY, attention=replace(shapes.MLA, q_lora_rank=None))
    assert memory.checkpoint_bytes(plain, block=2, mtp_counted=False) == 2394 - 3 * 28
    # a layer: queries and output 48 + 48, keys and values 24 + 24: 288; feed-forward 132; norms 2 x 4 x 2. Two of them,
    # two tables of 80 and the last norm
    assert memory.checkpoint_bytes(DENSE, block=2, mtp_counted=True) == 2 * 436 + 160 + 8
    assert memory.checkpoint_bytes(replace(DENSE, tied_embeddings=True), block=2, mtp_counted=True) == 2 * 436 + 80 + 8
    # biases of 12 + 6 + 6 in BF16
    biased = replace(DENSE, attention=replace(DENSE.attention, qkv_bias=True))
    assert memory.checkpoint_bytes(biased, block=2, mtp_counted=True) == 2 * (436 + 48) + 168


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_model_has_an_answer(name):
    arch, total = BUILT_IN[name], total_parameters(BUILT_IN[name])
    assert total < memory.checkpoint_bytes(arch, block=128, mtp_counted=False) < 1.2 * total
    kept = memory.activation_bytes(arch, bytes_per_element=2, attention_output_bytes=2, recomputed=True)
    assert kept.dense > 0
    assert (kept.experts > 0) == (arch.experts is not None)
    layout = memory.ParallelLayout(gpus=64, pipeline_ranks=2, expert_ranks=8, tokens_per_micro_batch=1)
    rank, held = memory.peak_memory_gpu(arch, layout, {"weights": 2, "gradients": 4, "moments": 8}, kept)
    assert rank == 0
    assert all(size > 0 for size in held.values())


def test_v3s_checkpoint():
    # Elements of the released tensors: 684,531,386,000, of which FP32: 41,540,496 scales and 59 x 256 biases; BF16:
    # four tables 3,706,716,160, gates 59 x 256x7168 = 108,265,472, projection 102,760,448, norms 1,044,480, so
    # 3,918,786,560; FP8: 680,571,043,840. At 4, 2 and 1 bytes: 166,222,400 + 7,837,573,120 + 680,571,043,840
    size = memory.checkpoint_bytes(
        architecture_from_hf(load().model("deepseek_v3").content), block=128, mtp_counted=True
    )
    assert size == 688_574_839_360
    # the files are 12 MB larger, by their headers
    assert 0 < load()["deepseek_v3.released_bytes"].value - size < 2e-5 * size


def test_each_rank_has_a_stage_from_the_front_and_one_from_the_back():
    # V3 report, table 2: DualPipe keeps two copies of the parameters and P + 1 activations
    layout = memory.ParallelLayout(gpus=64, pipeline_ranks=4, expert_ranks=8, tokens_per_micro_batch=1)
    assert [layout.stages(rank) for rank in range(4)] == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert [layout.in_flight(stage) for stage in range(4)] == [4, 3, 2, 1]
    assert layout.stage_replicas == 32  # of 16 GPUs per rank, those of two


def test_a_single_rank_holds_the_only_stage_once():
    layout = replace(LAYOUT, pipeline_ranks=1)
    assert (layout.stages(0), layout.in_flight(0), layout.stage_replicas) == ((0,), 1, 16)


@pytest.mark.parametrize(
    ("n_dense_layers", "n_moe_layers", "layers"),
    [
        # two layers per stage, the dense ones first
        (5, 3, [(2, 0), (2, 0), (1, 1), (0, 2)]),
        (1, 7, [(1, 1), (0, 2), (0, 2), (0, 2)]),
        (0, 8, [(0, 2)] * 4),
        (8, 0, [(2, 0)] * 4),
        # 1.5 per stage
        (2, 4, [(1.5, 0), (0.5, 1), (0, 1.5), (0, 1.5)]),
    ],
)
def test_layers_of_each_stage(n_dense_layers, n_moe_layers, layers):
    layout = replace(LAYOUT, pipeline_ranks=4)
    shape = replace(TINY, n_dense_layers=n_dense_layers, n_moe_layers=n_moe_layers)
    assert [layout.layers(shape, stage) for stage in range(4)] == layers


def test_bytes_of_a_gpu_of_the_first_rank():
    # Both stages of 2: a dense layer and 5 with experts, and the module with experts: 6 x 8 x 24 / 4 ranks = 288
    # routed; 6 x (154 of attention + 8x4 + 8 of the gate + 24 shared) + 154 + 60 of the dense layer + 2 x 4x4 of the
    # projection = 1554 others; tables 2 x 10x4 = 80
    assert memory.memory_per_gpu(SIX_LAYERS, LAYOUT, SCHEME, KEPT, 0) == {
        "weights": 1842 * 2 + 80 * 2,
        "gradients": 1922 * 4,
        # 4 + 8 bytes; all 16 GPUs hold both stages, in four groups with 4 x 288 routed parameters each
        "optimiser": 12 * (1152 + 1554 + 80) / 16,
        # 10 tokens: 2 micro-batches in a dense layer and two with experts, 1 in three with experts, 1 in the module
        "activations": 10 * (2 * (5 + 2 * 7) + 3 * 7 + 7),
        # of head and module, in FP32
        "logits": 10 * 10 * 4 * 2,
    }


def test_bytes_of_a_gpu_without_experts():
    # both stages of one layer: 2 x (144 of attention + 60), and tables 80
    held = {
        "weights": 408 * 2 + 80 * 2,
        "gradients": 488 * 4,
        "optimiser": 12 * 488 / 16,
        "activations": 10 * (2 * 5 + 5),
        "logits": 10 * 10 * 4,
    }
    assert memory.memory_per_gpu(DENSE, LAYOUT, SCHEME, KEPT, 0) == held
    # one table of 40 where it serves as the head too
    tied = memory.memory_per_gpu(replace(DENSE, tied_embeddings=True), LAYOUT, SCHEME, KEPT, 0)
    assert (tied["weights"], tied["gradients"]) == (408 * 2 + 40 * 2, 448 * 4)
    # a module is a dense layer, and a projection of 2 x 4x4
    module = memory.memory_per_gpu(replace(DENSE, n_mtp_modules=1), LAYOUT, SCHEME, KEPT, 0)
    assert module["weights"] == held["weights"] + (144 + 60 + 32) * 2
    assert module["activations"] == held["activations"] + 10 * 5


def test_bytes_of_a_gpu_in_the_middle():
    # stages 1 and 2 of 4, each of 2 layers: (2 dense, 0) and (1, 1), so 3 x (154 + 60) + 154 + 40 + 24 = 860 and
    # 192 / 4 = 48 routed; 2 x 16 / 4 = 8 GPUs hold each stage; 3 and 2 micro-batches wait
    shape, layout = replace(TINY, n_dense_layers=5, n_moe_layers=3), replace(LAYOUT, pipeline_ranks=4)
    assert memory.memory_per_gpu(shape, layout, SCHEME, KEPT, 1) == {
        "weights": 908 * 2,
        "gradients": 908 * 4,
        "optimiser": 12 * (192 + 860) / 8,
        "activations": 10 * (3 * (2 * 5) + 2 * (5 + 7)),
        "logits": 0,
    }


def test_the_fullest_gpu():
    # rank 0 has tables, logits and the module
    assert memory.peak_memory_gpu(SIX_LAYERS, LAYOUT, SCHEME, KEPT) == (
        0,
        memory.memory_per_gpu(SIX_LAYERS, LAYOUT, SCHEME, KEPT, 0),
    )
    # of 2 and of 3 dense layers, once these are large
    shape = replace(TINY, n_dense_layers=5, n_moe_layers=3, dense=GatedFeedForward(1000))
    layout = replace(LAYOUT, pipeline_ranks=4)
    rank, held = memory.peak_memory_gpu(shape, layout, SCHEME, KEPT)
    assert (rank, held) == (1, memory.memory_per_gpu(shape, layout, SCHEME, KEPT, 1))


def test_a_single_rank_is_the_fullest():
    alone = replace(LAYOUT, pipeline_ranks=1)
    held = memory.memory_per_gpu(SIX_LAYERS, alone, SCHEME, KEPT, 0)
    assert memory.peak_memory_gpu(SIX_LAYERS, alone, SCHEME, KEPT) == (0, held)
    # one micro-batch waits: in a dense layer, in five with experts and in the module
    assert held["activations"] == 10 * (5 + 6 * 7)


@pytest.mark.parametrize("part", ["gpus", "pipeline_ranks", "expert_ranks"])
def test_no_ranks_are_an_error(part):
    with pytest.raises(ZeroDivisionError):
        memory.memory_per_gpu(SIX_LAYERS, replace(LAYOUT, **{part: 0}), SCHEME, KEPT, 0)


@pytest.mark.parametrize(
    ("element", "output", "recomputed", "dense", "experts"),
    [
        # residual 2 x 4 x 2 bytes = 16; output 2 x 4 x 2 = 16; latents 3 + 6; dense 4 + 2 x 5 = 14, 3 experts x
        # (4 + 2 x 2) = 24
        (1, 2, True, 55, 65),
        # 16 + 16 + 2 x (9 + 14) and 2 x (9 + 24)
        (2, 2, True, 78, 98),
        # 16 + 8 x 1.5 + 9 + 14 and 24
        (1, 1.5, True, 51, 61),
        # norms 2 x 4, queries and keys and values 2 x (3 + 3 + 4) = 20, outputs of SwiGLU 5 and 3 x 2
        (1, 2, False, 55 + 33, 65 + 34),
        (2, 2, False, 78 + 66, 98 + 68),
    ],
)
def test_activations_of_a_token_in_a_layer(element, output, recomputed, dense, experts):
    assert memory.activation_bytes(
        TINY, bytes_per_element=element, attention_output_bytes=output, recomputed=recomputed
    ) == memory.ActivationBytes(dense, experts)


@pytest.mark.parametrize(
    ("arch", "recomputed", "dense", "experts"),
    [
        # no latent of 3 for queries
        (replace(TINY, attention=replace(shapes.MLA, q_lora_rank=None)), True, 55 - 3, 65 - 3),
        # residual 16, output 4 x 3 x 2 bytes; queries 12, keys and values 12, dense 4 + 2 x 5
        (DENSE, True, 16 + 24 + 38, 0),
        # norms 2 x 4, output of SwiGLU 5; queries, keys and values are kept either way
        (DENSE, False, 16 + 24 + 38 + 13, 0),
    ],
)
def test_activations_of_other_attention_and_without_experts(arch, recomputed, dense, experts):
    kept = memory.activation_bytes(arch, bytes_per_element=1, attention_output_bytes=2, recomputed=recomputed)
    assert kept == memory.ActivationBytes(dense, experts)


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 300))
def test_scales_take_at_most_four_bytes_per_element_and_shrink_with_the_block(rows, columns, block):
    size = memory.block_scaled_bytes(rows, columns, block=block)
    assert rows * columns + 4 <= size <= 5 * rows * columns
    assert memory.block_scaled_bytes(rows, columns, block=2 * block) <= size
    # a block of one element has a scale of its own
    assert memory.block_scaled_bytes(rows, columns, block=1) == 5 * rows * columns


@given(st.integers(1, 100), st.integers(1, 100))
def test_activations_and_logits_are_linear_in_the_tokens(tokens, more):
    for part in ("activations", "logits"):
        sizes = [
            memory.memory_per_gpu(SIX_LAYERS, replace(LAYOUT, tokens_per_micro_batch=n), SCHEME, KEPT, 0)[part]
            for n in (tokens, more, tokens + more)
        ]
        assert sizes[0] + sizes[1] == sizes[2]


@given(st.integers(1, 64), st.integers(1, 8))
def test_more_gpus_spread_the_optimiser_and_nothing_else(groups, times):
    few, many = (
        memory.memory_per_gpu(SIX_LAYERS, replace(LAYOUT, gpus=8 * n), SCHEME, KEPT, 0)
        for n in (groups, groups * times)
    )
    assert few["optimiser"] == pytest.approx(times * many["optimiser"], rel=1e-12)
    assert {**few, "optimiser": 0} == {**many, "optimiser": 0}


@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 2), st.integers(1, 5), st.integers(1, 4))
def test_all_gpus_together_keep_one_optimiser(n_dense_layers, n_moe_layers, n_mtp_modules, pairs, expert_ranks):
    shape = replace(TINY, n_dense_layers=n_dense_layers, n_moe_layers=n_moe_layers, n_mtp_modules=n_mtp_modules)
    layout = memory.ParallelLayout(
        gpus=40, pipeline_ranks=2 * pairs, expert_ranks=expert_ranks, tokens_per_micro_batch=1
    )
    held = [memory.memory_per_gpu(shape, layout, {**SCHEME, "moments": 0}, KEPT, rank) for rank in range(pairs)]
    # 4 bytes for each parameter but the norms, of 4 in two per layer, a last one, and three more per module
    norms = 4 * (2 * (n_dense_layers + n_moe_layers + n_mtp_modules) + 1 + 3 * n_mtp_modules)
    counted = total_parameters(shape, mtp_counted=True) - norms
    assert sum(part["optimiser"] for part in held) * layout.stage_replicas == pytest.approx(4 * counted, rel=1e-9)
    # and every rank has P + 1 activations, of each pair of stages
    in_flight = {sum(map(layout.in_flight, layout.stages(rank))) for rank in range(2 * pairs)}
    assert in_flight == {2 * pairs + 1}


def test_the_last_rank_holds_what_the_first_does():
    assert memory.memory_per_gpu(SIX_LAYERS, LAYOUT, SCHEME, KEPT, 1) == memory.memory_per_gpu(
        SIX_LAYERS, LAYOUT, SCHEME, KEPT, 0
    )


def test_an_odd_number_of_ranks_is_refused():
    with pytest.raises(InputError, match="pipeline_ranks = 3: must be 1 or even"):
        replace(LAYOUT, pipeline_ranks=3)
    assert replace(LAYOUT, pipeline_ranks=1).stage_replicas == 16
