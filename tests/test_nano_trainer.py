"""Learning rates, the optimiser worked by hand, what training reports, and the corpus it reads."""

import itertools
import re

import numpy as np
import pytest
from nano_shapes import V3

from repro.errors import InputError
from repro.nano import Recipe, batches, evaluate, initialised, small, train
from repro.nano.corpus import DOMAINS, WORDS, sample, text_of
from repro.nano.layout import leaves
from repro.nano.optimizer import AdamW, clip


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    recipe = Recipe(steps=15, peak_rate=1.0, warmup_steps=4, final_share=0.2)
    assert [recipe.rate(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [recipe.rate(step) for step in (4, 9, 14)] == pytest.approx([1.0, 0.6, 0.2])
    assert recipe.rate(100) == pytest.approx(0.2)


@pytest.mark.parametrize(("steps", "warmup"), [(0, 0), (5, 6), (5, -1)])
def test_recipes_that_do_not_fit(steps, warmup):
    with pytest.raises(InputError, match=f"warmup_steps = {warmup}: must be from 0 to steps = {steps}"):
        Recipe(steps, warmup_steps=warmup)


def test_two_steps_by_hand():
    recipe = Recipe(steps=2, peak_rate=0.1, warmup_steps=2, weight_decay=0.5)
    parameters, optimizer = {"matrix": np.array([[2.0]]), "gain": np.array([2.0])}, AdamW(recipe, eps=0)
    optimizer.step(parameters, {"matrix": np.array([[3.0]]), "gain": np.array([-4.0])})
    # The first step is as large as the rate, 0.05, whatever the gradient; matrices shrink by rate · decay before.
    assert parameters["matrix"][0, 0] == pytest.approx(2 * (1 - 0.05 * 0.5) - 0.05)
    assert parameters["gain"][0] == pytest.approx(2.05)
    optimizer.step(parameters, {"gain": np.array([1.0])})
    first, second = (0.9 * -0.4 + 0.1 * 1) / (1 - 0.9**2), (0.95 * 0.8 + 0.05 * 1) / (1 - 0.95**2)
    assert parameters["gain"][0] == pytest.approx(2.05 - 0.1 * first / second**0.5)
    assert parameters["matrix"][0, 0] == pytest.approx(1.9)


def test_gradients_are_clipped_together_and_keep_their_direction():
    gradients = {"a": np.array([3.0]), "b": [np.array([[0.0, 4.0]])]}
    assert clip(gradients, 1.0) == 5
    assert gradients["a"][0] == pytest.approx(0.6)
    assert gradients["b"][0] == pytest.approx(np.array([[0.0, 0.8]]))
    assert clip(gradients, 1.0) == pytest.approx(1)


def test_training_beats_what_the_frequencies_of_bytes_give():
    tokens = np.concatenate([one.ravel() for one in itertools.islice(batches(32, 65, seed=9), 20)])
    share = np.bincount(tokens, minlength=256) / tokens.size
    entropy = -np.sum(share[share > 0] * np.log(share[share > 0]))
    model = initialised(small(n_layers=2, n_mtp=1), seed=1)
    steps = list(train(model, batches(8, 65, seed=2), Recipe(steps=60)))
    assert steps[0].loss.main == pytest.approx(np.log(256), abs=0.1)
    assert evaluate(model, next(batches(32, 65, seed=9))) < 0.9 * entropy
    assert steps[-1].loss.mtp[0] < entropy


def test_the_same_seeds_give_the_same_losses():
    def losses(seed):
        model = initialised(small(n_layers=2), seed=seed)
        return [step.loss.total for step in train(model, batches(4, 17, seed=seed), Recipe(steps=12))]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_selection_biases_and_nothing_else_stay_as_they_were():
    model = initialised(V3, seed=1, std=0.3)
    before = {path: one.copy() for path, one in leaves(model.parameters)}
    tokens = iter(np.random.default_rng(0).integers(0, 11, (11, 2, 8)))
    list(train(model, tokens, Recipe(steps=11)))
    same = {path for path, one in leaves(model.parameters) if np.array_equal(one, before[path])}
    assert same == {path for path in before if path.endswith("gate.bias")}


def test_steps_are_counted_and_report_the_norm_before_clipping():
    model = initialised(V3, seed=1)
    (step,) = train(model, iter([np.zeros((1, 5), int)]), Recipe(steps=1, warmup_steps=0, clip_norm=1e-3))
    assert step.number == 0
    assert step.gradient_norm > 1e-3


def test_batches_that_end_early_are_said_to():
    with pytest.raises(InputError, match="batches: end after 1 of 20 steps"):
        list(train(initialised(V3, seed=1), iter([np.zeros((1, 5), int)]), Recipe(steps=20)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_that_diverges_is_stopped_with_its_step():
    model = initialised(V3, seed=1)
    model.parameters["head"][0, 0] = np.inf
    with pytest.raises(InputError, match="step 0: loss nan, gradient norm nan: try a lower peak_rate"):
        list(train(model, iter([np.zeros((1, 5), int)]), Recipe(steps=20)))


# The corpus


def lines(domain, seed=0):
    return text_of(sample(domain, 4000, np.random.default_rng(seed))).splitlines()[:-1]  # the last one is cut


def test_sums_are_right():
    for line in lines("sums"):
        a, b, c = map(int, re.fullmatch(r"(\d{1,2})\+(\d{1,2})=(\d{1,3})", line).groups())
        assert a + b == c


def test_brackets_close_in_the_right_order():
    for line in lines("brackets"):
        while (shorter := re.sub(r"\(\)|\[\]|\{\}", "", line)) != line:
            line = shorter
        assert line == ""


def test_words_are_repeated():
    for line in lines("copies"):
        word, again = line.split(":")
        assert word == again
        assert re.fullmatch("[A-Z]{4,8}", word)


def test_sentences_have_their_four_parts():
    pattern = " ".join(f"({'|'.join(words)})" for words in WORDS.values()) + r"\."
    assert all(re.fullmatch(pattern, line) for line in lines("sentences"))


def test_domains_have_characters_of_their_own():
    found = {domain: set("".join(lines(domain))) for domain in DOMAINS}
    for one, other in itertools.combinations(DOMAINS, 2):
        assert not found[one] & found[other]


def test_batches_have_the_domains_in_turn_and_depend_on_the_seed_alone():
    first, second = itertools.islice(batches(5, 33, seed=1), 2)
    assert first.shape == second.shape == (5, 33)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, next(batches(5, 33, seed=1)))
    assert not np.array_equal(first, next(batches(5, 33, seed=2)))
    kinds = [
        next(domain for domain in DOMAINS if set(text_of(row)) <= {*"".join(lines(domain)), "\n"}) for row in first
    ]
    assert kinds == [*DOMAINS, "sums"]


def test_an_unknown_domain_is_refused():
    with pytest.raises(InputError, match="domain = 'prose': must be one of: sums, brackets, sentences, copies"):
        next(batches(1, 5, seed=1, domains=("prose",)))
