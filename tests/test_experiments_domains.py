"""The task with domains: what the teacher says, what a layer's gradients are, what a gate may see, what is measured."""

from dataclasses import replace

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import domains
from repro.experiments.domains import Task, draw_teacher, init_layer
from repro.models.architecture import MixtureOfExperts
from repro.nano import Recipe
from repro.nano.balance import Balance
from repro.nano.gate import Gate
from repro.nano.param_shapes import iter_leaves
from repro.nano.training.loop import TrainingDiverged

SMALL = Task(n_domains=3, d_teacher=4, n_sequences=6, length=5, d_input=4, d_domain=3)
EXPERTS = MixtureOfExperts(n_routed_experts=4, n_shared_experts=1, top_k=2, d_expert=3, correction_bias=True)


def recipe(steps, balance=None):
    return Recipe(steps, warmup_steps=1, weight_decay=0, balance=balance)


def trained(task, experts, steps, balance=None, seed=0, **options):
    layer, teacher = init_layer(task, experts, Gate(), seed, **options), draw_teacher(task, seed)
    steps = list(domains.train(layer, teacher, recipe(steps, balance), seed))
    return layer, teacher, steps


# The teacher


def test_frequencies_by_hand():
    assert Task(n_domains=3).frequencies == pytest.approx([1 / 3] * 3)
    assert Task(n_domains=3, popularity=1).frequencies == pytest.approx([6 / 11, 3 / 11, 2 / 11])


@pytest.mark.parametrize(("popularity", "bounds"), [(0, [(4, 4)] * 8), (1, [(11, 12), (5, 6), (3, 4), (2, 3)])])
def test_a_batch_holds_each_domain_to_within_a_sequence(popularity, bounds):
    # 32 sequences, of which domain k has 32 / (2.7179 k) if rare: 11.77, 5.89, 3.92, 2.94, ...
    teacher, rng = draw_teacher(Task(popularity=popularity), 0), np.random.default_rng(0)
    for _ in range(20):
        counts = np.bincount(teacher.batch(rng).domains, minlength=8)
        assert counts.sum() == 32
        assert all(low <= count <= high for count, (low, high) in zip(counts, bounds, strict=False))


def test_a_batch_tells_the_domain_and_what_its_network_says():
    teacher = draw_teacher(Task(), 3)
    x, y, of = teacher.batch(np.random.default_rng(1))
    for sequence in (0, 17, 31):
        rows = slice(32 * sequence, 32 * (sequence + 1))
        assert np.array_equal(x[rows, 16:], np.tile(teacher.embeddings[of[sequence]], (32, 1)))
        up, down = teacher.networks.up[of[sequence]], teacher.networks.down[of[sequence]]
        assert y[rows] == pytest.approx(np.tanh(x[rows, :16] @ up.T) @ down.T)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_outputs_have_variance_one_and_the_common_share_is_their_covariance(share):
    teacher = draw_teacher(Task(common_share=share), 0)
    inputs = np.random.default_rng(0).standard_normal((1, 20_000, 16))
    said = np.array([teacher.outputs(inputs, np.array([domain])) for domain in range(8)]).reshape(8, -1)
    assert np.mean(said**2, axis=1) == pytest.approx(1, abs=0.12)
    covariance = said @ said.T / said.shape[1]
    apart = covariance[~np.eye(8, dtype=bool)]
    assert apart.mean() == pytest.approx(share, abs=0.05)
    if share == 1:
        assert apart == pytest.approx(np.mean(said[0] ** 2))


def test_what_is_shared_changes_neither_networks_nor_inputs():
    plain, shared, offset = (draw_teacher(task, 5) for task in (Task(), Task(common_share=0.5), Task(offset=3)))
    assert np.array_equal(plain.networks.up, shared.networks.up)
    assert offset.embeddings == pytest.approx(plain.embeddings + 3)
    one, other = (teacher.batch(np.random.default_rng(0)) for teacher in (plain, shared))
    assert np.array_equal(one.x, other.x)
    assert not np.array_equal(one.y, other.y)


# The layer


@pytest.mark.parametrize("balance", [None, Balance(expert=0.5), Balance(expert=0.5, scope="batch")])
def test_gradients_are_those_of_the_loss_by_finite_differences(balance):
    layer, batch = init_layer(SMALL, EXPERTS, Gate(), 1), draw_teacher(SMALL, 1).batch(np.random.default_rng(0))
    _, found = domains.gradients(layer, batch, recipe(1, balance))
    parameters, rng = dict(iter_leaves(layer.params)), np.random.default_rng(2)
    for path, gradient in iter_leaves(found):
        for at in (tuple(rng.integers(size) for size in gradient.shape) for _ in range(6)):
            sides = []
            for step in (1e-6, -2e-6):
                parameters[path][at] += step
                sides.append(domains.gradients(layer, batch, recipe(1, balance))[0].total)
            parameters[path][at] += 1e-6
            assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(gradient[at], rel=1e-4, abs=1e-8), path


def test_what_the_gate_may_not_see_never_moves_it():
    x = draw_teacher(SMALL, 0).batch(np.random.default_rng(0)).x
    for sees, hidden in (("input", slice(4, 7)), ("domain", slice(0, 4))):
        layer, _, _ = trained(SMALL, EXPERTS, 5, Balance(expert=1.0), gate_sees=sees)
        weight = layer.params["gate"]["weight"]
        assert not weight[:, hidden].any()
        other = x.copy()
        other[:, hidden] += 7
        assert np.array_equal(other @ weight.T, x @ weight.T)
        assert np.ptp(weight) > 0


def test_training_lowers_the_error_moves_the_biases_and_repeats():
    layer, teacher, steps = trained(SMALL, EXPERTS, 120, Balance(bias_speed=0.01))
    before = domains.measure(init_layer(SMALL, EXPERTS, Gate(), 0), teacher, 0)
    after = domains.measure(layer, teacher, 0)
    assert after["error"] < 0.8 * before["error"]
    assert np.abs(layer.params["gate"]["e_score_correction_bias"]).max() <= 1.2 + 1e-9
    assert layer.params["gate"]["e_score_correction_bias"].any()
    again, _, _ = trained(SMALL, EXPERTS, 120, Balance(bias_speed=0.01))
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(iter_leaves(layer.params), iter_leaves(again.params),
                                                              strict=True))  # fmt: skip
    assert [step.number for step in steps] == list(range(120))
    assert steps[0].loss.loads[0].sum() == 6 * 5 * 2


def test_a_shared_expert_is_as_wide_as_so_many_experts():
    layer = init_layer(SMALL, replace(EXPERTS, n_shared_experts=2), Gate(), 0)
    assert layer.params["shared_experts"]["gate_up_proj"].shape == (2 * 6, 7)
    assert "shared_experts" not in init_layer(SMALL, replace(EXPERTS, n_shared_experts=0), Gate(), 0).params


def test_a_loss_that_is_no_number_stops_the_training():
    layer = init_layer(SMALL, EXPERTS, Gate(), 0)
    layer.params["experts"]["down_proj"][:] = np.nan
    with pytest.raises(TrainingDiverged, match="step 0: loss nan"):
        next(domains.train(layer, draw_teacher(SMALL, 0), recipe(3), 0))


# Measuring


def test_a_silent_layer_is_wrong_by_all_of_the_variance():
    layer = init_layer(SMALL, EXPERTS, Gate(), 0)
    for part in ("experts", "shared_experts"):
        layer.params[part]["down_proj"][:] = 0
    found = domains.measure(layer, draw_teacher(SMALL, 0), 0, 2)
    assert found["error"] == pytest.approx(1)
    assert found["error_by_domain"] == pytest.approx([1, 1, 1])


def test_loads_and_what_is_made_of_them_by_hand():
    task = Task(n_domains=2, n_sequences=4, length=8, d_domain=2)
    teacher = replace(draw_teacher(task, 0), embeddings=np.eye(2))
    layer = init_layer(task, replace(EXPERTS, n_shared_experts=0, top_k=1), Gate(norm_topk_prob=False), 0)
    layer.params["gate"]["weight"][:] = 0
    layer.params["gate"]["weight"][[0, 3], [16, 17]] = 50  # one domain to expert 0, the other to expert 3
    found = domains.measure(layer, teacher, 0, 3)
    # 3 batches of two sequences of each domain, 8 tokens: two of four experts have twice, in a sequence one four times
    assert found["loads"] == [[48, 0, 0, 0], [0, 0, 0, 48]]
    assert (found["global"], found["batch"], found["sequence"], found["idle"]) == (1, 1, 3, 0.5)
    assert found["specialisation_bits"] == pytest.approx(1)


def test_no_batch_of_training_is_measured_on(monkeypatch):
    real, drawn = domains.Teacher.batch, []
    monkeypatch.setattr(domains.Teacher, "batch", lambda *args: drawn.append(real(*args)) or drawn[-1])
    numbers = []  # the first of each token's input, from a continuous distribution
    for seed in range(8):
        for of_training in (True, False):
            drawn.clear()
            trained(SMALL, EXPERTS, 8, seed=seed) if of_training else domains.measure(
                init_layer(SMALL, EXPERTS, Gate(), seed), draw_teacher(SMALL, seed), seed
            )
            assert len(drawn) == 8
            numbers += [batch.x[:, 0] for batch in drawn]
    assert len(np.unique(numbers)) == 8 * 2 * 8 * 6 * 5  # seeds, either kind, batches, sequences, tokens: all differ


def test_held_out_tokens_change_with_the_seed_alone():
    layer, teacher, _ = trained(SMALL, EXPERTS, 1)
    found = [domains.measure(layer, teacher, seed, 1)["error"] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Task(common_share=1.5), "common_share = 1.5: must be from 0 to 1"),
        (lambda: Task(n_domains=0), "n_domains = 0: must be a whole number of at least 1"),
        (lambda: init_layer(SMALL, EXPERTS, Gate(), 0, gate_sees="x"), "gate_sees = 'x': must be all, input or domain"),
        (lambda: init_layer(SMALL, replace(EXPERTS, top_k=9), Gate(), 0), "top_k = 9: must be from 1 to the 4 experts"),
    ],
)
def test_mistakes(make, message):
    with pytest.raises(InputError, match=message):
        make()
