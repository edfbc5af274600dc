"""Resizing rules, the random network, TorchScript files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.features import resize
from sgcli.features.extractors import PROTOCOLS, Protocol, load_extractor
from tests.golden_files import assert_close

CPU = torch.device("cpu")
NVIDIA = Protocol.named("nvidia")


def pictures(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("size", [1, 5, 16, 40])
def test_tensorflow_bilinear_is_the_affine_grid_of_the_specification(size):
    images, side = pictures(2, 3, size, size).float(), 24
    theta = torch.eye(2, 3).repeat(2, 1, 1)
    theta[:, :, 2] = 1 / size - 1 / side
    grid = F.affine_grid(theta, [2, 3, side, side], align_corners=False)
    expected = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    # The affine form rounds its coordinates in single precision.
    assert_close(resize.tensorflow_bilinear(images, side), resize_by_hand(images, side), tolerance=1e-6)
    if size > 1:
        assert_close(resize.tensorflow_bilinear(images, side)[:, :, 1:-3, 1:-3], expected[:, :, 1:-3, 1:-3], 1e-3)


def resize_by_hand(images: torch.Tensor, side: int) -> torch.Tensor:
    size = images.shape[-1]
    result = torch.zeros(*images.shape[:2], side, side)
    for i in range(side):
        for j in range(side):
            y, x = i * size / side, j * size / side
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, size - 1), min(x0 + 1, size - 1)
            top = images[:, :, y0, x0] * (1 - x + x0) + images[:, :, y0, x1] * (x - x0)
            below = images[:, :, y1, x0] * (1 - x + x0) + images[:, :, y1, x1] * (x - x0)
            result[:, :, i, j] = top * (1 - y + y0) + below * (y - y0)
    return result


def test_pillow_bicubic_is_pillows_own_before_rounding():
    images = pictures(1, 3, 40, 40)
    expected = Image.fromarray(images[0].permute(1, 2, 0).numpy()).resize((16, 16), Image.Resampling.BICUBIC)
    difference = resize.pillow_bicubic(images.float(), 16)[0].permute(1, 2, 0).numpy() - np.asarray(expected, float)
    assert np.abs(difference).max() <= 1.01  # Pillow rounds twice in 8 bits


def test_protocols_differ():
    results = [protocol.resize(pictures(1, 3, 40, 40).float(), 24) for protocol in PROTOCOLS.values()]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (results[a] - results[b]).abs().max() > 1
    with pytest.raises(UsageError, match="nvidia, clean, pytorch-fid"):
        Protocol.named("tensorflow")


def test_random_features_are_the_same_everywhere():
    extractor = load_extractor("random", NVIDIA, CPU)
    features = extractor(pictures(3, 3, 20, 20))
    assert features.shape == (3, 480)
    assert torch.equal(features, load_extractor("random", NVIDIA, CPU)(pictures(3, 3, 20, 20)))
    assert extractor.facts() == {"extractor": "random", "extractor_sha256": extractor.sha256}
    assert torch.allclose(extractor(pictures(3, 3, 20, 20)[:1]), features[:1], atol=1e-5)


def test_random_features_take_no_weights_and_know_no_classes():
    with pytest.raises(UsageError, match="have none"):
        load_extractor("random", NVIDIA, CPU, weights="x.pth")
    with pytest.raises(UsageError, match="does not tell classes apart"):
        load_extractor("random", NVIDIA, CPU).class_probabilities(torch.zeros(1, 480))


class Means(torch.nn.Module):
    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return images.mean(dim=(2, 3)) * (2.0 if return_features else 1.0)


def test_torchscript_runs_only_when_trusted(tmp_path):
    path = str(tmp_path / "means.ts")
    torch.jit.script(Means()).save(path)
    with pytest.raises(UsageError, match="executes code") as error:
        load_extractor(path, NVIDIA, CPU)
    assert "--trust" in error.value.hint
    found = load_extractor(path, NVIDIA, CPU, trust=True)(pictures(2, 3, 8, 8))
    assert_close(found, 2 * pictures(2, 3, 8, 8).float().mean(dim=(2, 3)))


def test_bad_extractors_are_refused(tmp_path):
    (tmp_path / "noise.ts").write_bytes(b"no TorchScript")
    with pytest.raises(FormatError, match="not a TorchScript"):
        load_extractor(str(tmp_path / "noise.ts"), NVIDIA, CPU, trust=True)
    with pytest.raises(SgError, match="no such file"):
        load_extractor(str(tmp_path / "none.ts"), NVIDIA, CPU, trust=True)
    with pytest.raises(UsageError, match="inception, vgg, random"):
        load_extractor("resnet", NVIDIA, CPU)


def test_nan_features_are_refused(tmp_path):
    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(2, 3)) / 0.0 - images.mean(dim=(2, 3)) / 0.0

    path = str(tmp_path / "broken.ts")
    torch.jit.script(Broken()).save(path)
    with pytest.raises(SgError, match="NaN"):
        load_extractor(path, NVIDIA, CPU, trust=True)(pictures(2, 3, 8, 8))
