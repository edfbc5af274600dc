"""The pickle reader: what it reads, what it refuses, and that nothing runs."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import subprocess
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sgcli.models.foreign import arrays, torch_files
from sgcli.models.foreign.pickles import MAX_DEPTH, MAX_OPCODES, Global, PickleError, Record, read_pickle
from tests.models.foreign.pickle_writer import dump, write_pickle

NAMES = arrays.NAMES | torch_files.NAMES

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.sets(st.text(max_size=5))
    ),
    max_leaves=12,
)


def read(data: bytes, allowed=NAMES):
    return read_pickle(io.BytesIO(data), allowed)


def assert_refused(data: bytes, *words: str) -> None:
    with pytest.raises(PickleError) as caught:
        read(data)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@given(plain_values, st.integers(2, 5))
@settings(max_examples=100, deadline=None)
def test_plain_values_of_every_protocol(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", "i8", "u1", "?"])
def test_arrays_of_every_protocol(protocol, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    for case in (array, np.asfortranarray(array), array[0, 0]):
        found = arrays.to_array(read(pickle.dumps(case, protocol)))
        np.testing.assert_array_equal(found, case)


def test_arrays_of_python_2():
    """Bytes are text in the encoding latin-1 there."""
    array = np.linspace(-1, 1, 5, dtype="f4")
    dtype = Record("numpy.dtype", ("f4", 0, 1), (3, "<", None, None, None, -1, -1, 0))
    state = (1, (5,), dtype, False, array.tobytes().decode("latin-1"))
    record = Record("numpy.core.multiarray._reconstruct", (Global("numpy.ndarray"), (0,), "b"), state)
    np.testing.assert_array_equal(arrays.to_array(read(write_pickle(record))), array)


# ----- what would run code


class Trap:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A file that every attack tries to make."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists(), "the pickle ran code"


@pytest.mark.parametrize("protocol", range(6))
def test_calls_are_refused_before_they_run(marker, protocol):
    command = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    traps = {
        "system": Trap(os.system, command),
        "eval": Trap(builtins.eval, code),
        "exec": Trap(builtins.exec, code),
        "Popen": Trap(subprocess.Popen, ["touch", str(marker)]),
        "getattr": Trap(builtins.getattr, "", "format"),
        "open": Trap(open, str(marker), "w"),
        "load": Trap(torch.load, str(marker)),
        "numpy": Trap(np.save, str(marker), [1]),
        "import": Trap(builtins.__import__, "os"),
    }
    for name, trap in traps.items():
        for content in (trap, {"G_ema": trap}, [1, (trap,)]):
            assert_refused(pickle.dumps(content, protocol), "is refused: it asks for", "" if name == "numpy" else name)


@pytest.mark.parametrize(
    "route",
    [
        b"cos\nsystem\n(X%sttR.",                                      # GLOBAL … REDUCE
        b"\x8c\x02os\x8c\x06system\x93(X%sttR.",                       # STACK_GLOBAL
        b"\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93(X%sttR.",    # with names recalled from the memo
        b"(X%stios\nsystem\n.",                                        # INST
        b"(cos\nsystem\nX%sto.",                                       # OBJ
        b"cos\nsystem\n(X%stt\x81.",                                   # NEWOBJ
        b"cos\nsystem\n(X%stt}\x92.",                                  # NEWOBJ_EX
        b"ctorch\n_utils._rebuild_tensor_v2.__globals__\n.",           # an attribute of something allowed
        b"ctorch\nutils.data\n.",
        b"cnumpy.core.multiarray\n_reconstruct \n.",
        b"\x82\x01.",                                                  # EXT1
        b"\x84\xff\xff\xff\x7f.",                                      # EXT4
    ],
    ids=range(12),
)  # fmt: skip
def test_every_route_to_a_call(marker, route):
    command = f"touch {marker}".encode()
    if b"%s" in route:
        route = route.replace(b"X%st", b"X" + struct.pack("<I", len(command)) + command)
    assert_refused(b"\x80\x04" + route)


@pytest.mark.parametrize(
    ("program", "word"),
    [
        (b"]}b.", "sets the state of a list"),
        (b"cnumpy\ndtype\n}b.", "sets the state of a Global"),
        (b"X\x01\x00\x00\x00a(tR.", "a call is made to a str"),
        (b"cnumpy\ndtype\n)R)R.", "a call is made to a Record"),      # what a call returned is not called
        (b"cnumpy\ndtype\n]R.", "a call is given a list"),
        (b"}](K\x01es.", ""),                                         # a list as a key
        (b"}K\x01\x85K\x01s.", "a tuple as a key"),
        (b"h\x05.", ""),                                              # recalled, never stored
        (b"0.", ""),                                                  # pop from nothing
        (b"t.", ""),
        (b"Pabc\n.", "outside of itself"),
        (b"K\x01Q.", "outside of itself"),
        (b"\x97.", "NEXT_BUFFER"),
        (b"\x80\x09.", "protocol 9"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-7\x86R.", "encoding"),
    ],
)  # fmt: skip
def test_tricks_with_the_machine(program, word):
    assert_refused(b"\x80\x04" + program, word)


def test_names_of_a_file_cannot_write_to_the_terminal():
    with pytest.raises(PickleError) as caught:
        read(write_pickle(Global("os\x1b[31m.sys\x07tem")).replace(b"os", b"o"))
    assert str(caught.value).isprintable()


def test_containers_that_hold_themselves():
    value = read(b"\x80\x04]\x94h\x00a.")
    assert value[0] is value


# ----- nested streams


def storage_bytes(tensor: torch.Tensor) -> bytes:
    """What `torch.storage._load_from_bytes` is given: how tensors are stored inside ordinary pickles."""
    storage = torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True)
    stream = io.BytesIO()
    torch.save(storage, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def tensor_record(data: bytes, size=(2, 3), stride=(3, 1), offset=0) -> Record:
    storage = Record("torch.storage._load_from_bytes", (data,))
    return Record("torch._utils._rebuild_tensor_v2", (storage, offset, size, stride, False, {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.int64])
def test_tensors_inside_pickles(dtype):
    tensor = torch.arange(6).to(dtype)
    record = read(write_pickle(tensor_record(storage_bytes(tensor))))
    assert torch.equal(torch_files.to_tensor(record), tensor.view(2, 3))
    transposed = tensor_record(storage_bytes(tensor), (3, 2), (1, 3))
    assert torch.equal(torch_files.to_tensor(transposed), tensor.view(2, 3).T)


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [((7,), (1,), 0), ((2, 3), (4, 1), 0), ((2, 3), (3, 1), 1), ((10**12,), (0,), 0), ((2,), (-1,), 3),
     ((2,), (1,), -1), ((-2,), (1,), 0), ((2.0,), (1,), 0), ((2, 3), (3,), 0), ((1,) * 9, (1,) * 9, 0),
     ((2**62, 4), (0, 0), 0)],
)  # fmt: skip
def test_tensors_that_reach_beyond_their_storage(size, stride, offset):
    with pytest.raises((PickleError, ValueError)):
        torch_files.to_tensor(tensor_record(storage_bytes(torch.zeros(6)), size, stride, offset))


def test_a_malicious_pickle_inside_a_storage(marker):
    for inner in (pickle.dumps(Trap(os.system, f"touch {marker}")), storage_bytes(torch.zeros(6)) + b"x", b"", b"\x80"):
        with pytest.raises(PickleError):
            record = tensor_record(inner)
            record.args[0].args = (inner[:-2] if inner else inner,)
            torch_files.to_tensor(record)
    first = pickle.dumps(torch_files.LEGACY_MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    with pytest.raises(PickleError, match="system"):
        torch_files.to_tensor(tensor_record(first + pickle.dumps(Trap(os.system, f"touch {marker}"), 2)))
    nested = Record("torch.storage._load_from_bytes", (storage_bytes(torch.zeros(6)),))
    with pytest.raises(PickleError, match="_load_from_bytes"):  # storages within storages are not needed by anyone
        torch_files.to_tensor(tensor_record(first + write_pickle(nested)))


def test_object_arrays_are_refused(marker):
    for content in (np.array([Trap(os.system, f"touch {marker}")], dtype=object), np.array([{}, 1], dtype=object)):
        data = pickle.dumps(content)
        with pytest.raises(PickleError, match="refused"):
            arrays.to_array(read(data))
    for dtype in ("M8[s]", "S4", "U4", "c8", [("a", "f4")]):
        with pytest.raises(PickleError):
            arrays.to_array(read(pickle.dumps(np.zeros(2, dtype))))


# ----- limits


@pytest.mark.parametrize(
    "claim",
    [b"B" + struct.pack("<I", 2**30), b"\x8e" + struct.pack("<Q", 2**30), b"\x8d" + struct.pack("<Q", 2**62),
     b"\x96" + struct.pack("<Q", 2**40), b"\x8b" + struct.pack("<i", 2**30), b"X" + struct.pack("<I", 2**31),
     b"T" + struct.pack("<i", 2**30), b"\x95" + struct.pack("<Q", 2**60) + b"K\x01", b"r\xff\xff\xff\x7f"],
    ids=["BINBYTES", "BINBYTES8", "BINUNICODE8", "BYTEARRAY8", "LONG4", "BINUNICODE", "BINSTRING", "FRAME", "PUT"],
)  # fmt: skip
def test_a_length_prefix_allocates_nothing(claim):
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(PickleError):
        read(b"\x80\x04" + claim + b"abc")
    assert time.process_time() - start < 1
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "shape", [(2**40,), (2**20, 2**20), (10**9,), (-1,), (2**63,), (0, 5), (1,) * 40, "12", (2.5,)]
)
def test_an_array_is_as_large_as_its_bytes(shape):
    dtype = Record("numpy.dtype", ("f4", False, True), (3, "<", None, None, None, -1, -1, 0))
    name = "numpy.core.multiarray._reconstruct"
    record = Record(name, (Global("numpy.ndarray"), (0,), b"b"), (1, shape, dtype, False, b"1234"))
    with pytest.raises(PickleError, match="does not fit"):
        arrays.to_array(record)


def test_steps_depth_and_copies_are_bounded():
    assert_refused(b"\x80\x04" + b"N0" * (MAX_OPCODES // 2 + 1) + b"N.", "steps")
    assert_refused(b"\x80\x04" + b"(" * (MAX_DEPTH + 1) + b".", "deep")
    many = b"](" + b"K\x01" * 1000 + b"e\x94"
    again = b"0cbuiltins\nset\nh\x00\x85R"
    assert_refused(b"\x80\x04" + many + again * 200 + b".", "again and again")


def test_deep_values_are_neither_hashed_nor_printed():
    """Python would run out of stack over a tuple that is nested so deep, and end."""
    deep = b")" + b"\x85" * 200_000
    value = read(b"\x80\x04" + deep + b".")
    assert_refused(b"\x80\x04}" + deep + b"K\x01s.", "a tuple as a key")
    dtype = Record("numpy.dtype", (value,))
    with pytest.raises(PickleError, match="type tuple"):
        arrays.to_array(Record("numpy.core.multiarray.scalar", (dtype, b"1234")))
    stream = b"".join(pickle.dumps(part, 2) for part in (torch_files.LEGACY_MAGIC, 1001, {"little_endian": True}, None))
    with pytest.raises(PickleError, match="no tensor"):
        torch_files.read_legacy(io.BytesIO(stream + b"\x80\x02](" + deep + b"e."), ())


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_a_value_or_a_pickle_error(data):
    try:
        read(b"\x80\x04" + data)
    except PickleError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 200


def test_the_writer_of_these_tests_and_the_reader_agree():
    value = {"a": [1, -5, 2**70, 1.5, None, True], "b": ("x", b"y", {"z"}), "c": Global("numpy.ndarray")}
    assert read(write_pickle(value)) == value
    assert dump(3) == b"\x8a\x01\x03"
