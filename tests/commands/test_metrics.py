"""`sg metrics fid`, `kid`, `pr`, `is`, `all`, `features`, `watch`: as typed in a shell."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from sgcli.commands import metrics_watch
from tests.cli import assert_refused, sg


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "cache"))


def lines_of(result) -> list[dict]:
    assert result.status == 0, result.err
    return [json.loads(line) for line in result.text.splitlines()]


def test_model_against_data(model_file, faces):
    (line,) = lines_of(sg("metrics", "fid", "-m", model_file, "--data", faces, "--num", 50, "--extractor", "random"))
    assert line["name"] == "fid50-random"
    assert line["num_real"] == 48 and line["num_fake"] == 50
    assert line["value"] > 0
    result = sg("metrics", "pr", model_file, faces, "--num", 20, "--extractor", "random")
    assert [line["name"] for line in lines_of(result)] == ["precision20-random", "recall20-random"]


def test_a_set_has_no_distance_to_itself(faces):
    (line,) = lines_of(sg("metrics", "fid", faces, faces, "--extractor", "random"))
    assert line["value"] == pytest.approx(0, abs=1e-6)
    assert "model" not in line and line["fake"] == str(faces)


def test_features_and_statistics_serve_as_sources(model_file, faces, tmp_path):
    common = ("--extractor", "random")
    assert sg("metrics", "features", faces, *common, "-o", tmp_path / "real.npz").status == 0
    assert sg("metrics", "features", "-m", model_file, "--num", 50, *common, "-o", tmp_path / "fake.npy").status == 0
    piped = sg("metrics", "features", faces, *common)
    assert piped.out.startswith(b"\x93NUMPY")
    (expected,) = lines_of(sg("metrics", "fid", "-m", model_file, "--data", faces, "--num", 50, *common))
    (found,) = lines_of(sg("metrics", "fid", tmp_path / "fake.npy", tmp_path / "real.npz"))
    assert found["value"] == pytest.approx(expected["value"], rel=1e-4)
    assert "extractor" not in found
    with np.load(tmp_path / "real.npz") as arrays:
        assert arrays["num"] == 48
        assert json.loads(str(arrays["provenance"]))["extractor"] == "random"
    assert_refused(sg("metrics", "kid", tmp_path / "fake.npy", tmp_path / "real.npz"), 2, "enough for FID only")


def test_standard_error(model_file, faces):
    for name in ("fid", "kid"):
        result = sg("metrics", name, model_file, faces, "--num", 48, "--extractor", "random", "--stderr")
        (line,) = lines_of(result)
        assert 0 < line["stderr"] < line["value"]
    assert_refused(
        sg("metrics", "fid", model_file, faces, "--num", 20, "--extractor", "random", "--stderr"), 2, "needs 40"
    )


def test_all(model_file, faces):
    result = sg("metrics", "all", "-m", model_file, "--data", faces, "--metrics", "fid20-random,swd,ms-ssim20")
    assert [line["name"] for line in lines_of(result)] == ["fid20-random", "swd", "ms-ssim20"]


def test_all_tells_what_could_not_be_measured(model_file, faces):
    result = sg("metrics", "all", model_file, faces, "--metrics", "is,swd", "--num", 20, "--extractor", "random")
    assert result.status == 1
    assert json.loads(result.text)["name"] == "swd20"
    assert "not measured: is: --extractor random: does not tell classes apart" in result.err


def test_bad_input(model_file, faces, tmp_path):
    def refused(*arguments, status=2, words=()):
        assert_refused(sg("metrics", *arguments), status, *words)

    refused("fid", "-m", model_file, words=["none were given", "--data"])
    refused("fid", faces, faces, faces, words=["two sources"])
    refused("fid", "-m", model_file, faces, "--data", faces, words=["two sources already"])
    refused("fid", faces, faces, "--protocol", "mine", words=["nvidia, clean, pytorch-fid"])
    refused("fid", faces, faces, "--extractor", "resnet", words=["inception, vgg, random"])
    refused("fid", faces, faces, "--extractor", "net.ts", words=["executes code", "--trust"])
    refused("fid", tmp_path / "no.zip", faces, status=1, words=["no such file"])
    refused("fid", model_file, faces, "--num", 1, "--extractor", "random", words=["at least 2"])
    refused("pr", model_file, faces, "--num", 3, "--extractor", "random", words=["at least 4"])
    refused("is", "-m", model_file, "--num", 10, "--extractor", "random", words=["classes apart"])
    refused("fid", faces, faces, "--weights", tmp_path / "no.pth", status=1, words=["no such file"])
    np.save(tmp_path / "a.npy", np.zeros((5, 3)))
    np.save(tmp_path / "b.npy", np.zeros((5, 4)))
    refused("kid", tmp_path / "a.npy", tmp_path / "b.npy", words=["4 features per picture", "3"])
    refused("all", faces, faces, "--metrics", "fidd", words=["is not a metric"])
    refused("features", faces, "-o", tmp_path / "x.png", words=[".npy"])


def test_one_picture_is_too_few(faces, tmp_path):
    assert sg("generate", "--help").status == 0
    folder = tmp_path / "one"
    folder.mkdir()
    import zipfile

    with zipfile.ZipFile(faces) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".png"))
        (folder / "a.png").write_bytes(archive.read(name))
    assert_refused(sg("metrics", "fid", folder, faces, "--extractor", "random"), 2, "1 picture, at least 2")


@pytest.fixture
def run_folder(model_file, faces, tmp_path):
    """A finished run with two snapshots."""
    run = tmp_path / "00000-faces"
    (run / "state").mkdir(parents=True)
    for kimg in ("000000", "000001", "000002"):
        shutil.copy(model_file, run / f"model-{kimg}.safetensors")
    (run / "config.json").write_text("{}")
    return run


def test_watch_measures_what_is_missing(run_folder, faces):
    arguments = ("metrics", "watch", run_folder, "--data", faces, "--metrics", "fid20-random,swd")
    result = sg(*arguments)
    lines = lines_of(result)
    assert [line["name"] for line in lines] == ["fid20-random", "swd"] * 2
    written = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert len(written) == 4
    assert_refused(sg("metrics", "watch", faces), 1, "not a run folder")


def test_watch_waits_for_a_training(run_folder, model_file, faces, monkeypatch):
    """While another process trains, new snapshots are measured as they appear."""
    looks = []

    def train_on(run):
        looks.append(run)
        shutil.copy(model_file, run.path / f"model-{2 + len(looks):06d}.safetensors")
        return len(looks) < 3

    monkeypatch.setattr(metrics_watch, "is_being_trained", train_on)
    monkeypatch.setattr(metrics_watch, "LOOK_SECONDS", 0.0)
    result = sg("metrics", "watch", run_folder, "--data", faces, "--metrics", "swd20")
    assert len(lines_of(result)) == 5


def test_watch_passes_over_what_is_there(run_folder, faces):
    done = [{"name": "swd", "value": 1.0, "kimg": kimg} for kimg in (1.0, 2.0)]
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in done))
    result = sg("metrics", "watch", run_folder, "--data", faces, "--metrics", "swd")
    assert result.status == 0 and result.out == b""
    assert "not being trained" in result.err
