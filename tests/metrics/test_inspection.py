"""Feature-map peaks, details on the pixel grid, contributions of ToRGB layers: on inputs whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from sgcli.metrics.contributions import contributions, torgb_layers
from sgcli.metrics.feature_maps import as_pictures, feature_maps, layer_names, peak_shares, strongest_channels
from sgcli.metrics.phase import measure_phase
from sgcli.models import progan, stylegan1, stylegan2
from sgcli.models.growing import set_lod

SIZES = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "channel_base": 64, "channel_max": 8}


def test_peaks():
    maps = torch.zeros(1, 3, 32, 32)
    maps[0, 0, 5, 7] = 100.0  # a droplet
    maps[0, 1] = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    droplet, noise, flat = peak_shares(maps)[0].tolist()
    assert droplet == pytest.approx(1, abs=0.01)
    assert 9 / 32**2 < noise < 0.06
    assert flat == 0
    assert strongest_channels(maps, 2).tolist() == [0, 1] or strongest_channels(maps, 2).tolist() == [1, 0]
    pictures = as_pictures(maps)
    assert pictures.shape == (1, 3, 1, 32, 32) and pictures[0, 2].unique().tolist() == [128]
    assert int(pictures[0, 0].max()) == 255


@pytest.mark.parametrize("kind", [progan.Generator, stylegan1.Generator, stylegan2.Generator])
def test_maps_of_every_layer(kind):
    torch.manual_seed(0)
    G = kind(**SIZES).eval().requires_grad_(False)
    ws = G.mapping(torch.randn(3, 8))
    for name in layer_names(G):
        maps = feature_maps(G, name, ws)
        assert maps.ndim == 4 and len(maps) == 3
    if hasattr(G.synthesis, "lod"):
        set_lod(G, 2)
        assert all(name.startswith("b4.") for name in layer_names(G))


def walk_of(textured_shape: bool, steps: int = 64) -> torch.Tensor:
    """A bright disc that moves to the right; its texture moves with it, or stays where it is. `[T, 1, 64, 64]`."""
    torch.manual_seed(0)
    texture = 0.3 * torch.randn(64, 128)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    frames = []
    for step in range(steps):
        shift = step // 2
        disc = torch.sigmoid((14 - torch.hypot(x - 16 - shift, y - 32)) / 2)
        pattern = texture[:, 64 - shift : 128 - shift] if textured_shape else texture[:, :64]
        frames.append(disc * (1 + pattern))
    return torch.stack(frames)[:, None]


def test_details_that_stay_and_details_that_move_along():
    moving, staying = (measure_phase(walk_of(textured)) for textured in (True, False))
    assert moving.locked_share < 0.15
    assert staying.locked_share > 0.5
    assert moving.strip.shape == moving.detail_strip.shape == (1, 64, 64)
    with pytest.raises(ValueError, match="alike"):
        measure_phase(walk_of(True)[:1].expand(8, -1, -1, -1))


def test_contributions_add_up_to_the_picture():
    """With one ToRGB at work the contribution is the deviation of the picture itself."""
    torch.manual_seed(0)
    G = stylegan2.Generator(**SIZES).eval().requires_grad_(False)
    ws = G.mapping(torch.randn(16, 8))
    assert list(torgb_layers(G)) == [4, 8, 16]
    for r in (4, 8):
        getattr(G.synthesis, f"b{r}").torgb.weight.zero_()
    found = contributions(G, ws.split(5))
    img = G.synthesis(ws, noise="const")
    expected = math.sqrt(float(img.var(dim=(0, 2, 3), correction=0).mean()))
    assert found[16] == pytest.approx(expected, rel=1e-4)
    assert found[4] == found[8] == 0


def test_contributions_of_a_growing_network():
    torch.manual_seed(0)
    G = stylegan1.Generator(**SIZES).eval().requires_grad_(False)
    ws = [G.mapping(torch.randn(4, 8))]
    assert list(contributions(G, ws)) == [16]
    whole = contributions(G, ws)[16]
    set_lod(G, 0.25)
    assert list(contributions(G, ws)) == [8, 16]
    assert contributions(G, ws)[16] == pytest.approx(0.75 * whole)
