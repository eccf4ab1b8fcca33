"""Saving and loading in the safetensors file format.

A file is eight bytes of little-endian header length, a JSON header that gives each tensor's dtype,
shape and place, and the raw values. Reading one executes nothing: there is no pickle here.

A flat ``{name: tensor}`` (a ``state_dict``) is stored as just that, and exchanged with every other
program that knows the format. Anything nested keeps its tensors under dotted names and its shape
as JSON in the header's metadata, under the key ``lucid``: every value is either a plain JSON one
or an object of one entry that says what it is, such as ``{"tensor": "model.fc1.weight"}``.
"""

from __future__ import annotations

import json
import math
import mmap as memory_map
import os
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lucid._core import dtype as dtypes
from lucid._core.tape import wrap
from lucid._core.tensor import Tensor
from lucid.errors import FileFormatError

__all__ = ["load", "load_metadata", "save"]

Path = str | os.PathLike[str]

_CODES = {
    dtypes.bool_: "BOOL",
    dtypes.uint8: "U8",
    dtypes.int8: "I8",
    dtypes.int16: "I16",
    dtypes.int32: "I32",
    dtypes.int64: "I64",
    dtypes.float16: "F16",
    dtypes.float32: "F32",
    dtypes.float64: "F64",
    dtypes.complex64: "C64",
}
# What is in the file, and the dtype that holds every value of it.
_DTYPES = {code: (dtype.newbyteorder("<"), dtype) for dtype, code in _CODES.items()} | {
    "BF16": (np.dtype("<u2"), dtypes.float32),
    "U16": (np.dtype("<u2"), dtypes.int32),
    "U32": (np.dtype("<u4"), dtypes.int64),
}
_METADATA = "__metadata__"
_STRUCTURE = "lucid"
_MAX_HEADER = 100_000_000  # as the format's own implementation has it
_MAX_DEPTH = 64


def save(obj: Any, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors, or a nested structure of them, to a safetensors file.

    The file appears under its name only when it is complete: whatever happens on the way, an older
    file of that name stays as it was.

    Args:
        obj: a dict of tensors or arrays, a Module (its ``state_dict()`` is saved), or dicts, lists
            and tuples of those, strings, numbers, bools and None, nested as a checkpoint is.
        path: the file's name; conventionally it ends in ``.safetensors``.
        metadata: short texts to go with it, for :func:`load_metadata`.

    Raises:
        TypeError: something in ``obj`` cannot be stored; the message says where it is.
        OSError: the file cannot be written.

    Example:
        >>> weights = {"weight": lucid.tensor([[1.0, 2.0]])}
        >>> lucid.save({"model": weights, "epoch": 3}, "checkpoint.safetensors")
        >>> lucid.load("checkpoint.safetensors")
        {'model': {'weight': tensor([[1., 2.]])}, 'epoch': 3}
    """
    texts = dict(metadata or {})
    for key, value in texts.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save: metadata must map strings to strings; got {key!r}: {value!r}")
    if _STRUCTURE in texts:
        raise ValueError(f"save: the metadata key {_STRUCTURE!r} is taken by lucid itself")
    if callable(getattr(obj, "state_dict", None)):
        obj = obj.state_dict()
    if _is_flat(obj):
        arrays = {name: _storable(value, f"obj[{name!r}]") for name, value in obj.items()}
    else:
        packer = _Packer()
        texts[_STRUCTURE] = json.dumps(packer.pack(obj, "obj", ()), separators=(",", ":"))
        arrays = packer.arrays
    header, order = _header(arrays, texts)
    with _replacing(os.path.realpath(os.fspath(path))) as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for name in order:
            stored = _DTYPES[_CODES[arrays[name].dtype]][0]
            array = arrays[name].astype(stored, order="C", copy=False)
            file.write(array.reshape(-1).view(np.uint8).data)


def load(path: Path, mmap: bool = False) -> Any:
    """Reads what :func:`save`, or any other program, has written as a safetensors file.

    Args:
        path: the file's name.
        mmap: map the file into memory instead of reading it: pages are fetched when they are
            first used. Writing to such a tensor changes the tensor and never the file; the file
            must not be shortened while the tensors are in use.

    Returns:
        A dict of tensors by name, or the structure that was saved. None of them requires grad.
        BF16 values come as float32, U16 as int32, U32 as int64, which hold them exactly.

    Raises:
        FileFormatError: the file is truncated or damaged, or not of this format, or holds a dtype
            that lucid has not.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        reader = _Reader(file, path)
        entries, texts, start = reader.header()
        if mmap:
            tensors = {name: wrap(array) for name, array in reader.mapped(entries, start)}
        else:
            tensors = {name: wrap(array) for name, array in reader.read(entries, start)}
        if _STRUCTURE not in texts:
            return tensors
        return reader.unpack(reader.json(texts[_STRUCTURE]), tensors)


def load_metadata(path: Path) -> dict[str, str]:
    """The texts that were saved with a file, without reading its tensors.

    Raises:
        FileFormatError: the file's header is damaged or not of the safetensors format.
    """
    with open(path, "rb") as file:
        _, texts, _ = _Reader(file, path).header()
    texts.pop(_STRUCTURE, None)
    return texts


# -------------------------------------------------------------------- writing


def _is_flat(obj: Any) -> bool:
    return isinstance(obj, Mapping) and all(
        isinstance(name, str) and name != _METADATA and isinstance(value, (Tensor, np.ndarray))
        for name, value in obj.items()
    )


def _storable(value: Tensor | np.ndarray, where: str) -> np.ndarray:
    array = value._data if isinstance(value, Tensor) else value
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in _CODES:
        raise TypeError(
            f"save: {where} must have a dtype that the file format knows "
            f"({', '.join(str(dtype) for dtype in _CODES)}); got {array.dtype}"
        )
    return array


class _Packer:
    """Takes a structure apart into plain JSON and named arrays, each tensor only once."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}

    def pack(self, value: Any, where: str, place: tuple[str, ...]) -> Any:
        if len(place) > _MAX_DEPTH:
            raise ValueError(
                f"save: obj must be nested at most {_MAX_DEPTH} levels deep, and not contain itself"
            )
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        if isinstance(value, (Tensor, np.ndarray)):
            return {"tensor": self._name(value, where, ".".join(place))}
        if isinstance(value, (list, tuple)):
            packed = [
                self.pack(item, f"{where}[{i}]", (*place, str(i))) for i, item in enumerate(value)
            ]
            return packed if isinstance(value, list) else {"tuple": packed}
        if isinstance(value, Mapping):
            return {"dict": [self._entry(key, item, where, place) for key, item in value.items()]}
        if callable(getattr(value, "state_dict", None)):
            return self.pack(value.state_dict(), where, place)
        raise TypeError(
            f"save: {where} must be a tensor, an array, a dict, list or tuple of such, a string, a "
            f"number, a bool or None; got {type(value).__name__}"
        )

    def _entry(self, key: Any, item: Any, where: str, place: tuple[str, ...]) -> list[Any]:
        if not (key is None or isinstance(key, (str, int, float))):
            raise TypeError(
                f"save: the keys of {where} must be strings or numbers; got {type(key).__name__}"
            )
        where = f"{where}[{key!r}]"
        return [self.pack(key, where, ()), self.pack(item, where, (*place, str(key)))]

    def _name(self, value: Tensor | np.ndarray, where: str, wanted: str) -> str:
        known = self._names.get(id(value))
        if known is not None:
            return known
        name, count = wanted, 1
        while name in self.arrays or name in ("", _METADATA):
            count += 1
            name = f"{wanted}#{count}"
        self.arrays[name] = _storable(value, where)
        self._names[id(value)] = name
        return name


def _header(arrays: dict[str, np.ndarray], texts: dict[str, str]) -> tuple[bytes, list[str]]:
    """The header, and the order of the data: wide elements first, so that all are aligned."""
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    places, end = {}, 0
    for name in order:
        places[name] = [end, end + arrays[name].nbytes]
        end += arrays[name].nbytes
    entries: dict[str, Any] = {_METADATA: texts} if texts else {}
    for name, array in arrays.items():
        entries[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": places[name],
        }
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if len(header) > _MAX_HEADER:
        raise ValueError(
            f"save: names and metadata must take at most {_MAX_HEADER} bytes; got {len(header)}"
        )
    return header, order


class _replacing:  # noqa: N801
    """A file that takes the place of ``path`` when the block ends well, and vanishes if not."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> BinaryIO:
        # Opened by hand and not by tempfile, so that the file's permissions follow the umask.
        self._temporary = os.path.join(
            os.path.dirname(self._path), f".{os.urandom(8).hex()}.lucid.tmp"
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(self._temporary, flags, 0o666), "wb")
        return self._file

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                if os.path.exists(self._path):
                    os.chmod(self._temporary, os.stat(self._path).st_mode & 0o7777)
            self._file.close()
            if kind is None:
                os.replace(self._temporary, self._path)
                _sync_folder(os.path.dirname(self._path))
        finally:
            self._file.close()
            if os.path.exists(self._temporary):
                os.unlink(self._temporary)


def _sync_folder(folder: str) -> None:
    """Makes the new name itself durable, where folders can be synchronised at all."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -------------------------------------------------------------------- reading


class _Entry(NamedTuple):
    name: str
    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


class _Reader:
    """Reads one file and believes nothing in it: every number is checked before it is used."""

    def __init__(self, file: BufferedReader, path: Path) -> None:
        self._file = file
        self._path = os.fspath(path)
        self._size = os.fstat(file.fileno()).st_size

    def error(self, what: str) -> FileFormatError:
        return FileFormatError(f"load: {self._path!r} is no valid safetensors file: {what}")

    def header(self) -> tuple[list[_Entry], dict[str, str], int]:
        """The tensors in the order of the header, the metadata, and where the data begins."""
        prefix = self._file.read(8)
        if len(prefix) < 8:
            raise self.error(f"it has {len(prefix)} bytes, and the header's length alone takes 8")
        length = int.from_bytes(prefix, "little")
        if length > _MAX_HEADER:
            raise self.error(f"the header must have at most {_MAX_HEADER} bytes; it gives {length}")
        if 8 + length > self._size:
            raise self.error(
                f"the header should have {length} bytes, but the file has {self._size}"
            )
        raw = self._file.read(length)
        if len(raw) < length or not raw.startswith(b"{"):
            raise self.error("the header must be a JSON object")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise self.error(f"the header must be UTF-8; {error.reason}") from None
        found = self.json(text)
        texts = found.pop(_METADATA, {})
        if not isinstance(texts, dict) or not all(isinstance(t, str) for t in texts.values()):
            raise self.error(f"{_METADATA} must map strings to strings")
        entries = [self._entry(name, entry) for name, entry in found.items()]
        end = 0
        for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
            if entry.begin != end:
                raise self.error(
                    f"the tensors must follow each other without gap or overlap; "
                    f"{entry.name!r} begins at {entry.begin} instead of {end}"
                )
            end = entry.end
        if 8 + length + end != self._size:
            raise self.error(
                f"its tensors end at byte {8 + length + end}, but the file has {self._size} bytes"
            )
        return entries, texts, 8 + length

    def json(self, text: str) -> Any:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) < len(pairs):
                raise self.error("a key appears twice in its JSON")
            return found

        def refuse(constant: str) -> None:
            raise self.error(f"{constant} is not JSON")

        try:
            return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        except FileFormatError:
            raise
        except RecursionError:
            raise self.error("its JSON is nested too deeply") from None
        except ValueError as error:
            raise self.error(f"its JSON cannot be read: {error}") from None

    def _entry(self, name: str, entry: Any) -> _Entry:
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise self.error(f"{name!r} must have exactly a dtype, a shape and data_offsets")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in _DTYPES:
            raise self.error(
                f"{name!r} has the dtype {code!r:.40}; lucid reads {', '.join(_DTYPES)}"
            )
        if not _are_sizes(shape) or len(shape) > 64:
            raise self.error(f"the shape of {name!r} must be a list of at most 64 sizes")
        if not _are_sizes(offsets) or len(offsets) != 2:
            raise self.error(f"the data_offsets of {name!r} must be a beginning and an end")
        begin, end = offsets
        itemsize = max(dtype.itemsize for dtype in _DTYPES[code])
        # NumPy cannot make an array of these sizes even where another size is 0.
        if math.prod(size for size in shape if size) * itemsize >= 1 << 63:
            raise self.error(f"the shape of {name!r} is too large")
        expected = math.prod(shape) * _DTYPES[code][0].itemsize
        if end - begin != expected:
            raise self.error(
                f"{name!r} of dtype {code} and shape {shape} takes {expected} bytes, "
                f"but its data_offsets are {begin} and {end}"
            )
        return _Entry(name, code, tuple(shape), begin, end)

    def read(self, entries: list[_Entry], start: int) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays, each in memory of its own."""
        for entry in entries:
            array = np.empty(entry.shape, _DTYPES[entry.code][0])
            self._file.seek(start + entry.begin)
            if self._file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
                raise self.error(f"it ends within {entry.name!r}")
            yield entry.name, self._finish(entry, array)

    def mapped(self, entries: list[_Entry], start: int) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays as parts of a private mapping of the file."""
        data = memory_map.mmap(self._file.fileno(), self._size, access=memory_map.ACCESS_COPY)
        for entry in entries:
            stored = _DTYPES[entry.code][0]
            count = math.prod(entry.shape)
            # frombuffer() refuses to begin at the end of the buffer, as an empty tensor may.
            array = (
                np.frombuffer(data, stored, count, start + entry.begin).reshape(entry.shape)
                if count
                else np.empty(entry.shape, stored)
            )
            yield entry.name, self._finish(entry, array)

    def _finish(self, entry: _Entry, array: np.ndarray) -> np.ndarray:
        """From what the file holds to what lucid computes with."""
        if entry.code == "BOOL" and (array.view(np.uint8) > 1).any():
            raise self.error(f"{entry.name!r} of dtype BOOL has bytes other than 0 and 1")
        if entry.code == "BF16":  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(dtypes.float32)
        wanted = _DTYPES[entry.code][1]
        if array.dtype != wanted or not array.flags.aligned:
            return array.astype(wanted)
        return array.view(wanted)  # with NumPy's one dtype object of that kind, not an equal one

    def unpack(self, value: Any, tensors: dict[str, Tensor]) -> Any:
        """The structure that `_Packer` took apart."""
        if isinstance(value, list):
            return [self.unpack(item, tensors) for item in value]
        if not isinstance(value, dict):
            return value
        kind, content = next(iter(value.items())) if len(value) == 1 else (None, None)
        if kind == "tensor" and isinstance(content, str) and content in tensors:
            return tensors[content]
        if kind == "tuple" and isinstance(content, list):
            return tuple(self.unpack(item, tensors) for item in content)
        if kind == "float" and content in ("nan", "inf", "-inf"):
            return float(content)
        if kind == "dict" and isinstance(content, list):
            return dict(self._pair(pair, tensors) for pair in content)
        raise self.error(f"the structure in its metadata has {value!r:.60}, which means nothing")

    def _pair(self, pair: Any, tensors: dict[str, Tensor]) -> tuple[Any, Any]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise self.error("the structure in its metadata has a dict entry that is no pair")
        key = self.unpack(pair[0], tensors)
        if not (key is None or isinstance(key, (str, int, float))):
            raise self.error("the structure in its metadata has a key that is no string or number")
        return key, self.unpack(pair[1], tensors)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)
