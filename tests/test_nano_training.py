"""Training: rates, clipping and the optimiser worked by hand, what a run reports and learns, and its corpus."""

import itertools
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nano_shapes import MODELS, V3

from repro.errors import InputError
from repro.nano import Recipe, batches, evaluate, init_model, small_config, train
from repro.nano.param_shapes import iter_leaves
from repro.nano.training.loop import TrainingDiverged
from repro.nano.training.optimizer import AdamW, clip_grad_norm
from repro.nano.training.toy_data import DOMAINS, VOCABULARY, WORDS, decode_text, sample_text

EVEN = Recipe(steps=10, peak_lr=0.1, warmup_steps=0, final_lr_share=1.0, weight_decay=0.0)  # the same rate throughout


def tokens(steps, batch=2, length=8, seed=0):
    return iter(np.random.default_rng(seed).integers(0, 11, (steps, batch, length)))


# Rates


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    recipe = Recipe(steps=15, peak_lr=2.0, warmup_steps=4, final_lr_share=0.2)
    assert [recipe.learning_rate(step) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]
    # steps 4 to 14: the peak, a quarter, the middle, three quarters, a fifth of the peak
    shares = [1, (1 + math.cos(math.pi * 0.2)) / 2, 0.5, (1 + math.cos(math.pi * 0.8)) / 2, 0]
    expected = [2 * (0.2 + 0.8 * share) for share in shares]
    assert [recipe.learning_rate(step) for step in (4, 6, 9, 12, 14)] == pytest.approx(expected)


@given(st.integers(2, 200), st.integers(0, 50), st.floats(0, 1))
def test_the_rate_never_leaves_peak_and_final_share(steps, warmup, final):
    recipe = Recipe(steps=steps + warmup, peak_lr=1.0, warmup_steps=warmup, final_lr_share=final)
    rates = [recipe.learning_rate(step) for step in range(warmup, steps + warmup)]
    assert rates[0] == pytest.approx(1)
    assert rates[-1] == pytest.approx(final)
    assert all(one >= other - 1e-12 for one, other in itertools.pairwise(rates))
    assert recipe.learning_rate(10 * (steps + warmup)) == pytest.approx(final)


def test_steps_that_are_all_warm_up():
    assert [Recipe(steps=4, peak_lr=1.0, warmup_steps=4).learning_rate(step) for step in range(4)] == [
        0.25,
        0.5,
        0.75,
        1,
    ]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": 0}, "steps = 0: must be a whole number of at least 1"),
        ({"steps": 1.5}, "steps = 1.5: must be a whole number"),
        ({"warmup_steps": 21}, "warmup_steps = 21: must be at most steps = 20"),
        ({"warmup_steps": -1}, "warmup_steps = -1: must be a whole number of at least 0"),
        ({"peak_lr": -1}, "peak_lr = -1: must be a number of at least 0"),
        ({"peak_lr": math.nan}, "peak_lr = nan: must be a number"),
        ({"peak_lr": "x"}, "peak_lr = 'x': must be a number"),
        ({"weight_decay": -1}, "weight_decay = -1"),
        ({"mtp_weight": math.inf}, "mtp_weight = inf"),
        ({"beta1": 1.0}, "beta1 = 1.0: must be a number of at least 0 and below 1"),
        ({"beta2": -0.1}, "beta2 = -0.1"),
        ({"final_lr_share": 1.1}, "final_lr_share = 1.1"),
        ({"clip_norm": 0}, "clip_norm = 0: must be a number above 0"),
        ({"precision": "fp8"}, "precision = 'fp8': must be a PrecisionRecipe, such as v3_recipe"),
    ],
)
def test_recipes_that_do_not_fit(fields, message):
    with pytest.raises(InputError, match=message):
        Recipe(**{"steps": 20, **fields})


def test_a_single_step_after_the_warm_up_is_the_last():
    assert Recipe(11, peak_lr=2.0, warmup_steps=10, final_lr_share=0.1).learning_rate(10) == pytest.approx(0.2)
    assert Recipe(1, peak_lr=2.0, warmup_steps=0).learning_rate(0) == 2
    assert Recipe(1, final_lr_share=1.0, warmup_steps=0).final_lr_share == 1


def test_defaults_are_v3s():
    # V3's report, section 4.2: AdamW with 0.9, 0.95 and 0.1, clipping at 1.0, 0.3 for the modules at first
    recipe = Recipe(1, warmup_steps=0)
    assert (recipe.beta1, recipe.beta2, recipe.weight_decay) == (0.9, 0.95, 0.1)
    assert (recipe.clip_norm, recipe.mtp_weight) == (1.0, 0.3)
    assert (recipe.precision, recipe.balance) == (None, None)


def test_tokens_are_bytes():
    assert VOCABULARY == small_config().arch.vocab_size == np.iinfo(np.uint8).max + 1


def test_defaults_beside_v3s():
    # No published ones: a rate for small models, its warm-up and end, and the eps that Kingma and Ba propose.
    recipe = Recipe(10)
    assert (recipe.peak_lr, recipe.warmup_steps, recipe.final_lr_share) == (3e-3, 10, 0.1)
    assert (AdamW(recipe).eps, AdamW(recipe).count, AdamW(recipe).moments) == (1e-8, 0, {})


# Clipping


def test_gradients_are_clipped_together():
    gradients = {"a": np.array([3.0]), "b": [{"c": np.array([[0.0, 4.0]])}]}
    assert clip_grad_norm(gradients, 1.0) == 5
    assert gradients["a"] == pytest.approx([0.6])
    assert gradients["b"][0]["c"] == pytest.approx(np.array([[0, 0.8]]))


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_clipping_keeps_the_direction_and_bounds_the_norm(seed, largest):
    rng = np.random.default_rng(seed)
    gradients = {"a": rng.standard_normal(5), "b": [rng.standard_normal((2, 3))]}
    before = np.concatenate([gradients["a"], gradients["b"][0].ravel()])
    assert clip_grad_norm(gradients, largest) == pytest.approx(np.linalg.norm(before))
    after = np.concatenate([gradients["a"], gradients["b"][0].ravel()])
    assert np.linalg.norm(after) == pytest.approx(min(largest, np.linalg.norm(before)))
    assert np.allclose(after / np.linalg.norm(after), before / np.linalg.norm(before))


# The optimiser


def test_two_steps_by_hand():
    recipe = Recipe(steps=2, peak_lr=0.2, warmup_steps=2, beta1=0.5, beta2=0.75, weight_decay=0.5)
    w, optimizer = {"w": np.array([[1.0]])}, AdamW(recipe, eps=1.0)
    optimizer.step(w, {"w": np.array([[2.0]])})
    # rate 0.1: m = 1, over 1 - 0.5: 2; v = 1, over 1 - 0.75: 4, whose root is 2; decay 0.1 x 0.5
    first = 1 - 0.1 * 0.5 * 1 - 0.1 * 2 / (2 + 1)
    assert w["w"][0, 0] == pytest.approx(first)
    optimizer.step(w, {"w": np.array([[-4.0]])})
    # rate 0.2: m = 0.5 - 2 = -1.5, over 0.75: -2; v = 0.75 + 4 = 4.75, over 1 - 0.75^2 = 0.4375
    assert w["w"][0, 0] == pytest.approx(first - 0.2 * 0.5 * first + 0.2 * 2 / (math.sqrt(4.75 / 0.4375) + 1))


@given(st.floats(1e-3, 1e3), st.booleans())
def test_the_first_step_is_as_long_as_the_rate_whatever_the_gradient(size, negative):
    w, gradient = {"w": np.array([[5.0]])}, np.array([[-size if negative else size]])
    AdamW(EVEN).step(w, {"w": gradient})
    assert w["w"][0, 0] == pytest.approx(5.1 if negative else 4.9, rel=1e-5)


def test_the_step_is_written_into_the_parameter_and_gradients_stay():
    w, gradient = np.array([[5.0]]), np.array([[2.0]])
    AdamW(EVEN).step({"layers": [{"w": w}]}, {"layers": [{"w": gradient}]})
    assert w[0, 0] < 5
    assert gradient[0, 0] == 2


def test_decay_shrinks_matrices_alone():
    recipe = Recipe(steps=1, peak_lr=0.1, warmup_steps=0, weight_decay=0.5)
    found = init_model(MODELS["V3, biased projections, tied"], seed=1, std=0.5, dtype=np.float64).params
    for path, one in iter_leaves(found):
        one += 1.0 if path.endswith("bias") else 0.0
    before = {path: one.copy() for path, one in iter_leaves(found)}
    AdamW(recipe).step(found, {"layers": [tree_of_zeros(layer) for layer in found["layers"]]})
    for path, one in iter_leaves(found):
        shrunk = path.startswith("layers") and one.ndim > 1
        assert np.allclose(one, before[path] * (0.95 if shrunk else 1), rtol=1e-12), path


def tree_of_zeros(tree):
    return {key: tree_of_zeros(one) if isinstance(one, dict) else np.zeros_like(one) for key, one in tree.items()}


def test_a_parabola_is_descended():
    w, optimizer = {"w": np.array([[3.0, -2.0]])}, AdamW(Recipe(steps=200, peak_lr=0.1, weight_decay=0.0))
    for _ in range(200):
        optimizer.step(w, {"w": 2 * w["w"]})
    assert w["w"] == pytest.approx(np.zeros((1, 2)), abs=0.01)


# Runs


def unigram_entropy():
    """Return the nats per byte of a model that knows how often each byte comes and nothing else."""
    seen = Counter(np.concatenate([one.ravel() for one in itertools.islice(batches(32, 65, seed=9), 20)]).tolist())
    shares = [count / seen.total() for count in seen.values()]
    return -sum(share * math.log(share) for share in shares)


def test_forty_steps_learn_more_than_how_often_each_byte_comes():
    found = init_model(small_config(n_mtp_modules=1), seed=1)
    steps = list(train(found, batches(8, 65, seed=2), Recipe(steps=40, peak_lr=6e-3)))
    assert steps[0].loss.main == pytest.approx(math.log(256), abs=0.1)
    assert steps[0].loss.mtp[0] == pytest.approx(math.log(256) * 63 / 64, abs=0.1)
    assert evaluate(found, next(batches(32, 65, seed=9))) < 0.9 * unigram_entropy()


def test_the_same_seed_gives_the_same_losses_to_the_last_bit():
    def run(seed, workers=1):
        found = init_model(small_config(n_layers=2, n_mtp_modules=1), seed=seed)
        return list(train(found, batches(4, 17, seed=seed), Recipe(steps=12)))

    assert run(1) == run(1)
    assert not {step.loss.total for step in run(1)} & {step.loss.total for step in run(2)}


@pytest.mark.parametrize("name", list(MODELS))
def test_all_but_the_biases_for_selection_are_trained(name):
    found = init_model(MODELS[name], seed=1, std=0.3)
    for path, one in iter_leaves(found.params):
        one += 0.1 if path.endswith("bias") else 0.0
    before = {path: one.copy() for path, one in iter_leaves(found.params)}
    list(train(found, tokens(11, batch=4), Recipe(steps=11)))
    same = {path for path, one in iter_leaves(found.params) if np.array_equal(one, before[path])}
    assert same == {path for path in before if path.endswith("gate.e_score_correction_bias")}


def test_what_a_step_reports():
    found, given = init_model(V3, seed=1, std=0.3), list(tokens(3))
    recipe = Recipe(steps=3, warmup_steps=0, clip_norm=1e-3, mtp_weight=0.7)
    loss, gradients = found.loss_and_gradients(given[0], mtp_weight=0.7)
    norm = math.sqrt(sum(float(np.sum(one.astype(float) ** 2)) for _, one in iter_leaves(gradients)))
    steps = list(train(found, given, recipe))
    assert [step.number for step in steps] == [0, 1, 2]
    assert (steps[0].loss, steps[0].gradient_norm) == (loss, pytest.approx(norm, rel=1e-5))  # both before the step
    assert steps[1].loss == found_after(1, given, recipe).loss_and_gradients(given[1], mtp_weight=0.7)[0]


def found_after(steps, given, recipe):
    """Return a model after so many steps of a run, taken as they are asked for."""
    found = init_model(V3, seed=1, std=0.3)
    assert len(list(itertools.islice(train(found, given, recipe), steps))) == steps
    return found


def test_a_step_is_clipping_then_the_optimiser():
    recipe, (given,) = Recipe(steps=1, warmup_steps=0, clip_norm=1e-8, weight_decay=0.0), tokens(1)
    found, expected = (init_model(V3, seed=1, std=0.3, dtype=np.float64) for _ in range(2))
    list(train(found, [given], recipe))
    _, gradients = expected.loss_and_gradients(given)
    norm = math.sqrt(sum(float(np.sum(one**2)) for _, one in iter_leaves(gradients)))
    clipped = 1e-8 / norm * gradients["norm"]
    # so small that eps of 1e-8 counts: m and v corrected are the gradient and its square
    change = -recipe.learning_rate(0) * clipped / (np.abs(clipped) + 1e-8)
    assert np.allclose(found.params["norm"] - expected.params["norm"], change, rtol=1e-6, atol=0)


@pytest.mark.parametrize("given", [0, 1, 3])
def test_batches_that_end_early_are_said_to(given):
    with pytest.raises(InputError, match=f"^batches: end after {given} of 20 steps$"):
        list(train(init_model(V3, seed=1), tokens(given), Recipe(steps=20)))


def test_no_more_batches_are_taken_than_steps():
    rest = tokens(3)
    assert len(list(train(init_model(V3, seed=1), rest, Recipe(steps=2, warmup_steps=0)))) == 2
    assert len(list(rest)) == 1


@pytest.mark.parametrize("rate", [1e20, 1e38, 1e39, 1e300])
def test_a_rate_that_diverges_is_one_clear_line(rate):
    recipe = Recipe(steps=20, peak_lr=rate, warmup_steps=0)
    with pytest.raises(
        TrainingDiverged, match=r"^step \d+: loss \S+, gradient norm \S+: try a lower peak_lr$"
    ) as caught:
        list(train(init_model(V3, seed=1), tokens(20), recipe))
    assert "nan" in str(caught.value) or "inf" in str(caught.value)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_diverges_says_so_and_warns_of_nothing_else(workers):
    found = replace(init_model(V3, seed=1), workers=workers)
    with pytest.raises(TrainingDiverged, match="try a lower peak_lr"):
        list(train(found, tokens(20), Recipe(steps=20, peak_lr=1e20, warmup_steps=0)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_weight_that_is_no_number_stops_the_first_step_before_anything_is_changed():
    found = init_model(V3, seed=1)
    found.params["lm_head"][0, 0] = np.inf
    before = {path: one.copy() for path, one in iter_leaves(found.params)}
    with pytest.raises(TrainingDiverged, match="step 0: loss nan, gradient norm nan: try a lower peak_lr"):
        list(train(found, tokens(1), Recipe(steps=20)))
    assert all(np.array_equal(one, before[path]) for path, one in iter_leaves(found.params))


def test_a_gradient_that_is_no_number_stops_a_step_of_a_finite_loss(monkeypatch):
    found = init_model(V3, seed=1)
    real = type(found).loss_and_gradients

    def broken(self, *given, **more):
        loss, gradients = real(self, *given, **more)
        gradients["norm"][0] = np.nan
        return loss, gradients

    monkeypatch.setattr(type(found), "loss_and_gradients", broken)
    with pytest.raises(TrainingDiverged, match=r"step 0: loss 2\..*, gradient norm nan"):
        list(train(found, tokens(1), Recipe(steps=20)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_have_the_models_type_where_no_scheme_says_otherwise(dtype):
    found, optimizer = init_model(V3, seed=1, dtype=dtype), AdamW(Recipe(20))
    optimizer.step(found.params, found.loss_and_gradients(next(tokens(1)))[1])
    assert {one.dtype for pair in optimizer.moments.values() for one in pair} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": 0}, "batch = 0: must be a whole number of at least 1"),
        ({"length": -1}, "length = -1"),
        ({"seed": -1}, "seed = -1: must be a whole number of at least 0"),
        ({"seed": None}, "seed = None"),
        ({"domains": ()}, r"domains = \(\): must name at least one of: sums"),
        ({"domains": ("tales",)}, "domain = 'tales'"),
    ],
)
def test_batches_that_are_none_are_refused_at_the_call(given, message):
    with pytest.raises(InputError, match=message):
        batches(**{"batch": 2, "length": 3, "seed": 1, **given})


def test_the_loss_of_a_batch_is_the_mean_of_its_sequences():
    found, (given,) = init_model(V3, seed=1, std=0.3, dtype=np.float64), tokens(1, batch=3)
    assert evaluate(found, given) == pytest.approx(np.mean([evaluate(found, given[[row]]) for row in range(3)]))


# The corpus


def lines(domain, seed=0):
    return decode_text(sample_text(domain, 5000, np.random.default_rng(seed))).splitlines()[:-1]  # the last one is cut


def test_sums_are_right():
    found = [re.fullmatch(r"(\d{1,2})\+(\d{1,2})=(\d{1,3})", line).groups() for line in lines("sums")]
    assert all(int(a) + int(b) == int(c) for a, b, c in found)
    assert {len(part) for parts in found for part in parts} == {1, 2, 3}
    assert {a[-1] for a, _, _ in found} == set("0123456789")


def test_brackets_close_in_the_right_order():
    found = lines("brackets")
    assert {*"".join(found)} == {*"()[]{}"}
    for line in found:
        assert 4 <= len(line) <= 46
        while (shorter := re.sub(r"\(\)|\[\]|\{\}", "", line)) != line:
            line = shorter
        assert line == ""


def test_words_are_repeated():
    pairs = [line.split(":") for line in lines("copies")]
    assert all(word == again and re.fullmatch("[A-Z]{4,8}", word) for word, again in pairs)
    assert {len(word) for word, _ in pairs} == {4, 5, 6, 7, 8}
    assert {*"".join(word for word, _ in pairs)} == {*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def test_sentences_have_one_part_of_each_list():
    pattern = " ".join(f"({'|'.join(words)})" for words in WORDS.values()) + r"\."
    found = [re.fullmatch(pattern, line).groups() for line in lines("sentences")]
    assert [set(part) for part in zip(*found, strict=True)] == [set(words) for words in WORDS.values()]


def test_domains_have_characters_of_their_own():
    alphabets = {domain: {*"".join(lines(domain))} for domain in DOMAINS}
    for one, other in itertools.combinations(DOMAINS, 2):
        assert not alphabets[one] & alphabets[other]
    assert all(max(map(ord, alphabet)) < 128 for alphabet in alphabets.values())


@pytest.mark.parametrize("length", [1, 7, 200])
@pytest.mark.parametrize("domain", list(DOMAINS))
def test_a_sample_is_as_long_as_asked_and_begins_the_same(domain, length):
    found = sample_text(domain, length, np.random.default_rng(3))
    assert (found.shape, found.dtype) == ((length,), np.int64)
    assert np.array_equal(found, sample_text(domain, 300, np.random.default_rng(3))[:length])


@pytest.mark.parametrize("domains", [tuple(DOMAINS), ("copies", "sums"), ("brackets",)])
def test_domains_come_in_turn(domains):
    alphabets = {domain: {*"".join(lines(domain)), "\n"} for domain in domains}
    for one in itertools.islice(batches(5, 33, seed=1, domains=domains), 3):
        kinds = [next(name for name in domains if {*decode_text(row)} <= alphabets[name]) for row in one]
        assert kinds == [domains[number % len(domains)] for number in range(5)]


def test_batches_depend_on_the_seed_alone_and_do_not_repeat():
    one, same, other = (list(itertools.islice(batches(5, 33, seed=seed), 4)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    rows = np.concatenate([*one, *other])
    assert rows.shape == (40, 33)
    assert len(np.unique(rows, axis=0)) == 40


def test_text_that_is_none_is_marked():
    assert decode_text(np.array([72, 105, 200])) == "Hi\N{REPLACEMENT CHARACTER}"


def test_an_unknown_domain_is_refused():
    with pytest.raises(InputError, match="domain = 'prose': must be one of: sums, brackets, sentences, copies"):
        next(batches(2, 5, seed=1, domains=("sums", "prose")))
