"""Progressive growing: what a level of detail means for networks and pictures."""

from __future__ import annotations

import copy

import pytest
import torch

from sgcli.models import discriminator, progan, stylegan1, stylegan2, stylegan2_growing
from sgcli.models.growing import enlarge, fade_pictures, lod_of, set_lod, shrink
from tests.golden_files import assert_close

SIZES = {"img_resolution": 16, "channel_base": 64, "channel_max": 8}
GENERATORS = [progan.Generator, stylegan1.Generator, stylegan2_growing.Generator]
DISCRIMINATORS = [progan.Discriminator, stylegan2_growing.Discriminator]


def make_generator(kind):
    torch.manual_seed(0)
    return kind(z_dim=8, w_dim=8, **SIZES)


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_generator_fades_between_levels(kind):
    """At lod f + t the picture is lerp(picture of f, picture of f + 1, t), at the resolution of f."""
    G = make_generator(kind)
    ws = G.mapping(torch.randn(2, 8))

    def draw(lod):
        set_lod(G, lod)
        return G.synthesis(ws, noise="none")

    for level in (0, 1):
        fine, coarse = draw(level), draw(level + 1)
        assert_close(draw(level + 0.25), fine.lerp(coarse, 0.25), 1e-6)
        assert_close(enlarge(shrink(coarse, 2 ** (level + 1)), 2 ** (level + 1)), coarse, 1e-6)
        assert not torch.allclose(fine, coarse)


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_a_discriminator_reads_its_level_only(kind):
    torch.manual_seed(0)
    D = kind(**SIZES)
    img = torch.randn(4, 3, 16, 16)
    for lod in (0, 1, 1.5, 2):
        set_lod(D, lod)
        assert_close(D(fade_pictures(img, int(lod))), D(img), 1e-5)


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_a_discriminator_by_the_definition(kind):
    """The published "linear" structure, written out: every block is evaluated, and lerps choose (spec §2.3)."""
    torch.manual_seed(0)
    D = kind(**SIZES)
    img = torch.randn(4, 3, 16, 16)
    blocks = [D.b16, D.b8, D.b4]
    for lod in (0.0, 0.3, 1.0, 1.75, 2.0):
        x = blocks[0].fromrgb(img)
        for index, block in enumerate(blocks[:-1]):
            x = block.conv1(block.conv0(x))
            share = min(max(lod - index, 0), 1)
            x = x.lerp(blocks[index + 1].fromrgb(shrink(img, 2 ** (index + 1))), share)
        expected = D.b4.score(x, None) if hasattr(D.b4, "score") else D.b4(x)
        set_lod(D, lod)
        assert_close(D(img), expected, 1e-5)


@pytest.mark.parametrize("kind", GENERATORS)
def test_styles_and_noise_of_the_blocks_in_use(kind):
    G = make_generator(kind)
    assert G.synthesis.num_active_ws == G.num_ws
    set_lod(G, 1.25)
    assert G.synthesis.num_active_ws == max(G.num_ws - 2, 1)
    assert all(layer.resolution <= 8 for layer in G.synthesis.noise_layers())
    ws = G.mapping(torch.randn(1, 8)).clone()
    img = G.synthesis(ws, noise="none")
    ws[:, G.synthesis.num_active_ws :] += 1
    assert torch.equal(G.synthesis(ws, noise="none"), img)


@pytest.mark.parametrize("kind", GENERATORS)
def test_the_level_is_saved_with_the_network(kind):
    G = make_generator(kind)
    set_lod(G, 0.75)
    other = make_generator(kind)
    other.load_state_dict(copy.deepcopy(G.state_dict()), strict=True)
    z = torch.randn(2, 8)
    assert lod_of(other) == 0.75 and other.synthesis.current_resolution == 16
    assert torch.equal(G(z, noise="const"), other(z, noise="const"))


def test_real_pictures_fade_as_drawn_ones_do():
    img = torch.randn(2, 3, 16, 16)
    assert torch.equal(fade_pictures(img, 0), img)
    half = enlarge(shrink(img, 2), 2)
    assert_close(fade_pictures(img, 0.4), img.lerp(half, 0.4), 1e-6)
    assert_close(fade_pictures(img, 1.5), half.lerp(enlarge(shrink(img, 4), 4), 0.5), 1e-6)


def test_levels_that_are_not_there():
    G = make_generator(progan.Generator)
    for lod in (-0.1, 2.5):
        with pytest.raises(ValueError, match="from 0 to 2"):
            set_lod(G, lod)
    with pytest.raises(ValueError, match="power of two"):
        progan.Generator(img_resolution=24)


def test_grown_stylegan2_is_the_one_with_plain_connections():
    """At full resolution only the last ToRGB and the first FromRGB are in use, as with `orig` connections."""
    options = {**SIZES, "architecture": "orig", "num_fp16_res": 0, "conv_clamp": None}
    grown_g, plain_g = make_generator(stylegan2_growing.Generator), stylegan2.Generator(z_dim=8, w_dim=8, **options)
    grown_d, plain_d = stylegan2_growing.Discriminator(**SIZES), discriminator.Discriminator(**options)
    for grown, plain in ((grown_g, plain_g), (grown_d, plain_d)):
        weights = grown.state_dict()
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()}, strict=True)
    img = plain_g(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), noise="const")
    assert_close(grown_g(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), noise="const"), img)
    assert_close(grown_d(img), plain_d(img))
