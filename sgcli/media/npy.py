"""Reading `.npy` arrays one after the other from a stream that may be hostile, truncated or something else altogether.

NumPy's own reader allocates what a header claims before it has seen any data. Here the header is judged first, and
memory grows only with the data that arrive. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from math import prod
from typing import BinaryIO

import numpy as np

from sgcli.errors import FormatError

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 10_000  # NumPy's own limit
MAX_ARRAY_BYTES = 1 << 36  # 64 GiB: beyond any set of latents or features
BLOCK_BYTES = 1 << 20
VERSIONS = {b"\1\0": np.lib.format.read_array_header_1_0, b"\2\0": np.lib.format.read_array_header_2_0}
REWRITE_HINT = "write plain numbers: numpy.save(file, array.astype('float32'), allow_pickle=False)"

CheckShape = Callable[[tuple[int, ...]], None]


def read_arrays(stream: BinaryIO, name: str, check_shape: CheckShape = lambda shape: None) -> list[np.ndarray]:
    """All arrays of real numbers in `stream`, as float32, in order.

    `name` stands for the stream in messages. `check_shape` is called with each array's shape before its data are read,
    and raises where it does not like it. Raises FormatError for anything but whole `.npy` files of finite numbers.
    """
    arrays: list[np.ndarray] = []
    while first := stream.read(1):
        where = f"{name} (array {len(arrays) + 1})" if arrays else name
        arrays.append(_read_array(first, stream, where, check_shape))
    if not arrays:
        raise FormatError(f"{name}: empty, a .npy array was expected", "check the command that should have written it")
    return arrays


def _read_array(first: bytes, stream: BinaryIO, name: str, check_shape: CheckShape) -> np.ndarray:
    shape, fortran_order, dtype = _read_header(first, stream, name)
    if dtype.kind not in "fiu":
        kind = "pickled Python objects" if dtype.hasobject else f"values of type {dtype}"
        raise FormatError(f"{name}: holds {kind}, real numbers were expected", REWRITE_HINT)
    check_shape(shape)
    data = _read_data(stream, shape, dtype, name)
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    with np.errstate(over="ignore"):  # what overflows float32 is found as an infinity
        array = np.ascontiguousarray(array, np.float32).reshape(shape)
    if not np.isfinite(array).all():
        raise FormatError(f"{name}: holds NaN or infinite values", "look for the step that made them")
    return array


def _read_header(first: bytes, stream: BinaryIO, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type. `first` is the byte of the array that is read already."""
    start = first + _read_up_to(stream, len(MAGIC) + 1)
    if not start.startswith(MAGIC[: len(start)]):
        raise FormatError(f"{name}: not a .npy array", "latents and arrays are .npy files, as numpy.save writes them")
    version = start[len(MAGIC) :]
    length_size = 2 if version == b"\1\0" else 4
    length_field = _read_up_to(stream, length_size)
    length = int.from_bytes(length_field, "little")
    if len(length_field) == length_size and (version not in VERSIONS or length > MAX_HEADER_BYTES):
        raise FormatError(f"{name}: a .npy header of an unusual kind", REWRITE_HINT)
    header = _read_up_to(stream, length)
    if len(length_field) < length_size or len(header) < length:
        raise FormatError(f"{name}: truncated within its .npy header", "copy or write the file again")
    try:
        parse = VERSIONS[version]
        shape, fortran_order, dtype = parse(io.BytesIO(length_field + header), max_header_size=MAX_HEADER_BYTES)
    except Exception as error:  # NumPy parses the header as Python source, which fails in many ways
        raise FormatError(f"{name}: a damaged .npy header", "copy or write the file again") from error
    if any(size < 0 for size in shape):
        raise FormatError(f"{name}: a damaged .npy header, shape {list(shape)}", "copy or write the file again")
    return shape, fortran_order, dtype


def _read_data(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype, name: str) -> bytearray:
    num_bytes = prod(shape) * dtype.itemsize
    claim = f"its header claims an array {list(shape)} of {num_bytes} bytes"
    if num_bytes > MAX_ARRAY_BYTES:
        raise FormatError(f"{name}: {claim}, more than the {MAX_ARRAY_BYTES} allowed", "split it into several files")
    num_left = _bytes_left_in_file(stream)
    data = bytearray() if num_left is not None and num_left < num_bytes else _read_up_to(stream, num_bytes)
    if len(data) < num_bytes:
        found = len(data) if num_left is None else num_left
        raise FormatError(f"{name}: truncated: {claim}, but {found} follow", "copy or write the file again")
    return data


def _read_up_to(stream: BinaryIO, num_bytes: int) -> bytearray:
    """`num_bytes` bytes, or fewer at the end of the stream. Memory grows with what arrives, not what is promised."""
    data = bytearray()
    while len(data) < num_bytes and (block := stream.read(min(num_bytes - len(data), BLOCK_BYTES))):
        data += block
    return data


def _bytes_left_in_file(stream: BinaryIO) -> int | None:
    """How much is left to read; None where only reading can tell (a pipe)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file of the operating system is behind it
        return None
    return status.st_size - stream.tell() if stat.S_ISREG(status.st_mode) else None
