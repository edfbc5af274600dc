"""Starting from another model's weights, and keeping layers of D as they are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from sgcli.models.registry import build_network, resolve
from sgcli.training.transfer import copy_matching, frozen_parameters
from tests.cli import assert_refused, sg
from tests.commands.test_train import SMALL


def discriminator(resolution: int, c_dim: int = 0, arch: str = "sg2", **more) -> torch.nn.Module:
    sizes = {"img_resolution": resolution, "img_channels": 3, "c_dim": c_dim, "channel_base": 128, "channel_max": 8}
    return build_network({**resolve(arch, tiny=True).D, **sizes, **more})


def generator(resolution: int, c_dim: int = 0) -> torch.nn.Module:
    sizes = {"img_resolution": resolution, "img_channels": 3, "c_dim": c_dim, "channel_base": 128, "channel_max": 8}
    return build_network({**resolve("sg2", tiny=True).G, **sizes, "z_dim": 8, "w_dim": 8})


@torch.no_grad()
def test_to_another_resolution():
    small, large = generator(16), generator(32)
    report = copy_matching(small.state_dict(), large)
    assert {name.split(".")[1] for name in report.missing} == {"b32"}
    assert not report.left_behind and not report.of_other_shape
    assert len(report.copied) + len(report.missing) == report.total
    assert torch.equal(large.synthesis.b16.conv0.weight, small.synthesis.b16.conv0.weight)
    lines = "\n".join(report.describe("G"))
    assert f"{len(report.copied)} of {report.total}" in lines and f"synthesis.b32 ({len(report.missing)})" in lines


@torch.no_grad()
def test_to_another_number_of_classes():
    report = copy_matching(generator(16, c_dim=3).state_dict(), generator(16, c_dim=5))
    assert report.of_other_shape == {"mapping.embed.weight": "8x5, the model has 8x3"}
    back = copy_matching(discriminator(32).state_dict(), discriminator(16))
    assert back.left_behind and all(name.startswith("b32.") for name in back.left_behind)


@pytest.mark.parametrize("arch", ["sg2", "sg1", "sg3-r"])
def test_filters_are_part_of_the_design(arch):
    sizes = {"img_resolution": 16, "img_channels": 3, "c_dim": 0, "channel_base": 128, "channel_max": 8}
    spec = {**resolve(arch, tiny=True).G, **sizes, "z_dim": 8, "w_dim": 8}
    target = build_network(spec)
    given = {name: torch.full_like(tensor, 7) for name, tensor in build_network(spec).state_dict().items()}
    copy_matching(given, target)
    for name, tensor in target.state_dict().items():
        assert (tensor == 7).all() != name.endswith("_filter"), name


def test_frozen_layers_are_counted_from_the_picture():
    D = discriminator(32)
    counts = [len(frozen_parameters(D, n)) for n in range(8)]
    assert counts == [0, 2, 4, 6, 7, 9, 11, 12]  # fromrgb, conv0, conv1 with biases, skip without; then b16
    frozen = frozen_parameters(D, 5)
    assert frozen[0] is D.b32.fromrgb.weight and frozen[-1] is D.b16.conv0.bias


def test_training_freezes_and_reports(faces, tmp_path):
    common = [faces, *SMALL, "--outdir", tmp_path, "--kimg", 0.016]
    assert sg("train", *common, "--name", "first").status == 0
    source = tmp_path / "00000-first"
    result = sg("train", *common, "--name", "tuned", "--init-from", source, "--freeze-d", 3)
    assert result.status == 0, result.err
    assert "--init-from: G:" in result.err and "--init-from: G:" in (tmp_path / "00001-tuned" / "log.txt").read_text()
    before, after = (
        load_file(tmp_path / run / "model-000000.016.safetensors") for run in ("00000-first", "00001-tuned")
    )
    for name in ("fromrgb", "conv0", "conv1"):
        assert torch.equal(before[f"D/b16.{name}.weight"], after[f"D/b16.{name}.weight"]), name
    assert not torch.equal(before["D/b16.skip.weight"], after["D/b16.skip.weight"])
    assert sg("train", "--resume", tmp_path / "00001-tuned", "--kimg", 0.024).status == 0


def test_what_cannot_be(faces, tmp_path, model_file):
    def refuse(*more, words):
        assert_refused(sg("train", faces, *SMALL, "--outdir", tmp_path, *more), 2, *words)

    refuse("--freeze-d", 3, words=["nothing has trained them", "--init-from MODEL"])
    sg("data", "synth", tmp_path / "large.zip", "--count", 4, "--size", 32)
    large = sg(
        "train", tmp_path / "large.zip", *SMALL, "--outdir", tmp_path, "--freeze-d", 1, "--init-from", model_file
    )
    assert_refused(large, 2, "b32.fromrgb.weight would stay as it is")
    refuse("--freeze-d", 99, "--init-from", model_file, words=["--freeze-d 99", "7 layers"])
    refuse("--channels-max", 4, "--w-dim", 9, "--init-from", model_file, words=["none fits"])
    refuse("--channels-max", 4, "--w-dim", 9, "--init-from", model_file, "--dry-run", words=["none fits"])


def test_dry_run_tells_what_would_be_copied(faces, tmp_path, model_file):
    common = ["--outdir", tmp_path, "--init-from", model_file]
    planned = sg("train", faces, *SMALL, *common, "--dry-run")
    assert planned.status == 0 and not list(tmp_path.iterdir())
    done = sg("train", faces, *SMALL, *common, "--kimg", 0.001)
    told = [[line for line in result.err.splitlines() if "--init-from" in line] for result in (planned, done)]
    assert told[0] == told[1] and any("of another shape" in line for line in told[0])
