"""`sg generate`, `sg sample`, `sg info`, `sg arch`: results, pipes, refusals."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.cli import assert_refused, sg


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_grid_to_stdout(model_file):
    result = sg("generate", "-m", model_file, "--seeds", "0-5", "--grid", "3x2")
    assert result.status == 0, result.err
    assert pixels(result.out).shape == (32, 48, 3)


def test_folder_of_seeds(model_file, tmp_path):
    result = sg("generate", "-m", model_file, "--seeds", "3,7-8", "-o", tmp_path / "out")
    assert result.status == 0, result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "seed0003.png",
        "seed0007.png",
        "seed0008.png",
    ]
    assert result.out == b""


def test_z_of_a_seed_is_the_field_s(model_file):
    latents = np.load(io.BytesIO(sg("sample", "-m", model_file, "--seeds", "5", "--space", "z").out))
    assert latents.dtype == np.float32
    np.testing.assert_array_equal(latents, np.random.RandomState(5).randn(1, 12).astype(np.float32))


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_a_seed_s_picture_does_not_depend_on_its_company(noise, model_file):
    alone = sg("generate", "-m", model_file, "--seeds", 9, "--noise", noise, "--format", "npy").out
    among = sg("generate", "-m", model_file, "--seeds", "2,4-12", "--noise", noise, "--format", "npy", "--batch", 3).out
    alone, among = np.load(io.BytesIO(alone)), np.load(io.BytesIO(among))
    assert among.shape == (10, 3, 16, 16) and among.dtype == np.float32
    assert np.abs(alone[0] - among[6]).max() < 2 / 255


def test_noise_modes_differ(model_file):
    pictures = [
        pixels(sg("generate", "-m", model_file, "--seeds", 1, "--noise", mode).out).tobytes()
        for mode in ("const", "random", "none")
    ]
    assert len(set(pictures)) == 3


@pytest.mark.parametrize("space", ["z", "w"])
def test_sample_pipes_into_generate(space, model_file):
    """Latents in a pipe, two arrays one after the other, draw what the seeds draw."""
    first, second = (sg("sample", "-m", model_file, "--seeds", seeds, "--space", space).out for seeds in ("0-2", "3"))
    piped = sg("generate", "-", "-m", model_file, "--grid", "2x2", stdin=first + second)
    direct = sg("generate", "-m", model_file, "--seeds", "0-3", "--grid", "2x2")
    assert piped.status == 0, piped.err
    assert np.abs(pixels(piped.out).astype(int) - pixels(direct.out)).max() <= 1


def test_truncation(model_file):
    def draw(*options):
        return np.load(io.BytesIO(sg("generate", "-m", model_file, "--seeds", "0-1", "--format", "npy", *options).out))

    mean = draw("--trunc", 0)
    np.testing.assert_allclose(mean[0], mean[1], atol=1e-5)  # psi 0: w_avg, whatever the seed
    full, cut = draw(), draw("--trunc", 0, "--trunc-cutoff", 0)
    np.testing.assert_allclose(full, cut, atol=1e-6)
    partly = draw("--trunc", 0, "--trunc-cutoff", 2)
    assert np.abs(partly[0] - partly[1]).max() > 1e-3 and np.abs(partly - full).max() > 1e-3


def test_truncated_samples_equal_truncated_pictures(model_file):
    codes = sg("sample", "-m", model_file, "--seeds", 4, "--trunc", 0.5, "--trunc-cutoff", 3).out
    late = sg("generate", "-m", model_file, "--seeds", 4, "--trunc", 0.5, "--trunc-cutoff", 3).out
    drawn = pixels(sg("generate", "-", "-m", model_file, stdin=codes).out)
    assert np.array_equal(drawn, pixels(late))


def test_model_from_environment_and_from_the_only_run(model_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SG_MODEL", str(model_file))
    result = sg("generate", "--seeds", 0)
    assert result.status == 0 and "$SG_MODEL" in result.err
    monkeypatch.delenv("SG_MODEL")
    monkeypatch.chdir(tmp_path)
    assert_refused(sg("generate", "--seeds", 0), 2, "no run under ./runs")
    for name in ("00000-a", "00001-b"):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "model-000001.safetensors").write_bytes(model_file.read_bytes())
        if name == "00000-a":
            result = sg("generate", "--seeds", 0)
            assert result.status == 0 and "only run here" in result.err
    assert_refused(sg("generate", "--seeds", 0), 2, "00000-a, 00001-b")


@pytest.mark.parametrize("seeds", ["5-1", "x", "1,,2", "-3", "", "99999999999"])
def test_bad_seeds(seeds, model_file):
    assert_refused(sg("generate", "-m", model_file, f"--seeds={seeds}"), 2, "--seeds")


def test_bad_latents(model_file, tmp_path):
    def refuse(content: bytes, *words: str):
        assert_refused(sg("generate", "-", "-m", model_file, stdin=content), 1, *words)
        path = tmp_path / "latents.npy"
        path.write_bytes(content)
        assert_refused(sg("generate", path, "-m", model_file), 1, *words)

    refuse(npy(np.zeros([2, 99], np.float32)), "[2, 99]", "[N, 12]", "[N, 6, 10]")
    refuse(npy(np.zeros([2, 5, 10], np.float32)), "[2, 5, 10]", "[N, 6, 10]")
    refuse(npy(np.zeros([12], np.float32)), "[12]")
    refuse(npy(np.full([1, 12], np.nan, np.float32)), "NaN")
    refuse(npy(np.array([{"a": 1}]), allow_pickle=True), "pickle")
    refuse(b"\x89PNG not an array", "npy")
    refuse(b"", "empty")
    refuse(npy(np.zeros([2, 12], np.float32))[:-5], "")
    assert_refused(sg("generate", tmp_path / "none.npy", "-m", model_file), 1, "no such file")


def test_bad_models(model_file, tmp_path):
    def refuse(path, *words, status=1):
        assert_refused(sg("generate", "-m", path, "--seeds", 0), status, *words)

    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    refuse(text, "not a model file")
    half = tmp_path / "half.safetensors"
    half.write_bytes(model_file.read_bytes()[:1000])
    refuse(half, "not a model file")
    refuse(tmp_path / "missing.safetensors", "no such file")
    refuse(tmp_path, "without model-")
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "foreign.safetensors")
    refuse(tmp_path / "foreign.safetensors", "not one written by sg")


def test_bad_options(model_file, tmp_path):
    def refuse(*arguments, status=2, words=()):
        assert_refused(sg("generate", "-m", model_file, *arguments), status, *words)

    refuse(words=["neither was given"])
    refuse("-", "--seeds", 1, words=["both were given"])
    refuse("--seeds", "0-9", "--grid", "3x3", words=["room for 9 pictures, not 10", "--grid 4x3"])
    refuse("--seeds", "0-3", "--grid", "big", words=["COLUMNSxROWS"])
    refuse("--seeds", "0-3", words=["--grid", "--format npy", "-o folder/"])
    refuse("--seeds", 0, "--noise", "loud", words=["const, random, none"])
    refuse("--seeds", 0, "--trunc-cutoff", 99, words=["6 layers"])
    refuse("--seeds", 0, "-o", "x.jpg", words=["PNG"])
    refuse("--seeds", 0, "-o", "/proc/x/y.png", status=1, words=["/proc/x"])
    refuse("--seeds", 0, "--precision", "int8", words=["fp32"])
    refuse("--seeds", 0, "--batch", 0, words=["--batch"])
    assert_refused(sg("sample", "-m", model_file, "--seeds", 0, "--space", "y"), 2, "one of z, w")
    assert_refused(
        sg("sample", "-m", model_file, "--seeds", 0, "--space", "z", "--trunc", 0.5), 2, "truncation works in W"
    )


def test_closed_pipe_is_silent(model_file):
    command = f"{sys.executable} -m sgcli generate -m {model_file} --seeds 0-63 --format npy"
    result = subprocess.run(
        ["bash", "-c", f"{command} | head -c 10 | wc -c; echo ${{PIPESTATUS[0]}}"], capture_output=True
    )
    assert result.stdout.split() == [b"10", b"141"]
    assert result.stderr == b""


def test_terminal_gets_no_binary(model_file):
    import os
    import pty

    for arguments, hint in ((["generate", "--seeds", "0"], b"-o"), (["sample", "--seeds", "0"], b"-o latents.npy")):
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "sgcli", *arguments, "-m", str(model_file)]
        process = subprocess.run(command, stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        os.close(master)
        assert process.returncode == 2
        assert b"terminal" in process.stderr and hint in process.stderr


def test_info(model_file, faces, tmp_path):
    facts = json.loads(sg("info", model_file, "--layers").text)
    assert (facts["arch"], facts["resolution"], facts["kimg"]) == ("sg2-f", 16, 1.5)
    assert facts["networks"]["G"] > 1000
    assert [layer["band"] for layer in facts["layers"]][0::5] == ["coarse", "fine"]
    assert json.loads(sg("info", faces).text)["num_images"] == 48
    latents = tmp_path / "w.npy"
    latents.write_bytes(npy(np.zeros([2, 6, 10], np.float32)))
    assert json.loads(sg("info", latents).text)["arrays"] == ["W [N, num_ws, w_dim]: [2, 6, 10]"]
    assert_refused(sg("info", tmp_path / "nothing"), 1, "no such file")
    other = tmp_path / "x.txt"
    other.write_text("")
    assert_refused(sg("info", other), 1, "x.txt")


def test_arch_lists_every_name():
    from sgcli.models import registry

    text = sg("arch").text
    assert all(name in text for name in registry.names())
