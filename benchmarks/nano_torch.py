"""The same measurements of transformers' own classes in PyTorch on the CPU, as nano.py asks for them."""

import warnings
from collections.abc import Callable

import torch
from timing import report, request
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.cache_utils import DynamicCache
from transformers.models.deepseek_v3.modeling_deepseek_v3 import (
    DeepseekV3Attention,
    DeepseekV3MoE,
    DeepseekV3RotaryEmbedding,
)

IMPLEMENTATION = {"torch eager": "eager", "torch grouped": "grouped_mm"}
ONE_GROUP = {"n_group": 1, "topk_group": 1}
V2_LITE = {
    "hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 16, "q_lora_rank": None,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "num_hidden_layers": 1,
}  # fmt: skip
SMALL = ONE_GROUP | {
    "vocab_size": 256, "hidden_size": 64, "intermediate_size": 160, "moe_intermediate_size": 32,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": None,
    "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 16,
    "num_experts_per_tok": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, "max_position_embeddings": 512,
    "routed_scaling_factor": 1.0,
}  # fmt: skip


def experts(asked: dict, *, backward: bool) -> Callable:
    """Return the MoE layer's work, without shared experts."""
    sizes = {"hidden_size": 512, "moe_intermediate_size": 256, "num_experts_per_tok": 6, "n_shared_experts": 0}
    config = DeepseekV3Config(n_routed_experts=asked["experts"], **sizes, **ONE_GROUP)
    config._experts_implementation = IMPLEMENTATION[asked["side"]]
    layer = DeepseekV3MoE(config)
    for one in layer.parameters():
        torch.nn.init.normal_(one, std=0.03)
    x, d_y = torch.randn(1, asked["tokens"], 512), torch.randn(1, asked["tokens"], 512)

    def forward() -> None:
        with torch.no_grad():
            layer(x)

    def both() -> None:
        layer.zero_grad()
        layer(x.clone().requires_grad_()).backward(d_y)

    return both if backward else forward


def decode(context: int, batch: int) -> Callable:
    """Return one decoded token of one layer with the library's cache of latents, which it expands."""
    config = DeepseekV3Config(**V2_LITE, max_position_embeddings=2 * context)
    config._attn_implementation = "eager"
    layer, rotary = DeepseekV3Attention(config, 0), DeepseekV3RotaryEmbedding(config)
    latents, keys, x = (
        torch.randn(batch, 1, context, 512),
        torch.randn(batch, 1, context, 64),
        torch.randn(batch, 1, 2048),
    )
    turn = rotary(x, torch.tensor([[context]]))

    def work() -> None:
        with torch.no_grad():
            cache = DynamicCache(config=config)
            cache.update(latents, keys, 0)
            layer(x, turn, None, cache)

    return work


def training(side: str) -> Callable:
    """Return one training step of the small model on 8 sequences of 64 tokens."""
    config = DeepseekV3Config(**SMALL)
    config._experts_implementation, config._attn_implementation = IMPLEMENTATION[side], "eager"
    model = DeepseekV3ForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    tokens = torch.randint(0, 256, (8, 65))

    def step() -> None:
        optimizer.zero_grad()
        logits = model(tokens[:, :-1]).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def main() -> None:
    """Build what is asked for, and report it."""
    warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
    torch.manual_seed(0)
    asked = request()
    name = asked["name"]
    if name == "matrix product 2048":
        a = torch.randn(2048, 2048)
        report(lambda: a @ a, flop=2 * 2048**3)
    elif name.startswith("experts"):
        report(experts(asked, backward="backward" in name))
    elif name.startswith("decode"):
        report(decode(asked["context"], asked["batch"]))
    else:
        report(training(asked["side"]))


if __name__ == "__main__":
    main()
