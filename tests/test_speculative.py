"""Speculative decoding: what is kept and what drawn instead, the main model's tokens and caches, counts, refusals."""

import copy
import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nano_shapes import MODELS, V2, V3, plain

from repro.calc.serving import speculative_tokens_per_step
from repro.errors import InputError
from repro.nano import Recipe, batches, init_model, load_checkpoint, mla, save_checkpoint, small_config, train
from repro.nano.param_shapes import iter_leaves
from repro.nano.serving import speculative
from repro.nano.serving.speculative import (
    SpeculativeDecoder,
    acceptance_probability,
    distribution,
    draw_token,
    emit_token,
    emitted_distribution,
    expected_acceptance,
    residual_distribution,
    speculative_decode,
    verify,
)

pytestmark = pytest.mark.slow


def with_modules(config, n_mtp_modules=1, **fields):
    """Return the same model with so many modules, and another vocabulary where one is given."""
    return replace(config, arch=replace(config.arch, n_mtp_modules=n_mtp_modules, **fields))


WITH_MODULE = {
    **{name: config for name, config in MODELS.items() if config.arch.n_mtp_modules},
    "V2": with_modules(V2),
    "MHA": with_modules(plain(4)),
    "GQA": with_modules(plain(2)),
    "MQA": with_modules(plain(1)),
}
LATENT = [name for name in WITH_MODULE if name.startswith("V")]
PROMPT = np.array([3, 1, 4])


def built(config, seed=3, std=0.5):
    """Return a model in float64, gains random too."""
    found = init_model(config, seed=seed, std=std, dtype=np.float64)
    rng = np.random.default_rng(seed)
    for path, one in iter_leaves(found.params):
        if path.endswith("norm"):
            one += 0.3 * rng.standard_normal(one.shape)
    return found


def some(length, seed=0, vocab_size=11):
    return np.random.default_rng([seed, length]).integers(0, vocab_size, length)


def greedy(model, prompt, count, **fields):
    return model.generate(np.asarray(prompt)[None], count, **fields)[0]


def autoregressive_decode(model, prompt, count, *, temperature=0.0, seed=0, absorbed=False):
    """Return `count` tokens, one on each pass of the main model, which draws otherwise from the same seed."""
    prompt = np.asarray(prompt, int)
    rng, caches = np.random.default_rng(seed), model.new_caches(1, len(prompt) + count)
    tokens, unread = [], prompt
    while len(tokens) < count:
        logits = model.forward(np.asarray(unread)[None], caches, absorbed=absorbed and len(tokens) > 0)
        tokens.append(draw_token(distribution(logits[0, -1], temperature), rng.random()))
        unread = tokens[-1:]
    return np.array(tokens, int)


# Distributions

weights = st.one_of(st.just(0.0), st.floats(1e-9, 1), st.sampled_from([1e-300, 1.0, 0.5]))


@st.composite
def two_distributions(draw):
    """Two over the same tokens, zeros among them: any, equal, or with nothing in common."""
    size = draw(st.integers(2, 8))
    kind = draw(st.sampled_from(["any", "equal", "disjoint"]))
    p, q = (np.array(draw(st.lists(weights, min_size=size, max_size=size))) for _ in range(2))
    if kind == "disjoint":
        common = draw(st.integers(1, size - 1))
        p[:common], q[common:] = 0, 0
    p, q = (one if one.sum() > 0 else (one + 1) * (np.arange(size) == place) for one, place in ((p, -1 % size), (q, 0)))
    p, q = p / p.sum(), q / q.sum()
    return (p, p.copy()) if kind == "equal" else (p, q)


@given(two_distributions())
def test_the_token_at_the_drafts_place_is_the_main_models(both):
    p, q = both
    assert np.allclose(emitted_distribution(p, q), p, rtol=0, atol=1e-12)


@given(two_distributions())
def test_acceptance_is_one_less_the_total_variation_and_the_same_both_ways(both):
    p, q = both
    expected = expected_acceptance(p, q)
    assert expected == pytest.approx(np.minimum(p, q).sum(), abs=1e-15)
    assert expected == pytest.approx(1 - np.abs(p - q).sum() / 2, abs=1e-12)
    assert expected == pytest.approx(expected_acceptance(q, p), abs=1e-12)


@given(two_distributions())
def test_a_residual_sums_to_one_and_has_nothing_where_the_draft_has_more(both):
    p, q = both
    found = residual_distribution(p, q)
    assert found.sum() == pytest.approx(1)
    if np.any(p > q):
        assert not np.any(found[p <= q])


@given(two_distributions())
def test_a_draft_is_kept_in_its_share_of_all_uniform_numbers(both):
    p, q = both
    for token in np.flatnonzero(q):
        share = acceptance_probability(p, q)[token]
        assert share == pytest.approx(float(min(1, Fraction(p[token]) / Fraction(q[token]))))
        assert verify(p, q, token, 0.0) == (share > 0)
        assert verify(p, q, token, np.nextafter(1, 0)) == (share == 1)
        if 0 < share < 1:
            assert verify(p, q, token, np.nextafter(share, 0))
            assert not verify(p, q, token, share)
    assert not np.any(acceptance_probability(p, q)[q == 0])


@given(two_distributions(), st.floats(0, 1, exclude_max=True))
def test_a_token_is_drawn_where_the_sum_of_probabilities_passes(both, uniform):
    p, _ = both
    for one in (uniform, 0.0, np.nextafter(1, 0)):
        token = draw_token(p, one)
        assert p[token] > 0
        assert p[:token].sum() <= one * (1 + 1e-12) + 1e-15
        assert p[: token + 1].sum() > one - 1e-12


@pytest.mark.parametrize(
    ("p", "q", "kept", "instead", "expected"),
    [
        ([4, 2, 1, 1], [1, 1, 2, 4], [1, 1, 1 / 2, 1 / 4], [3 / 4, 1 / 4, 0, 0], 1 / 2),
        ([8, 0, 0, 0], [0, 0, 8, 0], [0, 0, 0, 0], [1, 0, 0, 0], 0),
        ([2, 2, 2, 2], [2, 2, 2, 2], [1, 1, 1, 1], [1 / 4] * 4, 1),
        ([0, 8, 0, 0], [2, 6, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], 3 / 4),
    ],
)
def test_distributions_by_hand(p, q, kept, instead, expected):
    p, q = np.array(p) / 8, np.array(q) / 8
    assert acceptance_probability(p, q).tolist() == kept
    assert residual_distribution(p, q).tolist() == instead
    assert expected_acceptance(p, q) == expected
    assert emitted_distribution(p, q).tolist() == p.tolist()
    batch = np.stack([p, q, p]), np.stack([q, q, p])
    assert residual_distribution(*batch).tolist() == [instead, q.tolist(), p.tolist()]
    assert expected_acceptance(*batch).tolist() == [expected, 1, 1]
    assert emitted_distribution(*batch).tolist() == batch[0].tolist()


def test_tokens_of_one_pass_counted_over_a_grid_of_uniform_numbers():
    p, after, q = (np.array(one) / 8 for one in ([4, 2, 1, 1], [1, 0, 5, 2], [1, 1, 2, 4]))
    middles = (np.arange(8) + 0.5) / 8  # all probabilities and chances are eighths or quarters: the count is exact
    first, second = np.zeros(4), np.zeros(4)
    for drafted, verified, drawn in itertools.product(middles, repeat=3):
        found = emit_token(np.stack([p, after]), q, draw_token(q, drafted), np.array([verified, drawn]))
        first[found[0]] += 1 / 8**3
        if len(found) == 2:
            second[found[1]] += 1 / 8**3
    assert first.tolist() == p.tolist()
    assert second.tolist() == (after / 2).tolist()  # half of the drafts are kept, whichever they are


def test_probabilities_at_temperatures():
    logits = np.log([[1.0, 4.0, 16.0], [3.0, 3.0, 1.0]])
    assert np.allclose(distribution(logits, 1), [[1 / 21, 4 / 21, 16 / 21], [3 / 7, 3 / 7, 1 / 7]])
    assert np.allclose(distribution(logits, 2), [[1 / 7, 2 / 7, 4 / 7], np.array([1, 1, 3**-0.5]) / (2 + 3**-0.5)])
    assert distribution(logits, 0).tolist() == [[0, 0, 1], [1, 0, 0]]  # of equal ones the first, as argmax has it
    assert distribution(logits, 5e-324).tolist() == [[0, 0, 1], [0.5, 0.5, 0]]
    assert np.allclose(distribution(logits, 1e300), 1 / 3)
    assert distribution(logits.astype(np.float32), 1).dtype == np.float64


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_no_numbers(wrong, temperature):
    with pytest.raises(InputError, match=f"logits of up to {wrong}: must be finite"):
        distribution(np.array([0.0, wrong]), temperature)


# The main model's tokens


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("absorbed", [False, True])
@pytest.mark.parametrize("name", list(WITH_MODULE))
def test_greedy_tokens_are_those_of_plain_decoding(name, absorbed, seed):
    model, prompt = built(WITH_MODULE[name], seed=seed), some(1 + 2 * seed, seed=seed)
    expected = greedy(model, prompt, 16, absorbed=absorbed)
    assert np.array_equal(speculative_decode(model, prompt, 16, absorbed=absorbed).tokens, expected)
    assert np.array_equal(autoregressive_decode(model, prompt, 16, absorbed=absorbed), expected)


@given(st.integers(1, 6), st.integers(0, 12), st.sampled_from(list(WITH_MODULE)))
@settings(max_examples=40, deadline=None)
def test_greedy_tokens_of_any_number_after_any_prompt(length, count, name):
    model, prompt = built(WITH_MODULE[name]), some(length)
    found = speculative_decode(model, prompt, count)
    assert np.array_equal(found.tokens, greedy(model, prompt, count))
    assert found.acceptance_probs.tolist() == found.is_accepted.tolist()  # nothing is left to chance


@pytest.fixture(scope="module", params=["MLA", "MHA", "GQA"])
def learner(request):
    model = init_model(small_config(request.param, n_mtp_modules=1, n_layers=2), seed=1, dtype=np.float64)
    list(train(model, batches(4, 33, seed=2), Recipe(steps=60, peak_lr=1e-2)))
    return model


@pytest.mark.parametrize("absorbed", [False, True])
def test_greedy_tokens_of_a_trained_model_some_drafts_kept_and_some_not(learner, absorbed):
    found = [
        (
            speculative_decode(learner, prompt[:8], 24, absorbed=absorbed),
            greedy(learner, prompt[:8], 24, absorbed=absorbed),
        )
        for prompt in next(batches(8, 33, seed=3))
    ]
    assert all(np.array_equal(one.tokens, expected) for one, expected in found)
    kept = np.concatenate([one.is_accepted for one, _ in found])
    assert 0.1 < kept.mean() < 0.9


@pytest.mark.parametrize("kind", ["MLA", "MHA", "GQA", "MQA"])
def test_greedy_tokens_of_a_model_that_has_learned_nothing(kind):
    model = init_model(small_config(kind, n_mtp_modules=1), seed=2, dtype=np.float64)
    assert np.array_equal(speculative_decode(model, PROMPT, 12).tokens, greedy(model, PROMPT, 12))


def test_greedy_tokens_of_packed_weights_and_of_several_workers(tmp_path, monkeypatch):
    save_checkpoint(init_model(WITH_MODULE["V3"], seed=1, std=0.5), tmp_path / "saved", stored="bfloat16")
    model = load_checkpoint(tmp_path / "saved", packed=True)
    expected = greedy(model, PROMPT, 12)
    assert np.array_equal(speculative_decode(model, PROMPT, 12).tokens, expected)
    model.workers, real, workers = 2, speculative.mtp_module, []
    monkeypatch.setattr(
        speculative, "mtp_module", lambda *given, **fields: workers.append(fields["workers"]) or real(*given, **fields)
    )
    assert np.array_equal(speculative_decode(model, PROMPT, 12).tokens, expected)
    assert set(workers) == {2}


def test_products_do_not_heed_the_invalid_flag(monkeypatch):
    heeded, real = [], speculative.mtp_module
    monkeypatch.setattr(
        speculative,
        "mtp_module",
        lambda *given, **fields: heeded.append(np.geterr()["invalid"]) or real(*given, **fields),
    )
    with np.errstate(invalid="raise"):
        speculative_decode(built(WITH_MODULE["V3"]), PROMPT, 6)
    assert set(heeded) == {"ignore"}


def every_outcome(run, monkeypatch):
    """Yield what `run` returns for all that its draws and verdicts can come to, each with its probability."""
    script = []  # of each choice on the way the place chosen, and the chances of all

    def choose(chances):
        place = next(places)
        if place == len(script):
            script.append((int(np.flatnonzero(chances)[0]), chances))
        return script[place][0]

    def judge(p, q, token, uniform):
        kept = acceptance_probability(p, q)[token]
        return choose(np.array([kept, 1 - kept])) == 0

    monkeypatch.setattr(speculative, "draw_token", lambda p, uniform: choose(p))
    monkeypatch.setattr(speculative, "verify", judge)
    while True:
        places = itertools.count()
        yield run(), math.prod(chances[place] for place, chances in script)
        while script:
            place, chances = script.pop()
            if later := [one for one in np.flatnonzero(chances) if one > place]:
                script.append((int(later[0]), chances))
                break
        else:
            return


def chance_of(model, prompt, tokens, temperature):
    """Return the probability of tokens after a prompt: a product over whole forward passes."""
    whole = np.concatenate([prompt, tokens]).astype(int)
    p = distribution(model.forward(whole[None])[0], temperature)
    return math.prod(p[len(prompt) - 1 + place, token] for place, token in enumerate(tokens))


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(
    ("name", "temperature", "absorbed"), [("V3", 1.0, True), ("GQA", 0.6, False), ("V2", 3.0, False)]
)
def test_sequences_are_exactly_as_likely_as_the_main_model_has_them(name, temperature, absorbed, count, monkeypatch):
    model, prompt = built(with_modules(WITH_MODULE[name], vocab_size=3)), np.array([2, 0])
    found, passes = np.zeros((3,) * count), set()
    for one, chance in every_outcome(
        lambda: speculative_decode(model, prompt, count, temperature=temperature, absorbed=absorbed), monkeypatch
    ):
        found[tuple(one.tokens)] += chance
        passes.add(one.steps)
    expected = [chance_of(model, prompt, tokens, temperature) for tokens in itertools.product(range(3), repeat=count)]
    assert np.allclose(found.reshape(-1), expected, rtol=0, atol=1e-12)
    assert passes == set(range(math.ceil((count + 1) / 2), count + 1))


def chi_square(found, expected):
    return float(np.sum((found - expected) ** 2 / expected))


@pytest.mark.parametrize(
    "call", [lambda *given, **fields: speculative_decode(*given, **fields).tokens, autoregressive_decode]
)
def test_sequences_drawn_over_many_seeds(call):
    model, prompt, n_seeds = built(with_modules(WITH_MODULE["GQA"], vocab_size=3)), np.array([2, 0]), 1500
    found = np.zeros((3, 3, 3))
    for seed in range(n_seeds):
        found[tuple(call(model, prompt, 3, temperature=3.0, seed=seed))] += 1
    expected = [chance_of(model, prompt, tokens, 3.0) for tokens in itertools.product(range(3), repeat=3)]
    assert min(expected) * n_seeds > 5
    assert chi_square(found.reshape(-1), n_seeds * np.array(expected)) < 54  # 26 degrees of freedom: 1 in 1,000


def test_the_same_seed_gives_the_same_tokens_and_another_others():
    model = built(WITH_MODULE["V3"])
    for call in (
        lambda seed: speculative_decode(model, PROMPT, 30, temperature=1, seed=seed).tokens.tolist(),
        lambda seed: autoregressive_decode(model, PROMPT, 30, temperature=1, seed=seed).tolist(),
    ):
        assert call(1) == call(1) != call(2)
    assert (
        speculative_decode(model, PROMPT, 30, seed=1).tokens.tolist()
        == speculative_decode(model, PROMPT, 30, seed=2).tokens.tolist()
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_drafts_are_kept_as_often_as_their_chances_say(temperature):
    found = speculative_decode(built(WITH_MODULE["MHA"]), PROMPT, 400, temperature=temperature)
    spread = math.sqrt(np.sum(found.acceptance_probs * (1 - found.acceptance_probs)))
    assert abs(found.n_accepted - found.acceptance_probs.sum()) < 3.3 * spread  # 1 in 1,000
    assert spread > 3


# Caches and hidden states


class Watched(SpeculativeDecoder):
    """A decoder that remembers itself."""

    seen: list = []  # noqa: RUF012

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen.append(self)


@pytest.mark.parametrize("absorbed", [False, True])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("name", list(WITH_MODULE))
def test_caches_hold_what_a_fresh_run_over_the_tokens_leaves(name, temperature, absorbed, monkeypatch):
    monkeypatch.setattr(speculative, "SpeculativeDecoder", Watched)
    model = built(WITH_MODULE[name])
    for count in (12, 13):
        found = speculative_decode(model, PROMPT, count, temperature=temperature, seed=count, absorbed=absorbed)
        decoder, fresh = Watched.seen.pop(), SpeculativeDecoder(model, 40)
        whole = np.concatenate([PROMPT, found.tokens])
        hidden, _ = fresh.forward(whole[:-1])
        fresh.draft(hidden, whole[1:])
        assert found.n_accepted < found.n_drafts  # so that something was taken back
        assert {one.length for one in decoder.caches} == {len(whole) - 1}  # all but the newest token
        assert decoder.module_cache.length == len(PROMPT) + found.positions[-1] - 1
        for left, right in zip(
            [*decoder.caches, decoder.module_cache], [*fresh.caches, fresh.module_cache], strict=True
        ):
            for key, one in left.arrays.items():
                upto = left.length
                assert np.allclose(one[..., :upto, :], right.arrays[key][..., :upto, :], rtol=0, atol=1e-11)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.sampled_from(list(WITH_MODULE)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_both_models_in_any_pieces_are_the_whole_models(pieces, name, absorbed):
    model, ends = built(WITH_MODULE[name]), np.cumsum(pieces)
    tokens, decoder = some(sum(pieces) + 1), SpeculativeDecoder(model, sum(pieces), absorbed)
    logits, drafts = [], []
    for start, end in zip(ends - pieces, ends, strict=True):
        hidden, one = decoder.forward(tokens[start:end])
        logits.append(one)
        drafts.append(decoder.draft(hidden, tokens[start + 1 : end + 1]))
    assert np.allclose(np.concatenate(logits), model.forward(tokens[None, :-1])[0], rtol=0, atol=1e-11)
    if model.config.arch.n_mtp_modules == 1 or len(tokens) > 2:
        assert np.allclose(np.concatenate(drafts), model.mtp_logits(tokens[None])[0][0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", list(WITH_MODULE))
def test_what_is_rolled_back_leaves_no_trace(name):
    model, tokens = built(WITH_MODULE[name]), some(6)
    decoder, fresh = SpeculativeDecoder(model, 6), SpeculativeDecoder(model, 6)
    decoder.forward([*tokens[:4], (tokens[4] + 1) % 11, 0])
    decoder.rollback(2)
    fresh.forward(tokens[:4])
    for left, right in zip(decoder.forward(tokens[4:]), fresh.forward(tokens[4:]), strict=True):
        assert np.array_equal(left, right)


@pytest.mark.parametrize("name", LATENT)
def test_the_form_asked_for_is_the_one_that_decodes_in_both_models(name, monkeypatch):
    forms, real = [], mla._attend_absorbed
    monkeypatch.setattr(mla, "_attend_absorbed", lambda *given: forms.append(1) or real(*given))
    model = built(WITH_MODULE[name])
    speculative_decode(model, PROMPT, 9)
    autoregressive_decode(model, PROMPT, 9)
    assert not forms
    found = speculative_decode(model, PROMPT, 9, absorbed=True)  # both models read the prompt in the expanded form
    assert len(forms) == 2 * (found.steps - 1) + (found.n_drafts - 1)
    forms.clear()
    autoregressive_decode(model, PROMPT, 9, absorbed=True)
    assert len(forms) == 2 * 8


def test_a_sequence_longer_than_the_caches_is_refused():
    with pytest.raises(InputError, match="cache of 2 tokens: holds 0, 3 more do not fit"):
        SpeculativeDecoder(built(WITH_MODULE["V3"]), 2).forward(PROMPT)


# Drafts and counts


@given(st.integers(0, 14), st.sampled_from([0.0, 1.0]), st.sampled_from(list(WITH_MODULE)))
@settings(max_examples=40, deadline=None)
def test_tokens_are_passes_and_accepted_drafts_together(count, temperature, name):
    model, lengths = built(WITH_MODULE[name]), []
    real = model.hidden_states
    model.hidden_states = lambda tokens, *given, **fields: (
        lengths.append(tokens.shape[1]) or real(tokens, *given, **fields)
    )
    found = speculative_decode(model, PROMPT, count, temperature=temperature)
    assert count == len(found.tokens) == found.steps + found.n_accepted
    assert found.steps == len(lengths)
    assert lengths[:1] == [3][:count]
    assert found.n_drafts == lengths[1:].count(2)
    undrafted = lengths[1:].count(1)
    assert undrafted == found.steps - found.n_drafts - 1 * bool(count) <= 1  # the last, if it is to bring one
    starts = 1 + np.arange(found.n_drafts) + np.cumsum(found.is_accepted) - found.is_accepted
    assert found.positions.tolist() == starts.tolist()
    assert len(found.acceptance_probs) == found.n_drafts
    if found.n_drafts:
        assert found.acceptance_rate == found.n_accepted / found.n_drafts == found.is_accepted.mean()
        drafted = count - 1 - undrafted
        assert drafted / found.n_drafts == pytest.approx(speculative_tokens_per_step(found.acceptance_rate))
    if count:
        assert found.tokens_per_step == count / found.steps


def test_nothing_decoded_has_no_ratios():
    found = speculative_decode(built(WITH_MODULE["GQA"]), PROMPT, 0)
    assert (found.tokens.shape, found.steps, found.n_drafts, found.n_accepted) == ((0,), 0, 0, 0)
    assert math.isnan(found.acceptance_rate)
    assert math.isnan(found.tokens_per_step)
    assert np.issubdtype(found.tokens.dtype, np.integer)
    one = speculative_decode(built(WITH_MODULE["GQA"]), PROMPT, 1)
    assert (one.steps, one.n_drafts, one.tokens_per_step) == (1, 0, 1)
    assert math.isnan(one.acceptance_rate)


def foreseen(name):
    """Return a model whose main layers add nothing, and whose module passes on the next token's embedding."""
    config = replace(with_modules(WITH_MODULE[name]), rms_norm_eps=0.0)
    model = built(config)
    p, module = model.params, model.params["mtp"][0]
    for path, one in iter_leaves([p["layers"], module["block"]]):
        if path.endswith(("o_proj", "down_proj")) and "kv_a_proj_with_mqa" not in path and "q_a_proj" not in path:
            one[...] = 0
    module["eh_proj"][...] = np.eye(*module["eh_proj"].shape)
    module["enorm"][...] = 1
    module["norm"][...] = p["norm"]
    return model


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.5])
@pytest.mark.parametrize(("count", "steps"), [(1, 1), (2, 2), (3, 2), (20, 11), (21, 11)])
@pytest.mark.parametrize("name", list(WITH_MODULE))
def test_a_module_that_is_always_right_brings_two_tokens_a_pass(name, count, steps, temperature):
    model = foreseen(name)
    found = speculative_decode(model, PROMPT, count, temperature=temperature)
    assert found.is_accepted.all()
    assert found.acceptance_probs == pytest.approx(np.ones(found.n_drafts))
    assert found.steps == steps  # the prompt's, one for every two tokens, and one for a token left over
    if not temperature:
        assert np.array_equal(found.tokens, greedy(model, PROMPT, count))


def misled(name):
    """Return a model whose module drafts the last two tokens alone, which its main model never finds likeliest."""
    model = built(with_modules(WITH_MODULE[name], tied_embeddings=False))
    p = model.params
    p["norm"][0], p["mtp"][0]["norm"][0] = 0, 1  # the first dimension is the module's
    p["lm_head"][:, 0] = 0
    p["lm_head"][-2:] = 0
    p["lm_head"][-2:, 0] = 1000, -1000
    return model


@pytest.mark.parametrize("name", list(WITH_MODULE))
def test_a_module_that_is_always_wrong_changes_nothing(name):
    model = misled(name)
    found, expected = speculative_decode(model, PROMPT, 20), greedy(model, PROMPT, 20)
    assert max(expected) < 9
    assert np.array_equal(found.tokens, expected)
    assert (found.n_accepted, found.n_drafts, found.steps) == (0, 18, 20)  # first and last without a draft
    assert found.tokens_per_step == 1
    assert not found.acceptance_probs.any()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_of_several_modules_the_first_drafts(temperature):
    def call(one):
        found = speculative_decode(one, PROMPT, 30, temperature=temperature)
        return [found.tokens.tolist(), found.is_accepted.tolist(), found.acceptance_probs.tolist()]

    both = built(V3)
    alone, first, second = (copy.deepcopy(both) for _ in range(3))
    alone.config, alone.params["mtp"] = with_modules(V3), alone.params["mtp"][:1]
    first.params["mtp"][0]["eh_proj"] *= -1
    second.params["mtp"][1]["eh_proj"] *= -1
    assert call(both) == call(alone) == call(second)
    assert call(first)[1:] != call(both)[1:]


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int16, list])
def test_prompts_may_be_integers_of_any_kind(kind):
    model = built(WITH_MODULE["V3"])
    given = PROMPT.tolist() if kind is list else PROMPT.astype(kind)
    assert np.array_equal(speculative_decode(model, given, 9).tokens, speculative_decode(model, PROMPT, 9).tokens)


# Refusals


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], r"prompt of shape \(0,\) and type float64: must be integers \[T\], one at least"),
        (np.zeros(0, int), r"prompt of shape \(0,\) and type int64: must be integers \[T\], one at least"),
        ([[1, 2]], r"prompt of shape \(1, 2\)"),
        (3, r"prompt of shape \(\)"),
        ([0.5, 1.0], r"prompt of shape \(2,\) and type float64: must be integers"),
        ([True], r"prompt of shape \(1,\) and type bool: must be integers"),
        ([[1, 2], [3]], "prompt of unequal lengths: must be integers"),
        ([1, 11], "tokens from 1 to 11: must be from 0 to 10"),
        ([-1], "tokens from -1 to -1: must be from 0 to 10"),
    ],
)
def test_prompts_that_are_none_are_refused(prompt, message):
    with pytest.raises(InputError, match=message):
        speculative_decode(init_model(V3, seed=1), prompt, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": -1}, "count = -1: must be a whole number of at least 0"),
        ({"count": 2.5}, "count = 2.5: must be a whole number"),
        ({"temperature": -0.1}, "temperature = -0.1: must be a number of at least 0"),
        ({"temperature": math.nan}, "temperature = nan: must be a number"),
        ({"temperature": math.inf}, "temperature = inf: must be a number"),
        ({"temperature": "1"}, "temperature = '1': must be a number"),
        ({"seed": -1}, "seed = -1: must be a whole number of at least 0"),
        ({"seed": None}, "seed = None: must be a whole number"),
    ],
)
def test_what_cannot_be_is_one_line(fields, message):
    with pytest.raises(InputError, match=message):
        speculative_decode(init_model(V3, seed=1), PROMPT, **{"count": 3, **fields})


def test_models_that_cannot_draft_are_refused_and_do_decode_one_by_one():
    dropping = replace(WITH_MODULE["V3"], gate=replace(V3.gate, capacity_factor=1.0))
    for config, message in [
        (V2, "model of n_mtp_modules = 0: must have a module that drafts"),
        (dropping, "capacity_factor = 1: must be None, or drafts displace other tokens"),
    ]:
        model = built(config)
        with pytest.raises(InputError, match=message):
            speculative_decode(model, PROMPT, 3)
        assert np.array_equal(autoregressive_decode(model, PROMPT, 6), greedy(model, PROMPT, 6))
