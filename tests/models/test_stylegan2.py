"""StyleGAN2 networks: sizes published for the paper's configurations, and properties that goldens cannot show."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from sgcli.models.discriminator import Discriminator, minibatch_stddev
from sgcli.models.layers import MappingNetwork
from sgcli.models.memory import place
from sgcli.models.noise import random_noise_maps
from sgcli.models.precision import set_precision
from sgcli.models.style_layers import band_of
from sgcli.models.stylegan2 import Generator
from sgcli.ops.modulated_conv2d import modulate, scale_channels

# Parameter totals (spec stylegan2-ada §3.1): resolution, base, G with 8 mapping layers, D.
TOTALS = [
    (1024, 32768, 30_370_060, 29_012_513),
    (256, 32768, 30_034_338, 28_864_129),
    (256, 16384, 24_767_458, 24_001_089),
    (32, 32768, 21_523_475, 21_507_073),
]


@pytest.mark.parametrize(("resolution", "base", "g_total", "d_total"), TOTALS)
def test_published_parameter_totals(resolution, base, g_total, d_total):
    with torch.device("meta"):
        G = Generator(img_resolution=resolution, channel_base=base)
        D = Discriminator(img_resolution=resolution, channel_base=base)
    assert sum(parameter.numel() for parameter in G.parameters()) == g_total
    assert sum(parameter.numel() for parameter in D.parameters()) == d_total
    assert G.num_ws == 2 * resolution.bit_length() - 4


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    G = Generator(z_dim=8, w_dim=8, img_resolution=16, mapping_layers=2, channel_base=128, channel_max=16)
    with torch.no_grad():
        for layer in G.synthesis.noise_layers():
            layer.noise_strength.fill_(0.5)
    return G.requires_grad_(False)


def modulated_conv(x, weight, styles):
    in_scale, weight, out_scale = modulate(weight, styles, x.dtype)
    return scale_channels(F.conv2d(scale_channels(x, in_scale), weight, padding=1), out_scale)


def test_modulated_convolution_equals_weights_built_per_sample():
    torch.manual_seed(0)
    x, w, s = torch.randn(3, 4, 6, 6).double(), torch.randn(5, 4, 3, 3).double(), torch.randn(3, 4).double()
    result = modulated_conv(x, w, s)
    for n in range(3):
        each = w * s[n][None, :, None, None]
        each = each / (each.square().sum(dim=[1, 2, 3], keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(result[n : n + 1], torch.nn.functional.conv2d(x[n : n + 1], each, padding=1))


def test_demodulation_forgets_the_scale_of_styles():
    torch.manual_seed(0)
    x, w, s = torch.randn(2, 4, 6, 6), torch.randn(5, 4, 3, 3), torch.rand(2, 4) + 0.5
    torch.testing.assert_close(modulated_conv(x, w, s), modulated_conv(x, w, 9 * s))


def test_half_precision_does_not_overflow():
    torch.manual_seed(0)
    x, w, s = torch.randn(2, 64, 8, 8), torch.randn(64, 64, 3, 3), 3000 * (torch.rand(2, 64) + 0.5)
    exact = modulated_conv(x, w, s)
    half = modulated_conv(x.half(), w, s)
    assert half.isfinite().all()
    assert (half - exact).abs().max() < 0.02 * exact.abs().max()


def test_what_a_hook_sees_does_not_change_the_picture(small):
    """The first convolution of a block hands its output over scaled, unless somebody looks at it."""
    z, seen = torch.randn(2, 8), []
    plain = small(z, noise="const")
    hook = small.synthesis.b16.conv0.register_forward_hook(lambda module, inputs, output: seen.append(output))
    watched = small(z, noise="const")
    hook.remove()
    torch.testing.assert_close(watched, plain)
    assert seen[0].amin() < 0 < seen[0].amax() and seen[0].shape == (2, 8, 16, 16)


def test_placed_weights_are_read_without_a_copy(small):
    z = torch.randn(2, 8)
    plain = small(z, noise="const")
    placed = place(copy.deepcopy(small))
    torch.testing.assert_close(placed(z, noise="const"), plain)
    weight = placed.synthesis.b16.conv0.weight
    assert weight.transpose(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, small.synthesis.b16.conv0.weight)


def test_noise_maps_given_equal_those_drawn(small):
    layers = small.synthesis.noise_layers()
    assert [layer.resolution for layer in layers] == [4, 8, 8, 16, 16]
    ws = small.mapping(torch.randn(2, 8))
    const = small.synthesis(ws, noise="const")
    given = small.synthesis(ws, noise=[layer.noise_const[None, None] for layer in layers])
    assert torch.equal(const, given)
    silent = small.synthesis(ws, noise=[torch.zeros(1, 1, layer.resolution, layer.resolution) for layer in layers])
    assert torch.equal(silent, small.synthesis(ws, noise="none"))
    with pytest.raises(ValueError, match="sizes"):
        small.synthesis(ws, noise=[torch.zeros(1, 1, 4, 4)])
    with pytest.raises(ValueError, match="unknown"):
        small.synthesis(ws, noise="loud")


def test_random_noise_of_an_image_is_its_own(small):
    generators = [torch.Generator().manual_seed(n) for n in (1, 2)]
    pair = random_noise_maps(small.synthesis.noise_layers(), generators)
    alone = random_noise_maps(small.synthesis.noise_layers(), [torch.Generator().manual_seed(2)])
    assert all(torch.equal(both[1], one[0]) for both, one in zip(pair, alone, strict=True))


def test_w_avg_moves_only_when_asked():
    mapping = MappingNetwork(4, 0, 6, num_ws=3, num_layers=1, w_avg_beta=0.9)
    z = torch.randn(16, 4)
    mapping(z)
    assert mapping.w_avg.abs().max() == 0
    ws = mapping(z, update_w_avg=True)
    torch.testing.assert_close(mapping.w_avg, 0.1 * ws[:, 0].mean(dim=0).detach())


def test_stddev_group_m_holds_samples_m_m_plus_M():
    x = torch.randn(4, 3, 2, 2)
    result = minibatch_stddev(x, group_size=2, num_channels=1)  # groups {0, 2} and {1, 3}
    assert result.shape == (4, 4, 2, 2)
    for n, (a, b) in {0: (0, 2), 1: (1, 3), 2: (0, 2), 3: (1, 3)}.items():
        deviation = (x[[a, b]].var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(result[n, 3], deviation.expand(2, 2))
    with pytest.raises(ValueError, match="groups of 3"):
        minibatch_stddev(x, group_size=3, num_channels=1)


def test_bf16_stays_near_fp32(small):
    ws = small.mapping(torch.randn(2, 8))
    exact = small.synthesis(ws, noise="const")
    set_precision(small, "bf16")
    coarse = small.synthesis(ws, noise="const")
    set_precision(small, "auto")
    assert coarse.dtype == torch.float32
    assert 0 < (coarse - exact).abs().max() < 0.1 * exact.abs().max()


def test_bands_at_1024_are_the_papers():
    with torch.device("meta"):
        layers = Generator(img_resolution=1024).synthesis.style_layers()
    bands = [band_of(layer, 1024) for layer in layers]
    assert bands == ["coarse"] * 3 + ["middle"] * 4 + ["fine"] * 11
