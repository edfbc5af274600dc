"""`sg project`: pipes, files beside the latents, reports, interruption, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import signal
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image

from sgcli.__main__ import _terminate
from sgcli.commands.project_report import measure_all
from sgcli.commands.project_targets import read_targets
from sgcli.features.pyramid import pyramid_embedding
from sgcli.latents.projection import Projected
from sgcli.media.pictures import decode_picture
from sgcli.models.checkpoint import open_model
from tests.cli import assert_refused, sg, sg_process


@pytest.fixture(scope="module")
def pictures(model_file, tmp_path_factory):
    """Four pictures of the model."""
    folder = tmp_path_factory.mktemp("own")
    assert sg("generate", "--seeds", "0-3", "-m", model_file, "-o", folder).status == 0
    return folder


@pytest.fixture(autouse=True)
def use_model(model_file, monkeypatch):
    monkeypatch.setenv("SG_MODEL", str(model_file))


QUICK = ("--loss", "pyramid", "--steps", 3)


def array(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


def test_pipe_in_and_out(pictures):
    one = pictures / "seed0001.png"
    from_file, from_stdin = sg("project", one, *QUICK), sg("project", "-", *QUICK, stdin=one.read_bytes())
    assert from_file.status == from_stdin.status == 0, from_file.err + from_stdin.err
    assert from_file.out == from_stdin.out and array(from_file.out).shape == (1, 6, 10)
    assert "pyramid distance: start" in from_file.err
    assert sg("generate", "-", stdin=from_file.out).out[:4] == b"\x89PNG"


def test_many_pictures_in_order(pictures, faces):
    names = [pictures / f"seed000{i}.png" for i in (2, 0)]
    both = array(sg("project", *names, *QUICK).out)
    again = array(sg("project", *names, *QUICK, "--batch", 1).out)
    assert both.shape[0] == 2 and np.allclose(both, again, atol=1e-3)
    assert np.allclose(both[1], array(sg("project", names[1], *QUICK).out)[0], atol=1e-3)
    folder = array(sg("project", pictures, *QUICK).out)
    assert len(folder) == 4 and np.allclose(folder[2], both[0], atol=1e-3)
    assert len(array(sg("project", faces, "--loss", "l2", "--steps", 1, "--batch", 48).out)) == 48


@pytest.mark.parametrize(
    "options", [("--space", "w+"), ("--method", "im2sg"), ("--freeze-noise",), ("--mse-weight", 2)]
)
def test_ways(pictures, options):
    found = array(sg("project", pictures / "seed0000.png", *QUICK, *options).out)
    differs = not np.allclose(found[0, 0], found[0, 1])
    assert differs == (options[0] in ("--space", "--method"))


def test_starts(pictures, tmp_path):
    one, w, ws = pictures / "seed0000.png", tmp_path / "w.npy", tmp_path / "ws.npy"
    sg("sample", "--seeds", "5", "-o", w)
    run = ("--loss", "l2", "--steps", 1, "--method", "im2sg")  # the first step moves w by the learning rate
    start = np.load(w)
    for init in ("seed:5", w):
        assert np.abs(array(sg("project", one, *run, "--init", init).out) - start).max() < 0.0101
    assert np.abs(array(sg("project", one, *run, "--init", "uniform").out)).max() <= 1.0101
    sg("sample", "--seeds", "0-2", "-o", ws)
    assert_refused(sg("project", one, *run, "--init", ws), 2, "3 latents for 1 pictures")
    assert_refused(sg("project", one, *run, "--init", "seed:x"), 2, "seed:x", "0 to")
    assert_refused(sg("project", one, *run, "--init", "middle"), 2, "mean, uniform, seed:N")
    np.save(w, np.zeros((1, 6, 11), np.float32))
    assert_refused(sg("project", one, *run, "--init", w), 1, "[1, 6, 11]", "[N, 6, 10]")


def test_noise_file(pictures, tmp_path, model_file):
    w, maps = tmp_path / "w.npy", tmp_path / "maps.safetensors"
    report = tmp_path / "report"
    result = sg(
        "project", pictures, "--loss", "pyramid", "--steps", 8, "--save-noise", maps, "-o", w, "--report", report
    )
    assert result.status == 0, result.err
    lines = [json.loads(line) for line in (report / "distances.jsonl").read_text().splitlines()]
    assert len(lines) == 4 and set(lines[0]) == {"picture", "loss", "start", "w alone", "w + noise"}
    assert {path.name for path in report.iterdir()} == {"pictures.png", "convergence.png", "distances.jsonl"}

    own, found = sg("generate", w, "--grid", "4x1"), sg("generate", w, "--grid", "4x1", "--noise-file", maps)
    assert own.status == found.status == 0 and own.out != found.out
    split = sg("generate", w, "--grid", "4x1", "--noise-file", maps, "--batch", 1)
    difference = np.asarray(Image.open(io.BytesIO(split.out)), int) - np.asarray(Image.open(io.BytesIO(found.out)), int)
    assert np.abs(difference).max() <= 1
    assert_refused(sg("generate", "--seeds", "0-2", "--grid", "3x1", "--noise-file", maps), 2, "4 sets of maps for 3")
    assert_refused(sg("generate", w, "--grid", "4x1", "--noise-file", maps, "--noise", "none"), 2, "--noise none")
    assert_refused(sg("generate", w, "--grid", "4x1", "--noise-file", model_file), 1, "holds a model, a noise")
    assert_refused(sg("generate", "--seeds", "0", "--delta", maps), 1, "holds a noise, a delta")


def test_w_alone_is_what_generate_draws(pictures, tmp_path, model_file):
    w = tmp_path / "w.npy"
    sg("project", pictures / "seed0000.png", *QUICK, "-o", w)
    G = open_model(model_file).load_generator()
    targets, ws = read_targets([str(pictures / "seed0000.png")], G, "center"), torch.from_numpy(np.load(w))
    drawn = measure_all(G, targets, pyramid_embedding, ws, Projected(ws, None), None)
    assert [one.caption for one in drawn] == ["start", "w alone"]
    generated = decode_picture(sg("generate", w).out, "picture")
    assert np.abs(drawn[1].pixels[0].numpy().astype(int) - generated).max() <= 1


def test_tune(pictures, tmp_path):
    w, delta, log = tmp_path / "w.npy", tmp_path / "delta.safetensors", tmp_path / "log.npy"
    one = pictures / "seed0000.png"
    result = sg("project", one, *QUICK, "--tune", delta, "--tune-steps", 4, "-o", w, "--project-log", log)
    assert result.status == 0 and "w + delta" in result.err, result.err
    assert sg("generate", w, "--delta", delta).out != sg("generate", w).out
    assert np.load(log).shape == (4, 6, 10) and np.array_equal(np.load(log)[-1], np.load(w)[0])
    assert_refused(sg("project", one, *QUICK, "--tune-steps", 4), 2, "--tune-steps")
    assert_refused(sg("project", pictures, *QUICK, "--project-log", log, "-o", w), 2, "4 were given")


def test_study(pictures, faces, tmp_path):
    result = sg("project", faces, *QUICK, "--study", 2, "--report", tmp_path)
    found = json.loads(result.text)
    assert found["num"] == 2 and set(found["real"]) == set(found["generated"]) == {"start", "w alone", "w + noise"}
    assert (tmp_path / "histogram.png").exists() and (tmp_path / "real-distances.jsonl").exists()
    assert_refused(sg("project", pictures, *QUICK, "--study", 9), 2, "--study 9: 4 pictures were given")
    assert_refused(sg("project", pictures, *QUICK, "--study", 2, "--tune", "d"), 2, "--tune was given")


def test_default_loss_names_the_missing_weights(pictures, tmp_path, monkeypatch):
    from sgcli.features import weights

    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(weights.urllib.request, "urlopen", unreachable)
    result = sg("project", pictures)
    assert_refused(result, 1, "vgg16-397923af.pth", "397923af", str(tmp_path), "--weights FILE", "--loss pyramid")


def unreachable(*args, **kwargs):
    raise urllib.error.URLError("no network")


def test_refusals(pictures, tmp_path, model_file):
    one = pictures / "seed0000.png"
    broken, tiny = tmp_path / "broken.png", tmp_path / "tiny.png"
    broken.write_text("words")
    Image.new("RGB", (1, 1)).save(tiny)
    for words, *arguments in (
        ("not a PNG", broken),
        ("1x1", tiny),
        ("no such file", tmp_path / "none.png"),
        ("--method ada", one, "--method", "ada"),
        ("--space z", one, "--space", "z"),
        ("--loss ssim", one, "--loss", "ssim"),
        ("--crop wide", one, "--crop", "wide"),
        ("no classes", one, "--class", "1"),
        ("--freeze-noise", one, "--freeze-noise", "--save-noise", tmp_path / "n"),
        ("named twice", "-", "-"),
    ):
        result = sg("project", *QUICK, *arguments)
        assert_refused(result, 1 if words in ("not a PNG", "1x1", "no such file") else 2, words)
    assert_refused(sg("project", one, *QUICK, "-o", "w.png"), 2, "w.png")
    assert list(tmp_path.glob("n*")) == []


def test_quiet_closed_pipe(pictures):
    assert sg("project", pictures / "seed0000.png", *QUICK, "-q").err == ""
    process = sg_process("project", pictures / "seed0000.png", *QUICK, "-q")
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_writes_the_best_so_far(pictures, tmp_path, number, status, monkeypatch):
    from sgcli.latents.projection import Projection

    w = tmp_path / "w.npy"
    step = Projection.step

    def step_and_signal(self):
        step(self)
        if self.done == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Projection, "step", step_and_signal)
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        result = sg("project", pictures, "--loss", "l2", "--steps", 9, "--batch", 2, "-o", w)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert_refused(result, status, "after 3 of 9 steps, 2 of 4 pictures", "--init")
    assert np.load(w).shape == (4, 6, 10)
    assert np.array_equal(np.load(w)[2], np.load(w)[3]) and not np.array_equal(np.load(w)[0], np.load(w)[1])
