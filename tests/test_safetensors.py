"""Files of tensors: written byte by byte as the format says, and refused with one line where they are damaged."""

import json
import re
import tracemalloc
from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest

from repro.errors import InputError
from repro.nano.checkpoint.safetensors import INDEX, SINGLE, read_entries, read_header, write_safetensors
from repro.nano.numerics.formats import E4M3
from repro.nano.numerics.packed_weights import PackedWeight
from repro.nano.numerics.scaling import Quantized


def tensor(shape, start, end, kind="F32"):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def store(path, header, data=b"", length=None):
    """Write a file by hand: the header's length in 8 bytes, the header, the data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def line(call, *arguments):
    """Return the one line that a call is refused with."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert len(text) < 300
    assert text.encode("utf-8").decode().isprintable()
    return text


TWO = {"a": tensor([2], 0, 8), "b": tensor([1, 3], 8, 20)}


def test_a_file_made_by_hand(tmp_path):
    values = np.arange(5, dtype="<f4")
    entries = read_header(store(tmp_path / "x", {"__metadata__": {"format": "pt"}} | TWO, values.tobytes()))
    assert list(entries) == ["a", "b"]
    assert entries["b"].shape == (1, 3)
    out = np.empty((1, 3), np.float32)
    entries["b"].read(out)
    assert out.tolist() == [[2, 3, 4]]


def test_tensors_may_lie_in_another_order_than_the_header_names_them(tmp_path):
    values = np.array([1, 2, 3], "<f4")
    entries = read_header(store(tmp_path / "x", {"b": tensor([2], 4, 12), "a": tensor([], 0, 4)}, values.tobytes()))
    out = np.empty(2, np.float32)
    entries["b"].read(out)
    assert out.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("kind", "size"),
    [*{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "BOOL": 1}.items()]
    + [(f"{sign}{8 * size}", size) for sign in "IU" for size in (1, 2, 4, 8)],
)
def test_elements_of_every_type_take_their_bytes(kind, size, tmp_path):
    entries = read_header(store(tmp_path / "x", {"a": tensor([3], 0, 3 * size, kind)}, bytes(3 * size)))
    assert entries["a"].size_bytes == 3 * size


@pytest.mark.parametrize(("kind", "dtype"), [("F16", "<f2"), ("F64", "<f8"), ("BF16", ml_dtypes.bfloat16)])
def test_data_are_converted_to_the_type_of_the_array(kind, dtype, tmp_path):
    values = np.array([1.5, -0.125, 3], dtype)
    entries = read_header(store(tmp_path / "x", {"a": tensor([3], 0, values.nbytes, kind)}, values.tobytes()))
    for out in (np.empty(3, np.float32), np.empty(3, np.float64), np.empty(3, dtype)):
        entries["a"].read(out)
        assert out.tolist() == [1.5, -0.125, 3]


def test_an_empty_tensor_takes_no_bytes(tmp_path):
    entries = read_header(store(tmp_path / "x", {"a": tensor([0, 4], 0, 0), "b": tensor([1], 0, 4)}, bytes(4)))
    assert (entries["a"].size_bytes, entries["a"].start) == (0, entries["b"].start)
    entries["a"].read(np.empty((0, 4), np.float32))


def test_bytes_of_a_written_file(tmp_path):
    bf16 = np.dtype(ml_dtypes.bfloat16)
    write_safetensors(
        tmp_path / "x", {"a": (np.ones((1, 2), np.float32), np.dtype(np.float32)), "b": (np.full(1, 2.0), bf16)}
    )
    found = (tmp_path / "x").read_bytes()
    length = int.from_bytes(found[:8], "little")
    assert length % 8 == 0
    header = {"a": tensor([1, 2], 0, 8), "b": tensor([1], 8, 10, "BF16")}
    assert json.loads(found[8 : 8 + length]) == {"__metadata__": {"format": "pt"}} | header
    assert found[8 + length :] == b"\0\0\x80\x3f" * 2 + b"\0\x40"


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 5), (2, 3, 4)])
def test_what_is_written_is_read(dtype, shape, tmp_path):
    given = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    write_safetensors(
        tmp_path / "x", {"first": (np.zeros(3, np.float32), np.dtype(np.float32)), "one": (given, given.dtype)}
    )
    found = np.empty(shape, dtype)
    read_header(tmp_path / "x")["one"].read(found)
    assert np.array_equal(found, given)


# What is wrong, and a part of the line; {4} is the fourth byte of the data, counted from the start of the file.
HEADERS = {
    "a list": ([1], "header must be a JSON object, not a list"),
    "no JSON": (b"{'a': 1}", "header is not valid JSON: Expecting property name"),
    "no UTF-8": (b'{"\xff": 1}', "header is not valid JSON: 'utf-8' codec"),
    "too deep": (b"[" * 100_000, "header is not valid JSON: "),
    "a name twice": (b'{"a": 1, "a": 2}', "header is not valid JSON: a is there twice"),
    "a field twice": (b'{"a": {"dtype": "F32", "dtype": "BF16"}}', "header is not valid JSON: dtype is there twice"),
    "no fields": ({"a": 1}, "a: header must give dtype, shape and data_offsets"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, "a: header must give dtype, shape and data_offsets"),
    "type unknown": (
        {"a": tensor([1], 0, 4, "F4")},
        'a: dtype = "F4": must be one of: F32, BF16, F16, F64, F8_E4M3, BOOL',
    ),
    "type a list": ({"a": tensor([1], 0, 4, [])}, "a: dtype = []: must be one of: F32, BF16, F16, F64, F8_E4M3, BOOL"),
    "type an object": (
        {"a": tensor([1], 0, 4, {})},
        "a: dtype = {}: must be one of: F32, BF16, F16, F64, F8_E4M3, BOOL",
    ),
    "type null": (
        {"a": tensor([1], 0, 4, None)},
        "a: dtype = null: must be one of: F32, BF16, F16, F64, F8_E4M3, BOOL",
    ),
    "shape a number": ({"a": tensor(1, 0, 4)}, "a: shape = 1: must be a list of up to 8 whole numbers"),
    "shape negative": ({"a": tensor([-1, -1], 0, 4)}, "a: shape = [-1, -1]: must be a list of up to 8 whole numbers"),
    "shape in floats": ({"a": tensor([1.0], 0, 4)}, "a: shape = [1.0]: must be a list of up to 8 whole numbers"),
    "shape in flags": ({"a": tensor([True], 0, 4)}, "a: shape = [true]: must be a list of up to 8 whole numbers"),
    "offsets negative": (
        {"a": tensor([1], -4, 0)},
        "a: data_offsets = [-4, 0]: must be a list of up to 8 whole numbers",
    ),
    "offsets in floats": (
        {"a": tensor([1], 0.0, 4.0)},
        "a: data_offsets = [0.0, 4.0]: must be a list of up to 8 whole",
    ),
    "offsets in flags": ({"a": tensor([0], False, 0)}, "a: data_offsets = [false, 0]: must be a list of up to 8 whole"),
    "offsets as text": ({"a": tensor([1], "0", "4")}, 'a: data_offsets = ["0", "4"]: must be a list of up to 8 whole'),
    "offsets infinite": (
        {"a": tensor([1], 0, 1e999)},
        "a: data_offsets = [0, Infinity]: must be a list of up to 8 whole",
    ),
    "one offset": ({"a": TWO["a"] | {"data_offsets": [0]}}, "a: data_offsets = [0]: must span the 8 bytes of [2] in F"),
    "offsets backwards": ({"a": tensor([2], 8, 0)}, "a: data_offsets = [8, 0]: must span the 8 bytes of [2] in F32"),
    "span too short": ({"a": tensor([2], 0, 4)}, "a: data_offsets = [0, 4]: must span the 8 bytes of [2] in F32"),
    "span of another type": ({"a": tensor([2], 0, 8, "BF16")}, "must span the 4 bytes of [2] in BF16"),
    "shape absurd": ({"a": tensor([2**40, 2**40], 0, 8)}, "a: data_offsets = [0, 8]: must span the "),
    "more digits than Python prints": ({"a": tensor([2**61] * 300, 0, 8)}, "a: "),
    "a shape of very many axes": ({"a": tensor([1] * 100_000, 0, 8)}, "a: "),
    "overlap": ({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, "b: begins at byte {4}, {8} expected"),
    "gap": ({"a": tensor([2], 0, 8), "b": tensor([2], 12, 20)}, "b: begins at byte {12}, {8} expected"),
    "not from the start": ({"b": tensor([2], 4, 12)}, "b: begins at byte {4}, {0} expected"),
    "the same bytes twice": ({"a": TWO["a"], "b": TWO["a"]}, "b: begins at byte {0}, {8} expected"),
    "past the end": (TWO, "is truncated: {12} bytes, {20} by its header"),
    "bytes left over": ({"a": tensor([1], 0, 4)}, "has bytes that belong to no tensor: {12} bytes, {4} by its header"),
    "no tensors, yet bytes": ({}, "has bytes that belong to no tensor: {12} bytes, {0} by its header"),
    "a name of two lines": ({"a\nb": tensor([1], 0, 4, "I4")}, 'dtype = "I4": must be one of'),
    "half a character as a name": (b'{"\\ud800": {"dtype": "I4", "shape": [], "data_offsets": [0, 0]}}', "I4"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_damaged_header_is_refused(case, tmp_path):
    header, message = HEADERS[case]
    path = store(tmp_path / "x", header, bytes(12))
    found, start = line(read_header, path), path.stat().st_size - 12
    assert found.startswith("x: ")
    assert re.sub(r"{(\d+)}", lambda place: str(start + int(place[1])), message) in found


@pytest.mark.parametrize("length", [13, 2**31, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file(length, tmp_path):
    expected = f"x: is truncated or no safetensors file: 20 bytes, header of {length}"
    assert line(read_header, store(tmp_path / "x", bytes(12), length=length)) == expected


@pytest.mark.parametrize("length", [10_000_001, 99_000_000, 200_000_000])
def test_a_header_longer_than_any_is_not_read(length, tmp_path):
    with store(tmp_path / "x", b"", length=length).open("r+b") as file:
        file.truncate(300_000_000)
    peak, message = peak_bytes(line, read_header, tmp_path / "x")
    assert message == f"x: header of {length:,} bytes: must be at most 10,000,000"
    assert peak < 100_000


def peak_bytes(call, *arguments):
    """Return the most memory that a call takes at once, and its result."""
    tracemalloc.start()
    try:
        result = call(*arguments)
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def fill(unit, size=1_000_000):
    """Return a header of that size: a name, and a list of the same part over and over."""
    return b'{"a":[' + unit * ((size - 20) // len(unit)) + unit.rstrip(b",") + b"]}"


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'{"":0},', b'"a",', b'"\\u1234",', b"1e9,", b"999,"])
def test_a_header_takes_at_most_thirty_five_times_its_size(unit, tmp_path):
    path = store(tmp_path / "x", fill(unit))
    peak, message = peak_bytes(line, read_header, path)
    assert message == "x: a: header must give dtype, shape and data_offsets"
    assert peak < 35 * path.stat().st_size


def test_eighty_thousand_tensors_fit_into_one_header(tmp_path):
    name = "model.layers.{}.mlp.experts.{}.gate_proj.weight"
    names = [name.format(layer, expert) for layer in range(100) for expert in range(800)]
    header = {name: tensor([0, 7168], 0, 0, "BF16") for name in names}
    assert len(read_header(store(tmp_path / "x", header))) == 80_000


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = store(tmp_path / "x", TWO, bytes(20)).read_bytes()
    for size in range(len(whole)):
        (tmp_path / "x").write_bytes(whole[:size])
        assert "truncated" in line(read_header, tmp_path / "x")


def test_a_changed_byte_of_the_header_is_refused_or_leaves_every_byte_a_tensor(tmp_path):
    whole = store(tmp_path / "x", TWO, bytes(20)).read_bytes()
    rng = np.random.default_rng(0)
    for place in range(len(whole) - 20):
        (tmp_path / "x").write_bytes(whole[:place] + rng.bytes(1) + whole[place + 1 :])
        with suppress(InputError):
            assert sum(one.size_bytes for one in read_header(tmp_path / "x").values()) == 20


@pytest.mark.parametrize(
    ("make", "reason"),
    [("mkdir", "must be a regular file of tensors"), (None, "cannot be read: No such file or directory")],
)
def test_what_is_no_file(make, reason, tmp_path):
    if make:
        (tmp_path / "x").mkdir()
    assert line(read_header, tmp_path / "x") == f"x: {reason}"


def test_a_file_that_shrinks_or_goes_after_its_header_was_read(tmp_path):
    path = store(tmp_path / "x", TWO, bytes(20))
    entry = read_header(path)["b"]
    path.write_bytes(path.read_bytes()[:-8])
    assert line(entry.read, np.empty(3, np.float32)) == "x: b: ends after 4 of 12 bytes"
    path.unlink()
    assert line(entry.read, np.empty(3, np.float32)) == "x: b: cannot be read: No such file or directory"


def index(folder, where):
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))


@pytest.fixture
def shards(tmp_path):
    """Two files, "a" in 1.st and "b" in 2.st, without an index."""
    store(tmp_path / "1.st", {"a": tensor([1], 0, 4)}, bytes(4))
    store(tmp_path / "2.st", {"b": tensor([1], 0, 4)}, bytes(4))
    return tmp_path


def test_shards_are_read_as_one(shards):
    index(shards, {"a": "1.st", "b": "2.st"})
    assert {name: entry.path.name for name, entry in read_entries(shards).items()} == {"a": "1.st", "b": "2.st"}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"a": "1.st", "b": "2.st", "c": "2.st"}, f"2.st: c: is missing, though {INDEX} names it"),
        ({"a": "1.st", "b": "3.st"}, "3.st: cannot be read: No such file or directory"),
        ({"a": "1.st", "c": "2.st"}, f"2.st: b: is not named there by {INDEX}"),
        ({"a": "2.st", "b": "1.st"}, f"1.st: a: is not named there by {INDEX}"),
        ({"a": "1.st", "b": "../2.st"}, f'{INDEX}: weight_map names "../2.st": must be a file of the folder'),
        ({"a": "1.st", "b": "/etc/passwd"}, f'{INDEX}: weight_map names "/etc/passwd": must be a file of the folder'),
        ({"a": "1.st", "b": ".."}, f'{INDEX}: weight_map names "..": must be a file of the folder'),
        ({"a": "1.st", "b": ""}, f'{INDEX}: weight_map names "": must be a file of the folder'),
        ({"a": "1.st", "b": 2}, f"{INDEX}: weight_map must name a file of the folder for each tensor"),
        (["1.st"], f"{INDEX}: weight_map must name a file of the folder for each tensor"),
        (None, f"{INDEX}: weight_map must name a file of the folder for each tensor"),
    ],
)
def test_an_index_that_contradicts_its_files(where, message, shards):
    index(shards, where)
    assert line(read_entries, shards) == message


@pytest.mark.parametrize("name", ["2\0.st", "\ud800.st", "2\n.st"])
def test_an_index_that_names_what_no_file_can_be_called(name, shards):
    index(shards, {"a": "1.st", "b": name})
    assert ".st" in line(read_entries, shards)


def test_an_index_with_a_name_twice(shards):
    (shards / INDEX).write_text('{"weight_map": {"a": "1.st", "a": "2.st"}}')
    assert line(read_entries, shards).endswith(f"{INDEX}: is not valid JSON: a is there twice")


def test_a_folder_without_tensors(tmp_path):
    with pytest.raises(InputError, match=f"has neither {SINGLE} nor {INDEX}"):
        read_entries(tmp_path)


def test_codes_of_fp8():
    """E4M3: a sign, 4 bits of exponent from 2⁻⁷, 3 of fraction; 0x38 is 1, 0x7e the largest, 0x01 the smallest."""
    codes = np.array([[0x00, 0x38, 0xB8, 0x3C, 0x40, 0x7E, 0x01]], np.uint8)
    found = np.asarray(PackedWeight(Quantized(codes, np.full((1, 1), 2, np.float32), E4M3, (1, 128), 7)))
    assert found.tolist() == [[0, 2, -2, 3, 4, 896, 2**-8]]
    assert found.dtype == np.float32


def test_each_rows_block_has_its_scale():
    scales = np.array([[1, 2], [1, 2], [3, 4]], np.float32)
    kept = PackedWeight(Quantized(np.full((3, 3), 0x38, np.uint8), scales, E4M3, (1, 2), 3))
    assert np.asarray(kept).tolist() == [[1, 1, 2], [1, 1, 2], [3, 3, 4]]
    assert np.asarray(kept[1:]).tolist() == [[1, 1, 2], [3, 3, 4]]
    assert np.asarray(kept[2]).tolist() == [3, 3, 4]
    assert (kept.shape, len(kept), kept.nbytes) == ((3, 3), 3, 9 + 6 * 4)


def test_packed_bf16_is_exact_in_float32():
    codes = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(ml_dtypes.bfloat16)
    assert np.array_equal(np.asarray(PackedWeight(codes)), codes.astype(np.float32))
    assert np.array_equal(np.asarray(PackedWeight(codes)[1]), codes[1].astype(np.float32))
    assert np.asarray(PackedWeight(codes), np.float64).dtype == np.float64
