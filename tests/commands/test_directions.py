"""`sg directions`: files, sheets, names, pipes, refusals."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sgcli.latents.direction_files import read_names
from tests.cli import assert_refused, sg, sg_process

FEW = ("--samples", 300)


def array(result) -> np.ndarray:
    assert result.status == 0, result.err
    return np.load(io.BytesIO(result.out))


@pytest.fixture
def labels(model_file, tmp_path):
    """labels.csv: of seeds 0 to 199, which side of a plane in W they lie on; and the plane's normal."""
    w = np.load(io.BytesIO(sg("sample", "-m", model_file, "--seeds", "0-199").out))[:, 0]
    side = w @ np.linspace(1, 2, 10) > np.median(w @ np.linspace(1, 2, 10))
    rows = [f"seed{seed:04d}.png,{int(yes)},{'' if seed else 1}" for seed, yes in enumerate(side)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["seed,beyond,once", *rows]))
    return path


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_of_a_model(method, model_file, tmp_path):
    options = ["directions", method, "-m", model_file, "--num", 3, *FEW]
    found = array(sg(*options))
    assert found.shape == (3, 6, 10) and found.dtype == np.float32 and np.abs(found).max() > 0
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
    np.testing.assert_array_equal(array(sg(*options)), found)
    some = array(sg(*options, "--layers", "2,fine"))
    assert not some[:, 0].any() and some[:, 1:].all()
    result = sg(*options, "-o", tmp_path / "dirs.npy", "--sheet", tmp_path / "dirs.png")
    assert result.status == 0 and result.out == b""
    np.testing.assert_array_equal(np.load(tmp_path / "dirs.npy"), found)
    width, height = Image.open(tmp_path / "dirs.png").size
    assert width > 7 * 16 and height > 3 * 16


def test_a_step_is_a_standard_deviation(model_file):
    found = array(sg("directions", "pca", "-m", model_file, "--num", 2, "--samples", 2000))[:, 0]
    w = np.load(io.BytesIO(sg("sample", "-m", model_file, "--seeds", "5000-6999").out))[:, 0]  # other samples
    lengths = np.linalg.norm(found, axis=1)
    assert (w @ (found / lengths[:, None]).T).std(axis=0) == pytest.approx(lengths, rel=0.1)


def test_directions_pipe_into_edit(model_file, tmp_path):
    directions = sg("directions", "pca", "-m", model_file, *FEW).out
    (tmp_path / "dirs.npy").write_bytes(directions)
    w = sg("sample", "-m", model_file, "--seeds", "0-3").out
    edited = sg("edit", "-", "--direction", f"{tmp_path}/dirs.npy:0", "--by", 2, "-m", model_file, stdin=w)
    assert array(edited).shape == (4, 6, 10)
    row = sg("edit", f"{tmp_path}/dirs.npy", "--trunc", 0.9, "-m", model_file)  # directions are W: they may be edited
    assert array(row).shape == (10, 6, 10)


def test_labels_give_named_directions(labels, model_file, tmp_path):
    out, sheet = tmp_path / "dirs.npy", tmp_path / "sheet.png"
    result = sg("directions", "svm", "--labels", labels, "-m", model_file, *FEW, "-o", out, "--sheet", sheet)
    assert result.status == 0, result.err
    assert "row 0, beyond: 100 with, 100 without" in result.err
    assert "warning: once: left out" in result.err
    assert read_names(out) == ["beyond"] and np.load(out).shape == (1, 6, 10)
    assert Image.open(sheet).width > 7 * 16
    w = sg("sample", "-m", model_file, "--seeds", "300-399").out
    edited = array(sg("edit", "-", "--direction", f"{out}:beyond", "--by", 3, "-m", model_file, stdin=w))
    moved = (edited - np.load(io.BytesIO(w)))[:, 0] @ np.linspace(1, 2, 10)
    assert (moved > 0).all()
    piped = sg("directions", "svm", "--labels", "-", "-m", model_file, *FEW, stdin=labels.read_bytes())
    np.testing.assert_array_equal(array(piped), np.load(out))


def test_a_classifier_gives_the_labels(model_file, tmp_path):
    """One that tells bright pictures from dark: the direction makes them brighter."""
    import torch

    class Bright(torch.nn.Module):
        def __init__(self, threshold: float):
            super().__init__()
            self.names = ["bright", "dark"]
            self.threshold = threshold

        def forward(self, x):
            mean = x.mean(dim=[1, 2, 3]) - self.threshold
            return torch.stack([mean, -mean], dim=1)

    path, out = tmp_path / "bright.pt", tmp_path / "dirs.npy"
    pictures = array(sg("generate", "--seeds", "0-99", "--format", "npy", "-m", model_file))
    torch.jit.script(Bright(float(np.median(pictures.mean(axis=(1, 2, 3)))))).save(str(path))
    options = ["directions", "svm", "--classifier", path, "-m", model_file, *FEW, "-o", out]
    assert_refused(sg(*options), 2, "--trust")
    assert_refused(sg(*options, "--trust", "--attribute", "blue"), 2, "bright, dark")
    result = sg(*options, "--trust", "--attribute", "bright")
    assert result.status == 0, result.err
    assert read_names(out) == ["bright"]
    pictures = []
    for by in (-1, 1):
        w = sg("edit", "-", "--direction", f"{out}:bright", "--by", by, "-m", model_file,
               stdin=sg("sample", "-m", model_file, "--seeds", "900-919").out).out  # fmt: skip
        pictures.append(array(sg("generate", "-", "--format", "npy", "-m", model_file, stdin=w)).mean(axis=(1, 2, 3)))
    assert (pictures[1] > pictures[0]).all()


def test_closed_pipe_is_silent(model_file):
    process = sg_process("directions", "pca", "-m", model_file, *FEW, "-q")
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


def test_refusals(labels, model_file, tmp_path):
    def refuse(*arguments, status=2, words=()):
        assert_refused(sg("directions", *arguments, "-m", model_file), status, *words)

    refuse("pca", "--num", 11, words=["10 dimensions"])
    refuse("sefa", "--num", 0, words=["--num"])
    refuse("sefa", "--layers", "middle", words=["coarse, fine"])
    refuse("pca", "--samples", 1, words=["--samples"])
    refuse("pca", "--seed", 2**32, words=["--seed"])
    refuse("pca", "-o", "x.png", words=["x.npy"])
    refuse("pca", *FEW, "--sheet", "x.jpg", words=["x.png"])
    refuse("pca", *FEW, "--sheet", "-", words=["standard output"])
    refuse("pca", *FEW, "-o", "/proc/x/y.npy", status=1, words=["/proc/x"])
    refuse("svm", words=["neither"])
    refuse("svm", "--labels", labels, "--classifier", "x", words=["both"])
    refuse("svm", "--labels", labels, *FEW, "--attribute", "beard", words=["beyond, once"])
    refuse("svm", "--labels", labels, *FEW, "--attribute", "once", status=1, words=["both kinds"])
    refuse("svm", "--labels", tmp_path / "none.csv", *FEW, status=1, words=["no such file"])
    refuse("svm", "--classifier", tmp_path / "none.pt", *FEW, status=1, words=["no such classifier"])
