"""Files of tensors in the safetensors format: headers checked as they are read, data read to where it belongs.

The safetensors library maps whole files into memory and, for numpy, knows no FP8; reading each tensor straight into its
place keeps memory at the size of the model.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from repro.arrays import Array
from repro.errors import InputError, preview, printable
from repro.files import read_json, unique_fields

DTYPES = {"F32": np.dtype(np.float32), "BF16": np.dtype(ml_dtypes.bfloat16), "F8_E4M3": np.dtype(np.uint8)}
LARGEST_HEADER_BYTES = 100_000_000
MOST_AXES = 8
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor's data is. kind: its type as the file names it. start: of its bytes in the file."""

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int

    def read(self, out: Array) -> None:
        """Fill an array of the tensor's type with its data.

        Args: out: C-contiguous, of the tensor's size; FP8 as uint8.
        Raises: InputError naming file and tensor where the data cannot be read.
        """
        view = out.reshape(-1).view(np.uint8)
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                count = file.readinto(view)
        except OSError as error:
            raise InputError(f"{self.path.name}: {self.name}: cannot be read: {error.strerror}") from None
        if count != len(view):
            raise InputError(f"{self.path.name}: {self.name}: ends after {count} of {len(view)} bytes")


def read_entries(folder: Path) -> dict[str, TensorEntry]:
    """Return where each tensor of a checkpoint is, from one file or from shards with their index.

    Raises: InputError naming the file that is missing, damaged, or contradicts the index.
    """
    if (folder / SINGLE).exists():
        return read_header(folder / SINGLE)
    if not (folder / INDEX).exists():
        raise InputError(f"{printable(str(folder))}: has neither {SINGLE} nor {INDEX}")
    where = read_json(folder / INDEX).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(one, str) for one in where.values()):
        raise InputError(f"{INDEX}: weight_map must name a file of the folder for each tensor")
    for shard in where.values():
        if not re.fullmatch(r"(?!\.+$)[\w.-]+", shard):
            raise InputError(f"{INDEX}: weight_map names {preview(shard)}: must be a file of the folder")
    entries: dict[str, TensorEntry] = {}
    for shard in sorted(set(where.values())):
        for name, entry in read_header(folder / shard).items():
            if where.get(name) != shard:
                raise InputError(f"{shard}: {printable(name)}: is not named there by {INDEX}")
            entries[name] = entry
    for name, shard in where.items():
        if name not in entries:
            raise InputError(f"{shard}: {printable(name)}: is missing, though {INDEX} names it")
    return entries


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Return where each tensor of one file is.

    Raises: InputError naming the file, and the tensor where one is to blame.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path.name}: must be a regular file of tensors")
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, LARGEST_HEADER_BYTES):
                raise InputError(f"{path.name}: is truncated or no safetensors file: {size} bytes, header of {length}")
            text = file.read(length)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read: {error.strerror}") from None
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique_fields)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name}: header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise InputError(f"{path.name}: header must be a JSON object, not a {type(header).__name__}")
    header.pop("__metadata__", None)
    entries = {name: _entry(path, name, fields, 8 + length) for name, fields in header.items()}
    _check_cover(path, entries.values(), 8 + length, size)
    return entries


def _entry(path: Path, name: str, fields: Any, data_start: int) -> TensorEntry:
    """Return one tensor's place; raises InputError where its fields are not what the format asks for."""
    where = f"{path.name}: {printable(name)}"
    if not isinstance(fields, dict) or {"dtype", "shape", "data_offsets"} - set(fields):
        raise InputError(f"{where}: header must give dtype, shape and data_offsets")
    kind, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(kind, str) or kind not in DTYPES:
        raise InputError(f"{where}: dtype = {preview(kind)}: must be one of: {', '.join(DTYPES)}")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        whole = isinstance(numbers, list) and all(type(one) is int and 0 <= one < 2**62 for one in numbers)
        if not whole or len(numbers) > MOST_AXES:
            raise InputError(f"{where}: {what} = {preview(numbers)}: must be a list of up to {MOST_AXES} whole numbers")
    size = prod(shape) * DTYPES[kind].itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != size:
        raise InputError(f"{where}: data_offsets = {preview(offsets)}: must span the {size} bytes of {shape} in {kind}")
    return TensorEntry(path, name, kind, tuple(shape), data_start + offsets[0], size)


def _check_cover(path: Path, entries: Iterable[TensorEntry], start: int, size: int) -> None:
    """Raise InputError where tensors overlap, leave gaps, or do not end with the file."""
    for entry in sorted(entries, key=lambda one: (one.start, one.size_bytes)):
        if entry.start != start:
            raise InputError(f"{path.name}: {printable(entry.name)}: begins at byte {entry.start}, {start} expected")
        start += entry.size_bytes
    if start != size:
        what = "is truncated" if size < start else "has bytes that belong to no tensor"
        raise InputError(f"{path.name}: {what}: {size} bytes, {start} by its header")


def write_safetensors(path: Path, tensors: Mapping[str, tuple[Any, np.dtype]]) -> None:
    """Write tensors to one file, in their order, decoded one at a time.

    Args: path: of the file. tensors: of each an array, or what numpy takes for one, and float32 or bfloat16.
    """
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (one, dtype) in tensors.items():
        begin, end = end, end + prod(one.shape) * dtype.itemsize
        header[name] = {"dtype": kinds[dtype], "shape": list(one.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for one, dtype in tensors.values():
            values = np.asarray(one).astype(dtype, copy=False)
            file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
