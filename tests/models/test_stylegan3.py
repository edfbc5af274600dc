"""StyleGAN3 networks: the ladder's designs, bands of style, precision, anchoring."""

from __future__ import annotations

import math

import pytest
import torch

from sgcli.models import memory
from sgcli.models.fourier_input import FourierInput, movable_input, place, uniform_in_disc
from sgcli.models.precision import set_precision
from sgcli.models.registry import build_generator, resolve
from sgcli.models.style_layers import band_of
from sgcli.ops import native
from tests.golden_files import assert_close

SIZES = {"img_channels": 3, "c_dim": 0, "z_dim": 8, "w_dim": 8, "channel_base": 2048, "channel_max": 8}


def make(arch: str, resolution: int = 32, device: str = "cpu", **more):
    torch.manual_seed(0)
    with torch.device(device):
        return build_generator({**resolve(arch).G, **SIZES, "img_resolution": resolution, **more}).requires_grad_(False)


def test_the_ladder_step_by_step():
    """Spec §5, at 256²: what each rung changes in the layers."""
    d, e, f, g, h, t = (make(f"sg3-{rung}", 256, "meta").synthesis for rung in "defght")
    for synthesis in (d, e, f, g, h, t):
        assert len(synthesis.designs) == 15  # 14 layers and ToRGB
    rates = [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 256, 256, 256]
    for synthesis in (d, e, f, g, h):
        assert [plan.result.sampling_rate for plan in synthesis.designs] == rates
    assert [plan.result.size for plan in d.designs] == rates
    assert [plan.result.size for plan in e.designs] == [rate + 20 for rate in rates[:-2]] + [256, 256]
    assert [(plan.up, plan.down) for plan in e.designs[1:4]] == [(1, 1), (2, 1), (1, 1)]
    assert [(plan.up, plan.down) for plan in f.designs[1:4]] == [(2, 2), (4, 2), (2, 2)]
    assert [len(synthesis.designs[2].up_filter()) for synthesis in (d, e, f)] == [4, 12, 24]
    assert all(plan.result.cutoff == plan.result.sampling_rate / 2 for plan in f.designs)
    for plan in g.designs[:-3]:
        assert plan.result.cutoff == pytest.approx((2 - math.sqrt(2)) * plan.result.sampling_rate / 2)
        assert plan.result.half_width == pytest.approx((math.sqrt(2) - 1) * plan.result.sampling_rate / 2)
    assert [plan.result.cutoff for plan in g.designs[-3:]] == [128, 128, 128]
    assert [synthesis.num_ws for synthesis in (g, h, t)] == [15, 16, 16]


def test_styles_of_a_critically_sampled_network_are_those_of_stylegan2():
    """Twice the cutoff is StyleGAN2's resolution, so that coarse, middle and fine mean the same on both."""
    sg2, sg3 = (make(arch, 1024, "meta").synthesis.style_layers() for arch in ("sg2", "sg3-f"))
    assert [band_of(layer, 1024) for layer in sg3[1:]] == [band_of(layer, 1024) for layer in sg2]


@pytest.mark.parametrize(("resolution", "counts"), [(1024, (3, 3, 10)), (256, (4, 4, 8)), (32, (2, 4, 10))])
def test_bands_follow_the_cutoff(resolution, counts):
    layers = make("sg3-t", resolution, "meta").synthesis.style_layers()
    bands = [band_of(layer, resolution) for layer in layers]
    assert tuple(bands.count(band) for band in ("coarse", "middle", "fine")) == counts
    assert bands == sorted(bands, key=("coarse", "middle", "fine").index)
    assert layers[0].name == "input"


def test_there_is_no_noise():
    G = make("sg3-t")
    ws = G.mapping(torch.randn(1, 8))
    assert G.synthesis.noise_layers() == []
    assert torch.equal(G.synthesis(ws, noise="random"), G.synthesis(ws, noise="none"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_close(precision):
    G = make("sg3-r")
    ws = G.mapping(torch.randn(2, 8))
    expected = G.synthesis(ws)
    set_precision(G, precision)
    assert_close(G.synthesis(ws), expected, 0.05 if precision == "bf16" else 0.01)


@pytest.mark.parametrize("arch", ["sg3-t", "sg3-r"])
def test_a_picture_alone_is_the_one_it_is_in_a_batch(arch):
    G = make(arch, channel_base=512, channel_max=16)  # narrow layers: alone, its styles multiply the weights
    z, c = torch.randn(3, G.z_dim), torch.zeros(3, 0)
    with torch.inference_mode():
        together = G(z, c)
        alone = torch.cat([G(z[i : i + 1], c[i : i + 1]) for i in range(3)])
    assert_close(alone, together, tolerance=1e-5)


@pytest.mark.parametrize("batch", [1, 2])
def test_spare_channels_do_not_show(batch):
    G = memory.place(make("sg3-r", channel_base=500, channel_max=45))  # R doubles both: 90 channels, then fewer
    outputs: list[torch.Tensor] = []
    for layer in G.synthesis.layers():
        layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    ws = G.mapping(torch.randn(batch, 8))
    G.synthesis(ws)  # gradients could be asked for: nothing is added
    with torch.inference_mode():
        G.synthesis(ws)
    plain, filled = outputs[: len(outputs) // 2], outputs[len(outputs) // 2 :]
    for plan, expected, given in zip(G.synthesis.designs, plain, filled, strict=True):
        assert given.shape == (batch, plan.result.channels, plan.result.size, plan.result.size)
        assert_close(given, expected, tolerance=1e-6)
    if native.available():
        pixels = [x.stride(3) for x in filled]
        assert pixels[0] == 96 and all(pitch % 16 == 0 for pitch in pixels[:-1]) and pixels[-1] == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("factor", [1e-2, 1e4])
def test_the_scale_of_the_weights_does_not_matter(dtype, factor):
    layer = make("sg3-t", channel_base=512, channel_max=16).synthesis.layers()[5]
    x, w = torch.randn(2, layer.weight.shape[1], 20, 20).to(dtype), torch.randn(2, layer.affine.weight.shape[1])
    with torch.inference_mode():
        before, scale_before = layer.convolve(x, w)
        layer.weight.data.mul_(factor)
        after, scale_after = layer.convolve(x, w)
    expected = before * scale_before[:, :, None, None]
    assert_close(after * scale_after[:, :, None, None], expected, tolerance=1e-3 if dtype == torch.float16 else 1e-5)


def test_frequencies_fill_the_disc_evenly():
    lengths = uniform_in_disc(20000, 2.0).norm(dim=1)
    assert lengths.max() <= 2
    assert float((lengths < math.sqrt(2)).float().mean()) == pytest.approx(0.5, abs=0.02)  # half of the area


def test_the_input_damps_what_scaling_brings_near_the_nyquist_frequency():
    waves = FourierInput(4, 8, size=36, sampling_rate=16, bandwidth=2)
    shrink = torch.diag(torch.tensor([4.0, 4.0, 1.0]))  # pictures at a quarter of their size
    freqs = waves.freqs[None] @ shrink[:2, :2]
    expected = (1 - (freqs.norm(dim=2) - 2) / (8 - 2)).clamp(0, 1)
    assert torch.equal(waves.damping(freqs), expected)
    assert (waves.damping(waves.freqs[None]) > 0.999).all()
    critical = FourierInput(4, 8, size=4, sampling_rate=4, bandwidth=2)
    assert (critical.damping(0.99 * critical.freqs[None]) == 1).all()


def test_place_is_stored_inverted():
    turn = place(rotate=math.pi / 2)
    assert_close(turn @ torch.tensor([0.0, 1.0, 1.0]), torch.tensor([-1.0, 0.0, 1.0]))
    assert_close(place((0.25, -0.5)), torch.tensor([[1, 0, -0.25], [0, 1, 0.5], [0, 0, 1]]))


def test_anchoring_keeps_the_mean_picture_and_stops_the_others():
    G = make("sg3-t")
    movable = movable_input(G.synthesis)
    movable.affine.weight.normal_()
    w, w_avg = torch.randn(2, 8), torch.randn(8)
    before = movable(w_avg[None])
    movable.anchor(w_avg)
    assert_close(movable(w), before.expand(2, -1, -1, -1), 1e-5)


def test_stylegan2_has_nothing_to_move():
    assert movable_input(make("sg2").synthesis) is None
