"""`sg mix`: layers by band and number, sources by name and letter, tables, pipes, refusals."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sgcli.commands.mix import find_source
from sgcli.errors import UsageError
from tests.cli import assert_refused, sg, sg_process


def sample(model_file, seeds, *options) -> bytes:
    result = sg("sample", "-m", model_file, "--seeds", seeds, *options)
    assert result.status == 0, result.err
    return result.out


def array(result) -> np.ndarray:
    assert result.status == 0, result.err
    return np.load(io.BytesIO(result.out))


@pytest.fixture
def files(model_file, tmp_path, monkeypatch):
    """me.npy (2 latents), you.npy (2), one.npy (1, as Z) in the working folder, and their ws."""
    monkeypatch.chdir(tmp_path)
    ws = {}
    for name, seeds in (("me", "0-1"), ("you", "2-3"), ("one", "4")):
        content = sample(model_file, seeds)
        ws[name] = np.load(io.BytesIO(content))
        (tmp_path / f"{name}.npy").write_bytes(sample(model_file, seeds, "--space", "z") if name == "one" else content)
    return ws


def test_bands(files, model_file):
    """16²: layer 0 is coarse (4²), none is middle, the others are fine."""
    fine = array(sg("mix", "me.npy", "you.npy", "--fine-from", "b", "-m", model_file))
    np.testing.assert_array_equal(fine, np.concatenate([files["me"][:, :1], files["you"][:, 1:]], axis=1))
    coarse = array(sg("mix", "me.npy", "you.npy", "--coarse-from", "you", "-m", model_file))
    np.testing.assert_array_equal(coarse, np.concatenate([files["you"][:, :1], files["me"][:, 1:]], axis=1))
    assert fine.dtype == np.float32


def test_layers_blend_and_one_with_many(files, model_file):
    result = sg("mix", "me.npy", "one.npy", "you.npy", "--layers", "1-2=b", "--layers", "2,5=you", "-m", model_file)
    mixed = array(result)
    for layer, source in enumerate(("me", "one", "you", "me", "me", "you")):
        expected = np.broadcast_to(files[source][:, layer], [2, 10])
        np.testing.assert_allclose(mixed[:, layer], expected, atol=1e-5, err_msg=f"layer {layer}")
    half = array(sg("mix", "me.npy", "you.npy", "--layers", "3=b", "--blend", 0.5, "-m", model_file))
    np.testing.assert_allclose(half[:, 3], (files["me"] + files["you"])[:, 3] / 2, atol=1e-6)
    np.testing.assert_array_equal(half[:, 4], files["me"][:, 4])


def test_pipes(files, model_file, tmp_path):
    """Concatenated arrays on stdin are sources; file to file; the result draws."""
    content = (tmp_path / "me.npy").read_bytes() + (tmp_path / "you.npy").read_bytes()
    piped = sg("mix", "-", "--fine-from", "b", "-m", model_file, stdin=content)
    result = sg("mix", "me.npy", "you.npy", "--fine-from", "b", "-m", model_file, "-o", "mixed.npy")
    assert result.status == 0 and result.out == b""
    assert (tmp_path / "mixed.npy").read_bytes() == piped.out
    picture = sg("generate", "-", "-m", model_file, "--grid", "2x1", stdin=piped.out)
    assert Image.open(io.BytesIO(picture.out)).size == (32, 16)
    assert sg("mix", "me.npy", "-", "--fine-from", "b", "-m", model_file, stdin=content[len(content) // 2 :]).out


def test_closed_pipe_is_silent(files, model_file, tmp_path):
    np.save("many.npy", np.zeros([4000, 6, 10], np.float32))  # more than a pipe holds
    np.save("one-w.npy", np.zeros([1, 1, 10], np.float32))
    process = sg_process("mix", "many.npy", "one-w.npy", "--fine-from", "b", "-m", model_file, cwd=tmp_path)
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_truncation_of_the_mixture(files, model_file):
    mean = array(sg("mix", "me.npy", "you.npy", "--fine-from", "b", "--trunc", 0, "-m", model_file))
    np.testing.assert_allclose(mean, np.broadcast_to(np.linspace(-1, 1, 10), mean.shape), atol=1e-6)


@pytest.mark.parametrize("columns", ["you.npy", "one.npy"])
def test_table(columns, files, model_file, tmp_path):
    options = ["mix", "me.npy", columns, "--coarse-from", "b", "--table", "-m", model_file]
    result = sg(*options, "-o", "table.png")
    assert result.status == 0, result.err
    drawn, piped = Image.open(tmp_path / "table.png"), Image.open(io.BytesIO(sg(*options).out))
    assert drawn.height > 3 * 96 and drawn.width > (1 + len(files[columns[:-4]])) * 96
    assert drawn.tobytes() == piped.tobytes()


def test_table_cells(files, model_file, tmp_path, monkeypatch):
    """Nothing from the columns: each row repeats its first picture."""
    import torch

    from sgcli.latents import sheets
    from sgcli.models.checkpoint import open_model

    monkeypatch.setattr(sheets, "SHOWN_SIDE", 1)
    G = open_model(model_file).load_generator()
    me, you = (torch.from_numpy(files[name]) for name in ("me", "you"))
    drawn = sg("generate", "me.npy", "-m", model_file, "-o", "me")
    assert drawn.status == 0
    table = sheets.mixing_table(G, me, you, []).transpose(1, 2, 0)
    own = np.asarray(Image.open(tmp_path / "me" / "0001.png"))
    windows = np.lib.stride_tricks.sliding_window_view(table, (16, 16, 3))[:, :, 0].astype(int)
    places = np.argwhere(np.abs(windows - own).max(axis=(2, 3, 4)) <= 1)
    assert len(places) == 3 and len(set(places[:, 0])) == 1  # the source, and both columns beside it


def test_names():
    files = ["x/smile.npy", "b.npy", "-", "y/smile.npy", "a.npy"]
    assert find_source("x/smile.npy", files, "--fine-from") == 0
    assert find_source("b", files, "--fine-from") == 1
    assert find_source("c", files, "--fine-from") == 2
    assert find_source("a.npy", files, "--fine-from") == 4
    with pytest.raises(UsageError, match=r"several .* a \(x/smile.npy\), d \(y/smile.npy\)"):
        find_source("smile", files, "--fine-from")
    with pytest.raises(UsageError, match=r"c \(standard input\)"):
        find_source("f", files, "--fine-from")
    many = [f"{number}.npy" for number in range(30)]
    assert find_source("29", many, "--fine-from") == 29 and find_source("z", many, "--fine-from") == 25


def test_a_name_that_is_another_s_letter_is_mentioned(files, model_file, tmp_path):
    for old, new in (("me", "b"), ("you", "a")):
        (tmp_path / f"{old}.npy").rename(f"{new}.npy")
    result = sg("mix", "b.npy", "a.npy", "--fine-from", "a", "-m", model_file)
    np.testing.assert_array_equal(array(result)[:, 1:], files["you"][:, 1:])
    assert "taken as a name" in result.err
    result = sg("mix", "b.npy", "a.npy", "one.npy", "--fine-from", "a", "-m", model_file)
    assert "give no layer: c (one.npy)" in result.err


def test_refusals(files, model_file, tmp_path):
    def refuse(*arguments, status=2, words=(), stdin=b""):
        assert_refused(sg("mix", *arguments, "-m", model_file, stdin=stdin), status, *words)

    np.save("three.npy", np.zeros([3, 6, 10], np.float32))
    np.save("other.npy", np.zeros([2, 8, 16], np.float32))
    np.save("nan.npy", np.full([2, 6, 10], np.nan, np.float32))
    both = ("me.npy", "you.npy")
    refuse(*both, words=["nothing to mix"])
    refuse(*both, "--fine-from", "her", words=["a (me.npy), b (you.npy)"])
    refuse(*both, "--middle-from", "b", words=["coarse, fine", "sg info MODEL --layers"])
    refuse(*both, "--layers", "3", words=["--layers 4-7=b"])
    refuse(*both, "--layers", "4-9=b", words=["from 0 to 5"])
    refuse(*both, "--layers", "x=b", words=["coarse, middle, fine"])
    refuse(*both, "--fine-from", "b", "--blend", "nan", words=["--blend"])
    refuse("me.npy", "three.npy", "--fine-from", "b", words=["me.npy holds 2, three.npy holds 3", "--table"])
    refuse("me.npy", "other.npy", "--fine-from", "b", status=1, words=["[2, 8, 16]", "[N, 6, 10]"])
    refuse("me.npy", "nan.npy", "--fine-from", "b", status=1, words=["nan.npy", "NaN"])
    refuse("me.npy", "none.npy", "--fine-from", "b", status=1, words=["no such file"])
    refuse("-", "-", "--fine-from", "b", words=["twice"])
    refuse("-", "--fine-from", "a", status=1, words=["empty"])
    refuse(*both, "--fine-from", "b", "--class", "1", words=["holds W"])
    refuse(*both, "one.npy", "--fine-from", "b", "--table", words=["3 arrays"])
    refuse(*both, "--fine-from", "b", "--table", "-o", "x.npy", words=["PNG", "x.png"])
    refuse(*both, "--fine-from", "b", "-o", "x.png", words=["x.npy"])
    refuse(*both, "--fine-from", "b", "-o", "/proc/x/y.npy", status=1, words=["/proc/x"])
    np.save("many.npy", np.zeros([300, 6, 10], np.float32))
    refuse("many.npy", "many.npy", "--layers", "0=b", "--table", words=["300 rows of 300", "10000"])
    refuse("many.npy", "many.npy", "--layers", "0=many", words=["several sources", "a (many.npy), b (many.npy)"])


def test_generators_without_styles_are_refused(tmp_path):
    import torch

    from sgcli.models.checkpoint import save_model
    from sgcli.models.registry import build_network, resolve

    sizes = {"img_resolution": 8, "channel_base": 32, "channel_max": 4, "z_dim": 6, "w_dim": 6}
    spec = {**resolve("progan").G, **sizes}
    path = tmp_path / "progan.safetensors"
    save_model(path, {"G_ema": build_network(spec)}, {"arch": "progan", "networks": {"G": spec}, "kimg": 0})
    np.save(tmp_path / "a.npy", torch.randn(2, 6).numpy())
    result = sg("mix", tmp_path / "a.npy", tmp_path / "a.npy", "--fine-from", "b", "-m", path)
    assert_refused(result, 2, "ProGAN", "--arch")
    assert_refused(sg("directions", "sefa", "-m", path), 2, "ProGAN")
    edited = sg("edit", tmp_path / "a.npy", "--trunc", 0.5, "-m", path)  # its one w can be edited
    assert array(edited).shape == (2, 1, 6)
