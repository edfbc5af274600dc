"""`sg import`, `sg export`, `sg info` of foreign files, and every command's -m with one."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
import torch

from sgcli.models.checkpoint import open_model, save_model
from sgcli.models.registry import build_network
from tests.cli import assert_refused, sg
from tests.golden_files import GOLDEN

CHECKPOINTS = [
    "ada-cond-32.pkl", "sg3r-32.pkl", "rosinality-32.pt", "tf-progan.pkl", "tf-stylegan1.pkl", "tf-stylegan2.pkl",
]  # fmt: skip


SMALL = {
    "sg2": {"class": "stylegan2-g", "z_dim": 12, "w_dim": 10, "img_resolution": 8, "mapping_layers": 2, "c_dim": 3,
            "channel_base": 128, "channel_max": 8},
    "sg3": {"class": "stylegan3-g", "z_dim": 12, "w_dim": 10, "img_resolution": 16, "num_layers": 3, "num_critical": 1,
            "conv_kernel": 1, "use_radial_filters": True, "channel_base": 128, "channel_max": 8},
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_import_and_direct_use_draw_the_same(tmp_path, name):
    model = tmp_path / "model.safetensors"
    result = sg("import", GOLDEN / name, "-o", model)
    assert result.status == 0, result.err
    assert result.out == b""
    assert [line for line in result.err.splitlines() if line.startswith("licence: the weights keep the licence")]
    header = open_model(model).header
    assert header["source"]["file"] == name
    assert header["source"]["sha256"] == hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest()
    arguments = ("generate", "--seeds", "3-4", "--format", "npy", "-m")
    imported, direct = sg(*arguments, model), sg(*arguments, GOLDEN / name)
    assert direct.status == 0, direct.err
    assert imported.out == direct.out != b""
    assert f"{GOLDEN / name}: {header['source']['format']}, converted in memory" in direct.err
    assert "converted" not in imported.err


def test_info_of_foreign_files():
    facts = {name: json.loads(sg("info", GOLDEN / name).out) for name in CHECKPOINTS}
    assert facts["ada-cond-32.pkl"]["resolution"] == 32
    assert facts["ada-cond-32.pkl"]["classes"] == 3
    assert facts["ada-cond-32.pkl"]["images"] == 100
    assert facts["ada-cond-32.pkl"]["augment_p"] == 0.37
    assert facts["ada-cond-32.pkl"]["configuration"]["G"]["channel_max"] == 24
    assert facts["sg3r-32.pkl"]["source"] == "StyleGAN3 (PyTorch)"
    assert {name: fact["arch"] for name, fact in facts.items()} == {
        "ada-cond-32.pkl": "sg2", "sg3r-32.pkl": "sg3-r", "rosinality-32.pt": "sg2", "tf-progan.pkl": "progan",
        "tf-stylegan1.pkl": "sg1", "tf-stylegan2.pkl": "sg2",
    }  # fmt: skip
    assert all(fact["networks"]["D"] > 10_000 for fact in facts.values())


def test_a_foreign_file_serves_sample_and_train(tmp_path, faces):
    latents = sg("sample", "--seeds", "0-2", "-m", GOLDEN / "tf-stylegan2.pkl")
    drawn = sg("generate", "-", "-m", GOLDEN / "tf-stylegan2.pkl", "--grid", "3x1", stdin=latents.out)
    assert drawn.out.startswith(b"\x89PNG")
    run = sg("train", faces, "--tiny", "--kimg", "0.008", "--batch", "4", "--outdir", tmp_path,
             "--channels-base", "768", "--channels-max", "24", "--init-from", GOLDEN / "rosinality-32.pt")  # fmt: skip
    assert run.status == 0, run.err
    assert re.search(r"D: \d+ of \d+ tensors copied", run.err)


# ----- classes


def test_class_changes_the_picture():
    def pictures(*options: object) -> bytes:
        result = sg("generate", "-m", GOLDEN / "ada-cond-32.pkl", "--seeds", "0", "--format", "npy", *options)
        assert result.status == 0, result.err
        assert ("drawing class 0 of 3" in result.err) == (options == ())
        return result.out

    assert pictures("--class", 0) == pictures()
    assert len({pictures("--class", k) for k in range(3)}) == 3
    latents = sg("sample", "-m", GOLDEN / "ada-cond-32.pkl", "--seeds", "0", "--class", 2)
    drawn = sg("generate", "-", "-m", GOLDEN / "ada-cond-32.pkl", "--format", "npy", stdin=latents.out)
    assert drawn.out == pictures("--class", 2)
    assert "--class" not in drawn.err


def test_classes_by_name(tmp_path):
    model = open_model(GOLDEN / "ada-cond-32.pkl")
    path = tmp_path / "named.safetensors"
    save_model(path, {"G_ema": model.load("G_ema")}, {**model.header, "class_names": ["cat", "dog", "7"]})

    def pictures(name: str):
        return sg("generate", "-m", path, "--seeds", "0", "--format", "npy", "--class", name)

    assert pictures("dog").out == pictures("1").out
    assert pictures("7").out == pictures("2").out
    assert_refused(pictures("dogs"), 2, "0 to 2, or one of cat, dog, 7", "hint: --class dog")


def test_wrong_classes(model_file, tmp_path):
    conditional = GOLDEN / "ada-cond-32.pkl"
    for wrong in ("3", "-1", "cat"):
        result = sg("generate", "-m", conditional, "--seeds", "0", "-o", tmp_path / "x.png", f"--class={wrong}")
        assert_refused(result, 2, f"--class {wrong}", "0 to 2")
    result = sg("generate", "-m", model_file, "--seeds", "0", "-o", tmp_path / "x.png", "--class", 0)
    assert_refused(result, 2, "no classes")
    assert_refused(sg("sample", "-m", conditional, "--seeds", "0", "--space", "z", "--class", 0), 2, "W only")
    sg("sample", "-m", conditional, "--seeds", "0", "-o", tmp_path / "w.npy")
    result = sg("generate", tmp_path / "w.npy", "-m", conditional, "--class", 1, "-o", tmp_path / "x.png")
    assert_refused(result, 2, "holds W")


# ----- export


def test_export_and_import_again(tmp_path):
    first = tmp_path / "first.safetensors"
    sg("import", GOLDEN / "rosinality-32.pt", "-o", first)
    for name in ("again.pt", "again.npz"):
        result = sg("export", "-m", first, "-o", tmp_path / name)
        assert result.status == 0, result.err
        second = tmp_path / f"{name}.safetensors"
        assert sg("import", tmp_path / name, "-o", second).status == 0
        before, after = open_model(first), open_model(second)
        assert before.header["networks"] == after.header["networks"]
        for prefix in ("G_ema", "D"):
            a, b = before.tensors(prefix), after.tensors(prefix)
            assert a.keys() == b.keys()
            assert all(torch.equal(a[key], b[key]) for key in a)
    assert after.header["source"] == before.header["source"]


def test_export_says_what_it_leaves_out(model_file, tmp_path):
    described = {**SMALL["sg2"], "c_dim": 0, "z_dim": 10}
    model = tmp_path / "m.safetensors"
    save_model(model, {"G_ema": build_network(described)}, {"arch": "sg2", "networks": {"G": described}})
    result = sg("export", "-m", model, "-o", tmp_path / "m.pt")
    assert result.status == 0, result.err
    assert "left out: the clamping of activations" in result.err
    assert_refused(sg("export", "-m", model_file, "-o", tmp_path / "x.pt"), 2, "its Z and W differ in width")


def test_wrong_arguments(model_file, tmp_path):
    assert_refused(sg("export", "-m", model_file, "-o", tmp_path / "x.abc"), 2, "the ending tells no format")
    assert_refused(sg("export", "-m", model_file, "--format", "pkl", "-o", tmp_path / "x.npz"), 2, "--format pkl")
    assert_refused(sg("import", GOLDEN / "sg3r-32.pkl", "-o", tmp_path / "x.pt"), 2, "models are .safetensors files")
    assert_refused(sg("import", tmp_path / "none.pkl", "-o", tmp_path / "x.safetensors"), 1, "no such file")
    assert_refused(sg("import", model_file, "-o", tmp_path / "x.safetensors"), 1, "no checkpoint of another project")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_file_leaves_nothing(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x04cos\nsystem\n(X\x04\x00\x00\x00exittR.")
    result = sg("import", tmp_path / "bad.pkl", "-o", tmp_path / "x.safetensors")
    assert_refused(result, 1, "is refused: it asks for os.system")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pkl"]
    assert_refused(sg("info", tmp_path / "bad.pkl"), 1, "os.system")
    assert_refused(sg("generate", "-m", tmp_path / "bad.pkl", "--seeds", "0", "-o", tmp_path / "x.png"), 1, "os.system")


# ----- onnx


@pytest.fixture
def small_model(tmp_path):
    """Make a model file of SMALL, with a w_avg and noise that matter. Returns it and its generator."""

    def make(arch: str):
        torch.manual_seed(0)
        G = build_network(SMALL[arch]).eval()
        G.mapping.w_avg.copy_(torch.linspace(-1, 1, 10))
        for layer in G.synthesis.noise_layers():
            torch.nn.init.constant_(layer.noise_strength, 0.3)
        save_model(tmp_path / "m.safetensors", {"G_ema": G}, {"arch": arch, "networks": {"G": SMALL[arch]}})
        return tmp_path / "m.safetensors", G

    return make


def assert_close(actual: np.ndarray, expected: torch.Tensor) -> None:
    expected = expected.detach().numpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("arch", SMALL)
def test_onnx_draws_the_same(tmp_path, small_model, arch):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    (model, G), path = small_model(arch), tmp_path / "m.onnx"
    result = sg("export", "-m", model, "--format", "onnx", "-o", path)
    assert result.status == 0, result.err
    assert result.out == b""
    assert sorted(tmp_path.iterdir()) == [path, model]
    onnx.checker.check_model(path)
    session = onnxruntime.InferenceSession(path)
    for count, psi in ((1, 1.0), (5, 0.7)):
        z = np.random.RandomState(0).randn(count, 12).astype("f4")
        inputs, c = {"z": z, "truncation_psi": np.array(psi, "f4")}, None
        if G.c_dim:
            inputs["c"] = np.eye(3, dtype="f4")[np.arange(count) % 3]
            c = torch.from_numpy(inputs["c"])
        ws, img = session.run(["ws", "img"], inputs)
        assert_close(ws, G.mapping(torch.from_numpy(z), c, truncation_psi=psi))
        assert_close(img, G(torch.from_numpy(z), c, truncation_psi=psi, noise="const"))


def test_onnx_from_w(tmp_path, small_model):
    onnxruntime = pytest.importorskip("onnxruntime")
    (model, G), path = small_model("sg2"), tmp_path / "m.onnx"
    assert sg("export", "-m", model, "--format", "onnx-synthesis", "-o", path).status == 0
    session = onnxruntime.InferenceSession(path)
    for count in (1, 3):
        ws = torch.randn(count, G.num_ws, 10)
        assert_close(session.run(None, {"ws": ws.numpy()})[0], G.synthesis(ws, noise="const"))


def test_onnx_without_the_packages(model_file, tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_refused(sg("export", "-m", model_file, "-o", tmp_path / "x.onnx"), 1, "onnx is not installed", "sgcli[onnx]")
