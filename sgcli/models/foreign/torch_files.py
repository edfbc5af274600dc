"""What `torch.save` writes, read as data: tensors and their storages, in a zip archive or in the older stream.

The zip (since PyTorch 1.6) holds `data.pkl` and one file per storage. The older form is a chain of pickles followed by
the raw numbers; modules inside other pickles keep their tensors in it to this day (spec stylegan2-ada §3.3).
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from sgcli.models.foreign import arrays
from sgcli.models.foreign.pickles import Global, PickleError, Record, read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

_STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_TENSORS = {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"}
_PARAMETER = "torch._utils._rebuild_parameter"
_NESTED = "torch.storage._load_from_bytes"
_VALUES = {"torch.Size", "torch.device", "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16"}
NAMES = {*_STORAGES, *_TENSORS, _PARAMETER, _NESTED, *_VALUES}


@dataclass(eq=False)
class Storage:
    """A row of numbers that tensors are cut from; its bytes are read when they are needed."""

    dtype: torch.dtype
    size: int
    read: Callable[[], bytes] | None = None

    def numbers(self) -> torch.Tensor:  # [size]
        data = self.read() if self.read else b""
        if len(data) != self.size * self.dtype.itemsize:
            raise PickleError(f"is damaged (a storage of {self.size} numbers with {len(data)} bytes)")
        return torch.frombuffer(bytearray(data), dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)


def is_tensor(value: Any) -> bool:
    """Whether `value` is the record of a tensor or parameter."""
    return isinstance(value, Record) and value.name in {*_TENSORS, _PARAMETER}


def to_tensor(record: Any) -> torch.Tensor:
    """The tensor that the record of a tensor, a parameter or an array describes, on the CPU, in native byte order.

    Raises PickleError where it would be larger than its storage or lies beyond it.
    """
    if isinstance(record, Record) and record.name == _PARAMETER:
        record = record.args[0]
    if arrays.is_array(record):
        array = arrays.to_array(record)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    if not isinstance(record, Record) or record.name not in _TENSORS:
        raise PickleError("is damaged (something else in the place of a tensor)")
    storage, offset, size, stride = record.args[:4]
    size, stride = _sizes(size), _sizes(stride)
    numbers = _to_storage(storage).numbers()
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = math.prod(size)
    if type(offset) is not int or offset < 0 or count > len(numbers) or (count > 0 and last >= len(numbers)):
        raise PickleError("is damaged (a tensor that reaches beyond its storage)")
    return numbers.as_strided(size, stride, offset)


def _sizes(value: Any) -> tuple[int, ...]:
    if isinstance(value, Record) and value.name == "torch.Size":
        value = value.args[0]
    if isinstance(value, tuple) and len(value) <= arrays.MAX_RANK and all(type(n) is int and n >= 0 for n in value):
        return value
    raise PickleError("is damaged (a tensor without a shape)")


def _to_storage(value: Any) -> Storage:
    if isinstance(value, Record) and value.name == _NESTED:
        (data,) = value.args
        if not isinstance(data, bytes):
            raise PickleError("is damaged (a storage that is not bytes)")
        value = read_legacy(io.BytesIO(data), allowed=())
    if not isinstance(value, Storage):
        raise PickleError("is damaged (a tensor without a storage)")
    return value


def _new_storage(key: Any) -> tuple[str, Storage]:
    """What a pickle says in the place of a storage: ("storage", type, name, device, size)."""
    kind, type_, name, _, size, *view = key
    dtype = _STORAGES.get(type_.name) if isinstance(type_, Global) else None
    if kind != "storage" or dtype is None or not isinstance(name, str) or type(size) is not int or size < 0:
        raise PickleError("is damaged (a storage that is none)")
    if view not in ([], [None]):
        raise PickleError("is refused: views of storages, as PyTorch 0.3 wrote them")
    return name, Storage(dtype, size)


def read_legacy(stream: BinaryIO, allowed: Iterable[str]) -> Any:
    """Read the older form from `stream`, which holds its bytes in memory. See `pickles.read_pickle` for `allowed`."""
    if read_pickle(stream, ()) != LEGACY_MAGIC or read_pickle(stream, ()) != LEGACY_PROTOCOL:
        raise PickleError("is damaged (a torch.save stream without its magic number)")
    system = read_pickle(stream, ())
    _check_byte_order(system.get("little_endian") is True)
    storages: dict[str, Storage] = {}

    def load_persistent(key: Any) -> Storage:
        name, storage = _new_storage(key)
        return storages.setdefault(name, storage)

    content = read_pickle(stream, {*allowed, *_STORAGES}, load_persistent)
    for name in read_pickle(stream, ()):
        storage = storages.get(name) if isinstance(name, str) else None
        if storage is None:
            raise PickleError("is damaged (numbers that belong to no tensor)")
        size = int.from_bytes(stream.read(8), "little")
        if size != storage.size:
            raise PickleError(f"is damaged or cut off (a storage of {storage.size} numbers with {size})")
        data = stream.read(size * storage.dtype.itemsize)
        storage.read = lambda data=data: data
    return content


def is_torch_zip(archive: zipfile.ZipFile) -> bool:
    return any(name.endswith("/data.pkl") for name in archive.namelist())


def read_zip(archive: zipfile.ZipFile, allowed: Iterable[str]) -> Any:
    """Read the zip form; storages on demand, from the open archive. See `pickles.read_pickle` for `allowed`."""
    pickle_name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
    root = pickle_name.removesuffix("data.pkl")
    if f"{root}byteorder" in archive.namelist():
        _check_byte_order(read_stored(archive, f"{root}byteorder") == b"little")

    def load_persistent(key: Any) -> Storage:
        name, storage = _new_storage(key)
        storage.read = lambda: read_stored(archive, f"{root}data/{name}")
        return storage

    data = read_stored(archive, pickle_name)
    return read_pickle(io.BytesIO(data), {*allowed, *_STORAGES}, load_persistent)


def read_stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """One file of a zip, which must not be compressed: a small archive cannot unpack to a large one."""
    try:
        entry = archive.getinfo(name)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise PickleError(f"is refused: {entry.filename} in it is compressed, which no checkpoint's is")
        return archive.read(entry)
    except (KeyError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise PickleError(f"is damaged ({error})") from error


def _check_byte_order(is_little: bool) -> None:
    if not is_little:
        raise PickleError("was written on a big-endian machine, which is not supported")
