"""The study of star graphs: graphs and targets by hand, what each way of training may read, and the cheat itself."""

import numpy as np
import pytest

from repro.errors import InputError
from repro.experiments import star_graphs
from repro.experiments.star_graphs import ARM, HIDDEN, NODES, StarRun
from repro.experiments.watch import Trace
from repro.nano.model import Loss
from repro.nano.ops import cross_entropy
from repro.nano.param_shapes import flatten, iter_leaves
from repro.nano.training.loop import TrainStep

EDGES = NODES - 1


def parsed(row):
    """Return the edges of a graph, the goal of its query, the node that the path begins at, and the path from there."""
    edges, (goal, begin, *path) = row[: 3 * EDGES].reshape(-1, 3), row[3 * EDGES :].tolist()
    assert (edges[:, 2] == star_graphs.BAR).all()
    return edges[:, :2].tolist(), goal, begin, path


def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("row", range(20))
def test_the_path_follows_the_edges_from_the_centre_to_the_end(row):
    edges, end, centre, path = parsed(star_graphs.draw_graphs(rng(), 20)[row])
    assert path[-1] == end
    assert all([a, b] in edges for a, b in zip([centre, *path], path, strict=False))
    parents = [a for a, _ in edges]
    assert parents.count(centre) == star_graphs.DEGREE
    assert len({node for edge in edges for node in edge}) == NODES


def test_the_reversed_path_is_the_same_told_from_its_end():
    forwards, backwards = (star_graphs.draw_graphs(rng(), 20, is_reversed=told) for told in (False, True))
    for one, other in zip(forwards, backwards, strict=True):
        edges, end, centre, path = parsed(one)
        assert parsed(other) == (edges, centre, end, [*path[-2::-1], centre])


def test_a_cheat_that_reads_the_step_before_finds_all_but_the_first():
    right = np.zeros(ARM)
    graphs = star_graphs.draw_graphs(rng(), 400)
    for row in graphs:
        edges, _, centre, path = parsed(row)
        said = [next(b for a, b in edges if a == before) for before in (centre, *path[:-1])]
        right += np.equal(said, path) / len(graphs)
    assert right[1:].tolist() == pytest.approx([1, 1])
    assert right[0] == pytest.approx(1 / star_graphs.DEGREE, abs=0.08)


def test_only_the_path_is_to_be_predicted():
    graphs = star_graphs.draw_graphs(rng(), 2)
    main, module = star_graphs.path_targets(graphs, 2)
    assert np.array_equal(main[:, -ARM:], graphs[:, -ARM:])
    assert np.array_equal(module, main[:, 1:])
    assert (main[:, :-ARM] == -1).all()
    model = star_graphs.build_model(StarRun())
    loss = model.loss_and_gradients(graphs)[0]
    assert loss.main == pytest.approx(cross_entropy(model.forward(graphs[:, :-1])[:, -ARM:], graphs[:, -ARM:])[0])


def test_a_teacherless_model_reads_nothing_of_the_path():
    model = star_graphs.build_model(StarRun("teacherless"))
    graphs = star_graphs.draw_graphs(rng(), 2)
    hidden = star_graphs.hide_path(graphs)
    assert (hidden[:, -ARM:] == HIDDEN).all()
    assert np.array_equal(hidden[:, :-ARM], graphs[:, :-ARM])
    gradients = model.loss_and_gradients(graphs)[1]
    assert np.abs(gradients["embed_tokens"][HIDDEN]).max() > 0
    other = graphs.copy()
    other[:, -2] = graphs[:, -1]  # a path's inner step: a target, never an input
    assert np.array_equal(star_graphs.right_steps(model, graphs)[:, 0], star_graphs.right_steps(model, other)[:, 0])


@pytest.mark.parametrize("training", ["chained", "parallel"])
def test_a_parallel_module_never_reads_the_next_token_and_neither_reads_the_one_that_it_predicts(training):
    model, _ = star_graphs.train_run(StarRun(training, steps=12), Trace())
    embedding, hidden = np.hsplit(model.params["mtp"][0]["eh_proj"], 2)
    assert embedding.any() == (training == "chained")
    assert hidden.any()
    graphs = star_graphs.draw_graphs(rng(), 1)
    before = model.mtp_logits(graphs)[0][0]  # [T - 1, V]: place i is to predict token i + 2
    for at in (7, 3 * EDGES + 2):
        changed = graphs.copy()
        changed[0, at] = HIDDEN
        moved = np.abs(model.mtp_logits(changed)[0][0] - before).max(axis=1) > 1e-9  # [T - 1]
        assert not moved[: at - 1].any()
        assert moved[at - 1] == (training == "chained")  # to which it is the next token
        assert moved[at]


@pytest.mark.parametrize("training", ["chained", "parallel"])
def test_a_module_teaches_the_layers_and_embeddings_of_the_main_model(training):
    graphs = star_graphs.draw_graphs(rng(), 8)
    graphs[:, -2] = HIDDEN  # a token that stands last of what is read and nowhere else
    model = star_graphs.build_model(StarRun(training))
    without, taught = (model.loss_and_gradients(graphs, mtp_weight=weight)[1] for weight in (0.0, 1.0))
    layers = dict(iter_leaves(without["layers"]))
    for name, gradient in iter_leaves(taught["layers"]):
        assert np.abs(gradient - layers[name]).max() > 0.01 * np.abs(layers[name]).max(), name
    moved = np.abs(taught["embed_tokens"] - without["embed_tokens"]).max(axis=1)  # [V]
    assert (moved[:NODES] > 1e-6).all()
    assert (moved[HIDDEN] > 1e-6) == (training == "chained")  # read there as the next token, by the module alone


def test_no_graph_that_training_begins_with_is_measured_on(monkeypatch):
    seen, measured = [], []

    def note_batches(_, batches, recipe):
        for number in range(recipe.steps):
            seen.append(next(batches))
            yield TrainStep(number, Loss(1.0), 0.0)

    def note_measured(_, graphs):
        measured.append(graphs)
        return np.zeros((1, ARM))

    monkeypatch.setattr(star_graphs, "train", note_batches)
    monkeypatch.setattr(star_graphs, "right_steps", note_measured)
    monkeypatch.setattr(star_graphs, "CHECK_EVERY", 10)
    for seed in range(star_graphs.N_SEEDS):
        for training in ("next token", "reversed"):
            star_graphs.train_run(StarRun(training, seed, steps=10), Trace())
    assert (len(seen), len(measured)) == (80, 8)
    trained_on, measured_on = ({row.tobytes() for rows in batches for row in rows} for batches in (seen, measured))
    assert not trained_on & measured_on
    # A batch of another size drawn from the same seed has the same paths, and edges in another order.
    paths = [rows[: star_graphs.BATCH, -ARM - 2 :].tobytes() for rows in (*seen, measured[0], measured[1])]
    assert len(set(paths)) == 82


def test_runs_of_a_seed_begin_with_the_same_main_model():
    one, other = (star_graphs.build_model(StarRun(training, 2)) for training in ("next token", "chained"))
    for name in ("embed_tokens", "lm_head", "layers", "norm"):
        assert np.array_equal(flatten({"": one.params[name]}), flatten({"": other.params[name]}))


def test_a_short_run_checks_held_out_graphs():
    trace = Trace()
    results = star_graphs.measure(StarRun("chained", steps=100), trace)
    (check,) = results["checks"]
    assert (trace.steps_done, len(check)) == (100, 1 + ARM)
    assert results["found"] <= min(check[1:])


def test_an_unknown_way_of_training_is_named():
    with pytest.raises(InputError, match="training = 'backwards': must be one of: next token, chained"):
        star_graphs.build_model(StarRun("backwards"))  # type: ignore[arg-type]
