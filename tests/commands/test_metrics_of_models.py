"""`sg metrics` commands that look at a model or at pixels: results, files beside them, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from sgcli.features.classifier import save_classifier
from sgcli.media.pictures import decode_picture, write_png
from sgcli.metrics import rows
from sgcli.models.checkpoint import open_model, save_model
from sgcli.models.registry import build_network
from sgcli.training.classifier import specify
from tests.cli import assert_refused, sg
from tests.features.seeded_vgg import write_seeded_vgg


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """For what is measured only: the compiled operators stay where they are."""
    monkeypatch.setattr(rows, "cache_folder", lambda: tmp_path)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, model_file):
    """Untrained, but of two minds about the model's pictures."""
    torch.manual_seed(0)
    specification = specify(16, 3, 2)
    network = build_network(specification)
    pictures = open_model(model_file).load_generator()(torch.randn(64, 12))
    with torch.no_grad():
        network.b4.out.bias.sub_(network.scores(pictures).median(dim=0).values)
    path = tmp_path_factory.mktemp("classifier") / "clf.safetensors"
    save_classifier(path, [network], [specification], [["a", "b"]], {})
    return path


def lines_of(result) -> list[dict]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.text.splitlines()]


def test_ppl(model_file, tmp_path):
    command = ("metrics", "ppl", "-m", model_file, "--distance", "l2", "--num", 50)
    (line,) = lines_of(sg(*command, "--per-sample", tmp_path / "ppl.npy", "--sheet", tmp_path / "ppl.png"))
    assert (line["name"], line["num_fake"], line["epsilon"]) == ("ppl2-l2-wend50", 50, 1e-4)
    assert line["model_sha256"] and line["version"] and line["seed"] == 0
    lengths = np.load(tmp_path / "ppl.npy")
    assert lengths.shape == (50,) and lengths.dtype == np.float32
    inside = np.sort(lengths)
    assert inside[0] < line["value"] < inside[-1]
    assert decode_picture((tmp_path / "ppl.png").read_bytes(), "ppl.png").shape[0] == 3
    (again,) = lines_of(sg(*command, "--batch", 7))
    assert again["value"] == pytest.approx(line["value"], rel=0.05)


def test_ppl_of_the_first_paper_with_lpips(model_file, tmp_path):
    weights = write_seeded_vgg(tmp_path / "vgg.safetensors")
    small = sg("metrics", "ppl", "-m", model_file, "--variant", "sg1", "--num", 2, "--weights", weights)
    assert_refused(small, 2, "8x8", "--variant sg2")  # what cropping leaves of 16²
    (line,) = lines_of(sg("metrics", "ppl", "-m", model_file, "--num", 2, "--weights", weights, "--space", "z"))
    assert line["name"] == "ppl2-zend2" and len(line["weights_sha256"]) == 64


def test_ppl_refusals(model_file, faces, tmp_path):
    ppl = ("metrics", "ppl", "-m", model_file)
    assert_refused(sg(*ppl, "--space", "x"), 2, "--space x", "w, z")
    assert_refused(sg(*ppl, "--variant", "sg9"), 2, "sg2, sg1")
    assert_refused(sg(*ppl, "--sheet", tmp_path / "s.jpg"), 2, "s.png")
    assert_refused(sg(*ppl, "--per-sample", "-"), 2, "standard output")
    assert_refused(sg("metrics", "ppl", "-m", faces), 1, "faces.zip")


def test_a_model_that_draws_nan(model_file, tmp_path):
    opened = open_model(model_file)
    networks = {"G": {**opened.header["networks"]["G"], "conv_clamp": None}}  # clamping would hide it
    G = build_network(networks["G"])
    G.synthesis.b16.torgb.bias.data.fill_(float("nan"))
    save_model(tmp_path / "nan.safetensors", {"G_ema": G}, {"arch": "sg2-f", "networks": networks, "kimg": 1})
    for metric in (("ppl", "--distance", "l2"), ("ms-ssim",)):
        result = sg("metrics", *metric, "-m", tmp_path / "nan.safetensors", "--num", 4)
        assert_refused(result, 1, "nan.safetensors", "snapshot")


def test_separability_keeps_directions(model_file, classifier, tmp_path):
    dirs = tmp_path / "dirs.npy"
    result = sg(
        "metrics", "separability", "-m", model_file, "--classifier", classifier, "--num", 200, "--directions", dirs
    )
    in_z, in_w = lines_of(result)
    assert (in_z["name"], in_w["name"]) == ("separability-z200", "separability-w200")
    for line in (in_z, in_w):
        assert 1 <= line["value"] <= 4
        assert line["value"] == pytest.approx(2 ** sum(line["entropy_bits"].values()))
        assert line["entropy_bits"].keys() == {"a", "b"} and line["classifiers"][0]["classifier_sha256"]
    assert "too good" in result.err
    assert np.load(dirs).shape == (2, 6, 10)
    assert (tmp_path / "dirs.names.txt").read_text().split() == ["a", "b"]
    moved = sg("edit", "-", "--direction", f"{dirs}:b", "--by", 1, "-m", model_file, stdin=w_of(model_file))
    assert moved.status == 0, moved.err


def w_of(model_file) -> bytes:
    return sg("sample", "-m", model_file, "--seeds", "0", "--space", "w").out


def test_separability_refusals(model_file, classifier, tmp_path):
    command = ("metrics", "separability", "-m", model_file)
    assert_refused(sg(*command), 2, "--classifier", "sg train-classifier")
    assert_refused(sg(*command, "--classifier", model_file), 1, "holds a model")
    assert_refused(sg(*command, "--classifier", tmp_path / "none"), 1, "no such classifier")
    specification = specify(32, 3, 1)
    save_classifier(tmp_path / "32.safetensors", [build_network(specification)], [specification], [["a"]], {})
    assert_refused(sg(*command, "--classifier", tmp_path / "32.safetensors"), 2, "32² pictures cannot judge 16² ones")
    assert_refused(sg(*command, "--classifier", classifier, "--directions", "-"), 2, "standard output")
    assert_refused(sg(*command, "--classifier", classifier, "--directions", tmp_path / "d.png"), 2, "d.npy")


def test_path_length(model_file):
    (line,) = lines_of(sg("metrics", "path-length", "-m", model_file, "--num", 10))
    assert line["value"] > 0 and line["relative_std"] == pytest.approx(line["std"] / line["value"])
    (again,) = lines_of(sg("metrics", "path-length", "-m", model_file, "--num", 10, "--batch", 3))
    assert again["value"] == pytest.approx(line["value"], rel=1e-4)


def test_equivariance_needs_a_movable_input(model_file):
    for name in ("eq-t", "eq-t-frac", "eq-r"):
        assert_refused(sg("metrics", name, "-m", model_file, "--num", 4), 1, "cannot be moved", "sg3-")


def test_equivariance_of_a_stylegan3(tmp_path):
    from sgcli.models.registry import resolve

    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "img_channels": 3, "c_dim": 0, "channel_base": 128, "channel_max": 8}
    networks = {"G": {**resolve("sg3-t", tiny=True).G, **sizes, "z_dim": 12, "w_dim": 10}}
    path = tmp_path / "sg3.safetensors"
    save_model(path, {"G_ema": build_network(networks["G"])}, {"arch": "sg3-t", "networks": networks, "kimg": 1})
    (line,) = lines_of(sg("metrics", "eq-t", "-m", path, "--num", 4))
    assert line["name"] == "eq-t4" and line["unit"] == "dB" and line["num_fake"] == 4


def test_swd_and_ms_ssim(model_file, faces):
    (swd,) = lines_of(sg("metrics", "swd", "-m", model_file, "--data", faces, "--num", 16))
    assert swd["levels"].keys() == {"16"} and swd["noise_floor"] >= 0
    (ms_ssim,) = lines_of(sg("metrics", "ms-ssim", faces))
    assert ms_ssim["num_pairs"] == 24
    (same,) = lines_of(sg("metrics", "swd", faces, faces))
    assert same["value"] == 0
    assert_refused(sg("metrics", "swd", "-m", model_file), 2, "real pictures")
    write_png(faces.parent / "small" / "1.png", np.zeros((3, 8, 8), np.uint8))
    for metric in (("ms-ssim",), ("swd", faces.parent / "small")):
        assert_refused(sg("metrics", *metric, faces.parent / "small"), 2, "from 16², not 8²")


def test_nearest(model_file, faces, tmp_path):
    (line,) = lines_of(
        sg("metrics", "nearest", "-m", model_file, "--data", faces, "--num", 10, "-k", 3, "-o", tmp_path / "near.png")
    )
    assert line["value"] == pytest.approx(line["median_distance"] / line["median_among_real"])
    assert line["compared"] == "pixels" and line["num_real"] == 48
    assert decode_picture((tmp_path / "near.png").read_bytes(), "near.png").shape[0] == 3
    (copies,) = lines_of(sg("metrics", "nearest", faces, faces, "--num", 10))
    assert copies["value"] < 0.01 and copies["share_of_copies"] == 1
    (features,) = lines_of(sg("metrics", "nearest", faces, faces, "--num", 10, "--extractor", "random"))
    assert features["compared"] == "features" and features["extractor"] == "random"
    assert_refused(sg("metrics", "nearest", "-m", model_file, "--data", faces, "-o", tmp_path / "n.npy"), 2, ".png")
    assert_refused(sg("metrics", "nearest", "-m", model_file), 2, "real pictures")


def test_lpips(tmp_path):
    weights = write_seeded_vgg(tmp_path / "vgg.safetensors")
    rng = np.random.default_rng(0)
    for folder in "ab":
        for name in ("1", "2"):
            write_png(tmp_path / folder / f"{name}.png", rng.integers(0, 256, (3, 16, 16)).astype(np.uint8))
    one, two = tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"
    (same,) = lines_of(sg("metrics", "lpips", one, one, "--weights", weights))
    assert same["value"] == 0 and same["num_pairs"] == 1
    (pair,) = lines_of(sg("metrics", "lpips", one, two, "--weights", weights))
    *each, mean = lines_of(sg("metrics", "lpips", tmp_path / "a", tmp_path / "b", "--weights", weights, "--each"))
    assert [line["picture"] for line in each] == ["1.png", "2.png"]
    assert each[0]["value"] == pytest.approx(pair["value"], rel=1e-4)
    assert mean["value"] == pytest.approx(np.mean([line["value"] for line in each]))
    write_png(tmp_path / "small.png", np.zeros((3, 4, 4), np.uint8))
    small = tmp_path / "small.png"
    assert_refused(sg("metrics", "lpips", small, small, "--weights", weights), 1, "4x4", "16x16")


def test_interrupted_work_goes_on(model_file, monkeypatch):
    """The second run finds the pairs of the first one's whole blocks."""
    from sgcli.metrics import job, ppl

    monkeypatch.setattr(job, "BLOCK_ROWS", 8)
    command = ("metrics", "ppl", "-m", model_file, "--distance", "l2", "--num", 20, "--batch", 8)
    (whole,) = lines_of(sg(*command))
    measured, drawn = ppl.path_lengths, []

    def stop_after_two(*arguments, **options):
        drawn.append(len(arguments[3]))
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return measured(*arguments, **options)

    monkeypatch.setattr(ppl, "path_lengths", stop_after_two)
    assert sg(*command).status == 130
    monkeypatch.setattr(ppl, "path_lengths", lambda *a, **k: drawn.append(len(a[3])) or measured(*a, **k))
    drawn.clear()
    result = sg(*command)
    assert lines_of(result)[0]["value"] == pytest.approx(whole["value"])
    assert drawn == [8, 4] and "8 of 20 are there already" in result.err
