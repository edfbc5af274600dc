"""Pickles read as data.

A pickle is a program for a small stack machine, and Python's own machine lets it call whatever can be imported. This
one makes numbers, strings, lists, dicts and sets, and notes everything else down as a `Record`: a name and what was
handed to it. Only listed names may occur, and even those are never imported or called. What the records mean (an array,
a tensor, a network) is decided afterwards, by code that knows the format (`models.foreign.official` and the like).

Time and memory are bounded by the size of the file: a value takes up its own bytes there, and copies are counted.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_OPCODES = 1_000_000  # published checkpoints have some ten thousand
MAX_DEPTH = 500  # of containers within containers
HIGHEST_PROTOCOL = 5


class PickleError(ValueError):
    """A pickle asks for something that is not allowed, or is damaged. The message goes after the file's name."""


@dataclass(eq=False)
class Record:
    """What a pickle would have called: `name` (module and attribute) with `args`, and the `state` it was to get."""

    name: str
    args: tuple = ()
    state: Any = None


@dataclass(frozen=True)
class Global:
    """A name on its own: a class or function that the pickle refers to."""

    name: str


def read_pickle(
    stream: BinaryIO,
    allowed: Iterable[str],
    load_persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Read one pickle from `stream` (which must hold its bytes in memory) and stop behind it.

    allowed          names that may occur besides those of plain containers, such as "numpy.dtype".
    load_persistent  what to make of the keys of objects that are stored outside the pickle; None: there are none.
    Raises PickleError.
    """
    try:
        return _Machine(frozenset(allowed), load_persistent).run(stream)
    except PickleError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise PickleError(f"is damaged, or no pickle ({printable(str(error))})") from error


class _Machine:
    def __init__(self, allowed: frozenset[str], load_persistent: Callable[[Any], Any] | None):
        self.allowed = allowed
        self.load_persistent = load_persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lies under each mark
        self.memo: dict[int, Any] = {}
        self.copies_left = 0  # items and characters that calls may copy, so that none is copied again and again

    def run(self, stream: BinaryIO) -> Any:
        start = stream.tell()
        self.copies_left = stream.seek(0, io.SEEK_END) - start
        stream.seek(start)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if count > MAX_OPCODES:
                raise PickleError(f"is refused: more than {MAX_OPCODES} steps")
            step = _STEPS.get(opcode.name)
            if step is None:
                raise PickleError(f"is refused: it uses {opcode.name}, which no checkpoint needs")
            step(self, argument)
        raise PickleError("is cut off")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: None) -> None:
        if len(self.below) >= MAX_DEPTH:
            raise PickleError(f"is refused: containers nested more than {MAX_DEPTH} deep")
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def drop_mark(self, _: None) -> None:
        self.pop_mark()

    def pop(self, _: None) -> None:
        self.stack.pop()

    # ----- memory of earlier values

    def remember(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def recall(self, index: int) -> None:
        self.push(self.memo[index])

    # ----- containers

    def make_tuple(self, size: int) -> None:
        items = self.stack[len(self.stack) - size :] if len(self.stack) >= size else []
        if len(items) != size:
            raise PickleError("is damaged (a tuple of values that are not there)")
        del self.stack[len(self.stack) - size :]
        self.push(tuple(items))

    def append(self, items: list[Any]) -> None:
        _expect(self.stack[-1], list, "items are added to").extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = _expect(self.stack[-1], dict, "items are set in")
        for key, value in _pairs(items):
            target[_checked_key(key)] = value

    def add_items(self, items: list[Any]) -> None:
        _expect(self.stack[-1], set, "items are added to").update(_checked_key(item) for item in items)

    # ----- names, and what would have been called

    def name(self, module: Any, attribute: Any) -> None:
        name = f"{module}.{attribute}"
        if name not in self.allowed and name not in _CONTAINERS:
            raise PickleError(f"is refused: it asks for {printable(name)}, which no checkpoint needs")
        self.push(Global(name))

    def name_in_line(self, names: str) -> None:
        self.name(*names.split(" ", 1))

    def name_from_stack(self, _: None) -> None:
        module, attribute = self.stack[-2:]
        del self.stack[-2:]
        self.name(_expect(module, str, "a module is named by"), _expect(attribute, str, "a class is named by"))

    def call(self, function: Any, args: Any) -> None:
        name = _expect(function, Global, "a call is made to").name
        args = _expect(args, tuple, "a call is given")
        make = _CONTAINERS.get(name)
        if make is None:
            self.push(Record(name, args))
            return
        self.copies_left -= sum(len(arg) for arg in args if hasattr(arg, "__len__"))
        if self.copies_left < 0:
            raise PickleError("is refused: it copies the same values again and again")
        self.push(make(*args))

    def call_from_stack(self, _: None) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.call(function, args)

    def call_from_mark(self, _: None) -> None:
        function, *args = self.pop_mark()
        self.call(function, tuple(args))

    def call_name_in_line(self, names: str) -> None:
        args = self.pop_mark()
        self.name_in_line(names)
        self.call(self.stack.pop(), tuple(args))

    def build(self, _: None) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # attributes of a dict (torch's _metadata) are of no interest
            raise PickleError(f"is refused: it sets the state of a {type(target).__name__}")

    def persistent(self, key: Any) -> None:
        if self.load_persistent is None:
            raise PickleError("is refused: it refers to objects outside of itself")
        self.push(self.load_persistent(key))


def printable(value: Any, length: int = 80) -> str:
    """A value of a file as it may stand in an error line. Containers are named only: printing one may never end."""
    if isinstance(value, int) and abs(value) > 2**64:
        return "a huge number"
    text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else type(value).__name__
    return "".join(character if character.isprintable() else "?" for character in text[:length])


def _expect(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise PickleError(f"is damaged ({what} a {type(value).__name__})")
    return value


def _pairs(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _checked_key(key: Any) -> str | int:
    """Keys whose hash cannot be made expensive or deep."""
    if isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**32):
        return key
    raise PickleError(f"is refused: a {type(key).__name__} as a key")


def _make_dict(items: Iterable[Any] = ()) -> dict:
    return {_checked_key(key): value for key, value in items}


def _make_set(items: Iterable[Any] = ()) -> set:
    return {_checked_key(item) for item in items}


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 holds bytes."""
    if encoding != "latin1":
        raise PickleError(f"is refused: text in the encoding {printable(encoding)}")
    return text.encode("latin-1")


_CONTAINERS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _make_dict,
    "collections.defaultdict": lambda *_: {},
    "dnnlib.util.EasyDict": _make_dict,
    "builtins.set": _make_set,
    "__builtin__.set": _make_set,
    "_codecs.encode": _encode,
    "__builtin__.bytes": lambda: b"",  # protocol 2's empty bytes; with arguments it would make any number of them
}

_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip


def _check_protocol(machine: _Machine, protocol: int) -> None:
    if protocol > HIGHEST_PROTOCOL:
        raise PickleError(f"is a pickle of protocol {protocol}; up to {HIGHEST_PROTOCOL} is known")


# What each opcode does, given the machine and the argument that follows it in the stream. Not here, and so refused:
# extension codes, buffers outside the pickle, frozen sets.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_VALUES, _Machine.push),
    "PROTO": _check_protocol,
    "FRAME": lambda machine, _: None,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.drop_mark,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "MEMOIZE": _Machine.remember,
    "PUT": _Machine.remember,
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "GET": _Machine.recall,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "DICT": lambda machine, _: machine.push(_make_dict(_pairs(machine.pop_mark()))),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.pop_mark()),
    "GLOBAL": _Machine.name_in_line,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "REDUCE": _Machine.call_from_stack,
    "NEWOBJ": _Machine.call_from_stack,
    "INST": _Machine.call_name_in_line,
    "OBJ": _Machine.call_from_mark,
    "BUILD": _Machine.build,
    "PERSID": _Machine.persistent,
    "BINPERSID": lambda machine, _: machine.persistent(machine.stack.pop()),
}
