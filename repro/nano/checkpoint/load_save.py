"""Models from and to the published form: a folder of config.json and safetensors files, by the published names."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from repro.arrays import Array
from repro.errors import InputError, preview, printable
from repro.models.hf.fields import Fields
from repro.models.hf_config import read_config
from repro.models.inventory import inventory
from repro.nano.checkpoint.hf_names import Place, places
from repro.nano.checkpoint.safetensors import DTYPES, INDEX, SINGLE, TensorEntry, read_entries, write_safetensors
from repro.nano.config import Config, config_from_hf, config_to_hf
from repro.nano.model import Model
from repro.nano.numerics.packed_weights import PackedWeight, row_scales
from repro.nano.param_shapes import iter_leaves, param_shapes

SCALES = "_scale_inv"
STORED = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


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
        raise InputError(f"{printable(str(folder))}: is not a folder; give the one that holds config.json")
    fields = read_config(folder)
    block = _fp8_block(fields)
    entries = read_entries(folder)
    config = _without_absent_modules(fields, entries)
    _check_count(config, entries)
    tree = param_shapes(config)
    found = list(places(config, tree))
    _check_names(config, [name for place in found for names in place.names for name in names], entries)
    for place in found:
        _check_place(place, entries, block)
    for place in found:
        place.holder[place.key] = _read_place(place, entries, block, packed=packed)
    return Model(config, tree)


def _without_absent_modules(fields: Mapping[str, Any], entries: Mapping[str, TensorEntry]) -> Config:
    config = config_from_hf(fields)
    numbers = (name.split(".")[2] for name in entries if name.startswith("model.layers."))
    if config.arch.n_mtp_modules and not any(one.isdecimal() and int(one) >= config.arch.n_layers for one in numbers):
        return config_from_hf({**fields, "num_nextn_predict_layers": 0})
    return config


def _check_count(config: Config, entries: Mapping[str, TensorEntry]) -> None:
    """Raise InputError where a configuration asks for far more tensors than there are, before they are listed."""
    arch = config.arch
    experts = arch.n_moe_layers * (arch.experts.n_routed_experts if arch.experts else 0)
    if arch.n_layers + arch.n_mtp_modules + experts > len(entries):
        raise InputError(
            f"config.json: asks for {arch.n_layers + arch.n_mtp_modules} layers and {experts} experts in all, "
            f"the files have {len(entries)} tensors"
        )


def _fp8_block(fields: Mapping[str, Any]) -> int:
    """Return the side of the blocks that share a scale; raises InputError for another quantisation."""
    given = fields.get("quantization_config")
    if given is None:
        return 128
    if not isinstance(given, Mapping) or given.get("quant_method") != "fp8" or given.get("fmt", "e4m3") != "e4m3":
        raise InputError(
            f"quantization_config = {preview(given)}: is not read here; quant_method must be fp8, fmt e4m3"
        )
    block = given.get("weight_block_size", [128, 128])
    if not isinstance(block, list) or len(block) != 2 or block[0] != block[1]:
        raise InputError(f"weight_block_size = {preview(block)}: must be two equal whole numbers")
    return Fields({"weight_block_size": block[0]}).count("weight_block_size")


def _check_names(config: Config, needed: list[str], entries: Mapping[str, TensorEntry]) -> None:
    """Raise InputError for the first tensor that is missing, or that nothing asks for."""
    known = set(needed)
    for name in needed:
        if name not in entries:
            raise InputError(f"{name}: is missing from the checkpoint")
    shared = [row for row in inventory(config.arch) if row.shared]
    copies = {name for row in shared for layer in row.layers for name in row.names(layer)}
    for name, entry in entries.items():
        weight = name.removesuffix(SCALES)
        scales = weight != name and weight in known and entries[weight].kind == "F8_E4M3"
        if name not in known and name not in copies and not scales and 0 not in entry.shape:
            where = f"{entry.path.name}: {printable(name)}"
            raise InputError(f"{where}: belongs to no part of the model that config.json describes")


def _check_place(place: Place, entries: Mapping[str, TensorEntry], block: int) -> None:
    """Raise InputError where a tensor of a parameter has a wrong shape or type, before room is made for it."""
    shape = place.holder[place.key][1:] if place.stacked else place.holder[place.key]
    kind = entries[place.names[0][0]].kind
    for names in place.names:
        each = (shape[0] // len(names), *shape[1:])
        for name in names:
            _check_entry(entries[name], each, kind)
            if kind == "F8_E4M3":
                if len(each) != 2:
                    raise InputError(f"{entries[name].path.name}: {name}: is {kind}, which only matrices are")
                if name + SCALES not in entries:
                    raise InputError(f"{name + SCALES}: is missing from the checkpoint")
                _check_entry(entries[name + SCALES], (-(-each[0] // block), -(-each[1] // block)), "F32")


def _check_entry(entry: TensorEntry, shape: tuple[int, ...], kind: str) -> None:
    where = f"{entry.path.name}: {entry.name}"
    if entry.shape != shape:
        raise InputError(f"{where}: has shape {list(entry.shape)}, must be {list(shape)}")
    if entry.kind != kind:
        raise InputError(f"{where}: is {entry.kind}, must be {kind}, as others of its kind are")


def _read_place(place: Place, entries: Mapping[str, TensorEntry], block: int, *, packed: bool) -> Array | PackedWeight:
    """Read the tensors of one parameter into one array, each straight to its rows."""
    shape, kind = place.holder[place.key], entries[place.names[0][0]].kind
    codes = np.empty(shape, DTYPES[kind])
    for name, rows in place.pieces(codes):
        entries[name].read(rows)
    if kind == "F32":
        return codes
    scales = None
    if kind == "F8_E4M3":
        scales = np.empty((*shape[:-1], -(-shape[-1] // block)), np.float32)
        for name, rows in place.pieces(scales):
            entry = entries[name + SCALES]
            blocks = np.empty(entry.shape, np.float32)
            entry.read(blocks)
            rows[...] = row_scales(blocks, len(rows), block)
    kept = PackedWeight(codes, scales, block)
    small = codes.ndim == 1 or place.tensor.part == "gate"
    return kept if packed and not small else np.asarray(kept)


def save_checkpoint(
    model: Model, folder: Path | str, *, stored: str = "float32", shard_bytes: float = float("inf")
) -> None:
    """Write a model in the published form, which transformers loads too.

    Args: model: with MLA and experts, gated as V2 or V3. folder: to be made; it must not exist, or be empty.
        stored: "float32" or "bfloat16"; selection biases stay float32. shard_bytes: above which a new file begins.
    Raises: InputError where the folder holds something, or no published type describes the model.
    """
    folder = Path(folder)
    if not isinstance(stored, str) or stored not in STORED:
        raise InputError(f"stored = {preview(stored)}: must be one of: {', '.join(STORED)}")
    if isinstance(shard_bytes, bool) or not isinstance(shard_bytes, int | float) or not shard_bytes > 0:
        raise InputError(f"shard_bytes = {shard_bytes!r}: must be a number above 0")
    fields = config_to_hf(model.config) | {"dtype": stored}
    _check_parameters(model)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: exists already; name a folder that does not, or an empty one")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.resolve().parent, prefix=".checkpoint.") as temporary:
            whole = Path(temporary) / "whole"
            whole.mkdir()
            (whole / "config.json").write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
            _write_shards(whole, _tensors(model, STORED[stored]), shard_bytes)
            if not folder.exists():
                whole.rename(folder)
                return
            for file in sorted(whole.iterdir(), reverse=True):  # config.json last
                file.rename(folder / file.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{preview(str(folder))}: cannot be written: {error}") from None


def _check_parameters(model: Model) -> None:
    """Raise InputError for the first parameter that is missing, superfluous or not of the shape that it must have."""
    expected, found = dict(iter_leaves(param_shapes(model.config))), dict(iter_leaves(model.parameters))
    for path in [*expected, *found]:
        if path not in found or path not in expected:
            raise InputError(f"parameter {path}: is {'missing' if path in expected else 'no part of the model'}")
        if found[path].shape != expected[path]:
            shape = list(found[path].shape)
            raise InputError(f"parameter {path}: has shape {shape}, must be {list(expected[path])}")


def _tensors(model: Model, dtype: np.dtype) -> Iterator[tuple[str, Array | PackedWeight, np.dtype]]:
    """Yield each published tensor of a model, not yet decoded, with the type to store it in."""
    for place in places(model.config, model.parameters):
        for name, part in place.pieces(place.holder[place.key]):
            yield name, part, np.dtype(np.float32) if place.tensor.stored == "fp32" else dtype


def _write_shards(
    folder: Path, tensors: Iterator[tuple[str, Array | PackedWeight, np.dtype]], shard_bytes: float
) -> None:
    shards: list[list[str]] = []
    waiting: dict[str, tuple[Array | PackedWeight, np.dtype]] = {}
    size = 0

    def flush() -> None:
        write_safetensors(folder / f"shard-{len(shards)}", waiting)
        shards.append(list(waiting))
        waiting.clear()

    for name, one, dtype in tensors:
        stored_bytes = prod(one.shape) * dtype.itemsize
        if waiting and size + stored_bytes > shard_bytes:
            flush()
            size = 0
        waiting[name] = one, dtype
        size += stored_bytes
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
