"""Files of tensors in the safetensors format: headers checked as they are read, data read to where it belongs.

A file is the header's length in 8 bytes, a JSON header (of each tensor its type, shape and place), and the data. The
safetensors library maps whole files into memory and, for numpy, knows no FP8; reading each tensor straight into its
place keeps memory at the size of the model. Headers are bounded, since parsed JSON can take 30 times its length.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repro.errors import InputError, preview, printable
from repro.files import LARGEST_BYTES, read_json, unique_fields
from repro.nano.numerics.recipes import BF16

# Types of parameters, and the bytes that an element of any other type takes, such as those of buffers.
DTYPES = {"F32": np.dtype("f4"), "BF16": BF16, "F16": np.dtype("f2"), "F64": np.dtype("f8"), "F8_E4M3": np.dtype("u1")}
SIZES = {kind: dtype.itemsize for kind, dtype in DTYPES.items()} | {
    "BOOL": 1, "I8": 1, "U8": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8, "U64": 8,
}  # fmt: skip
MAX_AXES = 8
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor's data is; `kind` is its type as the file names it."""

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    start: int  #: of its bytes in the file
    size_bytes: int

    def read(self, out: NDArray[Any]) -> None:
        """Fill a C-contiguous array of the tensor's size with its data, converted where its type is another."""
        stored = out if out.dtype == DTYPES[self.kind] else np.empty(out.shape, DTYPES[self.kind])
        view = stored.reshape(-1).view(np.uint8).data
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                count = file.readinto(view)
        except OSError as error:
            raise InputError(f"{self.path.name}: {self.name}: cannot be read: {error.strerror}") from None
        if count != len(view):
            raise InputError(f"{self.path.name}: {self.name}: ends after {count} of {len(view)} bytes")
        if stored is not out:
            with np.errstate(over="ignore"):
                out[...] = stored


def read_entries(folder: Path) -> dict[str, TensorEntry]:
    """Locate each tensor of a checkpoint, in one file or in shards that agree with their index."""
    if (folder / SINGLE).exists():
        return read_header(folder / SINGLE)
    if not (folder / INDEX).exists():
        raise InputError(f"{printable(str(folder))}: has neither {SINGLE} nor {INDEX}")
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise InputError(f"{INDEX}: weight_map must name a file of the folder for each tensor")
    for shard in weight_map.values():
        if not re.fullmatch(r"(?!\.+$)[\w.-]+", shard):
            raise InputError(f"{INDEX}: weight_map names {preview(shard)}: must be a file of the folder")
    entries: dict[str, TensorEntry] = {}
    for shard in sorted(set(weight_map.values())):
        for name, entry in read_header(folder / shard).items():
            if weight_map.get(name) != shard:
                raise InputError(f"{shard}: {printable(name)}: is not named there by {INDEX}")
            entries[name] = entry
    for name, shard in weight_map.items():
        if name not in entries:
            raise InputError(f"{shard}: {printable(name)}: is missing, though {INDEX} names it")
    return entries


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Locate each tensor of one file, whose header may be up to 10 MB long, room for some 80,000 tensors."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path.name}: must be a regular file of tensors")
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise InputError(f"{path.name}: is truncated or no safetensors file: {size} bytes, header of {length}")
            if length > LARGEST_BYTES:
                raise InputError(f"{path.name}: header of {length:,} bytes: must be at most {LARGEST_BYTES:,}")
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
    """Locate one tensor, whose fields must be what the format asks for."""
    label = f"{path.name}: {printable(name)}"
    if not isinstance(fields, dict) or {"dtype", "shape", "data_offsets"} - set(fields):
        raise InputError(f"{label}: header must give dtype, shape and data_offsets")
    kind, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(kind, str) or kind not in SIZES:
        raise InputError(f"{label}: dtype = {preview(kind)}: must be one of: {', '.join(SIZES)}")
    for field, numbers in (("shape", shape), ("data_offsets", offsets)):
        whole = isinstance(numbers, list) and all(type(number) is int and 0 <= number < 2**62 for number in numbers)
        if not whole or len(numbers) > MAX_AXES:
            raise InputError(f"{label}: {field} = {preview(numbers)}: must be a list of up to {MAX_AXES} whole numbers")
    size = prod(shape) * SIZES[kind]
    if len(offsets) != 2 or offsets[1] - offsets[0] != size:
        raise InputError(f"{label}: data_offsets = {preview(offsets)}: must span the {size} bytes of {shape} in {kind}")
    return TensorEntry(path, name, kind, tuple(shape), data_start + offsets[0], size)


def _check_cover(path: Path, entries: Iterable[TensorEntry], start: int, size: int) -> None:
    """Validate that tensors neither overlap nor leave gaps, and end with the file."""
    for entry in sorted(entries, key=lambda entry: (entry.start, entry.size_bytes)):
        if entry.start != start:
            raise InputError(f"{path.name}: {printable(entry.name)}: begins at byte {entry.start}, {start} expected")
        start += entry.size_bytes
    if start != size:
        fault = "is truncated" if size < start else "has bytes that belong to no tensor"
        raise InputError(f"{path.name}: {fault}: {size} bytes, {start} by its header")


def write_safetensors(path: Path, tensors: Mapping[str, tuple[Any, np.dtype[Any]]]) -> None:
    """Write tensors to one file, in their order, each with the type it is converted to when its turn comes."""
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (array, dtype) in tensors.items():
        begin, end = end, end + prod(array.shape) * dtype.itemsize
        header[name] = {"dtype": kinds[dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array, dtype in tensors.values():
            values = np.asarray(array).astype(dtype, copy=False)
            file.write(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
