"""Arrays in a stream: round trips, and streams that are damaged, hostile or something else."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sgcli.errors import FormatError
from sgcli.media.npy import read_arrays

some_arrays = arrays.arrays(
    st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i4", "|u1"]),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    elements={"allow_nan": False, "allow_infinity": False, "min_value": 0, "max_value": 100},
)


class Pipe(io.RawIOBase):
    """Hands out its data in pieces of at most `piece` bytes, and has no length."""

    def __init__(self, data: bytes, piece: int):
        self.buffer, self.piece = io.BytesIO(data), piece

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.buffer.read(min(size, self.piece))


def saved(*contents: np.ndarray) -> bytes:
    stream = io.BytesIO()
    for array in contents:
        np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def with_header(text: str, data: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + data


@given(st.lists(some_arrays, min_size=1, max_size=4), st.integers(1, 200), st.booleans())
def test_round_trip(contents, piece, fortran):
    if fortran:
        contents = [np.asarray(array, order="F") for array in contents]
    found = read_arrays(Pipe(saved(*contents), piece), "pipe")
    assert len(found) == len(contents)
    for array, expected in zip(found, contents, strict=True):
        assert array.dtype == np.float32 and array.flags.writeable and array.flags.c_contiguous
        np.testing.assert_array_equal(array, expected.astype(np.float32), strict=True)


def test_second_header_version():
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n"
    assert read_arrays(io.BytesIO(with_header(text, bytes(8), version=2)), "x")[0].tolist() == [0, 0]


@given(st.binary(max_size=300))
def test_noise_is_refused(data):
    with pytest.raises(FormatError):
        read_arrays(io.BytesIO(data), "noise")


@given(st.text(max_size=100))
def test_noise_in_a_header_is_refused(text):
    header = text.encode()
    with pytest.raises(FormatError):
        read_arrays(io.BytesIO(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header), "noise")


@pytest.mark.parametrize("in_file", [True, False])
@given(cut=st.integers(1, 999))
def test_truncation_is_noticed(tmp_path_factory, in_file, cut):
    data = saved(np.ones((20, 10), "f4"))
    data = data[: max(cut * len(data) // 1000, 1)]
    stream = io.BytesIO(data)
    if in_file:
        path = tmp_path_factory.mktemp("cut") / "a.npy"
        path.write_bytes(data)
        stream = path.open("rb")
    with stream, pytest.raises(FormatError, match=r"a\.npy: truncated") as raised:
        read_arrays(stream, "a.npy")
    assert raised.value.hint


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(500000, 500000)", "(10**3,)", "(-1, 512)", "(999999999, 8)"])
def test_hostile_sizes_allocate_nothing(shape, tmp_path):
    data = with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n", bytes(100))
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with path.open("rb") as file:
            for stream in (file, Pipe(data, 50)):
                with pytest.raises(FormatError, match=r"a\.npy: "):
                    read_arrays(stream, "a.npy")
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 an npz", "not a .npy array"),
        (saved(np.ones(3)) + b"garbage", r"\(array 2\): not a .npy array"),
        (with_header("", version=3), "unusual kind"),
        (with_header(" " * 20_000), "unusual kind"),
        (with_header("[" * 9_000), "damaged"),
        (saved(np.array([True])), "type bool"),
        (saved(np.array(["a"])), "type <U1"),
        (saved(np.array([1j])), "type complex128"),
        (saved(np.array([1.0, np.nan])), "NaN or infinite"),
        (saved(np.array([1e300])), "NaN or infinite"),
    ],
)
def test_what_is_refused(data, message):
    with pytest.raises(FormatError, match=f"a.npy.*{message}") as raised:
        read_arrays(io.BytesIO(data), "a.npy")
    assert raised.value.hint and "\n" not in raised.value.message


def test_pickles_are_never_loaded():
    class Bomb:
        def __reduce__(self):
            return sys.exit, ("a pickle was executed",)

    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    stream.seek(0)
    with pytest.raises(FormatError, match="pickled Python objects") as raised:
        read_arrays(stream, "a.npy")
    assert "allow_pickle=False" in raised.value.hint


def test_shapes_are_judged_before_the_data_are_read():
    def refuse(shape):
        raise FormatError(f"not {shape}")

    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}\n"
    with pytest.raises(FormatError, match=r"not \(1000000000000, 3\)"):
        read_arrays(io.BytesIO(with_header(text)), "a.npy", refuse)
