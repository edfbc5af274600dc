"""NumPy arrays and numbers from the records of a pickle (`models.foreign.pickles`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sgcli.models.foreign.pickles import PickleError, Record, printable

_MODULES = ("numpy.core", "numpy._core")  # before and since NumPy 2
_RECONSTRUCT = {f"{module}.multiarray._reconstruct" for module in _MODULES}
_SCALAR = {f"{module}.multiarray.scalar" for module in _MODULES}
_FROMBUFFER = {f"{module}.numeric._frombuffer" for module in _MODULES}
NAMES = {"numpy.dtype", "numpy.ndarray", *_RECONSTRUCT, *_SCALAR, *_FROMBUFFER}

_TYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
MAX_RANK = 8


def is_array(value: Any) -> bool:
    """Whether `value` is the record of an array, or of one number of NumPy's."""
    return isinstance(value, Record) and value.name in _RECONSTRUCT | _SCALAR | _FROMBUFFER


def to_array(record: Record) -> np.ndarray:
    """The array that `record` describes, of exactly the bytes that the file holds for it; read-only.

    Raises PickleError for arrays of anything but numbers, and for those that do not fit their bytes.
    """
    shape: Any
    order: Any
    if record.name in _SCALAR:
        dtype, data = record.args
        shape, order = (), "C"
    elif record.name in _FROMBUFFER:
        data, dtype, shape, order = record.args
    else:
        if not isinstance(record.state, tuple):
            raise PickleError("is damaged (an array without content)")
        shape, dtype, is_fortran, data = record.state[-4:]
        order = "F" if is_fortran else "C"
    dtype = _to_dtype(dtype)
    if isinstance(data, str):  # bytes, as Python 2 wrote them
        data = data.encode("latin-1")
    sizes_fit = isinstance(shape, tuple) and len(shape) <= MAX_RANK and all(type(n) is int and n >= 0 for n in shape)
    if not sizes_fit or not isinstance(data, bytes | bytearray) or len(data) != math.prod(shape) * dtype.itemsize:
        raise PickleError("is damaged (an array whose shape does not fit its content)")
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _to_dtype(record: Any) -> np.dtype:
    if not isinstance(record, Record) or record.name != "numpy.dtype":
        raise PickleError("is damaged (an array without a number type)")
    code = record.args[0]
    if code in ("O", "O4", "O8"):
        raise PickleError("is refused: it holds an array of Python objects")
    if not isinstance(code, str) or code not in _TYPES:
        raise PickleError(f"is refused: it holds an array of type {printable(code)}")
    order = record.state[1] if isinstance(record.state, tuple) else "="
    return np.dtype(code).newbyteorder(">" if order == ">" else "<")


def to_plain(value: Any) -> Any:
    """NumPy's numbers as Python's; everything else as it is."""
    if not is_array(value):
        return value
    array = to_array(value)
    return array.item() if array.ndim == 0 else array
