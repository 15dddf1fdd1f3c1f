"""The one-page forward pass and the transformers library's own class, on the checkpoint that ships with the project."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the library's model is built with it")
transformers = pytest.importorskip("transformers", reason="transformers is not installed; it builds the model")

EXAMPLES = Path(__file__).parents[2] / "examples"
CHECKPOINT = EXAMPLES / "checkpoint"
PROMPTS = ("the fox", "([", "12+34=", "QXKRV:")
sys.path.insert(0, str(EXAMPLES))

import picodeepseek as pico  # noqa: E402


@pytest.fixture(scope="module")
def library():
    """Return the library's model in float32; it must find each tensor in the files and no other."""
    model, report = transformers.DeepseekV3ForCausalLM.from_pretrained(
        CHECKPOINT, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


def encode(text):
    return np.array([ord(character) for character in text])


@pytest.fixture(scope="module")
def texts():
    """Return one text of 120 tokens for each domain, as the page itself continues a prompt."""
    p, c = pico.load(CHECKPOINT)
    return [
        np.concatenate([encode(prompt), list(pico.generate(encode(prompt), p, c, 120 - len(prompt), 1.0))])
        for prompt in PROMPTS
    ]


def test_logits_equal_the_librarys(library, texts):
    p, c = pico.load(CHECKPOINT)
    for tokens in texts:
        with torch.no_grad():
            expected = library(torch.from_numpy(tokens[None])).logits[0].numpy()
        logits = pico.forward(tokens, p, c, [[] for _ in range(c["num_hidden_layers"])])
        assert np.abs(expected).max() > 5
        assert np.abs(logits - expected).max() < 1e-4


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_text_equals_the_librarys(library, prompt):
    p, c = pico.load(CHECKPOINT)
    tokens = torch.from_numpy(encode(prompt)[None])
    expected = library.generate(tokens, max_new_tokens=60, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert list(pico.generate(encode(prompt), p, c, 60)) == expected[0, len(prompt) :].tolist()
