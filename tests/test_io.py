"""Files: round trips, exchange with the safetensors package, hostile files, atomic writing."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lucid
from lucid.errors import FileFormatError
from lucid.io import load, load_metadata, save

DTYPES = "bool uint8 int8 int16 int32 int64 float16 float32 float64 complex64".split()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


def write(path, header, data=b"", length=None):
    """A file with any header, valid or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def same(found, expected):
    assert found.dtype is np.dtype(expected.dtype.type)
    np.testing.assert_array_equal(found.numpy(), np.asarray(expected))


# ------------------------------------------------------------------ round trips


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape(path, rng, dtype, mmap):
    shapes = [(), (0, 3), (4,), (2, 3)]
    arrays = {str(shape): np.asarray(rng.random(shape) * 9).astype(dtype) for shape in shapes}
    arrays["odd"] = np.ones(3, np.int8)
    save(arrays, path)
    found = load(path, mmap=mmap)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        same(found[name], array)
        assert found[name].numpy().flags.aligned
        assert not found[name].requires_grad


@pytest.mark.parametrize(
    "layout", ["F", "strided", "negative", "read-only", "big-endian", "broadcast"]
)
def test_layouts(path, rng, layout):
    array = rng.random((4, 6))
    array = {
        "F": np.asfortranarray(array),
        "strided": array[::2, ::3],
        "negative": array[::-1, ::-1],
        "read-only": array,
        "big-endian": array.astype(">f8"),
        "broadcast": np.broadcast_to(array[0], (3, 6)),
    }[layout]
    if layout == "read-only":
        array.flags.writeable = False
    save({"x": array}, path)
    np.testing.assert_array_equal(load(path)["x"].numpy(), array)


def test_nested(path):
    w = lucid.tensor([[1.0, 2.0]], requires_grad=True)
    checkpoint = {
        "model": {"fc.weight": w, "fc.bias": np.arange(3.0)},
        "optimizer": {
            "state": {0: {"step": 7, "exp_avg": lucid.tensor([3.0])}},
            "param_groups": [
                {"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1], "foreach": None}
            ],
        },
        "epoch": 3,
        "best": math.inf,
        "scalar": np.float32(0.5),
        "flags": [True, False, "text", "{}", ()],
        -1.5: {},
    }
    save(checkpoint, path)
    found = load(path)
    assert list(found) == list(checkpoint)
    same(found["model"]["fc.weight"], np.float32([[1, 2]]))
    same(found["model"]["fc.bias"], np.arange(3.0))
    same(found["optimizer"]["state"][0]["exp_avg"], np.float32([3]))
    assert found["optimizer"]["state"][0]["step"] == 7
    assert found["optimizer"]["param_groups"] == checkpoint["optimizer"]["param_groups"]
    assert type(found["optimizer"]["param_groups"][0]["betas"]) is tuple
    assert (found["epoch"], found["best"], found["scalar"]) == (3, math.inf, 0.5)
    assert found["flags"] == checkpoint["flags"]
    assert found["flags"][0] is True
    assert found[-1.5] == {}


def test_nan_keeps_its_kind(path):
    save([float("nan"), -math.inf], path)
    nan, infinity = load(path)
    assert math.isnan(nan)
    assert infinity == -math.inf


def test_colliding_and_reserved_names(path):
    save({"a": {"b": np.ones(1)}, "a.b": np.zeros(1), "__metadata__": np.full(1, 2.0)}, path)
    found = load(path)
    assert [found["a"]["b"].item(), found["a.b"].item(), found["__metadata__"].item()] == [1, 0, 2]
    save(np.ones(2), path)
    same(load(path), np.ones(2))


def test_a_tensor_met_twice_is_stored_once(path):
    x = lucid.tensor(np.zeros(1000))
    save({"list": [x, x]}, path)
    assert os.path.getsize(path) < 9000
    a, b = load(path)["list"]
    assert a is b


def test_anything_with_a_state_dict(path):
    class Model:
        def state_dict(self):
            return {"weight": lucid.tensor([1.0])}

    save(Model(), path)
    assert list(load(path)) == ["weight"]
    save({"model": Model()}, path)
    same(load(path)["model"]["weight"], np.float32([1]))


def test_metadata(path):
    save({"x": np.ones(1)}, path, metadata={"licence": "MIT", "empty": ""})
    assert load_metadata(path) == {"licence": "MIT", "empty": ""}
    save({"x": 1}, path, metadata={"a": "b"})
    assert load_metadata(path) == {"a": "b"}
    save({}, path)
    assert load_metadata(path) == {}
    assert load(path) == {}


def test_mmap_is_private(path):
    save({"x": np.zeros(4)}, path)
    before = path.read_bytes()
    x = load(path, mmap=True)["x"]
    with lucid.no_grad():
        x[1] = 5.0
    assert x.tolist() == [0, 5, 0, 0]
    assert path.read_bytes() == before


# ------------------------------------------------------------------ the safetensors package


def test_the_package_reads_ours(path, rng):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {name: (rng.random((2, 3)) * 9).astype(name) for name in DTYPES}
    arrays |= {"empty": np.zeros((0, 2)), "scalar": np.array(1.5), "umlaut ä": np.ones(1)}
    save(arrays, path, metadata={"a": "b"})
    arrays.pop("complex64")  # not in every version of the package
    if "complex64" not in safetensors._TYPES.values():
        save(arrays, path)
    found = safetensors.load_file(path)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_ours_reads_the_package(path, rng):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {name: (rng.random((2, 3)) * 9).astype(name) for name in DTYPES if name != "complex64"}
    arrays |= {"empty": np.zeros((0, 2)), "scalar": np.array(1.5), "umlaut ä": np.ones(1)}
    safetensors.save_file(arrays, path, metadata={"a": "b"})
    for mmap in (False, True):
        found = load(path, mmap=mmap)
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            same(found[name], array)
    assert load_metadata(path) == {"a": "b"}


def test_dtypes_that_only_others_write(path):
    ones = np.array([0x3F80, 0xC000, 0x7F80], "<u2")  # 1, -2, inf in BF16
    u16, u32 = np.array([65535], "<u2"), np.array([2**32 - 1], "<u4")
    header = {
        "bf16": entry("BF16", (3,), (0, 6)),
        "u16": entry("U16", (1,), (6, 8)),
        "u32": entry("U32", (1,), (8, 12)),
    }
    write(path, header, ones.tobytes() + u16.tobytes() + u32.tobytes())
    for mmap in (False, True):
        found = load(path, mmap=mmap)
        same(found["bf16"], np.float32([1, -2, np.inf]))
        same(found["u16"], np.int32([65535]))
        same(found["u32"], np.int64([2**32 - 1]))


def test_an_unaligned_file_gives_aligned_tensors(path):
    write(path, b'{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}  ', np.ones(1).tobytes())
    assert (path.stat().st_size - 8) % 8 == 0
    write(path, b'{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}   ', np.ones(1).tobytes())
    for mmap in (False, True):
        x = load(path, mmap=mmap)["x"]
        same(x, np.ones(1))
        assert x.numpy().flags.aligned


# ------------------------------------------------------------------ hostile files

BAD_HEADERS = {
    "no JSON": b"{nothing",
    "not an object": b"[1, 2]",
    "not UTF-8": b'{"\xff": 1}',
    "white space first": b' {"x":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}',
    "deep": b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "NaN": b'{"__metadata__": {"x": NaN}}',
    "twice": b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":1}',
    "long number": b'{"x":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}',
    "metadata list": {"__metadata__": [], "x": entry()},
    "metadata number": {"__metadata__": {"a": 1}, "x": entry()},
    "no entry": {"x": 7},
    "missing field": {"x": {"dtype": "F32", "shape": [2]}},
    "extra field": {"x": entry() | {"code": "import os"}},
    "dtype": {"x": entry("O8", (1,))},
    "dtype type": {"x": entry(["F32"])},
    "dtype unhashable": {"x": entry({})},
    "negative": {"x": entry(shape=(-2,))},
    "float shape": {"x": entry(shape=(2.0,))},
    "bool shape": {"x": entry(shape=(True, 2))},
    "shape type": {"x": entry() | {"shape": "2"}},
    "too many dims": {"x": entry(shape=(1,) * 65 + (2,))},
    "huge with 0": {"x": entry(shape=(0, 2**40, 2**40), offsets=(0, 0)), "y": entry()},
    "huge": {"x": entry(shape=(2**62,), offsets=(0, 2**64))},
    "huge offsets": {"x": entry(shape=(2**40,), offsets=(0, 2**42))},
    "reversed": {"x": entry(offsets=(8, 0))},
    "three offsets": {"x": entry(offsets=(0, 8, 8))},
    "negative offsets": {"x": entry(offsets=(-8, 0))},
    "size": {"x": entry(shape=(3,))},
    "past the end": {"x": entry(shape=(4,), offsets=(0, 16))},
    "gap at the start": {"x": entry(shape=(1,), offsets=(4, 8))},
    "gap": {"x": entry("U8", (2,), (0, 2)), "y": entry("U8", (2,), (6, 8))},
    "overlap": {"x": entry(), "y": entry()},
    "partial overlap": {"x": entry("U8", (5,), (0, 5)), "y": entry("U8", (5,), (3, 8))},
    "bytes left over": {"x": entry(shape=(1,), offsets=(0, 4))},
    "bool": {"x": entry("BOOL", (8,))},
}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_header(path, name, mmap):
    write(path, BAD_HEADERS[name], b"\x02" * 8)
    with pytest.raises(FileFormatError, match="is no valid safetensors file: "):
        load(path, mmap=mmap)


BAD_STRUCTURES = [
    "{nothing", '{"dict": 1}', '{"dict": [1]}', '{"dict": [[1]]}', '{"dict": [[[1], 2]]}',
    '{"tensor": "y"}', '{"tensor": 0}', '{"tensor": []}', '{"tuple": {}}', '{"float": "1e3"}',
    '{"float": []}', '{"eval": "1"}', "{}", '{"tensor": "x", "dict": []}', "[" * 100_000,
    '{"dict": [[{"tensor": "x"}, 1]]}', "[NaN]", '{"tuple": [], "tuple": []}',
]  # fmt: skip


@pytest.mark.parametrize("structure", BAD_STRUCTURES, ids=lambda text: text[:30])
def test_bad_structure(path, structure):
    write(path, {"__metadata__": {"lucid": structure}, "x": entry()}, b"\0" * 8)
    with pytest.raises(FileFormatError):
        load(path)


def test_truncated_anywhere(path):
    save({"model": {"w": np.arange(5.0)}, "n": 1}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(FileFormatError, match=f"but the file has {len(whole) + 1} bytes"):
        load(path)


def test_a_header_length_allocates_nothing(path):
    for length, message in [(2**63, "at most 100000000"), (99_999_999, "should have 99999999")]:
        write(path, b"{}", length=length)
        with pytest.raises(FileFormatError, match=message):
            load(path)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutations_load_or_say_what_is_wrong(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "file"
    save({"m": {"w": np.arange(4, dtype=np.int16), "b": np.array([True])}, "s": [1.5, ()]}, path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        new = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"}", b'"', b"[", b"9", b"-"]))
        )
        drop = data.draw(st.integers(0, 4))
        raw[at : at + drop] = new
    path.write_bytes(raw)
    for mmap in (False, True):
        with contextlib.suppress(FileFormatError):
            load(path, mmap=mmap)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize(
    ("obj", "where"),
    [
        ({"a": print}, r"obj\['a'\] must be .* got builtin_function"),
        ({"a": [1, {"b": b"x"}]}, r"obj\['a'\]\[1\]\['b'\] must be .* got bytes"),
        ({"a": 1j}, "got complex"),
        ({(1, 2): 1}, "the keys of obj must be strings or numbers; got tuple"),
        ({"a": np.zeros(1, np.complex128)}, r"obj\['a'\] must have a dtype .* got complex128"),
        ({"a": [np.array(["x"])]}, r"obj\['a'\]\[0\] must have a dtype"),
        (object(), "obj must be .* got object"),
    ],
)
def test_what_cannot_be_saved(path, obj, where):
    path.write_bytes(b"old")
    with pytest.raises(TypeError, match=f"^save: .*{where}"):
        save(obj, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_bad_metadata(path):
    with pytest.raises(TypeError, match="metadata must map strings to strings"):
        save({}, path, metadata={"a": 1})
    with pytest.raises(ValueError, match="'lucid' is taken"):
        save({}, path, metadata={"lucid": "x"})


def test_a_structure_that_contains_itself(path):
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="not contain itself"):
        save(endless, path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(path, monkeypatch, failing):
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="no space left"):
        save({"x": np.zeros(10)}, path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_permissions_and_links(path):
    mask = os.umask(0)
    os.umask(mask)
    save({}, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    link = path.with_name("link")
    link.symlink_to(path)
    save({"x": np.ones(1)}, link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(load(path)) == ["x"]
