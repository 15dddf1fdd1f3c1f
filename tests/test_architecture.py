"""Shapes small enough to count on paper: parameters to the last one, active ones, and FLOP per token."""

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import EXPERTS, MLA, TINY

from repro.calc.flops import attention_flop_per_token, counted_flop_per_token, matmul_parameters
from repro.calc.param_count import (
    active_parameters,
    attention_part,
    expert_parameters,
    mtp_parts,
    parts,
    total_parameters,
)
from repro.models.architecture import (
    Architecture,
    GatedFeedForward,
    GroupedQueryAttention,
    MixtureOfExperts,
    MultiHeadLatentAttention,
)

GQA = GroupedQueryAttention(n_heads=4, n_kv_heads=2, head_dim=3)
DENSE = Architecture(4, 10, n_dense_layers=2, n_moe_layers=0, attention=GQA, dense=GatedFeedForward(5))


def by_name(rows):
    return {part.name: (part.total, part.active, part.multiplied) for part in rows}


@pytest.mark.parametrize(
    ("attention", "parameters", "multiplied"),
    [
        # matrices, [out, in]: 3x4 down and (2x3)x3 up for queries = 30; (5+1)x4 = 24 down and 2x(2+4)x5 = 60 up for
        # keys and values; 4x(2x4) = 32 out: 146. Norms of both latents: 3 + 5
        (MLA, 154, 146),
        # biases of what leads down, 3 and 5+1, and of the output, 4: 13 more
        (replace(MLA, bias=True), 167, 146),
        # queries from one matrix, 6x4 = 24 in place of 30 and of the norm of 3
        (replace(MLA, q_lora_rank=None), 145, 140),
        # their matrix has no bias: 5+1 and 4
        (replace(MLA, q_lora_rank=None, bias=True), 155, 140),
        # queries 12x4 = 48, keys and values 6x4 = 24 each, out 4x12 = 48
        (GQA, 144, 144),
        (replace(GQA, qkv_bias=True), 144 + 12 + 6 + 6, 144),
        (replace(GQA, output_bias=True), 144 + 4, 144),
        # a key and a value head per query head: four matrices of 48
        (replace(GQA, n_kv_heads=4), 192, 192),
        # one for all: 48 + 12 + 12 + 48
        (replace(GQA, n_kv_heads=1), 120, 120),
        # a gain per element of a query and of a key, the same for all heads
        (replace(GQA, qk_norm=True), 144 + 3 + 3, 144),
    ],
)
def test_attention_of_one_layer(attention, parameters, multiplied):
    part = attention_part(attention, 4)
    assert (part.total, part.active, part.multiplied) == (parameters, parameters, multiplied)


@pytest.mark.parametrize(("attention", "qk_head_dim", "v_head_dim"), [(MLA, 2 + 1, 4), (GQA, 3, 3)])
def test_elements_of_a_query_and_of_a_value(attention, qk_head_dim, v_head_dim):
    assert (attention.qk_head_dim, attention.v_head_dim) == (qk_head_dim, v_head_dim)


def test_feed_forward_has_three_matrices():
    # 3 x 4 x 5 = 60; biases 5 + 5 + 4; in 2 layers
    biased = replace(DENSE, dense=GatedFeedForward(5, bias=True))
    assert by_name(parts(DENSE))["dense feed-forward"] == (120, 120, 120)
    assert by_name(parts(biased))["dense feed-forward"] == (148, 148, 120)
    assert expert_parameters(TINY) == 24  # 3 x 4 x 2
    assert expert_parameters(DENSE) == 0


def test_every_part_of_a_model_with_experts():
    assert by_name(parts(TINY)) == {
        "embedding": (40, 40, 0),  # 10 x 4, of which a token reads a row
        "attention": (3 * 154, 3 * 154, 3 * 146),
        "dense feed-forward": (60, 60, 60),  # the first layer's
        "gate": (2 * 35, 2 * 35, 2 * 28),  # 7 x 4 weights and 7 biases
        "shared experts": (48, 48, 48),  # 2 layers, 3 x 4 x 2 = 24 each
        "routed experts": (336, 96, 96),  # 2 x 7 x 24, of which 2 x 2 x 24
        "norms": (28, 28, 0),  # two in each of 3 layers and a last one, of 4 each
        "head": (40, 40, 40),
    }


def test_a_gate_without_biases():
    unbiased = replace(TINY, experts=replace(EXPERTS, correction_bias=False))
    assert by_name(parts(unbiased))["gate"] == (2 * 28, 2 * 28, 2 * 28)


def test_every_token_passes_each_shared_expert():
    shared = by_name(parts(replace(TINY, experts=replace(EXPERTS, n_shared_experts=3))))["shared experts"]
    assert shared == (2 * 72, 2 * 72, 2 * 72)


def test_every_part_of_a_module_for_multi_token_prediction():
    assert by_name(mtp_parts(TINY)) == {
        "projection": (32, 32, 32),  # two vectors of 4 to one
        "attention": (154, 154, 146),
        "gate": (35, 35, 28),
        "shared experts": (24, 24, 24),
        "routed experts": (168, 48, 48),
        "norms": (20, 20, 0),  # five of 4
        "head of the main model": (0, 0, 40),
    }


def test_modules_of_a_dense_model_are_dense():
    # attention 144, feed-forward 60, projection 32, norms 20; twice
    assert sum(part.total for part in mtp_parts(replace(DENSE, n_mtp_modules=2))) == 2 * 256
    assert mtp_parts(DENSE) == []


def test_total():
    # 40 + 462 + 60 + 70 + 48 + 336 + 28 + 40 = 1084; the module 32 + 154 + 35 + 24 + 168 + 20 = 433
    assert total_parameters(TINY) == 1084
    assert total_parameters(TINY, mtp_counted=True) == 1517


def test_total_of_a_dense_model():
    # 40 + 2 x (144 + 60 + 8) + 4 + 40
    assert total_parameters(DENSE) == 508
    assert DENSE.n_layers == 2
    assert [part.name for part in parts(DENSE)] == ["embedding", "attention", "dense feed-forward", "norms", "head"]


@pytest.mark.parametrize(
    ("embedding", "head", "untied", "tied"),
    [
        # 1084 - 336 + 96 = 844; tied, one table of 40 serves as both
        (True, True, 844, 804),
        (True, False, 804, 804),
        (False, True, 804, 804),
        (False, False, 764, 764),
    ],
)
def test_active_parameters_by_convention(embedding, head, untied, tied):
    counted = {"embedding_counted": embedding, "head_counted": head}
    assert active_parameters(TINY, **counted) == untied
    assert active_parameters(replace(TINY, tied_embeddings=True), **counted) == tied


def test_the_head_is_counted_unless_said_otherwise():
    assert active_parameters(TINY, embedding_counted=False) == 804


def test_a_tied_head_is_multiplied_though_it_adds_no_parameters():
    assert total_parameters(replace(TINY, tied_embeddings=True)) == 1044
    assert by_name(parts(replace(TINY, tied_embeddings=True)))["head"] == (0, 0, 40)


def test_multiplied_parameters():
    # 3 x 146 + 60 + 56 + 48 + 96 + 40 = 738; the module 32 + 146 + 28 + 24 + 48 + 40 = 318
    assert matmul_parameters(TINY, mtp_counted=False) == 738
    assert matmul_parameters(TINY, mtp_counted=True) == 1056


@pytest.mark.parametrize(
    ("causal", "mtp_counted", "attention", "flop"),
    [
        # 3 layers x 2 heads x (3 + 4) x 7 tokens = 294, 6 FLOP each = 1764; products 6 x 738 = 4428
        (False, False, 1764, 6192),
        # seven tokens see 4 on average: 168 x 6 = 1008
        (True, False, 1008, 5436),
        # a fourth layer: 392 x 6 = 2352; products 6 x 1056 = 6336
        (False, True, 2352, 8688),
        (True, True, 1344, 7680),
    ],
)
def test_flop_of_a_token(causal, mtp_counted, attention, flop):
    counted = {"causal": causal, "mtp_counted": mtp_counted}
    assert attention_flop_per_token(TINY, 7, **counted) == attention
    assert counted_flop_per_token(TINY, 7, **counted) == flop
    # forward alone
    assert counted_flop_per_token(TINY, 7, **counted, flop_per_parameter_per_token=2) == flop / 3


def test_flop_of_a_token_in_a_dense_model():
    # 2 x (144 + 60) + 40 = 448 parameters; 2 layers x 4 heads x (3 + 3) x 7 = 336: 6 x 784
    assert counted_flop_per_token(DENSE, 7, causal=False, mtp_counted=False) == 4704


sizes = st.integers(1, 9)
grouped = st.builds(
    lambda groups, kv, d, qkv, out, norm: GroupedQueryAttention(groups * kv, kv, d, qkv, out, norm),
    *(sizes, sizes, sizes, st.booleans(), st.booleans(), st.booleans()),
)
latent = st.builds(
    MultiHeadLatentAttention, sizes, st.none() | sizes, sizes, sizes, sizes, sizes, st.booleans()
)  # fmt: skip
mixtures = st.builds(
    lambda top_k, more, shared, d, bias: MixtureOfExperts(top_k + more, shared, top_k, d, bias),
    *(sizes, st.integers(0, 9), st.integers(0, 3), sizes, st.booleans()),
)


@st.composite
def shapes(draw):
    experts = draw(st.none() | mixtures)
    n_moe_layers = 0 if experts is None else draw(st.integers(0, 4))
    return Architecture(
        d_model=draw(sizes),
        vocab_size=draw(sizes),
        n_dense_layers=draw(st.integers(0 if n_moe_layers else 1, 4)),
        n_moe_layers=n_moe_layers,
        attention=draw(grouped | latent),
        dense=GatedFeedForward(draw(sizes), draw(st.booleans())),
        experts=experts,
        n_mtp_modules=draw(st.integers(0, 2)),
        tied_embeddings=draw(st.booleans()),
    )


def attention_tensors(one, d):
    """Yield the shape of each tensor that a checkpoint keeps for one layer's attention."""
    if isinstance(one, GroupedQueryAttention):
        for heads in (one.n_heads, one.n_kv_heads, one.n_kv_heads):
            yield from [(heads * one.head_dim, d), *([(heads * one.head_dim,)] if one.qkv_bias else [])]
        yield from [(d, one.n_heads * one.head_dim), *([(d,)] if one.output_bias else [])]
        yield from [(one.head_dim,)] * (2 if one.qk_norm else 0)
        return
    width = one.n_heads * (one.qk_nope_head_dim + one.qk_rope_head_dim)
    if one.q_lora_rank is None:
        yield (width, d)
    else:
        yield from [(one.q_lora_rank, d), (one.q_lora_rank,), (width, one.q_lora_rank)]
    yield from [(one.kv_lora_rank, d), (one.qk_rope_head_dim, d), (one.kv_lora_rank,)]
    yield from [(one.n_heads * size, one.kv_lora_rank) for size in (one.qk_nope_head_dim, one.v_head_dim)]
    yield (d, one.n_heads * one.v_head_dim)
    if one.bias:
        yield from [
            (size,) for size in (one.q_lora_rank, one.kv_lora_rank, one.qk_rope_head_dim, d) if size is not None
        ]


def feed_forward_tensors(d_ff, d, bias=False):
    yield from [(d_ff, d), (d_ff, d), (d, d_ff)]
    if bias:
        yield from [(d_ff,), (d_ff,), (d,)]


def layer_tensors(shape, experts):
    """Yield the tensors of a layer, with so many routed experts; None for a dense one."""
    d, moe = shape.d_model, shape.experts
    yield from attention_tensors(shape.attention, d)
    yield from [(d,), (d,)]
    if experts is None:
        yield from feed_forward_tensors(shape.dense.d_ff, d, shape.dense.bias)
        return
    yield from [(moe.n_routed_experts, d), *([(moe.n_routed_experts,)] if moe.correction_bias else [])]
    for _ in range(experts + moe.n_shared_experts):
        yield from feed_forward_tensors(moe.d_expert, d)


def model_tensors(shape, experts):
    for _ in range(shape.n_dense_layers):
        yield from layer_tensors(shape, None)
    for _ in range(shape.n_moe_layers):
        yield from layer_tensors(shape, experts)
    yield (shape.d_model,)
    yield from [(shape.vocab_size, shape.d_model)] * (1 if shape.tied_embeddings else 2)


def module_tensors(shape, experts):
    for _ in range(shape.n_mtp_modules):
        yield from [(shape.d_model, 2 * shape.d_model), *[(shape.d_model,)] * 3]
        yield from layer_tensors(shape, experts)


def elements(tensors):
    return sum(map(prod, tensors))


def in_matrices(tensors):
    return sum(prod(tensor) for tensor in tensors if len(tensor) == 2)


@given(shapes())
def test_the_total_is_that_of_a_checkpoints_tensors(shape):
    all_experts = shape.experts and shape.experts.n_routed_experts
    main, modules = elements(model_tensors(shape, all_experts)), elements(module_tensors(shape, all_experts))
    assert total_parameters(shape) == main
    assert total_parameters(shape, mtp_counted=True) == main + modules


@given(shapes())
def test_the_active_ones_are_those_of_the_tensors_that_a_token_meets(shape):
    chosen = shape.experts and shape.experts.top_k
    assert active_parameters(shape, embedding_counted=True) == elements(model_tensors(shape, chosen))


@given(shapes())
def test_a_token_is_multiplied_with_every_matrix_but_the_embedding(shape):
    chosen = shape.experts and shape.experts.top_k
    table = shape.vocab_size * shape.d_model
    main = in_matrices(model_tensors(shape, chosen)) - (0 if shape.tied_embeddings else table)
    modules = in_matrices(module_tensors(shape, chosen)) + shape.n_mtp_modules * table  # the head once more in each
    assert matmul_parameters(shape, mtp_counted=False) == main
    assert matmul_parameters(shape, mtp_counted=True) == main + modules


@given(shapes())
def test_no_part_has_more_active_or_multiplied_than_it_is(shape):
    for part in parts(shape):
        assert 0 <= part.active <= part.total
        assert part.multiplied <= part.active or (shape.tied_embeddings and part.name == "head")


@given(shapes())
def test_conventions_differ_by_one_table_each(shape):
    def active(embedding, head):
        return active_parameters(shape, embedding_counted=embedding, head_counted=head)

    table = shape.vocab_size * shape.d_model
    assert active(True, True) - active(False, False) == (table if shape.tied_embeddings else 2 * table)
    assert active(True, False) == active(False, True) == active(False, False) + table


@given(shapes(), st.integers(1, 1000), st.booleans())
def test_causal_attention_costs_more_than_half_of_full_attention(shape, length, mtp_counted):
    causal, full = (
        attention_flop_per_token(shape, length, causal=one, mtp_counted=mtp_counted) for one in (True, False)
    )
    # on average (T + 1) / 2 of T tokens
    assert causal * 2 * length == full * (length + 1)
    assert full / 2 < causal <= full


@given(shapes(), st.integers(1, 1000))
def test_full_attention_is_linear_in_the_context(shape, length):
    once, twice = (attention_flop_per_token(shape, n, causal=False, mtp_counted=True) for n in (length, 2 * length))
    assert twice == 2 * once
