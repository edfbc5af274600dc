"""`sg edit`: arithmetic in float32, directions, strips, pipes, refusals."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sgcli.latents.direction_files import write_directions
from tests.cli import assert_refused, sg, sg_process


def array(result) -> np.ndarray:
    assert result.status == 0, result.err
    return np.load(io.BytesIO(result.out))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """w1, w2 (3 latents), w3 (1), and dirs.npy with the rows smiling and glasses, in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    made = {}
    for name, count in (("w1", 3), ("w2", 3), ("w3", 1), ("dirs", 2)):
        made[name] = rng.standard_normal([count, 6, 10]).astype(np.float32)
        np.save(f"{name}.npy", made[name])
    write_directions(made["dirs"], "dirs.npy", ["smiling", "glasses"])
    return made


def test_arithmetic_is_float32(files, model_file):
    options = ["w1.npy", "--plus", "w3.npy", "--minus", "w2.npy", "--by", 1.2, "-m", model_file]
    edited = array(sg("edit", *options))
    expected = files["w1"] + np.float32(1.2) * (files["w3"] - files["w2"])
    assert edited.dtype == np.float32
    np.testing.assert_array_equal(edited, expected)
    np.save("wide.npy", files["w1"].astype(np.float64) * (1 + 1e-12))
    np.testing.assert_array_equal(array(sg("edit", "wide.npy", *options[1:])), expected)


@pytest.mark.parametrize("row", ["1", "glasses"])
def test_direction_on_some_layers(row, files, model_file):
    edited = array(
        sg("edit", "w1.npy", "--direction", f"dirs.npy:{row}", "--by", -2, "--layers", "1,4-5", "-m", model_file)
    )
    expected = files["w1"].copy()
    expected[:, [1, 4, 5]] -= 2 * files["dirs"][1, [1, 4, 5]]
    np.testing.assert_array_equal(edited, expected)
    coarse = array(sg("edit", "w1.npy", "--direction", f"dirs.npy:{row}", "--layers", "coarse", "-m", model_file))
    assert (coarse != files["w1"]).any(axis=(0, 2)).tolist() == [True] + 5 * [False]


def test_truncation_comes_last(files, model_file):
    w_avg = np.linspace(-1, 1, 10, dtype=np.float32)
    cut = array(
        sg("edit", "w1.npy", "--direction", "dirs.npy:0", "--trunc", 0.5, "--trunc-cutoff", 2, "-m", model_file)
    )
    moved = files["w1"] + files["dirs"][0]
    np.testing.assert_allclose(cut[:, 2:], moved[:, 2:], atol=1e-6)
    np.testing.assert_allclose(cut[:, :2], w_avg + 0.5 * (moved[:, :2] - w_avg), atol=1e-6)
    only = array(sg("edit", "w1.npy", "--trunc", 0, "-m", model_file))
    np.testing.assert_allclose(only, np.broadcast_to(w_avg, only.shape), atol=1e-6)


def test_z_is_mapped_and_a_single_w_repeated(files, model_file):
    z, w = (sg("sample", "-m", model_file, "--seeds", "0-2", "--space", space).out for space in "zw")
    by_z, by_w = (
        array(sg("edit", "-", "--direction", "dirs.npy:0", "-m", model_file, stdin=latents)) for latents in (z, w)
    )
    np.testing.assert_allclose(by_z, by_w, atol=1e-5)
    np.save("single.npy", np.load(io.BytesIO(w))[:, :1])
    np.testing.assert_array_equal(array(sg("edit", "single.npy", "--direction", "dirs.npy:0", "-m", model_file)), by_w)


def test_one_latent_with_many_changes(files, model_file):
    edited = array(sg("edit", "w3.npy", "--plus", "w1.npy", "--minus", "w2.npy", "-m", model_file))
    np.testing.assert_array_equal(edited, files["w3"] + (files["w1"] - files["w2"]))


def test_pipes(files, model_file, tmp_path):
    """sample | edit | generate; arrays one after the other; file to file."""
    options = ["--direction", "dirs.npy:0", "--by", 2, "-m", model_file]
    first, second = (sg("sample", "-m", model_file, "--seeds", seeds).out for seeds in ("0-2", "3"))
    edited = sg("edit", "-", *options, stdin=first + second)
    assert array(edited).shape == (4, 6, 10)
    picture = sg("generate", "-", "-m", model_file, "--grid", "2x2", stdin=edited.out)
    assert Image.open(io.BytesIO(picture.out)).size == (32, 32)
    (tmp_path / "w.npy").write_bytes(first + second)
    assert sg("edit", "w.npy", *options, "-o", "out.npy").status == 0
    assert (tmp_path / "out.npy").read_bytes() == edited.out
    minus = sg("edit", "w.npy", "--minus", "-", "--plus", "w3.npy", "-m", model_file, stdin=second)
    assert array(minus).shape == (4, 6, 10)


def test_closed_pipe_is_silent(files, model_file, tmp_path):
    np.save("many.npy", np.zeros([4000, 6, 10], np.float32))  # more than a pipe holds
    process = sg_process("edit", "many.npy", "--direction", "dirs.npy:0", "-m", model_file, cwd=tmp_path)
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_strip(files, model_file, tmp_path):
    options = ["--direction", "dirs.npy:0", "--strip", "-3..3", "--steps", 5, "-m", model_file]
    assert sg("edit", "w1.npy", *options, "-o", "strip.png").status == 0
    three = Image.open(tmp_path / "strip.png").size
    one = Image.open(io.BytesIO(sg("edit", "w3.npy", *options).out)).size
    assert three[1] > one[1] + 2 * 16 and one[0] > 5 * 16


def test_strip_goes_through_the_latents_themselves(files, model_file, monkeypatch):
    import torch

    from sgcli.latents import sheets
    from sgcli.models.checkpoint import open_model

    monkeypatch.setattr(sheets, "SHOWN_SIDE", 1)
    G = open_model(model_file).load_generator()
    w, offset = (torch.from_numpy(files[name][:1]) for name in ("w3", "dirs"))
    table = sheets.step_table(G, w, offset, [-1.0, 0.0, 1.0]).transpose(1, 2, 0)
    own = np.asarray(Image.open(io.BytesIO(sg("generate", "w3.npy", "-m", model_file).out))).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(table, (16, 16, 3))[:, :, 0].astype(int)
    assert (np.abs(windows - own).max(axis=(2, 3, 4)) <= 1).sum() == 1


def test_what_changes_nothing_is_mentioned(files, model_file):
    np.save("zero.npy", np.zeros([1, 6, 10], np.float32))
    result = sg("edit", "w1.npy", "--direction", "zero.npy:0", "-m", model_file)
    assert "nothing moves" in result.err
    np.testing.assert_array_equal(array(result), files["w1"])
    assert "whole latents" in sg("edit", "w1.npy", "--plus", "w3.npy", "-m", model_file).err


def test_refusals(files, model_file, tmp_path):
    def refuse(*arguments, status=2, words=(), stdin=b""):
        assert_refused(sg("edit", *arguments, "-m", model_file, stdin=stdin), status, *words)

    np.save("other.npy", np.zeros([2, 8, 16], np.float32))
    np.save("nan.npy", np.full([2, 6, 10], np.nan, np.float32))
    np.save("two.npy", np.zeros([2, 6, 10], np.float32))
    move = ("--direction", "dirs.npy:0")
    refuse("w1.npy", words=["nothing to do"])
    refuse("w1.npy", "--by", 2, words=["--by 2", "--direction"])
    refuse("w1.npy", "--layers", "coarse", "--trunc", 0.5, words=["--layers coarse"])
    refuse("w1.npy", *move, "--by", 1, "--strip", "-3..3", words=["leave --by out"])
    refuse("w1.npy", *move, "--by", "nan", words=["--by nan"])
    refuse("w1.npy", *move, "--by", "1e39", words=["float32"])
    refuse("w1.npy", *move, "--strip", "3", words=["--strip -3..3"])
    refuse("w1.npy", *move, "--strip", "-3..3", "--steps", 1, words=["--steps"])
    refuse("w1.npy", *move, "--strip", "-3..3", "-o", "x.npy", words=["PNG"])
    refuse("w1.npy", *move, "-o", "x.png", words=["x.npy"])
    refuse("w1.npy", "--direction", "dirs.npy:2", words=["rows 0 to 1 (smiling, glasses)"])
    refuse("w1.npy", "--direction", "dirs.npy:beard", words=["smiling, glasses"])
    refuse("w1.npy", "--direction", "dirs.npy", words=["dirs.npy:0"])
    refuse("w1.npy", *move, "--layers", "7", words=["from 0 to 5"])
    refuse("w1.npy", *move, "--trunc-cutoff", 9, words=["6 layers"])
    refuse("w1.npy", "--minus", "two.npy", words=["w1.npy holds 3, two.npy holds 2"])
    refuse("w1.npy", "--plus", "other.npy", status=1, words=["other.npy", "[2, 8, 16]", "[N, 6, 10]"])
    refuse("nan.npy", *move, status=1, words=["NaN"])
    refuse("other.npy", *move, status=1, words=["[2, 8, 16]"])
    refuse("-", "--minus", "-", words=["twice"])
    refuse("-", *move, status=1, words=["empty"])
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.suffix in (".png", ".tmp")) == []
