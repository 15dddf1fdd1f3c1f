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
    apply_rotary_pos_emb_interleave,
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


def attention_layer(context: int) -> tuple[DeepseekV3Config, DeepseekV3Attention, Callable]:
    """Return V2-Lite's attention, its configuration, and the turn of an input at the context's end."""
    config = DeepseekV3Config(**V2_LITE, max_position_embeddings=2 * context)
    config._attn_implementation = "eager"
    rotary = DeepseekV3RotaryEmbedding(config)
    return config, DeepseekV3Attention(config, 0), lambda x: rotary(x, torch.tensor([[context]]))


def decode(context: int, batch: int) -> Callable:
    """Return one decoded token of one layer with the library's cache of latents, which it expands."""
    config, layer, rotary = attention_layer(context)
    latents, keys, x = (
        torch.randn(batch, 1, context, 512),
        torch.randn(batch, 1, context, 64),
        torch.randn(batch, 1, 2048),
    )
    turn = rotary(x)

    def work() -> None:
        with torch.no_grad():
            cache = DynamicCache(config=config)
            cache.update(latents, keys, 0)
            layer(x, turn, None, cache)

    return work


def decode_absorbed(context: int, batch: int) -> Callable:
    """Return the same token with the up-projections absorbed, which the library does not do: by hand, its weights."""
    _, layer, rotary = attention_layer(context)
    cached, x = torch.randn(batch, context + 1, 576), torch.randn(batch, 1, 2048)
    w_k, w_v = layer.kv_b_proj.weight.detach().view(16, 256, 512).split(128, dim=1)  # [heads, 128, rank] each
    turn = rotary(x)

    def work() -> None:
        with torch.no_grad():
            q_nope, q_rope = layer.q_proj(x).view(batch, 1, 16, 192).transpose(1, 2).split([128, 64], dim=-1)
            latent, key = layer.kv_a_proj_with_mqa(x).split([512, 64], dim=-1)
            q_rope, key = apply_rotary_pos_emb_interleave(q_rope, key[:, None], *turn)
            cached[:, -1:] = torch.cat([layer.kv_a_layernorm(latent), key[:, 0]], dim=-1)
            q = torch.cat([q_nope @ w_k, q_rope], dim=-1)[:, :, 0]  # [B, heads, rank + 64]
            weights = (q @ cached.transpose(1, 2) * layer.scaling).softmax(dim=-1)
            o = (weights @ cached[..., :512])[:, :, None] @ w_v.transpose(1, 2)  # [B, heads, 1, 128]
            layer.o_proj(o.reshape(batch, 1, 2048))

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


def quantize() -> Callable:
    """Return the casting of 2,048 tokens of 4,096 channels to E4M3 with a scale for each 128."""
    tiles, largest = torch.randn(2048, 32, 128), torch.finfo(torch.float8_e4m3fn).max

    def work() -> None:
        scales = tiles.abs().amax(dim=-1, keepdim=True) / largest
        (tiles / scales).clamp(-largest, largest).to(torch.float8_e4m3fn)

    return work


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
        work = decode_absorbed if asked["side"] == "torch absorbed" else decode
        report(work(asked["context"], asked["batch"]))
    elif name.startswith("quantise"):
        report(quantize())
    else:
        report(training(asked["side"]))


if __name__ == "__main__":
    main()
