"""Associative recall: sequences and answers by hand, equal cache, and short runs that a wrong mechanism fails."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import associative_recall as study
from repro.experiments.associative_recall import AssociativeRun
from repro.experiments.recall_layer import KINDS
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.nano import attention
from repro.nano.ops import cross_entropy

SHORT = AssociativeRun("MLA", 32, seed=1, n_pairs=3, steps=500, peak_lr=3e-3)


def rng(seed=1):
    return np.random.default_rng(seed)


def best_share():
    """Return the best share of right answers of a short run, which guesses right 1 time in 3."""
    return max(study.train_run(SHORT, Trace())[1])


# Sequences


def test_answers_by_hand():
    # key 3 has value 20, key 5 has 17, key 0 has 31; asked for in the order 5, 0, 3
    tokens = np.array([[3, 20, 5, 17, 0, 31, 5, 0, 3]])
    assert study.answers(tokens).tolist() == [[-1, -1, -1, -1, -1, -1, 17, 31, 20]]


def test_a_sequence_has_pairs_of_its_own_and_asks_for_each_once():
    tokens = study.draw_sequences(rng(), 50, 5)
    assert tokens.shape == (50, 15)
    for row, wanted in zip(tokens.tolist(), study.answers(tokens).tolist(), strict=True):
        keys, values, queries = row[:10:2], row[1:10:2], row[10:]
        assert len(set(keys)) == len(set(values)) == 5
        assert max(keys) < study.N_KEYS <= min(values)
        assert sorted(queries) == sorted(keys)
        value_of = dict(zip(keys, values, strict=True))
        assert wanted == [-1] * 10 + [value_of[key] for key in queries]


def test_queries_come_in_another_order_than_pairs():
    tokens = study.draw_sequences(rng(), 400, 4)
    same_place = np.mean(tokens[:, :8:2] == tokens[:, 8:])
    assert same_place == pytest.approx(1 / 4, abs=0.05)


def test_a_value_of_the_sequence_named_blindly_is_right_as_often_as_chance():
    wanted = study.answers(study.draw_sequences(rng(), 2000))[:, -study.N_PAIRS :]
    assert np.mean(wanted == wanted[:, :1]) == pytest.approx(study.CHANCE)  # each once among the eight
    blind = rng(2).permuted(wanted, axis=1)
    assert np.mean(blind == wanted) == pytest.approx(study.CHANCE, abs=0.01)


def test_only_answers_are_to_be_predicted_the_last_one_too():
    model, tokens = study.build_model(AssociativeRun("MLA", 16)), study.draw_sequences(rng(), 3)
    loss, gradients = model.loss_and_gradients(tokens)
    queries = np.s_[:, -study.N_PAIRS :]
    logits, wanted = model.forward(tokens)[queries], study.answers(tokens)[queries]
    assert loss.main == pytest.approx(cross_entropy(logits, wanted)[0], rel=1e-12)
    row, losses = model.params["layers"][1]["self_attn"]["kv_b_proj"], []
    before = row[0, 0]
    for nudge in (1e-6, -1e-6):
        row[0, 0] = before + nudge
        losses.append(model.loss_and_gradients(tokens)[0].main)
    assert gradients["layers"][1]["self_attn"]["kv_b_proj"][0, 0] == pytest.approx(
        (losses[0] - losses[1]) / 2e-6, rel=1e-4
    )


# Equal cache


@pytest.mark.parametrize("cache_elements", study.CACHE_ELEMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_caches_as_many_elements_as_it_says(kind, cache_elements):
    run = AssociativeRun(kind, cache_elements)
    assert run.attention.cache_elements == cache_elements
    cached = study.build_model(run).new_caches(1, 1)
    assert [cache.bytes_per_token for cache in cached] == [8 * cache_elements] * study.N_LAYERS  # float64


def test_kinds_of_one_seed_differ_in_attention_alone():
    models = [study.build_model(AssociativeRun(kind, 16, seed=2)) for kind in KINDS]
    rest = {(model.config.arch.d_model, model.config.arch.dense.d_ff, model.config.arch.n_layers) for model in models}
    assert rest == {(study.D_MODEL, 2 * study.D_MODEL, 2)}
    assert {model.config.arch.attention.n_heads for model in models} == {4}


@pytest.mark.parametrize(
    ("kind", "cache_elements", "message"),
    [
        ("GTA", 16, "kind = 'GTA': must be one of: MLA, MQA, GQA, MHA"),
        ("MHA", 24, "cache_elements = 24: must be a multiple of 16 above 4 for MHA"),
        ("MLA", 4, "cache_elements = 4: must be a multiple of 4 above 4 for MLA"),
    ],
)
def test_what_cannot_be_built_is_named(kind, cache_elements, message):
    with pytest.raises(InputError, match=message):
        _ = AssociativeRun(kind, cache_elements).attention


# Runs


def test_a_short_run_learns_what_broken_ones_below_do_not():
    trace = Trace()
    results = study.measure(SHORT, trace)
    checks = results["checks"]
    assert checks[-1] == results["accuracy"] > 0.7
    assert len(checks) == trace.steps_done / study.CHECK_EVERY
    above = [study.CHECK_EVERY * (i + 1) for i, share in enumerate(checks) if share >= study.GOAL]
    assert (results["learned"], results["steps"]) == ((True, above[0]) if above else (False, SHORT.steps))


def test_a_run_that_does_not_learn_is_censored_at_its_last_step():
    results = study.measure(replace(SHORT, steps=100), Trace())
    assert (results["steps"], results["learned"], len(results["checks"])) == (100, False, 1)


def test_answers_of_other_pairs_cannot_be_learned(monkeypatch):
    answers, shuffle = study.answers, rng(3)

    def shuffled(tokens):
        wanted = answers(tokens)
        n = tokens.shape[1] // 3
        wanted[:, 2 * n :] = shuffle.permuted(wanted[:, 2 * n :], axis=1)
        return wanted

    monkeypatch.setattr(study, "answers", shuffled)
    assert best_share() < 0.5


def test_a_mask_that_hides_all_but_a_token_itself_leaves_nothing_to_learn(monkeypatch):
    forward = attention.scaled_dot_product_attention

    def own_token_alone(q, k, v, scale):
        _, weights = forward(q, k, v, scale)
        weights = np.broadcast_to(np.eye(weights.shape[-1]), weights.shape)
        return np.einsum("bgrts,bgsd->bgrtd", weights, v), weights

    monkeypatch.setattr(attention, "scaled_dot_product_attention", own_token_alone)
    assert best_share() < 0.5


def test_one_layer_is_not_enough(monkeypatch):
    monkeypatch.setattr(study, "N_LAYERS", 1)
    assert best_share() < 0.5


def test_the_record_begins_as_a_run_made_now_does():
    rows, trace, run = load_record("associative_recall", "experiments").rows, Trace(), study.STUDY.runs[-1]
    study.train_run(replace(run, steps=100), trace)
    assert rows[-1]["run"] == asdict(run)
    for now, then in zip(trace.rows, rows[-1]["trace"][:10], strict=True):
        assert now["loss"] == pytest.approx(then["loss"], rel=1e-6)
