"""Models from and to the published form: a folder of config.json and safetensors files, by the published names.

Loading checks every tensor's name, type and shape before it makes room for any, then reads each straight into the
rows of the parameter that it belongs to: gate and up projection lie in one array, and so do all experts of a layer.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from math import inf, prod
from pathlib import Path
from typing import Any

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
from repro.nano.numerics import E4M3, Quantized
from repro.nano.numerics.packed_weights import PackedWeight
from repro.nano.numerics.recipes import BF16, FP32
from repro.nano.param_shapes import iter_leaves, param_shapes

FP8, SCALES = "F8_E4M3", "_scale_inv"
BLOCK = 128  # side of the blocks that share a scale, where a configuration names none
WIDE = [kind for kind in DTYPES if kind != FP8]  # types that need no scales
LARGEST_SCALE = float(np.finfo(np.float32).max) / E4M3.largest  # of which no weight overflows
STORED = {"float32": FP32, "bfloat16": BF16}
# What some files hold beside parameters, and every reader computes for itself.
BUFFERS = re.compile(r"(^|\.)(rotary_emb\.(original_)?inv_freq|rotary_emb\.(cos|sin)_cached|position_ids|masked_bias)$")


def load_checkpoint(folder: Path | str, *, packed: bool = True) -> Model:
    """Load the model, of type deepseek_v2 or deepseek_v3, that a folder holds.

    Modules for multi-token prediction may be left out altogether, as transformers does; buffers, and the modules'
    copies of embedding and head, are not read.

    Args:
        folder: holds config.json and safetensors files.
        packed: keep matrices in 16 or 8 bits as stored and decode them where used, so that the model takes the memory
            of its files; False decodes them at once, as training needs. Everything else is float32.

    Raises:
        InputError: a file, tensor or field is missing, superfluous, damaged, or not finite.

    Source: DeepSeek-V3 repository, README_WEIGHTS.md.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{printable(str(folder))}: is not a folder; give the one that holds config.json")
    fields = read_config(folder)
    block = _fp8_block(fields)
    entries = {name: entry for name, entry in read_entries(folder).items() if not BUFFERS.search(name)}
    config = _without_absent_modules(fields, entries)
    _check_count(config, entries)
    tree = param_shapes(config)
    to_read = list(places(config, tree))
    _check_names(config, [name for place in to_read for names in place.names for name in names], entries)
    for place in to_read:
        _check_place(place, entries, block)
    for place in to_read:
        place.holder[place.key] = _read_place(place, entries, block, packed=packed)
    return Model(config, tree)


def _without_absent_modules(fields: Mapping[str, Any], entries: Mapping[str, TensorEntry]) -> Config:
    config = config_from_hf(fields)
    numbers = (int(match[1]) for name in entries if (match := re.match(r"model\.layers\.(\d{1,9})\.", name)))
    has_modules = any(number >= config.arch.n_layers for number in numbers)
    return config if has_modules else config_from_hf({**fields, "num_nextn_predict_layers": 0})


def _check_count(config: Config, entries: Mapping[str, TensorEntry]) -> None:
    """Validate, before names are listed, that a configuration asks for no more tensors than there are."""
    arch, layers = config.arch, config.arch.n_layers + config.arch.n_mtp_modules
    experts = arch.n_moe_layers * (arch.experts.n_routed_experts if arch.experts else 0)
    if layers + experts > len(entries):
        asked = f"asks for {layers} layers and {experts} experts in all"
        raise InputError(f"config.json: {asked}, the files have {len(entries)} tensors")


def _fp8_block(fields: Mapping[str, Any]) -> int:
    """Return the side of the square blocks that share a scale, the only quantization that is read."""
    quantization = fields.get("quantization_config")
    if quantization is None:
        return BLOCK
    method = isinstance(quantization, Mapping) and (quantization.get("quant_method"), quantization.get("fmt", "e4m3"))
    if method != ("fp8", "e4m3"):
        label = f"quantization_config = {preview(quantization)}"
        raise InputError(f"{label}: is not read here; quant_method must be fp8, fmt e4m3")
    block = quantization.get("weight_block_size", [BLOCK, BLOCK])
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
        scales = weight != name and weight in known and entries[weight].kind == FP8
        if name not in known and name not in copies and not scales and 0 not in entry.shape:
            label = f"{entry.path.name}: {printable(name)}"
            raise InputError(f"{label}: belongs to no part of the model that config.json describes")


def _check_place(place: Place, entries: Mapping[str, TensorEntry], block: int) -> None:
    """Validate shapes and types of a parameter's tensors, which are all in FP8 or none is."""
    shape = place.holder[place.key][1:] if place.stacked else place.holder[place.key]
    fp8 = entries[place.names[0][0]].kind == FP8
    for names in place.names:
        each = (shape[0] // len(names), *shape[1:])
        for name in names:
            _check_entry(entries[name], each, [FP8] if fp8 else WIDE)
            if fp8:
                if len(each) != 2:
                    raise InputError(f"{entries[name].path.name}: {name}: is {FP8}, which only matrices are")
                if name + SCALES not in entries:
                    raise InputError(f"{name + SCALES}: is missing from the checkpoint")
                _check_entry(entries[name + SCALES], (-(-each[0] // block), -(-each[1] // block)), WIDE)


def _check_entry(entry: TensorEntry, shape: tuple[int, ...], kinds: list[str]) -> None:
    label = f"{entry.path.name}: {entry.name}"
    if entry.shape != shape:
        raise InputError(f"{label}: has shape {list(entry.shape)}, must be {list(shape)}")
    if entry.kind not in kinds:
        raise InputError(f"{label}: is {entry.kind}, must be {' or '.join(kinds)}, as others of its parameter are")


def _read_place(place: Place, entries: Mapping[str, TensorEntry], block: int, *, packed: bool) -> Array | PackedWeight:
    """Read the tensors of one parameter into one array, each straight to its rows."""
    shape, kinds = place.holder[place.key], {entries[name].kind for names in place.names for name in names}
    kind = kinds.pop() if len(kinds) == 1 else "F32"
    codes = np.empty(shape, DTYPES["F32" if kind == "F64" else kind])
    for name, rows in place.pieces(codes):
        entries[name].read(rows)
        if not np.isfinite(rows.view(E4M3.dtype) if kind == FP8 else rows).all():
            raise InputError(f"{entries[name].path.name}: {name}: holds NaN or an infinity")
    if codes.dtype == np.float32:
        return codes
    weight = PackedWeight(codes)
    if kind == FP8:
        scales = np.empty((*shape[:-1], -(-shape[-1] // block)), np.float32)  # of each row's blocks
        for name, rows in place.pieces(scales):
            rows[...] = _read_scales(entries[name + SCALES])[np.arange(len(rows)) // block]
        weight = PackedWeight(Quantized(codes, scales, E4M3, (1, block), shape[-1]))
    small = codes.ndim == 1 or place.tensor.part == "gate"
    return weight if packed and not small else np.asarray(weight)


def _read_scales(entry: TensorEntry) -> Array:
    scales = np.empty(entry.shape, np.float32)
    entry.read(scales)
    wrong = scales[~((scales > 0) & (scales < LARGEST_SCALE))]  # NaN is neither
    if len(wrong):
        label = f"{entry.path.name}: {entry.name}"
        raise InputError(f"{label}: holds a scale of {wrong[0]:g}: must be above 0 and below {LARGEST_SCALE:.3g}")
    return scales


def save_checkpoint(model: Model, folder: Path | str, *, stored: str = "float32", shard_bytes: float = inf) -> None:
    """Write a model in the published form, which transformers loads too.

    Args:
        model: has MLA and experts, gated as V2 or V3.
        folder: must not exist, or be empty.
        stored: "float32" or "bfloat16", of the weights; selection biases are always in float32.
        shard_bytes: size above which a new file begins.
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
            _write_shards(model, whole, STORED[stored], shard_bytes)
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
    """Raise InputError for the first parameter that is missing, superfluous or of a wrong shape."""
    shapes, parameters = dict(iter_leaves(param_shapes(model.config))), dict(iter_leaves(model.params))
    for path in [*shapes, *parameters]:
        if path not in parameters or path not in shapes:
            raise InputError(f"parameter {path}: is {'missing' if path in shapes else 'no part of the model'}")
        if parameters[path].shape != shapes[path]:
            raise InputError(f"parameter {path}: has shape {[*parameters[path].shape]}, must be {[*shapes[path]]}")


def _write_shards(model: Model, folder: Path, stored: np.dtype[Any], shard_bytes: float) -> None:
    """Write the published tensors of a model, decoded one by one as they are written."""
    shards: list[dict[str, tuple[Any, np.dtype[Any]]]] = [{}]
    size = 0
    for place in places(model.config, model.params):
        dtype = FP32 if place.tensor.stored == "fp32" else stored
        for name, part in place.pieces(place.holder[place.key]):
            size += prod(part.shape) * dtype.itemsize
            if shards[-1] and size > shard_bytes:
                shards.append({})
                size = prod(part.shape) * dtype.itemsize
            shards[-1][name] = part, dtype
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = SINGLE if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_safetensors(folder / file, shard)
        weight_map |= dict.fromkeys(shard, file)
    if len(shards) > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
