"""Inputs and results: files, folders, pipes and terminals."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.media import streams
from sgcli.media.pictures import decode_picture

GREY = np.full((3, 4, 4), 128, np.uint8)


def pipe_in(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


# ----- latents


def test_latents_of_a_file(tmp_path):
    z = np.random.default_rng(0).normal(size=(3, 8))
    np.save(tmp_path / "z.npy", z)
    (found,) = streams.read_latents(tmp_path / "z.npy", z_dim=8, num_ws=4, w_dim=6)
    np.testing.assert_array_equal(found, z.astype(np.float32), strict=True)


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=4))
def test_latents_of_concatenated_files(sizes):
    arrays = [np.random.default_rng(n).normal(size=(n, 8) if is_z else (n, 4, 6)).astype("f4") for n, is_z in sizes]
    stream = io.BytesIO()
    for array in arrays:
        np.save(stream, array)
    with pytest.MonkeyPatch.context() as monkeypatch:
        pipe_in(monkeypatch, stream.getvalue())
        found = streams.read_latents("-", z_dim=8, num_ws=4, w_dim=6)
    for array, expected in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(array, expected, strict=True)


def test_latents_of_any_size(tmp_path):
    np.save(tmp_path / "w.npy", np.zeros((1, 2, 3)))
    assert streams.read_latents(tmp_path / "w.npy")[0].shape == (1, 2, 3)
    assert streams.read_latents(tmp_path / "w.npy", z_dim=8, num_ws=2)[0].shape == (1, 2, 3)


@pytest.mark.parametrize("shape", [(8,), (3, 7), (0, 8), (3, 5, 6), (3, 4, 7), (0, 4, 6), (1, 1, 4, 6), ()])
def test_wrong_shapes_are_named_with_the_wanted_ones(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(FormatError) as raised:
        streams.read_latents(tmp_path / "a.npy", z_dim=8, num_ws=4, w_dim=6)
    assert all(text in raised.value.message for text in ("a.npy", str(list(shape)), "[N, 8]", "[N, 4, 6]"))
    assert raised.value.hint


def test_inputs_that_cannot_be_opened(tmp_path, monkeypatch):
    with pytest.raises(SgError, match="no such file"):
        streams.read_latents(tmp_path / "missing.npy")
    with pytest.raises(SgError, match="is a folder"):
        streams.read_latents(tmp_path)
    pipe_in(monkeypatch, b"")
    with pytest.raises(FormatError, match="standard input: empty"):
        streams.read_latents("-")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    with pytest.raises(UsageError, match="terminal"):
        streams.read_latents("-")


def test_read_picture(tmp_path, monkeypatch):
    streams.write_picture(GREY, tmp_path / "x.png")
    np.testing.assert_array_equal(streams.read_picture(tmp_path / "x.png"), GREY)
    pipe_in(monkeypatch, (tmp_path / "x.png").read_bytes())
    np.testing.assert_array_equal(streams.read_picture("-"), GREY)


# ----- results


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3), "f4"), np.ones((2, 3, 4), "f4").T, np.float32([[7]]), torch.ones(2, 1)]
)
def test_arrays_to_a_file_and_to_stdout(tmp_path, capfdbinary, array):
    streams.write_array(array, tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.asarray(array), strict=True)
    for out in (None, "-"):
        streams.write_array(array, out)
        assert capfdbinary.readouterr().out == (tmp_path / "a.npy").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_written_arrays_are_read_one_after_the_other(tmp_path):
    streams.write_array(np.zeros((2, 8), "f4"), tmp_path / "a.npy")
    streams.write_array(np.ones((1, 4, 6), "f4"), tmp_path / "b.npy")
    (tmp_path / "ab.npy").write_bytes((tmp_path / "a.npy").read_bytes() + (tmp_path / "b.npy").read_bytes())
    assert [array.shape for array in streams.read_latents(tmp_path / "ab.npy", 8, 4, 6)] == [(2, 8), (1, 4, 6)]


def test_a_terminal_is_spared(monkeypatch, capsysbinary):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for write in (
        lambda: streams.write_array(np.zeros((1, 2)), None),
        lambda: streams.write_picture(GREY, None),
        lambda: streams.picture_writer(None, 1),
        lambda: streams.picture_writer(None, 3),
    ):
        with pytest.raises(UsageError, match="terminal") as raised:
            write()
        assert "-o" in raised.value.hint
    assert capsysbinary.readouterr().out == b""


def test_several_pictures_to_a_folder(tmp_path):
    folder = tmp_path / "new" / "folder"
    streams.write_pictures([GREY, GREY], ["seed0000", "seed0001"], folder, {"note": "kept"})
    assert sorted(path.name for path in folder.iterdir()) == ["seed0000.png", "seed0001.png"]
    streams.write_pictures([GREY], ["seed0002"], f"{tmp_path}/new/folder/")
    assert len(list(folder.iterdir())) == 3


def test_one_picture_to_stdout_and_to_a_file(tmp_path, capfdbinary):
    streams.write_pictures([GREY], ["seed0000"], None)
    np.testing.assert_array_equal(decode_picture(capfdbinary.readouterr().out, "stdout"), GREY)
    streams.write_pictures([GREY], ["seed0000"], tmp_path / "x.PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["x.PNG"]


@pytest.mark.parametrize("out", [None, "-", "x.png"])
def test_several_pictures_into_one_place(out, capfdbinary):
    with pytest.raises(UsageError, match="2 pictures") as raised:
        streams.write_pictures([GREY, GREY], ["a", "b"], out)
    assert all(choice in raised.value.hint for choice in ("--grid", "--format npy", "-o folder/"))
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize(("name", "hint"), [("x.jpg", "x.png"), ("x.npy", "--format npy")])
def test_names_of_other_formats(tmp_path, name, hint):
    for write in (lambda out: streams.write_picture(GREY, out), lambda out: streams.picture_writer(out, 2)):
        with pytest.raises(UsageError, match=name) as raised:
            write(tmp_path / name)
        assert hint in raised.value.hint
    assert not list(tmp_path.iterdir())


def test_devices_stay_devices():
    streams.write_picture(GREY, os.devnull)
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("flag", ["-u", "-E"])  # -u: unbuffered, where one write to a pipe takes a part of the data
def test_pipes(flag):
    script = "import numpy as np; from sgcli.media.streams import write_array; write_array(np.ones((1000, 500)), None)"
    command = [sys.executable, flag, "-c", script]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert np.load(io.BytesIO(result.stdout)).sum() == 500_000

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert b"BrokenPipeError" in process.stderr.read()
