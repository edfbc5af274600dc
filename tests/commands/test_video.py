"""`sg video`: what is filmed, by every mode; refusals; interruption and pipes as a shell sees them."""

from __future__ import annotations

import io
import json
import os
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sgcli.models.checkpoint import save_model
from sgcli.models.registry import build_network, resolve
from tests.cli import assert_refused, sg, sg_process
from tests.media.test_video import read_mp4


def film(tmp_path, *arguments, stdin: bytes = b"") -> np.ndarray:
    """The frames of `sg video … -o folder`, [N, H, W, C] as integers."""
    folder = tmp_path / f"film{len(list(tmp_path.iterdir()))}"
    result = sg("video", *arguments, "-o", folder, stdin=stdin)
    assert result.status == 0, result.err
    assert result.out == b""
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]).astype(int)


def picture(*arguments, stdin: bytes = b"") -> np.ndarray:
    """What `sg generate` draws, [H, W, C]."""
    result = sg("generate", *arguments, stdin=stdin)
    assert result.status == 0, result.err
    return np.asarray(Image.open(io.BytesIO(result.out))).astype(int)


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """The same but for rounding to 8 bits."""
    return a.shape == b.shape and np.abs(a - b).max() <= 1


@pytest.fixture(scope="module")
def sg3(tmp_path_factory):
    """A small untrained StyleGAN3-R of 16²."""
    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "img_channels": 3, "c_dim": 0, "channel_base": 64, "channel_max": 8}
    G = build_network(spec := {**resolve("sg3-r").G, **sizes, "z_dim": 12, "w_dim": 10})
    with torch.no_grad():
        list(G.synthesis.children())[-1].weight.mul_(30)  # colours that reach white and black
    path = tmp_path_factory.mktemp("model") / "sg3.safetensors"
    save_model(path, {"G_ema": G}, {"arch": "sg3-r", "networks": {"G": spec}, "kimg": 1})
    return path


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    """A small untrained StyleGAN2 of 16² with the classes cat, dog and 7."""
    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "img_channels": 1, "c_dim": 3, "channel_base": 64, "channel_max": 8}
    G = build_network(spec := {**resolve("sg2", tiny=True).G, **sizes, "z_dim": 12, "w_dim": 10})
    path = tmp_path_factory.mktemp("model") / "cond.safetensors"
    header = {"arch": "sg2-f", "networks": {"G": spec}, "kimg": 1, "class_names": ["cat", "dog", "7"]}
    save_model(path, {"G_ema": G}, header)
    return path


@pytest.mark.parametrize("interp", ["spline", "linear", "slerp"])
def test_walk_shows_its_keys_and_closes(interp, model_file, tmp_path):
    options = ["-m", model_file, "--trunc", 0.8]
    frames = film(tmp_path, *options, "--seeds", "1-3", "--frames-per-key", 8, "--interp", interp)
    assert frames.shape == (24, 16, 16, 3)
    for key, seed in enumerate((1, 2, 3)):
        assert near(frames[8 * key], picture(*options, "--seeds", seed))
    steps = np.abs(np.diff(np.concatenate([frames, frames[:1]]), axis=0)).mean(axis=(1, 2, 3))
    assert steps[-1] < 1.5 * steps[:-1].max()  # from the last frame to the first as from any to the next


def test_open_walk_ends_at_its_last_key(model_file, tmp_path):
    frames = film(tmp_path, "-m", model_file, "--seeds", "1-3", "--no-loop", "--frames-per-key", 4)
    assert len(frames) == 9
    assert near(frames[-1], picture("-m", model_file, "--seeds", 3))


@pytest.mark.parametrize("rhythm", [["--easing", "smooth"], ["--easing", "hold"], ["--constant-speed"]])
def test_rhythms_start_at_the_first_key(rhythm, model_file, tmp_path):
    frames = film(tmp_path, "-m", model_file, "--seeds", "1-3", "--seconds", 0.5, *rhythm)
    assert len(frames) == 15
    assert near(frames[0], picture("-m", model_file, "--seeds", 1))


def test_grid_of_independent_walks(model_file, tmp_path):
    options = ["-m", model_file, "--frames-per-key", 3]
    sheet = film(tmp_path, *options, "--seeds", "0-11", "--grid", "3x2", "--batch", 4)
    assert sheet.shape == (6, 32, 48, 3)
    for cell in (0, 5):
        alone = film(tmp_path, *options, "--seeds", f"{2 * cell}-{2 * cell + 1}", "--batch", 2)
        row, column = divmod(cell, 3)
        assert near(sheet[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16], alone)
    refused = sg("video", "-m", model_file, "--seeds", "1-8", "--grid", "3x2", "-o", tmp_path / "a.mp4")
    assert_refused(refused, 2, "8 keys", "6 cells", "--seeds 0-11")


def test_keys_of_files_and_pipes(model_file, tmp_path):
    options = ["-m", model_file, "--frames-per-key", 2]
    by_seeds = film(tmp_path, *options, "--seeds", "1-3")
    z, w = (sg("sample", "-m", model_file, "--seeds", "1-3", "--space", space).out for space in "zw")
    late = sg("sample", "-m", model_file, "--seeds", "3", "--space", "z").out
    two = sg("sample", "-m", model_file, "--seeds", "1-2", "--space", "w").out
    for keys in (z, w, two + late):
        assert near(film(tmp_path, "-", *options, stdin=keys), by_seeds)
    refused = sg("video", "-", *options, "--interp", "slerp", "-o", tmp_path / "a.mp4", stdin=w)
    assert_refused(refused, 2, "--interp slerp", "the keys are W", "--interp spline")


def test_keys_that_do_not_fit(model_file, tmp_path):
    np.save(tmp_path / "keys.npy", np.zeros((3, 7, 99), np.float32))
    refused = sg("video", tmp_path / "keys.npy", "-m", model_file, "-o", tmp_path / "a.mp4")
    assert_refused(refused, 1, "[3, 7, 99]", "[N, 12]", "10]")
    assert [path.name for path in tmp_path.iterdir()] == ["keys.npy"]


def test_one_key_stands_still(model_file, tmp_path):
    result = sg("video", "-m", model_file, "--seeds", 4, "--frames-per-key", 3, "-o", tmp_path / "a.mp4")
    assert result.status == 0 and "stands still" in result.err
    _, frames = read_mp4(tmp_path / "a.mp4")
    assert len(frames) == 3 and np.abs(np.diff(frames.astype(int), axis=0)).max() <= 2


def test_mp4_size_rate_and_length(model_file, tmp_path):
    out = tmp_path / "a.mp4"
    result = sg("video", "-m", model_file, "--seeds", "0-3", "--seconds", 1.5, "--fps", 20, "--scale", 4, "-o", out)
    assert result.status == 0, result.err
    told, frames = read_mp4(out)
    assert (told["fps"], told["size"], len(frames)) == (20.0, (64, 64), 30)
    still = picture("-m", model_file, "--seeds", 0).repeat(4, axis=0).repeat(4, axis=1)
    assert np.abs(frames[0].transpose(1, 2, 0) - still).mean() < 8  # hard edges, and colour at half the resolution


def test_mix_lays_fine_styles_over(model_file, tmp_path):
    options = ["-m", model_file, "--frames-per-key", 2]
    plain = film(tmp_path, *options, "--seeds", "1-2")
    assert near(film(tmp_path, *options, "--seeds", "1-2", "--mix", "1-2"), plain)
    mixed = film(tmp_path, *options, "--seeds", "1-2", "--mix", "5-6", "--layers", "2-4")
    for name, seed in (("a", 1), ("b", 5)):
        sg("sample", "-m", model_file, "--seeds", seed, "-o", tmp_path / f"{name}.npy")
    w = sg("mix", "-m", model_file, tmp_path / "a.npy", tmp_path / "b.npy", "--layers", "2-4=b").out
    assert near(mixed[0], picture("-", "-m", model_file, stdin=w))
    result = sg("video", "-m", model_file, "--seeds", 1, "--mix", "5-7", "-o", tmp_path / "long.mp4")
    assert "180 frames" in result.err  # as long as the walk with more keys takes
    from_file = film(tmp_path, *options, "--seeds", "1", "--mix", tmp_path / "b.npy", "--layers", "2-4")
    assert near(from_file[0], mixed[0])


def test_direction_sweep(model_file, tmp_path):
    directions = tmp_path / "dirs.npy"
    np.save(directions, np.random.default_rng(0).normal(size=(2, 6, 10)).astype(np.float32)[:, : num_ws(model_file)])
    options = ["-m", model_file, "--seeds", 3, "--direction", f"{directions}:1", "--frames-per-key", 6]
    swing = film(tmp_path, *options, "--range", "-2..2")
    assert near(swing[1], swing[5]) and not near(swing[0], swing[3])
    sg("sample", "-m", model_file, "--seeds", 3, "-o", tmp_path / "w.npy")
    once = film(tmp_path, *options, "--no-loop")
    for frame, by in ((0, -3), (-1, 3)):
        edited = sg("edit", tmp_path / "w.npy", "-m", model_file, "--direction", f"{directions}:1", "--by", by)
        assert near(once[frame], picture("-", "-m", model_file, stdin=edited.out)), edited.err


def num_ws(model_file) -> int:
    return np.load(io.BytesIO(sg("sample", "-m", model_file, "--seeds", 0).out)).shape[1]


def test_truncation_sweep(model_file, tmp_path):
    frames = film(tmp_path, "-m", model_file, "--seeds", "1-2", "--truncation-sweep", "--frames-per-key", 4)
    mean = picture("-m", model_file, "--seeds", 1, "--trunc", 0)
    for frame, wanted in ((0, mean), (2, None), (4, mean), (6, None)):
        wanted = picture("-m", model_file, "--seeds", 1 + frame // 4) if wanted is None else wanted
        assert near(frames[frame], wanted)


def test_class_walk(conditional, tmp_path):
    frames = film(tmp_path, "-m", conditional, "--seeds", 5, "--classes", "dog,0,7", "--frames-per-key", 2)
    for key, name in enumerate(("dog", "cat", "7")):
        assert near(frames[2 * key], picture("-m", conditional, "--seeds", 5, "--class", name))
    assert len(film(tmp_path, "-m", conditional, "--seeds", 5, "--classes", "all", "--frames-per-key", 1)) == 3
    one_class = film(
        tmp_path, "-m", conditional, "--seeds", "5-6", "--class", "dog", "--interp", "slerp", "--seconds", 0.1
    )
    assert near(one_class[0], frames[0])


def test_class_walk_refusals(model_file, conditional, tmp_path):
    out = ["-o", tmp_path / "a.mp4"]
    assert_refused(sg("video", "-m", model_file, "--seeds", 1, "--classes", "0-1", *out), 2, "no classes")
    assert_refused(sg("video", "-m", conditional, "--seeds", 1, "--classes", "0-3", *out), 2, "--classes 3", "0 to 2")
    assert_refused(sg("video", "-m", conditional, "--seeds", 1, "--classes", "0-1", "--class", 1, *out), 2, "--class ")


@pytest.mark.parametrize("path", ["pan", "rotate", "zoom:1.3", "orbit:0.2"])
def test_camera_moves(path, sg3, tmp_path):
    options = ["-m", sg3, "--seeds", 1, "--path", path, "--frames-per-key", 8]
    frames = film(tmp_path, *options)
    assert near(frames[0], picture("-m", sg3, "--seeds", 1))
    assert np.abs(frames[2] - frames[0]).mean() > 1
    assert near(frames, film(tmp_path, *options, "--batch", 3))
    if path == "rotate":
        assert near(frames[2], np.rot90(frames[0]))
    if path.startswith("orbit"):
        shifted = picture("-m", sg3, "--seeds", 1, "--translate", "0,0.4")
        assert near(frames[4], shifted)


def test_camera_with_a_grid(sg3, tmp_path):
    sheet = film(tmp_path, "-m", sg3, "--seeds", "1-2", "--grid", "2x1", "--path", "pan", "--frames-per-key", 4)
    alone = film(tmp_path, "-m", sg3, "--seeds", "2", "--path", "pan", "--frames-per-key", 4)
    assert near(sheet[:, :, 16:], alone)


def test_a_constant_input_cannot_be_moved(model_file, tmp_path):
    refused = sg("video", "-m", model_file, "--seeds", 1, "--path", "pan", "-o", tmp_path / "a.mp4")
    assert_refused(refused, 2, "--path", "learned constant", "sg3-t")


def test_project_log(model_file, tmp_path):
    log = tmp_path / "log.npy"
    sg("sample", "-m", model_file, "--seeds", "1-4", "-o", log)
    frames = film(tmp_path, "--project-log", log, "-m", model_file, "--fps", 7, "--seconds", 1)
    assert len(frames) == 7
    for frame, seed in ((0, 1), (2, 2), (6, 4)):
        assert near(frames[frame], picture("-m", model_file, "--seeds", seed))


def test_progress_of_a_run(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"G": {"img_resolution": 16}}))
    for kimg, shade in (("000000", 10), ("000001.500", 90), ("000100", 200)):
        Image.new("RGB", (64, 48), (shade, shade, shade)).save(run / f"fakes-{kimg}.png")
    frames = film(tmp_path, "--progress", run, "--frames-per-key", 2)
    assert frames.shape[0] == 6 and frames.shape[2] == 64 and frames.shape[1] > 48
    assert [frame[0, 0, 0] for frame in frames] == [10, 10, 90, 90, 200, 200]
    assert not np.array_equal(frames[0, 48:], frames[2, 48:])  # the captions differ
    assert film(tmp_path, "--progress", run, "--grid", "2x1", "--seconds", 0.2).shape[2] == 32
    refused = sg("video", "--progress", run, "--grid", "5x1", "-o", tmp_path / "a.mp4")
    assert_refused(refused, 2, "--grid 5x1", "4x3")
    assert_refused(sg("video", "--progress", tmp_path, "-o", tmp_path / "a.mp4"), 1, "fakes-*.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["none was given"]),
        (["--seeds", "1-2", "--progress", "run"], ["--seeds and --progress"]),
        (["--seeds", "1-2", "--seconds", "1", "--frames-per-key", "2"], ["--seconds and --frames-per-key"]),
        (["--seeds", "1-2", "--seconds", "0"], ["--seconds 0"]),
        (["--seeds", "1-2", "--fps", "0"], ["--fps 0"]),
        (["--seeds", "1-2", "--interp", "cubic"], ["--interp cubic", "spline"]),
        (["--seeds", "1-2", "--easing", "bouncy"], ["--easing bouncy", "smooth"]),
        (["--seeds", "1-2", "--easing", "smooth", "--constant-speed"], ["--constant-speed"]),
        (["--seeds", "1-2", "--range", "0..1"], ["nothing is swept"]),
        (["--seeds", "1-2", "--layers", "fine"], ["--layers fine"]),
        (["--seeds", "1-2", "--mix", "1", "--truncation-sweep"], ["--mix and --truncation-sweep"]),
        (["--seeds", "1-2", "--truncation-sweep", "--trunc", "0.5"], ["--truncation-sweep", "0..0.5"]),
        (["--project-log", "x.npy", "--mix", "1"], ["--project-log", "--mix"]),
        (["--seeds", "1-2", "--path", "spin"], ["--path spin", "orbit"]),
        (["--seeds", "1-2", "--direction", "dirs.npy"], ["--direction dirs.npy"]),
        (["--seeds", "1-2", "--format", "avi"], ["--format avi", "mp4"]),
        (["--seeds", "1-2", "--grid", "0x2"], ["--grid 0x2"]),
        (["--seeds", "1-2", "--trunc-cutoff", "99"], ["--trunc-cutoff 99"]),
    ],
)
def test_refusals(arguments, words, model_file, tmp_path):
    assert_refused(sg("video", *arguments, "-m", model_file, "-o", tmp_path / "a.mp4"), 2, *words)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_places(model_file, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    refused = sg("video", "-m", model_file, "--seeds", "1-2", "-o", tmp_path / "file" / "a.mp4")
    assert_refused(refused, 1, "file stands where a folder is needed")

    def forbidden(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sgcli.files.tempfile.mkstemp", forbidden)
    refused = sg("video", "-m", model_file, "--seeds", "1-2", "-o", tmp_path / "a.mp4")
    assert_refused(refused, 1, "cannot be written", "a.mp4")


def test_ctrl_c_leaves_a_playable_film(model_file, tmp_path):
    out = tmp_path / "long.mp4"
    process = sg_process("video", "-m", model_file, "--seeds", "0-3", "--seconds", 3600, "-o", out)
    try:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in tmp_path.glob(".long.mp4.*")):  # until frames are encoded
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert b"holds the first" in err and b"Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]
    _, frames = read_mp4(out)
    assert f"first {len(frames)} frames".encode() in err


def test_films_on_stdout(model_file, tmp_path):
    options = ["video", "-m", model_file, "--seeds", "0-1", "--frames-per-key", 3]
    raw = sg(*options, "--format", "raw")
    assert raw.status == 0 and len(raw.out) == 6 * 16 * 16 * 3
    out, err = sg_process(*options).communicate(timeout=60)
    (tmp_path / "piped.mp4").write_bytes(out)
    assert len(read_mp4(tmp_path / "piped.mp4")[1]) == 6, err


@pytest.mark.parametrize("file_format", [pytest.param("raw", marks=pytest.mark.slow), "mp4"])
def test_a_reader_that_goes_away(file_format, model_file):
    process = sg_process("video", "-m", model_file, "--seeds", "0-1", "--seconds", 600, "--format", file_format)
    assert process.stdout.read(1000)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == 141, err
    assert b"error" not in err and b"Traceback" not in err
