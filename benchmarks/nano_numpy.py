"""One measurement of the numpy model, as nano.py asks for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from timing import report, request

from repro.models.architecture import GroupedQueryAttention, MixtureOfExperts, MultiHeadLatentAttention
from repro.nano.attention import gqa, gqa_cache
from repro.nano.gate import Gate
from repro.nano.mla import mla, mla_cache
from repro.nano.model import init_model
from repro.nano.moe import moe, moe_backward
from repro.nano.numerics.accumulation import Accumulation, matmul_limited_accumulation
from repro.nano.numerics.recipes import PrecisionRecipe, v3_recipe
from repro.nano.numerics.scaling import WHOLE_TENSOR, quantize
from repro.nano.ops import mlp
from repro.nano.presets import small_config
from repro.nano.rope import Rope, cos_sin_tables
from repro.nano.training.mixed_precision import cast_model
from repro.nano.training.optimizer import AdamW, Recipe, clip_grad_norm
from repro.nano.training.toy_data import batches

D_MODEL, D_EXPERT, TOP_K = 512, 256, 6
V2_LITE = {"n_heads": 16, "d_model": 2048}
LATENT = MultiHeadLatentAttention(
    16, q_lora_rank=None, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128
)
PLAIN = {"MHA": GroupedQueryAttention(16, 16, 128), "GQA": GroupedQueryAttention(16, 4, 128)}


def normal(*shape: int) -> np.ndarray:
    """Return small random weights."""
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32) * np.float32(0.03)


def experts(tokens: int, experts: int, workers: int, *, backward: bool) -> tuple[Callable, dict]:
    """Return the MoE layer's work, and its FLOP."""
    shape, gate = MixtureOfExperts(experts, 0, TOP_K, D_EXPERT), Gate()
    p = {
        "gate": {"weight": normal(experts, D_MODEL)},
        "experts": {
            "gate_up_proj": normal(experts, 2 * D_EXPERT, D_MODEL),
            "down_proj": normal(experts, D_MODEL, D_EXPERT),
        },
    }
    x, d_y = normal(tokens, D_MODEL) / np.float32(0.03), normal(tokens, D_MODEL)
    flop = 2 * tokens * (TOP_K * 3 * D_MODEL * D_EXPERT + experts * D_MODEL)

    def forward() -> None:
        moe(x, p, shape, gate, workers=workers, save=False)

    def both() -> None:
        _, saved = moe(x, p, shape, gate, workers=workers)
        moe_backward(d_y, p, gate, saved, workers=workers)

    return (both, {"flop": 3 * flop}) if backward else (forward, {"flop": flop})


def dense(tokens: int, d_ff: int, workers: int) -> tuple[Callable, dict]:
    """Return one dense feed-forward's work, and its FLOP; threads share rows in blocks of an expert's size."""
    p = {"gate_up_proj": normal(2 * d_ff, D_MODEL), "down_proj": normal(D_MODEL, d_ff)}
    x, pool = normal(tokens, D_MODEL) / np.float32(0.03), ThreadPoolExecutor(workers)
    blocks = np.array_split(x, -(-tokens // 384))

    def work() -> None:
        np.concatenate(list(pool.map(lambda rows: mlp(rows, p)[0], blocks)))

    return work, {"flop": 2 * tokens * 3 * D_MODEL * d_ff}


def decode(kind: str, context: int, batch: int) -> tuple[Callable, dict]:
    """Return one decoded token of one layer, and the bytes of cache and weights that it reads."""
    d, x = V2_LITE["d_model"], normal(batch, 1, V2_LITE["d_model"]) / np.float32(0.03)
    if kind in PLAIN:
        a = PLAIN[kind]
        p = {"q_proj": normal(2048, d), "o_proj": normal(d, 2048)}
        p |= {name: normal(a.n_kv_heads * a.head_dim, d) for name in ("k_proj", "v_proj")}
        cache = gqa_cache(a, batch, context + 1, np.float32)
    else:
        p = {
            "q_proj": normal(16 * 192, d),
            "kv_a_proj_with_mqa": normal(576, d),
            "kv_a_layernorm": np.ones(512, np.float32),
        }
        p |= {"kv_b_proj": normal(16 * 256, 512), "o_proj": normal(d, 2048)}
        cache = mla_cache(LATENT, batch, context + 1, np.float32)
    for one in cache.arrays.values():
        one[...] = normal(*one.shape)

    rope = Rope()

    def work() -> None:
        cache.length = context
        if kind in PLAIN:
            gqa(x, p, PLAIN[kind], rope, cos_sin_tables(rope, 128, context, 1, np.float32), cache)
        else:
            cos_sin = cos_sin_tables(rope, LATENT.qk_rope_head_dim, context, 1, np.float32)
            mla(x, p, LATENT, rope, cos_sin, cache, absorbed=kind.endswith("absorbed"))

    weights = sum(one.nbytes for one in p.values())
    return work, {"bytes": weights + batch * (context + 1) * cache.bytes_per_token}


def memory_read(workers: int) -> tuple[Callable, dict]:
    """Return the reading of 400 MB by as many threads as there are cores, each its own part."""
    a, pool = normal(100_000_000), ThreadPoolExecutor(workers)
    parts = np.array_split(a, workers)
    return lambda: list(pool.map(np.sum, parts)), {"bytes": a.nbytes}


def training(precision: PrecisionRecipe | None) -> tuple[Callable, dict]:
    """Return one training step of the small model on 8 sequences of 64 tokens, in a precision or in FP32."""
    model, recipe = init_model(small_config(), seed=1), Recipe(steps=1000, precision=precision)
    optimizer, batch = AdamW(recipe), next(batches(8, 65, seed=2))

    def step() -> None:
        _, gradients = (cast_model(model, precision) if precision else model).loss_and_gradients(batch)
        clip_grad_norm(gradients, recipe.clip_norm)
        optimizer.step(model.params, gradients)

    return step, {}


def eight_bits(name: str) -> tuple[Callable, dict]:
    """Return the casting of activations to E4M3 with a scale for each 128, or a product with sums of 14 bits."""
    if name.startswith("quantise"):
        x = normal(2048, 4096)
        return lambda: quantize(x), {"bytes": x.nbytes}
    a, b = (quantize(normal(256, 4096), tile=WHOLE_TENSOR).grid for _ in range(2))
    return lambda: matmul_limited_accumulation(a, b, Accumulation()), {"flop": 2 * 256 * 4096 * 256}


def main() -> None:
    """Build what is asked for, and report it."""
    asked = request()
    name = asked["name"]
    if name == "matrix product 2048":
        a = normal(2048, 2048)
        work, counts = lambda: a @ a, {"flop": 2 * 2048**3}
    elif name == "memory read":
        work, counts = memory_read(asked["workers"])
    elif name.startswith("experts"):
        work, counts = experts(asked["tokens"], asked["experts"], asked["workers"], backward="backward" in name)
    elif name.startswith("dense"):
        work, counts = dense(asked["tokens"], asked["d_ff"], asked["workers"])
    elif name.startswith("decode"):
        work, counts = decode(name.removeprefix("decode "), asked["context"], asked["batch"])
    elif name.startswith("training"):
        work, counts = training(v3_recipe(16) if "FP8" in name else None)
    else:
        work, counts = eight_bits(name)
    report(work, **counts)


if __name__ == "__main__":
    main()
