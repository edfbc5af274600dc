"""Writing pickles of any content, `Record`s and `Global`s included: Python's own can only name what exists."""

from __future__ import annotations

import struct
from typing import Any

from sgcli.models.foreign.pickles import Global, Record


def write_pickle(value: Any) -> bytes:
    """A pickle (protocol 3) that the reader turns into `value` again."""
    return b"\x80\x03" + dump(value) + b"."


def dump(value: Any) -> bytes:
    """The opcodes that push `value`."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(dump, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(dump, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(dump(key) + dump(item) for key, item in value.items()) + b"u"
    if isinstance(value, set):
        return dump(Record("builtins.set", (list(value),)))
    if isinstance(value, Global):
        module, _, attribute = value.name.rpartition(".")
        return f"c{module}\n{attribute}\n".encode()
    if isinstance(value, Record):
        made = dump(Global(value.name)) + dump(value.args) + b"R"
        return made if value.state is None else made + dump(value.state) + b"b"
    raise TypeError(f"{type(value).__name__} cannot be written")
