"""The study of copying: its texts and targets by hand, its controls, and survival analysis on published data."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import copying, star_graphs
from repro.experiments.copying import CopyingRun
from repro.experiments.survival import Times, log_rank_p
from repro.experiments.watch import Trace
from repro.lab.records import load_record
from repro.nano.model import Loss
from repro.nano.ops import cross_entropy
from repro.nano.param_shapes import flatten, iter_leaves
from repro.nano.training.loop import TrainStep

# Weeks in remission of 42 patients with leukaemia, 21 with 6-mercaptopurine and 21 without: Freireich et al., Blood 21
# (1963), 699-716, as every textbook of survival analysis has them. 12 of the treated had no relapse when last seen.
TREATED = Times(
    [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], [True] * 9 + [False] * 12
)
UNTREATED = Times([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], [True] * 21)


# Texts


def test_a_text_is_words_of_different_letters_each_with_its_copy():
    texts = copying.draw_texts(np.random.default_rng(1), 50, 100)
    for tokens, places in zip(texts.tokens.tolist(), texts.places.tolist(), strict=True):
        lines, at = [], 0
        while copying.NEWLINE in tokens[at:]:
            end = tokens.index(copying.NEWLINE, at)
            lines.append((tokens[at:end], places[at:end]))
            at = end + 1
        for line, kinds in lines:
            word, copy = line[: line.index(copying.COLON)], line[line.index(copying.COLON) + 1 :]
            assert word == copy
            assert len(set(word)) == len(word) in range(3, 7)
            assert kinds == [1] * len(word) + [-1, -1] + [0] * (len(word) - 1)
        assert copying.places_in(tokens).tolist() == places


def test_kinds_of_letters_in_a_text_that_copies_wrongly():
    a, b, colon, newline = 0, 1, copying.COLON, copying.NEWLINE
    kinds = copying.places_in([a, b, colon, b, b, a, newline, a, newline, b])
    assert kinds.tolist() == [1, 1, -1, -1, 0, 0, -1, 1, -1, 1]


def test_a_rule_that_says_what_followed_this_letter_before_copies_everything():
    texts = copying.draw_texts(np.random.default_rng(2))
    right = []
    for tokens, places in zip(texts.tokens.tolist(), texts.places.tolist(), strict=True):
        for i in np.flatnonzero(np.array(places) == 0):
            before = max(j for j in range(i - 1) if tokens[j] == tokens[i - 1])
            right.append(tokens[before + 1] == tokens[i])
    assert all(right)


# Modules


def test_a_detached_module_learns_and_teaches_nothing():
    tokens = copying.draw_texts(np.random.default_rng(5)).tokens
    detached, chained = (copying.build_model(CopyingRun(module, seed=3)) for module in ("detached", "chained"))
    loss, gradients = detached.loss_and_gradients(tokens, mtp_weight=0.3)
    taught, both = chained.loss_and_gradients(tokens, mtp_weight=0.3)
    _, alone = chained.loss_and_gradients(tokens, mtp_weight=0.0)
    assert loss == taught
    for name in ("embed_tokens", "lm_head", "layers", "norm"):
        assert np.array_equal(*(flatten({"": found[name]}) for found in (gradients, alone))), name
    assert np.abs(flatten(both["layers"]) - flatten(alone["layers"])).max() > 1e-4  # a chained one teaches
    assert np.array_equal(flatten(gradients["mtp"]), flatten(both["mtp"]))


def test_runs_of_a_seed_begin_with_the_same_main_model_and_modules():
    models = {module: copying.build_model(CopyingRun(module, seed=3)) for module in ("none", "chained", "parallel")}
    models["uninformed"] = copying.build_model(CopyingRun("uninformed", seed=3))
    for model in models.values():
        for name in ("embed_tokens", "lm_head", "layers", "norm"):
            assert np.array_equal(*(flatten({"": other.params[name]}) for other in (model, models["none"])))
    assert np.array_equal(*(flatten(models[name].params["mtp"]) for name in ("chained", "uninformed")))


def test_a_parallel_module_ignores_the_next_token_and_a_chained_one_reads_it():
    tokens = copying.draw_texts(np.random.default_rng(4), 1).tokens
    changed = tokens.copy()
    changed[0, -1] = (changed[0, -1] + 1) % copying.LETTERS
    for module, equal in (("parallel", True), ("chained", False)):
        model = copying.train_run(CopyingRun(module, steps=12), Trace())[0]
        before, after = (model.mtp_logits(row)[0][0, -1] for row in (tokens, changed))
        assert np.allclose(before, after, rtol=0, atol=1e-12) == equal


@pytest.mark.parametrize("module", ["chained", "parallel", "uninformed"])
def test_no_module_reads_the_token_that_it_predicts(module):
    model = copying.build_model(CopyingRun(module))
    tokens = copying.draw_texts(np.random.default_rng(4), 1).tokens
    before = model.mtp_logits(tokens)[0][0]  # [T - 1, V]: place i is to predict token i + 2
    for at in (5, 12):
        changed = tokens.copy()
        changed[0, at] = (changed[0, at] + 1) % copying.LETTERS
        moved = np.abs(model.mtp_logits(changed)[0][0] - before).max(axis=1) > 1e-9  # [T - 1]
        assert not moved[: at - 1].any()
        assert moved[at - 1] == (module != "parallel")  # to which it is the next token
        assert moved[at]


@pytest.mark.parametrize("module", ["chained", "parallel", "uninformed"])
def test_a_module_teaches_the_layers_and_embeddings_of_the_main_model(module):
    tokens = copying.draw_texts(np.random.default_rng(6), 4).tokens
    tokens[:, :-2] %= 6
    tokens[:, -2] = 6  # a letter that stands last of what is read and nowhere else
    model = copying.build_model(CopyingRun(module))
    without, taught = (model.loss_and_gradients(tokens, mtp_weight=weight)[1] for weight in (0.0, 1.0))
    layers = dict(iter_leaves(without["layers"]))
    for name, gradient in iter_leaves(taught["layers"]):
        assert np.abs(gradient - layers[name]).max() > 0.01 * np.abs(layers[name]).max(), name
    moved = np.abs(taught["embed_tokens"] - without["embed_tokens"]).max(axis=1)  # [V]
    assert (moved[:6] > 1e-6).all()
    assert (moved[6] > 1e-6) == (module != "parallel")  # read there as the next token, and by the main model alone


def test_a_run_trains_with_the_weight_that_it_names():
    models = [copying.train_run(CopyingRun("chained", weight, steps=10), Trace())[0] for weight in (0.0, 0.3, 1.0)]
    none, some, much = (flatten(model.params["layers"]) for model in models)
    for one, other in ((none, some), (some, much), (none, much)):
        assert np.abs(one - other).max() > 1e-4


def test_an_uninformed_module_learns_from_the_next_sequence():
    model = copying.build_model(CopyingRun("uninformed"))
    tokens = copying.draw_texts(np.random.default_rng(5), 3).tokens
    loss = model.loss_and_gradients(tokens, mtp_weight=0.3)[0]
    expected = cross_entropy(model.mtp_logits(tokens[:, :-1])[0], tokens[[2, 0, 1]][:, 2:])[0]
    assert loss.mtp[0] == pytest.approx(expected * 23 / 24)  # of the report's T positions the last has no target
    assert loss.main == pytest.approx(cross_entropy(model.forward(tokens[:, :-1]), tokens[:, 1:])[0])


def test_an_unknown_module_is_named():
    with pytest.raises(InputError, match="module = 'deep': must be one of: none, chained, parallel, uninformed"):
        copying.build_model(CopyingRun("deep"))  # type: ignore[arg-type]


# Runs


def test_no_text_of_training_is_measured_on(monkeypatch):
    seen, measured = [], []

    def note_batches(_, batches, recipe):
        for number in range(recipe.steps):
            seen.append(next(batches))
            yield TrainStep(number, Loss(1.0), 0.0)

    monkeypatch.setattr(copying, "train", note_batches)
    monkeypatch.setattr(copying, "copy_accuracy", lambda _, texts: measured.append(texts.tokens) or 0.0)
    for seed in range(copying.N_SEEDS):
        copying.train_run(CopyingRun(seed=seed, steps=20), Trace())
    assert (len(seen), len(measured)) == (20 * copying.N_SEEDS, 2 * copying.N_SEEDS)
    trained_on, measured_on = ({row.tobytes() for rows in batches for row in rows} for batches in (seen, measured))
    assert len(measured_on) == copying.HELD_OUT
    assert not trained_on & measured_on


def test_a_run_that_does_not_learn_is_censored_at_its_last_step():
    results = copying.measure(CopyingRun("none", 0.0, steps=30), Trace())
    assert (results["steps"], results["learned"]) == (30, False)
    assert results["best_accuracy"] < copying.GOAL


@pytest.mark.parametrize(("module", "study"), [(copying, "copying"), (star_graphs, "star_graphs")])
def test_the_record_begins_as_a_run_made_now_does(module, study):
    rows, trace = load_record(study, "experiments").rows, Trace()
    module.train_run(replace(module.STUDY.runs[-1], steps=20), trace)
    assert rows[-1]["run"] == asdict(module.STUDY.runs[-1])
    for now, then in zip(trace.rows, rows[-1]["trace"][:2], strict=True):
        assert now["loss"] == pytest.approx(then["loss"], rel=1e-6)


@pytest.mark.slow
def test_a_run_made_now_learns_when_the_record_says_and_drafts_what_it_copies():
    record, run = load_record("copying", "experiments"), copying.STUDY.runs[2]
    assert (run.module, run.mtp_weight, run.seed) == ("chained", 0.3, 0)
    results = copying.measure(run, Trace())
    (steps,) = [row["results"]["steps"] for row in record.rows if row["run"] == vars(run)]
    assert results["steps"] == pytest.approx(steps, rel=0.3)  # on another processor, roundings differ
    found = results["everywhere"]
    assert found["copied"]["module_right"] > 0.8 > 0.3 > found["random"]["module_right"]
    assert found["random"]["module_right"] > 1 / copying.LETTERS / 2


# Survival analysis


def test_the_estimate_of_kaplan_and_meier_on_published_data():
    steps, happened = TREATED.curve()
    left = dict(zip(steps, 1 - happened, strict=True))
    # 18/21, 16/17 of that, 14/15, 11/12, 10/11, 6/7, 5/6
    for week, share in zip((6, 7, 10, 13, 16, 22, 23), (0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448), strict=True):
        assert left[week] == pytest.approx(share, abs=5e-4)
    assert TREATED.censored == 12


def test_medians_of_published_data():
    assert TREATED.median() == (23, 13, np.inf)
    assert UNTREATED.median() == (8, 4, 11)


def test_the_log_rank_test_on_published_data():
    assert log_rank_p(TREATED, UNTREATED) == pytest.approx(4.17e-5, rel=1e-2)  # chi-square of 16.79


def test_marks_of_another_number_are_refused():
    with pytest.raises(InputError, match="2 steps and 1 marks: must be one of each for every run"):
        Times([1, 2], [True])
