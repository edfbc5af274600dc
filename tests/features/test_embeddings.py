"""What projections minimise: every embedding's squared distance is what its name says."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sgcli.errors import FormatError, SgError, UsageError
from sgcli.features.embeddings import IMAGE2STYLEGAN_LAYERS, fit_to_network, load_embedding
from sgcli.features.lpips import load_lpips
from sgcli.features.pyramid import pyramid_embedding
from sgcli.features.vgg import load_vgg16
from tests.features.seeded_vgg import write_seeded_vgg
from tests.golden_files import assert_close

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory) -> str:
    return str(write_seeded_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors"))


def pictures(side: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(2, 2, channels, side, side, generator=torch.Generator().manual_seed(side)) * 2 - 1


def distance(embed, a, b) -> torch.Tensor:
    return (embed(a) - embed(b)).square().sum(dim=1)


def test_l2_is_the_mean_squared_difference():
    a, b = pictures(16)
    assert_close(distance(load_embedding("l2", CPU), a, b), (a - b).square().mean(dim=(1, 2, 3)))


def test_networks_see_large_pictures_scaled_to_256():
    images = pictures(512)[0]
    assert_close(fit_to_network(images), F.avg_pool2d(images, 2))
    assert fit_to_network(images[..., :320, :320]).shape[2:] == (256, 256)
    assert torch.equal(fit_to_network(images[..., :64, :64]), images[..., :64, :64])


def test_small_and_grey_pictures_are_enlarged_and_coloured(vgg_file):
    a, b = pictures(8, channels=1)
    larger = [images.repeat_interleave(4, 2).repeat_interleave(4, 3).expand(-1, 3, -1, -1) for images in (a, b)]
    assert_close(distance(load_embedding("lpips", CPU, vgg_file), a, b), load_lpips(vgg_file)(*larger))


def test_vgg_is_image2stylegans_loss(vgg_file):
    a, b = pictures(32)
    vgg = load_vgg16(vgg_file)
    layers = zip(vgg(a, IMAGE2STYLEGAN_LAYERS), vgg(b, IMAGE2STYLEGAN_LAYERS), strict=True)
    expected = torch.stack([(x - y).square().mean(dim=(1, 2, 3)) for x, y in layers]).sum(dim=0)
    assert_close(distance(load_embedding("vgg", CPU, vgg_file), a, b), expected)


@pytest.mark.parametrize("side", [4, 8, 9, 32])
def test_pyramid_of_any_size(side):
    a, b = pictures(side, channels=4)
    found = distance(pyramid_embedding, a, b)
    assert found.shape == (2,) and (found > 0).all() and distance(pyramid_embedding, a, a).max() == 0


def test_pyramid_counts_faint_edges_in_smooth_places_for_more():
    """The same small step, once on a plain ground, once in strong noise."""
    step = torch.zeros(1, 3, 32, 32)
    step[..., 16:] = 0.1
    plain, busy = torch.zeros(1, 3, 32, 32), pictures(32)[:1, 0].sign()
    on_plain, on_busy = (distance(pyramid_embedding, ground, ground + step).item() for ground in (plain, busy))
    residual = distance(load_embedding("l2", CPU), F.avg_pool2d(plain, 4), F.avg_pool2d(plain + step, 4)).item() / 3
    assert on_plain - residual > 3 * (on_busy - residual)


def test_gradients_reach_the_picture(vgg_file):
    for name in ("l2", "pyramid", "lpips", "vgg"):
        images = pictures(16)[0].requires_grad_()
        load_embedding(name, CPU, vgg_file if name in ("lpips", "vgg") else None)(images).square().sum().backward()
        assert images.grad is not None and images.grad.isfinite().all() and images.grad.abs().max() > 0, name


class Features(torch.nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


class Wrong(torch.nn.Module):
    def forward(self, x):
        return x.mean()


def test_torchscript_needs_trust(tmp_path):
    path = tmp_path / "features.pt"
    torch.jit.trace(Features(), pictures(32)[0]).save(path)
    with pytest.raises(UsageError, match="executes code"):
        load_embedding(f"features:{path}", CPU)
    a, b = pictures(32)
    expected = (a.mean(dim=(2, 3)) - b.mean(dim=(2, 3))).square().sum(dim=1)
    assert_close(distance(load_embedding(f"features:{path}", CPU, trust=True), a, b), expected)


def test_torchscript_that_does_not_fit(tmp_path):
    path = tmp_path / "wrong.pt"
    torch.jit.script(Wrong()).save(path)
    with pytest.raises(FormatError, match="row of features"):
        load_embedding(f"features:{path}", CPU, trust=True)(pictures(32)[0])
    path.write_bytes(b"nothing")
    with pytest.raises(FormatError, match="not a TorchScript"):
        load_embedding(f"features:{path}", CPU, trust=True)
    with pytest.raises(SgError, match="no such file"):
        load_embedding("features:none.pt", CPU, trust=True)


def test_refusals(vgg_file):
    with pytest.raises(UsageError, match="one of lpips, vgg, pyramid, l2"):
        load_embedding("ssim", CPU)
    with pytest.raises(UsageError, match="no weights of its own"):
        load_embedding("l2", CPU, vgg_file)
