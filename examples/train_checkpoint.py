"""Train the small model that `picodeepseek.py` runs, and save it in the form that DeepSeek-V3 is published in.

    python examples/train_checkpoint.py FOLDER

The model is DeepSeek-V3 in miniature, with every mechanism switched on: compressed queries and keys, one dense layer
before those with experts, experts in groups, biases that balance the experts' load. It learns `repro.nano`'s synthetic
text, one ASCII character per token, so no tokenizer file is needed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

# One thread, set before numpy loads: sums then run in the same order, and a seed gives the same weights again.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

from repro.errors import InputError
from repro.nano import (
    Recipe,
    batches,
    config_from_hf,
    evaluate,
    init_model,
    load_checkpoint,
    save_checkpoint,
    train,
)
from repro.nano.balance import loss_free
from repro.nano.training.toy_data import DOMAINS

CONFIG = {
    "model_type": "deepseek_v3",
    "vocab_size": 128,  # ASCII
    "hidden_size": 96,
    "intermediate_size": 256,
    "moe_intermediate_size": 48,
    "num_hidden_layers": 3,
    "first_k_dense_replace": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 48,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 24,
    "n_routed_experts": 16,
    "n_shared_experts": 1,
    "num_experts_per_tok": 4,
    "n_group": 4,
    "topk_group": 2,
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
}
SEQUENCES, CONTEXT = 12, 128  # of one batch: three sequences from each domain, of 128 tokens and the one after
HELD_OUT_SEED = 1_000_000


def main() -> None:
    """Train, save in BF16, and print the loss of what was saved on text that training never saw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="to be made, with config.json and model.safetensors")
    parser.add_argument("--steps", type=int, default=2500, help="of the optimiser (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and text (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        train_checkpoint(arguments.folder, arguments.steps, arguments.seed)
    except InputError as error:
        sys.exit(f"{parser.prog}: {error}")


def train_checkpoint(folder: str, steps: int, seed: int) -> None:
    """Train on batches of all domains and save the model."""
    if Path(folder).exists():
        raise InputError(f"{folder}: exists already; name a folder that does not")
    model = init_model(config_from_hf(CONFIG), seed=seed, std=0.05)
    recipe = Recipe(steps, peak_lr=4e-3, warmup_steps=min(steps, 50), final_lr_share=0.02, balance=loss_free())
    for step in train(model, batches(SEQUENCES, CONTEXT + 1, seed=seed), recipe):
        if step.number % 100 == 0:
            print(f"step {step.number:5}  loss {step.loss.main:.3f}", flush=True)
    save_checkpoint(model, folder, stored="bfloat16")
    path = Path(folder, "config.json")
    fields = json.loads(path.read_text()) | {"max_position_embeddings": CONTEXT}  # later positions were never trained
    path.write_text(json.dumps(fields, indent=2) + "\n")
    saved = load_checkpoint(folder)
    for domain in DOMAINS:
        held_out = next(batches(64, CONTEXT + 1, seed=HELD_OUT_SEED, domains=(domain,)))
        print(f"{domain:10} held-out loss {evaluate(saved, held_out):.3f} nats per character")


if __name__ == "__main__":
    main()
