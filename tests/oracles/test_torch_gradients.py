"""Gradients and training of the numpy model beside PyTorch's automatic differentiation of transformers' classes."""

import numpy as np
import pytest

from repro.nano import config_from_hf, load_checkpoint, save_checkpoint
from repro.nano.checkpoint.hf_names import places
from repro.nano.model import init_model
from repro.nano.param_shapes import iter_leaves
from repro.nano.training.optimizer import AdamW, Recipe, clip_grad_norm

torch = pytest.importorskip("torch", reason="torch is not installed; gradients are compared with its own")
transformers = pytest.importorskip("transformers", reason="transformers is not installed; it builds the models")

from test_transformers_logits import CASES, V3, load_theirs, reference, tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
COMPARED = [name for name in CASES if name != "V3, no shared expert"]


def published(config, tree):
    """Return a tree of parameters or gradients by the published names, experts stacked as torch has them."""
    found = {}
    for place in places(config, tree):
        name, value = place.names[0][0], place.holder[place.key]
        if place.stacked:
            found[name.split(".experts.")[0] + f".experts.{place.key}"] = value
        else:
            found |= dict(zip(place.names[0], np.split(value, len(place.names[0])), strict=True))
    return found


def loss_of(model, given):
    """Return the library's loss, each token predicted from those before it."""
    given = torch.from_numpy(given)
    logits = model(given[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), given[:, 1:].flatten())


@pytest.mark.parametrize("name", COMPARED)
def test_gradients_equal_those_of_automatic_differentiation(name, tmp_path):
    model = reference(*CASES[name])
    model.save_pretrained(tmp_path)
    given = tokens(length=17)
    loss = loss_of(model, given)
    loss.backward()
    own = load_checkpoint(tmp_path)
    own_loss, gradients = own.loss_and_gradients(given)
    assert own_loss.total == pytest.approx(loss.item(), rel=1e-5)
    found = published(own.config, gradients)
    expected = {key: one.grad.numpy() for key, one in model.named_parameters() if one.numel()}
    assert set(found) == set(expected)
    for key, one in expected.items():
        assert np.linalg.norm(found[key] - one) <= 1e-4 * np.linalg.norm(one), key


@pytest.mark.parametrize("depths", [1, 2])
def test_gradients_of_the_modules_losses(depths, tmp_path):
    from transformers.modeling_layers import MtpModel

    own = init_model(
        config_from_hf(V3 | {"model_type": "deepseek_v3", "num_nextn_predict_layers": depths}), seed=3, std=0.15
    )
    save_checkpoint(own, tmp_path / "saved")
    main = transformers.DeepseekV3ForCausalLM.from_pretrained(tmp_path / "saved")
    main._keys_to_ignore_on_load_unexpected = [r"model\.layers\.[34].*"]
    modules, given = MtpModel.from_pretrained(main), tokens(length=17)
    inputs = torch.from_numpy(given[:, :-1])
    hidden = main.model(inputs).last_hidden_state
    losses = []
    for depth in range(depths + 1):
        if depth:
            places_ = torch.arange(depth, inputs.shape[1])[None]
            hidden = modules.forward_layer(depth - 1, hidden[:, :-1], places_, None, input_ids=inputs[:, depth:])
        logits, targets = main.lm_head(hidden), torch.from_numpy(given[:, depth + 1 :])
        summed = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        losses.append(summed / inputs.numel())
    (losses[0] + 0.3 * sum(losses[1:]) / depths).backward()
    own_loss, gradients = own.loss_and_gradients(given, mtp_weight=0.3)
    assert [own_loss.main, *own_loss.mtp] == pytest.approx([one.item() for one in losses], rel=1e-5)
    found = published(own.config, gradients)
    for name, module in (("model.embed_tokens", main.model.embed_tokens), ("lm_head", main.lm_head)):
        expected = module.weight.grad.numpy()
        assert np.linalg.norm(found[f"{name}.weight"] - expected) <= 1e-4 * np.linalg.norm(expected)
    for depth in range(depths):
        prefix, layer = f"model.layers.{3 + depth}.", modules.layers[depth]
        inner = {f"mtp_block.{key}": one for key, one in layer.mtp_block.named_parameters()}
        outer = {key: one for key, one in layer.named_parameters() if not key.startswith("mtp_block")}
        for key, one in {**inner, **outer}.items():
            known = prefix + key.removeprefix("mtp_block.").replace("post_norm", "shared_head.norm")
            expected = one.grad.numpy()
            assert np.linalg.norm(found[known] - expected) <= 1e-4 * np.linalg.norm(expected), key


def test_the_optimiser_takes_the_steps_of_pytorchs():
    rng = np.random.default_rng(0)
    recipe = Recipe(steps=20, peak_lr=0.02, warmup_steps=3, clip_norm=0.5)
    own = {"matrix": rng.standard_normal((4, 3)), "gain": rng.standard_normal(5)}
    theirs = {name: torch.tensor(one, requires_grad=True) for name, one in own.items()}
    groups = [{"params": [theirs["matrix"]], "weight_decay": 0.1}, {"params": [theirs["gain"]], "weight_decay": 0.0}]
    optimizer, ours = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8), AdamW(recipe)
    for step in range(recipe.steps):
        gradients = {name: rng.standard_normal(one.shape) for name, one in own.items()}
        for name, one in theirs.items():
            one.grad = torch.tensor(gradients[name])
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(step)
        norm = torch.nn.utils.clip_grad_norm_(theirs.values(), recipe.clip_norm)
        optimizer.step()
        assert clip_grad_norm(gradients, recipe.clip_norm) == pytest.approx(norm.item())
        ours.step(own, gradients)
    for name, one in iter_leaves(own):
        assert np.allclose(one, theirs[name].detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", ["V2", "V3"])
def test_ten_steps_of_training_lower_the_loss_alike(name, tmp_path):
    model = reference(*CASES[name])
    model.save_pretrained(tmp_path)
    own, recipe = load_checkpoint(tmp_path), Recipe(steps=10, peak_lr=1e-3, warmup_steps=2)
    matrices = [one for one in model.parameters() if one.ndim > 1]
    gains = [one for one in model.parameters() if one.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimizer, ours = torch.optim.AdamW(groups, betas=(0.9, 0.95)), AdamW(recipe)
    for step in range(recipe.steps):
        given = tokens(length=17, seed=step)
        optimizer.zero_grad()
        loss = loss_of(model, given)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate(step)
        optimizer.step()
        own_loss, gradients = own.loss_and_gradients(given)
        clip_grad_norm(gradients, recipe.clip_norm)
        ours.step(own.params, gradients)
        assert own_loss.total == pytest.approx(loss.item(), rel=1e-3)
    save_checkpoint(own, tmp_path / "after")
    assert loss_of(load_theirs(name, tmp_path / "after"), given).item() < loss.item()
