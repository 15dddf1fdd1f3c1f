"""The one-page forward pass: equal to repro.nano on the checkpoint that ships, and what that checkpoint has learned."""

import ast
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from repro.nano import batches, evaluate, load_checkpoint
from repro.nano.training.toy_data import DOMAINS, WORDS

EXAMPLES = Path(__file__).parents[1] / "examples"
CHECKPOINT, PAGE = EXAMPLES / "checkpoint", EXAMPLES / "picodeepseek.py"
# Float32 has seven digits, and the sums here run in another order than the package's: logits of up to 25 come out
# 3e-5 apart at most. A rotary base of 10,001 for 10,000 already moves them by 2e-3.
TOLERANCE = 2e-4
GREEDY = "the fox follows the river again.\nthe king follows the river again.\n"

sys.path.insert(0, str(EXAMPLES))
import picodeepseek as pico  # noqa: E402


@pytest.fixture(scope="module")
def page():
    """Return weights and configuration as the page reads them."""
    return pico.load(CHECKPOINT)


@pytest.fixture(scope="module")
def held_out():
    """Return text that training never saw, [8, 97], two sequences of each domain."""
    return next(batches(8, 97, seed=987_654))


def new_caches(c):
    return [[] for _ in range(c["num_hidden_layers"])]


def run(*arguments, script=PAGE, cwd=None):
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110, check=False)


# The page


def test_the_page_needs_numpy_and_the_standard_library_alone():
    imported = set()
    for node in ast.walk(ast.parse(PAGE.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names == {"numpy"}


def test_the_page_is_one_page():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 170


def test_every_line_that_makes_an_array_says_its_shape():
    source = PAGE.read_text(encoding="utf-8")
    lines = source.splitlines()
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            makes_array = isinstance(node, ast.Assign | ast.AugAssign | ast.Return) and re.search(
                r"\b(np|linear|rms_norm|rope|swiglu|moe|softmax|forward|choose_experts)\b\W", ast.unparse(node)
            )
            if makes_array and "rng" not in lines[node.lineno - 1]:  # a generator, and a token drawn: no arrays
                assert re.search(r"# .*\[.+\]", lines[node.end_lineno - 1]), lines[node.lineno - 1]


def test_logits_equal_those_of_the_package(page, held_out):
    p, c = page
    expected = load_checkpoint(CHECKPOINT).forward(held_out)
    assert np.abs(expected).max() > 5
    for tokens, logits in zip(held_out, expected, strict=True):
        on_page = pico.forward(tokens, p, c, new_caches(c))
        assert on_page.dtype == np.float32
        assert np.abs(on_page - logits).max() < TOLERANCE


def test_token_by_token_equals_the_whole_at_once(page, held_out):
    p, c = page
    for tokens in held_out:
        whole = pico.forward(tokens, p, c, new_caches(c))
        for pieces in ([1] * len(tokens), [40, 1, 30, 26]):
            caches = new_caches(c)
            parts = [pico.forward(part, p, c, caches) for part in np.split(tokens, np.cumsum(pieces)[:-1])]
            assert np.abs(np.concatenate(parts) - whole).max() < TOLERANCE


def test_the_cache_holds_a_latent_and_one_rotary_key_per_token(page, held_out):
    p, c = page
    caches = new_caches(c)
    pico.forward(held_out[0], p, c, caches)
    per_token = c["kv_lora_rank"] + c["qk_rope_head_dim"]
    assert [np.concatenate(cache).shape for cache in caches] == [(97, per_token)] * 3
    plain = c["num_attention_heads"] * (c["qk_nope_head_dim"] + c["qk_rope_head_dim"] + c["v_head_dim"])
    assert per_token < plain / 4


def test_the_same_experts_as_the_package_chooses(page, held_out):
    p, c = page
    chosen = []
    original = pico.choose_experts
    pico.choose_experts = lambda *arguments: chosen.append(original(*arguments)) or chosen[-1]
    try:
        pico.forward(held_out[0], p, c, new_caches(c))
    finally:
        pico.choose_experts = original
    routings = load_checkpoint(CHECKPOINT).routings(held_out[:1])
    assert len(routings) == len(chosen) == 2
    for routing, (experts, weights) in zip(routings, chosen, strict=True):
        assert np.array_equal(np.sort(routing.experts), np.sort(experts))
        by_expert = np.take_along_axis(routing.weights, np.argsort(routing.experts), axis=1)
        assert np.abs(np.take_along_axis(weights, np.argsort(experts), axis=1) - by_expert).max() < TOLERANCE


def test_other_configurations_and_weights_in_float32(tmp_path):
    from train_checkpoint import CONFIG, config_from_hf, init_model, save_checkpoint

    fields = CONFIG | {"q_lora_rank": None, "routed_scaling_factor": 1.5, "n_group": 1, "topk_group": 1}
    fields |= {"rms_norm_eps": 1e-2, "first_k_dense_replace": 0, "rope_theta": 500.0}
    model = init_model(config_from_hf(fields), seed=1, std=0.1)
    for layer in model.params["layers"]:
        layer["self_attn"]["kv_a_proj_with_mqa"] *= 0.01  # so that the epsilon of the latents' norm, always 1e-6, shows
    save_checkpoint(model, tmp_path / "plain")
    p, c = pico.load(tmp_path / "plain")
    assert "q_proj" in p["model"]["layers"]["0"]["self_attn"]
    tokens = np.arange(40, 90)
    expected = model.forward(tokens[None])[0]
    assert np.abs(pico.forward(tokens, p, c, new_caches(c)) - expected).max() < TOLERANCE


# The command


def test_greedy_text_starts_as_recorded():
    done = run("the fox", "--tokens", 60, "--temperature", 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(GREEDY)
    assert len(done.stdout) == len("the fox") + 60 + 1
    assert run("the fox", "--tokens", 60, "--temperature", 0, "--seed", 5).stdout == done.stdout


def test_a_seed_gives_the_same_sample_again_and_another_seed_another():
    def texts(seed):
        return run("the fox", "--tokens", 80, "--temperature", 1, "--seed", seed).stdout

    assert texts(1) == texts(1) != texts(2)


def test_a_temperature_flattens_the_distribution_that_tokens_are_drawn_from(page, monkeypatch):
    p, c = page
    drawn_from = []

    class Rng:
        def choice(self, count, p):
            drawn_from.append(p)
            return count - 1

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Rng())
    tokens = np.array([ord(character) for character in "12+34="])
    logits = pico.forward(tokens, p, c, new_caches(c))[-1].astype(float)
    for temperature in (0.5, 1.0, 2.0):
        assert list(pico.generate(tokens, p, c, 1, temperature)) == [127]
        expected = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        assert np.abs(drawn_from[-1] - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["the fox", "--checkpoint", "nowhere"], "nowhere: .*No such file or directory: 'nowhere/config.json'"),
        (["den räv"], r"prompt 'den r\\xe4v': must be one ASCII character or more"),
        ([""], "prompt '': must be one ASCII character or more"),
        (["the fox", "--tokens", "many"], "argument --tokens: invalid int value: 'many'"),
        (["the fox", "--tokens", "122"], "--tokens and the prompt: must add up to at most 128 tokens"),
        (["the fox", "--tokens", "0"], "--tokens must be at least 1"),
        (["the fox", "--seed", "-1"], "--seed at least 0"),
        (["the fox", "--temperature", "nan"], "--temperature from 0 to 2"),
        (["the fox", "--temperature", "-1"], "--temperature from 0 to 2"),
        (["the", "fox"], "unrecognized arguments: fox"),
    ],
)
def test_a_mistake_gives_one_line(arguments, message, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"picodeepseek: .*{message}.*\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_scaling": {"type": "yarn"}}, r"rope_scaling = \{'type': 'yarn'\}: must be None on this page"),
        ({"model_type": "llama"}, "model_type = 'llama': must be 'deepseek_v3' on this page"),
        (None, "Expecting value"),
    ],
)
def test_a_checkpoint_that_the_page_does_not_read(change, message, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(CHECKPOINT, folder)
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text("" if change is None else json.dumps(fields | change))
    done = run("--checkpoint", folder)
    assert done.returncode == 1
    assert re.fullmatch(f"picodeepseek: .*: {message}.*\n", done.stderr), done.stderr


def test_a_file_of_weights_that_was_cut_off(tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(CHECKPOINT, folder)
    weights = folder / "model.safetensors"
    for size in (0, 100, weights.stat().st_size - 1):
        weights.write_bytes((CHECKPOINT / "model.safetensors").read_bytes()[:size])
        done = run("--checkpoint", folder)
        assert done.returncode == 1
        assert re.fullmatch(r"picodeepseek: .*\n", done.stderr), done.stderr


# The checkpoint


def test_the_checkpoint_is_small():
    sizes = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    assert set(sizes) == {"config.json", "model.safetensors"}
    assert sum(sizes.values()) <= 2_000_000


def test_the_checkpoint_uses_every_mechanism():
    p, c = pico.load(CHECKPOINT)
    assert c["architectures"] == ["DeepseekV3ForCausalLM"]
    assert c["q_lora_rank"]
    assert 1 < c["topk_group"] < c["n_group"]
    assert 0 < c["first_k_dense_replace"] < c["num_hidden_layers"]
    for number in range(c["first_k_dense_replace"], c["num_hidden_layers"]):
        bias = p["model"]["layers"][str(number)]["mlp"]["gate"]["e_score_correction_bias"]
        assert np.ptp(bias) > 0.01


@pytest.mark.parametrize("domain", DOMAINS)
def test_held_out_loss_is_far_below_what_counting_characters_gives(domain):
    seen, text = (next(batches(64, 97, seed=seed, domains=(domain,))) for seed in (987_655, 987_656))
    share = Counter(seen.ravel().tolist())
    unigram = -np.mean([np.log(share.get(token, 1) / seen.size) for token in text[:, 1:].ravel().tolist()])
    loss = evaluate(load_checkpoint(CHECKPOINT), text)
    assert unigram < np.log(128) - 1
    assert loss < 0.75 * unigram


def continued(page, prompt, count, seed=0, temperature=1.0):
    p, c = page
    tokens = np.array([ord(character) for character in prompt])
    return prompt + "".join(map(chr, pico.generate(tokens, p, c, count, temperature, seed)))


def complete_lines(text):
    return text.split("\n")[:-1]


def test_it_writes_sentences_of_the_corpus(page):
    sentence = re.compile(" ".join(f"({'|'.join(words)})" for words in WORDS.values()) + r"\.")
    lines = [line for seed in range(4) for line in complete_lines(continued(page, "the fox", 120, seed))]
    assert len(lines) >= 12
    assert sum(bool(sentence.fullmatch(line)) for line in lines) >= 0.9 * len(lines)


def closes_right(line):
    waiting = []
    for character in line:
        if character in "([{":
            waiting.append(")]}"["([{".index(character)])
        elif not waiting or waiting.pop() != character:
            return False
    return not waiting


def test_it_closes_brackets_in_the_right_order(page):
    lines = [line for seed in range(4) for line in complete_lines(continued(page, "([", 100, seed))]
    assert len(lines) >= 12
    assert sum(map(closes_right, lines)) >= 0.8 * len(lines)


def test_it_adds_and_copies(page):
    rng = np.random.default_rng(31)
    sums = [(int(a), int(b)) for a, b in rng.integers(10, 100, (20, 2))]
    right = [continued(page, f"{a}+{b}=", 4, temperature=0).startswith(f"{a}+{b}={a + b}\n") for a, b in sums]
    assert sum(right) >= 18
    words = ["".join(map(chr, rng.integers(ord("A"), ord("Z") + 1, 6))) for _ in range(20)]
    right = [continued(page, f"{word}:", 7, temperature=0) == f"{word}:{word}\n" for word in words]
    assert sum(right) >= 16


# The command that made it


def test_the_train_command_makes_a_checkpoint_that_loads_and_the_same_one_again(tmp_path):
    script = EXAMPLES / "train_checkpoint.py"
    for name in ("first", "second"):
        done = run(name, "--steps", 2, "--seed", 3, script=script, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(re.findall(r"(?m)^\w+ +held-out loss \d\.\d{3} ", done.stdout)) == len(DOMAINS)
    first, second = (tmp_path / name / "model.safetensors" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert json.loads((tmp_path / "first" / "config.json").read_text()) == json.loads(
        (CHECKPOINT / "config.json").read_text()
    )
    p, c = pico.load(tmp_path / "first")
    assert pico.forward(np.array([65]), p, c, new_caches(c)).shape == (1, 128)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "--steps", "0"], "steps = 0: must be a whole number of at least 1"),
        (["new", "--seed", "-1"], "seed = -1"),
        (["."], ".: exists already"),
    ],
)
def test_a_mistake_to_the_train_command_gives_one_line(arguments, message, tmp_path):
    done = run(*arguments, script=EXAMPLES / "train_checkpoint.py", cwd=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(rf"train_checkpoint\.py: {re.escape(message)}.*\n", done.stderr), done.stderr
