"""Recall at equal cache: the layer against repro.nano's, its gradients, what a cache can hold, and short runs."""

from dataclasses import replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import recall as study
from repro.experiments.recall_layer import GROUPS, KINDS, RecallLayer, attend, gqa_as_mla
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.models.architecture import GroupedQueryAttention
from repro.nano import Rope
from repro.nano.attention import KVCache, gqa

LAYERS = [RecallLayer(kind, 16) for kind in KINDS] + [RecallLayer("GQA", 16, n_heads=8)]
by_layer = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.kind}, {layer.n_heads} heads")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def softmax_by_hand(scores):
    return np.exp(scores) / np.exp(scores).sum()


# The layer


@by_layer
def test_each_head_reads_the_keys_and_values_that_its_kind_says(layer):
    p, d = study.init_weights(layer, seed=3), layer.head_dim
    records, queries = normal(1, 5, 64), normal(1, 3, 64, seed=1)
    cached = records[0] @ p["kv_a_proj"].T  # [N, c]
    kv = cached @ p["kv_b_proj"].T if layer.kind == "MLA" else cached
    keys, values = np.split(kv, 2, axis=1)
    heads = []
    for head in range(layer.n_heads):
        group = head // (layer.n_heads // layer.groups)
        q = queries[0] @ p["q_proj"][head * d : (head + 1) * d].T  # [Q, d]
        k, v = (part[:, group * d : (group + 1) * d] for part in (keys, values))
        heads.append([softmax_by_hand(k @ row / d**0.5) @ v for row in q])
    expected = np.concatenate(heads, axis=1) @ p["o_proj"].T
    assert attend(records, queries, p, layer)[0][0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", GROUPS)
def test_plain_kinds_equal_the_layer_of_nano_with_a_cache_at_position_zero(kind):
    layer = RecallLayer(kind, 16)
    p, records, query = study.init_weights(layer, seed=2), normal(2, 5, 64), normal(2, 1, 64, seed=1)
    attn = GroupedQueryAttention(layer.n_heads, layer.groups, layer.head_dim)
    k_proj, v_proj = np.split(p["kv_a_proj"], 2)
    weights = {"q_proj": p["q_proj"], "k_proj": k_proj, "v_proj": v_proj, "o_proj": p["o_proj"]}
    unrotated = (np.ones((1, layer.head_dim // 2)), np.zeros((1, layer.head_dim // 2)))  # cos and sin of no angle
    size = (2, layer.groups, 6, layer.head_dim)
    cache = KVCache({"keys": np.zeros(size), "values": np.zeros(size)})
    gqa(records, weights, attn, Rope(), unrotated, cache)
    y, _ = gqa(query, weights, attn, Rope(), unrotated, cache)  # nano's query reads itself too
    with_itself = np.concatenate([records, query], axis=1)
    assert attend(with_itself, query, p, layer)[0] == pytest.approx(y, abs=1e-12)


@by_layer
def test_gradients_of_the_whole_model_are_those_of_finite_differences(layer):
    p, lookups = study.init_weights(layer, seed=1), study.draw_lookups(np.random.default_rng(0), 2)
    _, gradients = study.loss_and_gradients(p, layer, lookups)
    assert gradients.keys() == p.keys()
    rng, step = np.random.default_rng(5), 1e-5
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        ends = [p | {name: p[name] + sign * step * direction} for sign in (1, -1)]
        up, down = (study.loss_and_gradients(end, layer, lookups)[0] for end in ends)
        assert np.vdot(gradient, direction) == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize("layer", [each for each in LAYERS if each.kind != "MLA"], ids=lambda each: each.kind)
def test_every_plain_layer_is_an_mla_with_the_same_cache(layer):
    p = study.init_weights(layer, seed=7)
    weights, mla = gqa_as_mla(p, layer)
    records, queries = normal(2, 6, 64), normal(2, 4, 64, seed=1)
    y, saved = attend(records, queries, p, layer)
    again, saved_again = attend(records, queries, weights, mla)
    assert (mla.kind, mla.cache_elements) == ("MLA", layer.cache_elements)
    assert {name: weight.shape for name, weight in weights.items()} == mla.shapes()
    assert again == pytest.approx(y, abs=1e-12)
    assert np.array_equal(saved_again.cached, saved.cached)


def test_flop_by_hand():
    # MLA at 16: queries and output 64 x 64 each, 16 x 64 down, 128 x 16 up; scores and values 2 x 64 x 16 records
    assert RecallLayer("MLA", 16).flop_per_token(16) == 2 * (2 * 4096 + 1024 + 2048 + 2048)
    # MQA: heads of 8: queries and output 32 x 64 each, 16 x 64 down; scores and values 2 x 32 x 16
    assert RecallLayer("MQA", 16).flop_per_token(16) == 2 * (2 * 2048 + 1024 + 1024)
    assert [RecallLayer(kind, 32).head_dim for kind in KINDS] == [16, 16, 8, 4]


@pytest.mark.parametrize("kind", GROUPS)
def test_more_heads_reach_the_flop_of_mla_and_leave_the_cache_alone(kind):
    run, mla = study.flop_matched(kind), RecallLayer("MLA", study.SCARCE)
    fewer = replace(run.layer, n_heads=run.n_heads - run.layer.groups)
    assert fewer.flop_per_token(16) < mla.flop_per_token(16) <= run.layer.flop_per_token(16)
    assert run.layer.shapes()["kv_a_proj"] == mla.shapes()["kv_a_proj"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RecallLayer("MLB", 16), "kind = 'MLB': must be one of: MLA, MQA, GQA, MHA"),
        (lambda: RecallLayer("MHA", 12), "cache_elements = 12: must be a multiple of 8 for MHA"),
        (lambda: RecallLayer("MLA", 0), "cache_elements = 0: must be a multiple of 1 for MLA"),
        (lambda: RecallLayer("GQA", 16, n_heads=5), "n_heads = 5: must be a multiple of 2 for GQA"),
        (lambda: gqa_as_mla({}, RecallLayer("MQA", 64)), "head_dim = 32: must be at most MLA's, 16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


# The task


def test_a_query_names_one_value_and_asks_for_another_attribute_of_the_same_record():
    lookups = study.draw_lookups(np.random.default_rng(0), 3)
    for records, queries, answers in zip(*lookups, strict=True):
        assert all(len(set(column)) == 16 for column in records.T)  # no value stands in two records
        for (value, asked), answer in zip(queries, answers, strict=True):
            (record,) = (record for record in records.tolist() if value in record)
            assert answer == record[asked - study.N_TOKENS]
            assert answer != value


def test_a_blind_query_names_no_value_and_asks_the_same():
    seen, blind = (study.draw_lookups(np.random.default_rng(0), 3, blind=blind) for blind in (False, True))
    assert np.array_equal(seen.answers, blind.answers)
    assert np.array_equal(seen.queries[..., 1], blind.queries[..., 1])
    assert blind.queries.min() >= study.N_TOKENS


def test_eight_cached_elements_can_answer_everything():
    p, layer = study.planar_weights(), RecallLayer("MLA", 8)
    assert {name: p[name].shape for name in layer.shapes()} == layer.shapes()
    assert study.recall(p, layer) == 1.0
    p["kv_a_proj"][0] = 0  # without half of one attribute's plane it cannot
    assert study.recall(p, layer) < 0.9


# The runs


def short_run(kind, **settings):
    run = study.RecallRun(kind, 32, seed=1000, **settings)
    return study.recall(study.train_run(run, Trace()), run.layer, blind=run.blind)


def test_no_lookup_of_training_is_measured_on(monkeypatch):
    real, drawn = study.draw_lookups, []
    monkeypatch.setattr(study, "draw_lookups", lambda *args, **kwargs: drawn.append(real(*args, **kwargs)) or drawn[-1])
    for seed in range(max(study.SEEDS.values())):
        p = study.train_run(study.RecallRun("MQA", 16, seed, steps=2), Trace())
    assert len(drawn) == 2 * max(study.SEEDS.values())
    of_training = {records.tobytes() for lookups in drawn for records in lookups.records}
    drawn.clear()
    study.recall(p, RecallLayer("MQA", 16))
    (held_out,) = drawn
    assert len(of_training) == 2 * max(study.SEEDS.values()) * study.BATCH
    assert not of_training & {records.tobytes() for records in held_out.records}


def test_a_short_training_looks_up_and_a_blind_one_guesses():
    assert short_run("MQA", steps=1500) > 4 * study.CHANCE
    assert short_run("MQA", steps=500, blind=True) < 1.5 * study.CHANCE


def test_the_record_begins_as_a_run_made_now_does():
    row, trace = load_record("recall", "experiments").rows[-1], Trace()
    study.train_run(study.RecallRun(**row["run"]), trace)
    assert [window["loss"] for window in trace.rows[:3]] == pytest.approx(
        [window["loss"] for window in row["trace"][:3]], rel=1e-6
    )


def test_runs_of_one_seed_see_the_same_lookups_and_embeddings():
    mla, mqa = (study.init_weights(RecallLayer(kind, 16), seed=4) for kind in ("MLA", "MQA"))
    assert np.array_equal(mla["embed"], mqa["embed"])
    assert np.array_equal(mla["head"], mqa["head"])
