"""DeepSeek-V3's forward pass on one page of numpy.

Try it: python examples/picodeepseek.py "the fox" --tokens 80

As in every transformer, a layer adds to each token's vector what attention and then a feed-forward make of it. In V3:
- Multi-head latent attention (MLA) caches two things per token: a short latent vector, from which keys and values of
  all heads are expanded, and one rotary key that all heads share. Other models cache keys and values of every head.
- The feed-forward is a mixture of experts (MoE): a token passes a shared expert, and a few more that a gate picks.

Names are those of the published config.json (c) and weights (p). Shapes: T new tokens, S cached and new, D hidden_size,
H heads, R kv_lora_rank, nope, rope and v their head_dim, E routed experts in G groups, K chosen, V vocab_size.
"""

# ruff: noqa: D103 -- the name of a two-line function says what it does
import argparse
import json
import sys
from pathlib import Path

import numpy as np

# What this page has one form of: a configuration that asks for another is refused.
FIXED = {"model_type": "deepseek_v3", "norm_topk_prob": True, "rope_interleave": True, "attention_bias": False}
FIXED |= {"tie_word_embeddings": False, "rope_scaling": None, "rope_parameters": None, "quantization_config": None}


def linear(x, p):
    return x @ p["weight"].T  # [..., inputs] -> [..., outputs]


def rms_norm(x, p, eps=1e-6):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * p["weight"]  # [..., D] -> [..., D]


def softmax(x):
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))  # [..., S], at most 1
    return exponentials / exponentials.sum(axis=-1, keepdims=True)  # [..., S], each row adds up to 1


def rope(x, positions, theta):
    """Rotate x [..., T, d] by position: neighbours (0, 1), (2, 3) ... are complex numbers; the first turns fastest."""
    angles = np.outer(positions, theta ** -(np.arange(0, x.shape[-1], 2) / x.shape[-1]))  # [T, d / 2]
    pairs = np.ascontiguousarray(x).view(np.complex64)  # [..., T, d] -> [..., T, d / 2]
    return (pairs * np.exp(1j * angles).astype(np.complex64)).view(np.float32)  # [..., T, d / 2] -> [..., T, d]


def mla(x, p, c, cache):
    """Let new tokens x [T, D] attend to themselves and to those before them, which `cache` holds."""
    n_heads, rank, nope = c["num_attention_heads"], c["kv_lora_rank"], c["qk_nope_head_dim"]
    positions = sum(map(len, cache)) + np.arange(len(x))  # [T]

    # Queries: from a compressed vector, or from x itself where q_lora_rank is null. Only their last part rotates.
    q = rms_norm(linear(x, p["q_a_proj"]), p["q_a_layernorm"]) if c["q_lora_rank"] else x  # [T, q_lora_rank or D]
    q = linear(q, p["q_b_proj" if c["q_lora_rank"] else "q_proj"])  # [T, H * (nope + rope)]
    q = q.reshape(len(x), n_heads, -1).swapaxes(0, 1)  # [T, H * (nope + rope)] -> [H, T, nope + rope]
    q_nope, q_rope = q[..., :nope], rope(q[..., nope:], positions, c["rope_theta"])  # [H, T, nope], [H, T, rope]

    # The cache: for each token R + rope numbers, however many heads there are.
    latent, k_rope = np.split(linear(x, p["kv_a_proj_with_mqa"]), [rank], axis=-1)  # [T, R], [T, rope]
    k_rope = rope(k_rope, positions, c["rope_theta"])  # [T, rope]
    cache.append(np.concatenate([rms_norm(latent, p["kv_a_layernorm"]), k_rope], axis=-1))  # [T, R + rope]
    latent, k_rope = np.split(np.concatenate(cache), [rank], axis=-1)  # [S, R], [S, rope]

    # Keys and values of each head are expanded from the latents; a server applies kv_b_proj to q_nope and out instead.
    kv = linear(latent, p["kv_b_proj"]).reshape(len(latent), n_heads, -1).swapaxes(0, 1)  # [S, R] -> [H, S, nope + v]
    k_nope, v = np.split(kv, [nope], axis=-1)  # [H, S, nope], [H, S, v]
    scores = (q_nope @ k_nope.swapaxes(1, 2) + q_rope @ k_rope.T) * q.shape[-1] ** -0.5  # [H, T, S], one k_rope for all
    scores[:, np.arange(len(latent)) > positions[:, None]] = -np.inf  # [H, T, S], no token sees a later one
    out = softmax(scores) @ v  # [H, T, S] @ [H, S, v] -> [H, T, v]
    return linear(out.swapaxes(0, 1).reshape(len(x), -1), p["o_proj"])  # [H, T, v] -> [T, H * v] -> [T, D]


def swiglu(x, p):
    """Apply a dense feed-forward, or one expert."""
    gate, up = linear(x, p["gate_proj"]), linear(x, p["up_proj"])  # [T, D] -> [T, width], twice
    return linear(gate / (1 + np.exp(-gate)) * up, p["down_proj"])  # silu(gate) * up: [T, width] -> [T, D]


def choose_experts(x, p, c):
    """Return the K experts that each token passes, and their weights."""
    scores = 1 / (1 + np.exp(-linear(x, p)))  # [T, D] -> [T, E], a sigmoid
    # The correction bias evens out the experts' load: it decides who is chosen, but is no part of the weights.
    biased = (scores + p["e_score_correction_bias"]).reshape(len(x), c["n_group"], -1)  # [T, G, E / G]
    # A group's experts share a node, and a token may reach few nodes: those with the best sums of two scores.
    group_rank = np.argsort(np.argsort(-np.sort(biased)[..., -2:].sum(axis=-1)))  # [T, G], from 0 for the best group
    biased[group_rank >= c["topk_group"]] = -np.inf  # [T, G, E / G]
    experts = np.argsort(-biased.reshape(scores.shape))[:, : c["num_experts_per_tok"]]  # [T, E] -> [T, K]
    weights = np.take_along_axis(scores, experts, axis=-1)  # [T, K]
    return experts, weights / weights.sum(axis=-1, keepdims=True) * c["routed_scaling_factor"]  # [T, K], [T, K]


def moe(x, p, c):
    """Add up the shared expert and the chosen ones, these weighted."""
    experts, weights = choose_experts(x, p["gate"], c)  # [T, K], [T, K]
    y = swiglu(x, p["shared_experts"])  # [T, D]
    for expert in np.unique(experts):
        token, choice = np.nonzero(experts == expert)  # [n], [n], for the n tokens that chose this expert
        y[token] += weights[token, choice, None] * swiglu(x[token], p["experts"][str(expert)])  # [n, D]
    return y  # [T, D]


def forward(tokens, p, c, caches):
    """Return the logits of the token after each of `tokens` [T]; `caches` has a list per layer, empty at first."""
    x, eps = p["model"]["embed_tokens"]["weight"][tokens], c["rms_norm_eps"]  # [T] -> [T, D]
    for number, cache in enumerate(caches):
        layer = p["model"]["layers"][str(number)]
        x = x + mla(rms_norm(x, layer["input_layernorm"], eps), layer["self_attn"], c, cache)  # [T, D]
        normed = rms_norm(x, layer["post_attention_layernorm"], eps)  # [T, D]
        is_dense = number < c["first_k_dense_replace"]
        x = x + (swiglu(normed, layer["mlp"]) if is_dense else moe(normed, layer["mlp"], c))  # [T, D]
    return linear(rms_norm(x, p["model"]["norm"], eps), p["lm_head"])  # [T, D] -> [T, V]


def generate(tokens, p, c, count, temperature=0.0, seed=0):
    """Yield `count` tokens: the likeliest, or drawn at a temperature. Thanks to the cache each is computed once."""
    rng, caches = np.random.default_rng(seed), [[] for _ in range(c["num_hidden_layers"])]
    for _ in range(count):
        logits = forward(tokens, p, c, caches)[-1]  # [T] -> [T, V] -> [V]
        token = rng.choice(len(logits), p=softmax(logits / temperature)) if temperature else logits.argmax()
        yield token
        tokens = np.array([token])  # [1]


def load(folder):
    """Return the weights, nested as their names are (p["model"]["layers"]["0"]["mlp"] ...), and the configuration."""
    p, c = {}, json.loads(Path(folder, "config.json").read_text())
    for name, value in FIXED.items():
        if c.get(name, value) != value:
            raise ValueError(f"{name} = {c[name]!r}: must be {value!r} on this page")
    data = Path(folder, "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")  # first comes the header's length, then the header, then numbers
    for name, tensor in json.loads(data[8:start]).items():
        if name != "__metadata__":
            raw = data[start:][slice(*tensor["data_offsets"])]
            bits = np.frombuffer(raw, {"BF16": "<u2", "F32": "<u4"}[tensor["dtype"]]).astype("u4")  # [size]
            bits = bits << 16 if tensor["dtype"] == "BF16" else bits  # [size], BF16 is the upper half of a float32
            *path, last = name.split(".")
            module = p
            for part in path:
                module = module.setdefault(part, {})
            module[last] = bits.view("f4").reshape(tensor["shape"])
    return p, c


def main():
    """Continue the prompt of the command line, a token for each ASCII character."""
    parser = argparse.ArgumentParser(description="Continue a text with a small DeepSeek-V3.")
    parser.error = lambda message: sys.exit(f"picodeepseek: {message}")
    parser.add_argument("prompt", nargs="?", default="the fox")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=0.8, help="0 for the likeliest token each time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default=Path(__file__).parent / "checkpoint")
    args = parser.parse_args()
    if args.tokens < 1 or args.seed < 0 or not 0 <= args.temperature <= 2:
        parser.error("--tokens must be at least 1, --seed at least 0, --temperature from 0 to 2")
    try:
        p, c = load(args.checkpoint)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{args.checkpoint}: {error}")
    tokens = np.array([ord(character) for character in args.prompt])  # [T]
    if not 0 < len(tokens) == sum(tokens < c["vocab_size"]):
        parser.error(f"prompt {args.prompt!a}: must be one ASCII character or more")
    if len(tokens) + args.tokens > c["max_position_embeddings"]:
        parser.error(f"--tokens and the prompt: must add up to at most {c['max_position_embeddings']} tokens")
    print(args.prompt, *map(chr, generate(tokens, p, c, args.tokens, args.temperature, args.seed)), sep="")


if __name__ == "__main__":
    main()
