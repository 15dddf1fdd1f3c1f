"""Models from and to the published form: a folder of config.json and safetensors files, by the published names."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from repro.calc.config import Fields, read_config
from repro.errors import InputError
from repro.nano.config import Config, published, read
from repro.nano.layout import layout
from repro.nano.model import Model
from repro.nano.packed import Packed, row_scales
from repro.nano.tensors import DTYPES, INDEX, SINGLE, Array, Entry, read_entries, write

SCALES = "_scale_inv"
STORED = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
# Published names of each part of a layer; {e} is an expert, and a pair is laid in one array, one after the other.
ATTENTION = {
    "query": "q_proj.weight",
    "query_down": "q_a_proj.weight",
    "query_down_bias": "q_a_proj.bias",
    "query_norm": "q_a_layernorm.weight",
    "query_up": "q_b_proj.weight",
    "kv_down": "kv_a_proj_with_mqa.weight",
    "kv_down_bias": "kv_a_proj_with_mqa.bias",
    "kv_norm": "kv_a_layernorm.weight",
    "kv_up": "kv_b_proj.weight",
    "output": "o_proj.weight",
    "output_bias": "o_proj.bias",
}
FEED_FORWARD = {"gate_up": ("gate_proj.weight", "up_proj.weight"), "down": ("down_proj.weight",)}
GATE = {"weight": "gate.weight", "bias": "gate.e_score_correction_bias"}
MODULE = {"hidden_norm": "hnorm", "embedding_norm": "enorm", "projection": "eh_proj", "norm": "shared_head.norm"}
BLOCK = {"attention_norm": "input_layernorm.weight", "feed_forward_norm": "post_attention_layernorm.weight"}


@dataclass(frozen=True)
class Place:
    """Where one published tensor lies in the parameters.

    holder, key: the dictionary or list, and the key in it, whose value is a shape until it is read. names: of the
    tensors that make it, one after the other along the rows. stacked: whether names come expert by expert.
    """

    holder: Any
    key: Any
    names: list[list[str]]
    stacked: bool = False


def places(config: Config, tree: dict) -> Iterator[Place]:
    """Yield where each parameter's tensors are, by the published names.

    Args: config: of the model. tree: shapes or arrays, nested as the parameters are.
    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    yield Place(tree, "embedding", [["model.embed_tokens.weight"]])
    if "head" in tree:
        yield Place(tree, "head", [["lm_head.weight"]])
    yield Place(tree, "norm", [["model.norm.weight"]])
    for number, layer in enumerate(tree["layers"]):
        yield from _block_places(layer, f"model.layers.{number}.", config)
    for number, module in enumerate(tree["mtp"], start=config.shape.n_layers):
        prefix = f"model.layers.{number}."
        for key, name in MODULE.items():
            yield Place(module, key, [[f"{prefix}{name}.weight"]])
        yield from _block_places(module["block"], prefix, config)


def _block_places(layer: dict, prefix: str, config: Config) -> Iterator[Place]:
    for key, name in BLOCK.items():
        yield Place(layer, key, [[prefix + name]])
    for key in layer["attention"]:
        yield Place(layer["attention"], key, [[f"{prefix}self_attn.{ATTENTION[key]}"]])
    feed, inside = layer["feed_forward"], f"{prefix}mlp."
    if "gate" not in feed:
        yield from _feed_forward_places(feed, inside)
        return
    for key in feed["gate"]:
        yield Place(feed["gate"], key, [[inside + GATE[key]]])
    for key, parts in FEED_FORWARD.items():
        names = [[f"{inside}experts.{e}.{part}" for part in parts] for e in range(config.shape.experts.n_routed)]
        yield Place(feed["experts"], key, names, stacked=True)
    if "shared" in feed:
        yield from _feed_forward_places(feed["shared"], f"{inside}shared_experts.")


def _feed_forward_places(feed: dict, prefix: str) -> Iterator[Place]:
    for key, parts in FEED_FORWARD.items():
        yield Place(feed, key, [[prefix + part for part in parts]])


def load_checkpoint(folder: Path | str, *, packed: bool = True) -> Model:
    """Return the model that a folder holds: config.json and safetensors files, one or in shards.

    Matrices in BF16 and FP8 stay as they are stored and are decoded where they are used, so that the model takes the
    memory of its files; everything else is float32. Modules for multi-token prediction that the configuration names
    but the files leave out altogether, as those that transformers writes, are left out here; copies of embedding and
    head that such modules have are shared with the main model and not read.

    Args: folder: of type deepseek_v2 or deepseek_v3. packed: False decodes every weight at once, as training needs.
    Returns: a model whose `forward` maps tokens [B, T] to logits [B, T, V].
    Raises: InputError naming the file, tensor or field that is missing, superfluous, damaged or of a wrong shape.
    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one that holds config.json")
    fields = read_config(folder)
    block = _fp8_block(fields)
    entries = read_entries(folder)
    config = _without_absent_modules(fields, entries)
    tree = layout(config)
    found = list(places(config, tree))
    _check_names(config, [name for place in found for names in place.names for name in names], entries)
    for place in found:
        place.holder[place.key] = _read_place(place, entries, block, packed=packed)
    return Model(config, tree)


def _without_absent_modules(fields: Mapping[str, Any], entries: Mapping[str, Entry]) -> Config:
    config = read(fields)
    first = f"model.layers.{config.shape.n_layers}."
    if config.shape.n_mtp and not any(name.startswith(first) for name in entries):
        return read({**fields, "num_nextn_predict_layers": 0})
    return config


def _fp8_block(fields: Mapping[str, Any]) -> int:
    """Return the side of the blocks that share a scale; raises InputError for another quantisation."""
    given = fields.get("quantization_config")
    if given is None:
        return 128
    if not isinstance(given, Mapping) or given.get("quant_method") != "fp8" or given.get("fmt", "e4m3") != "e4m3":
        raise InputError("quantization_config: is not read here; quant_method must be fp8, fmt e4m3")
    block = given.get("weight_block_size", [128, 128])
    if not isinstance(block, list) or len(block) != 2 or block[0] != block[1]:
        raise InputError(f"weight_block_size = {block!r}: must be two equal whole numbers")
    return Fields({"weight_block_size": block[0]}).count("weight_block_size")


def _check_names(config: Config, needed: list[str], entries: Mapping[str, Entry]) -> None:
    """Raise InputError for the first tensor that is missing, or that nothing asks for."""
    known = set(needed)
    for name in needed:
        if name not in entries:
            raise InputError(f"{name}: is missing from the checkpoint")
    layers = range(config.shape.n_layers, config.shape.n_layers + config.shape.n_mtp)
    copies = {f"model.layers.{n}.{what}.weight" for n in layers for what in ("embed_tokens", "shared_head.head")}
    if config.shape.tied:
        copies.add("lm_head.weight")
    for name, entry in entries.items():
        weight = name.removesuffix(SCALES)
        scales = weight != name and weight in known and entries[weight].kind == "F8_E4M3"
        if name not in known and name not in copies and not scales and 0 not in entry.shape:
            raise InputError(f"{entry.path.name}: {name}: belongs to no part of the model that config.json describes")


def _read_place(place: Place, entries: Mapping[str, Entry], block: int, *, packed: bool) -> Array | Packed:
    """Read the tensors of one parameter into one array; raises InputError where one has a wrong shape or type."""
    shape = place.holder[place.key]
    first = entries[place.names[0][0]]
    codes = np.empty(shape, DTYPES[first.kind])
    scales = None
    if first.kind == "F8_E4M3":
        scales = np.empty((*shape[:-1], -(-shape[-1] // block)), np.float32)
    for number, names in enumerate(place.names):
        rows = codes[number] if place.stacked else codes
        row_count = rows.shape[0] // len(names)
        for part, name in enumerate(names):
            here = slice(part * row_count, (part + 1) * row_count) if rows.ndim > 1 else slice(None)
            _read_one(entries[name], rows[here], first.kind)
            if scales is not None:
                both = scales[number] if place.stacked else scales
                both[here] = _read_scales(entries, name, rows[here].shape, block)
    if codes.dtype == np.float32:
        return codes
    kept = Packed(codes, scales, block)
    return kept if packed and codes.ndim > 1 and not place.names[0][0].endswith(GATE["weight"]) else np.asarray(kept)


def _read_one(entry: Entry, out: Array, kind: str) -> None:
    if entry.shape != out.shape:
        raise InputError(f"{entry.path.name}: {entry.name}: has shape {list(entry.shape)}, must be {list(out.shape)}")
    if entry.kind != kind:
        raise InputError(f"{entry.path.name}: {entry.name}: is {entry.kind}, others of its kind are {kind}")
    if kind == "F8_E4M3" and out.ndim != 2:
        raise InputError(f"{entry.path.name}: {entry.name}: is {kind}, which only matrices are")
    entry.read(out)


def _read_scales(entries: Mapping[str, Entry], name: str, shape: tuple[int, int], block: int) -> Array:
    """Return the scales of one FP8 matrix, row by row."""
    if name + SCALES not in entries:
        raise InputError(f"{name + SCALES}: is missing from the checkpoint")
    scales = np.empty((-(-shape[0] // block), -(-shape[1] // block)), np.float32)
    _read_one(entries[name + SCALES], scales, "F32")
    return row_scales(scales, shape[0], block)


def save_checkpoint(
    model: Model, folder: Path | str, *, stored: str = "float32", shard_bytes: float = float("inf")
) -> None:
    """Write a model in the published form, which transformers loads too.

    Args: model: with MLA and experts, gated as V2 or V3. folder: to be made; it must not exist, or be empty.
        stored: "float32" or "bfloat16"; selection biases stay float32. shard_bytes: above which a new file begins.
    Raises: InputError where the folder holds something, or no published type describes the model.
    """
    folder = Path(folder)
    if stored not in STORED:
        raise InputError(f"stored = {stored!r}: must be one of: {', '.join(STORED)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already; name a folder that does not, or an empty one")
    fields = published(model.config) | {"dtype": stored}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        whole = Path(temporary) / "whole"
        whole.mkdir()
        (whole / "config.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        _write_shards(whole, _tensors(model, STORED[stored]), shard_bytes)
        if folder.exists():
            folder.rmdir()
        shutil.move(whole, folder)


def _tensors(model: Model, dtype: np.dtype) -> Iterator[tuple[str, Array]]:
    """Yield each published tensor of a model, one at a time."""
    for place in places(model.config, model.parameters):
        kept = place.holder[place.key]
        for number, names in enumerate(place.names):
            one = np.asarray(kept[number] if place.stacked else kept)
            for name, part in zip(names, np.split(one, len(names)), strict=True):
                yield name, part.astype(np.float32 if name.endswith(GATE["bias"]) else dtype)


def _write_shards(folder: Path, tensors: Iterator[tuple[str, Array]], shard_bytes: float) -> None:
    shards: list[list[str]] = []
    waiting: dict[str, Array] = {}

    def flush() -> None:
        write(folder / f"shard-{len(shards)}", waiting)
        shards.append(list(waiting))
        waiting.clear()

    for name, one in tensors:
        if waiting and sum(other.nbytes for other in waiting.values()) + one.nbytes > shard_bytes:
            flush()
        waiting[name] = one
    flush()
    if len(shards) == 1:
        (folder / "shard-0").rename(folder / SINGLE)
        return
    where = {}
    for number, names in enumerate(shards):
        name = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        (folder / f"shard-{number}").rename(folder / name)
        where |= dict.fromkeys(names, name)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}, indent=2) + "\n", encoding="utf-8")
