"""Layer schedules and filters as the specification lists them (spec stylegan3 §3.2, §10), and the parity kit of §10."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import torch

from sgcli.models.stylegan3 import Generator, SynthesisNetwork
from sgcli.models.stylegan3_design import kaiser_attenuation, kaiser_beta, next_power_of_two
from tests.golden_files import assert_close

R = {"conv_kernel": 1, "use_radial_filters": True, "channel_multiplier": 2}
SIZES_AND_CHANNELS = {
    # resolution, channel_base, R: sizes and channels of L0 … L14
    (1024, 32768, False): "36_512 36_512 52_512 52_512 84_512 148_512 148_512 276_323 276_203 532_128 1044_81 1044_51 "
                          "1044_32 1024_32 1024_3",
    (1024, 32768, True): "36_1024 36_1024 52_1024 52_1024 84_1024 148_1024 148_1024 276_645 276_406 532_256 1044_161 "
                         "1044_102 1044_64 1024_64 1024_3",
    (512, 32768, False): "36_512 36_512 52_512 52_512 84_512 84_512 148_512 148_483 276_323 276_215 532_144 532_96 "
                         "532_64 512_64 512_3",
    (512, 32768, True): "36_1024 36_1024 52_1024 52_1024 84_1024 84_1024 148_1024 148_967 276_645 276_431 532_287 "
                        "532_192 532_128 512_128 512_3",
    (256, 16384, False): "36_512 36_512 36_512 52_512 52_512 84_512 84_512 148_362 148_256 148_181 276_128 276_91 "
                         "276_64 256_64 256_3",
    (256, 16384, True): "36_1024 36_1024 36_1024 52_1024 52_1024 84_1024 84_1024 148_724 148_512 148_362 276_256 "
                        "276_181 276_128 256_128 256_3",
    (128, 32768, False): "36_512 36_512 36_512 52_512 52_512 52_512 84_512 84_512 84_512 148_512 148_456 148_342 "
                         "148_256 128_256 128_3",
}  # fmt: skip
PARAMETERS = {
    (1024, 32768, False): 22_313_167,
    (512, 32768, False): 24_873_519,
    (256, 16384, False): 23_320_443,
    (1024, 32768, True): 15_093_151,
    (512, 32768, True): 16_665_594,
    (256, 16384, True): 15_779_565,
}


def build(resolution: int, channel_base: int, rotation: bool) -> Generator:
    with torch.device("meta"):
        return Generator(img_resolution=resolution, channel_base=channel_base, **(R if rotation else {}))


@pytest.mark.parametrize("key", SIZES_AND_CHANNELS, ids=str)
def test_published_layer_names_and_parameter_counts(key):
    g = build(*key)
    wanted = [f"L{i}_{rest}" for i, rest in enumerate(SIZES_AND_CHANNELS[key].split())]
    assert [plan.name for plan in g.synthesis.designs] == wanted
    assert key not in PARAMETERS or sum(p.numel() for p in g.parameters()) == PARAMETERS[key]
    assert len(g.state_dict()) == 114


@pytest.mark.parametrize("resolution", [16, 32, 64, 128, 256, 512, 1024, 2048])
def test_every_resolution_has_a_sound_design(resolution):
    designs = build(resolution, 32768, False).synthesis.designs
    assert designs[-1].result.cutoff == resolution / 2
    for plan in designs:
        assert plan.fine_rate == plan.up * plan.source.sampling_rate == plan.down * plan.result.sampling_rate
        assert plan.up <= 4
        assert plan.down <= 2
        assert plan.result.cutoff <= plan.result.sampling_rate / 2
        if plan.result.sampling_rate < resolution:
            assert plan.result.stopband <= plan.result.sampling_rate / 2 + 1e-9


def test_half_precision_begins_at_an_eighth_of_the_resolution():
    fp16 = [layer.low_precision for layer in build(1024, 32768, False).synthesis.layers()]
    assert fp16 == [False] * 5 + [True] * 10


@pytest.mark.parametrize(
    ("layer", "name", "half"),
    [
        (0, "up", [0.0007919, 0.01001832, 0.03894952, 0.09241279, 0.15652562, 0.20130185]),
        (2, "up", [-0.00033991, -0.00029957, 0.00087359, 0.00421339, 0.01076619, 0.021245,
                   0.03567749, 0.05317197, 0.07190805, 0.08939802, 0.10297809, 0.11040768]),
        (2, "down", [0.00052986, 0.00839137, 0.03629095, 0.09081733, 0.15813473, 0.20583576]),
        (13, "down", [0.02337425, 0.0344493, -0.0508807, -0.07861523, 0.13961044, 0.43206194]),
    ],
)  # fmt: skip
def test_published_separable_filters(layer, name, half):
    plan = build(1024, 32768, False).synthesis.designs[layer]
    f = plan.up_filter() if name == "up" else plan.down_filter()
    assert_close(f, torch.tensor(half + half[::-1]), 1e-6)


@pytest.mark.parametrize(
    ("layer", "row5", "corner", "other"),
    [
        (0, [0.00020526, 0.00227863, 0.00819805, 0.01854216, 0.03053336, 0.03875489], 8.4121e-7, 0.00387986),
        (11, [-0.00187495, -0.0029067, 0.00347282, 0.02269258, 0.05014797, 0.07080977], 1.38876e-4, -0.00252157),
    ],
)
def test_published_radial_filters(layer, row5, corner, other):
    f = build(1024, 32768, True).synthesis.designs[layer].down_filter()
    assert f.shape == (12, 12)
    assert_close(f[5, :6], torch.tensor(row5), 1e-6)
    assert f[0, 0] == pytest.approx(corner, rel=1e-4)
    assert f[2, 3] == pytest.approx(other, rel=1e-4)


def test_kaiser_formula():
    plan = build(1024, 32768, False).synthesis.designs[13]
    attenuation = kaiser_attenuation(12, 2 * plan.result.half_width / (plan.fine_rate / 2))
    assert (attenuation, kaiser_beta(attenuation)) == pytest.approx((26.20, 1.540), abs=0.005)
    assert kaiser_beta(67.17) == pytest.approx(6.444, abs=1e-3)
    assert kaiser_beta(20) == 0


def test_a_hair_above_a_power_of_two_is_that_power():
    assert next_power_of_two(128 * (1 + 1e-12)) == 128
    assert next_power_of_two(128.1) == 256


@pytest.mark.parametrize("resolution", [8, 24])
def test_refuses_other_resolutions(resolution):
    with pytest.raises(ValueError, match="power of two from 16"):
        SynthesisNetwork(8, resolution, 3)


# ----- the parity kit: seeded weights, published statistics of every stage

EXPECTED = {
    "input": ((0.0237916, 0.6928625), (-0.0010973, 0.6945956)),
    "L0": ((0.2627177, 0.4941797), (0.2849815, 0.5257983)),
    "L3": ((0.1453520, 0.2962295), (0.2238738, 0.5236323)),
    "L4": ((0.1972701, 0.3450605), (0.2200551, 0.4753463)),
    "L8": ((0.2858567, 0.6733505), (0.2097822, 0.3845643)),
    "L11": ((0.3207870, 0.7651290), (0.3260063, 0.7223676)),
    "L12": ((0.1997685, 0.4912595), (0.3493874, 0.6978366)),
    "L13": ((0.2996874, 0.7874634), (0.3213773, 0.5982921)),
}
PIXELS = {
    (0, 0, 0, 0): (0.145517, 0.084670),
    (0, 1, 10, 20): (0.260029, 0.538817),
    (0, 2, 31, 32): (-0.209421, -0.246926),
    (1, 0, 63, 63): (-0.046823, 0.143544),
    (1, 1, 40, 5): (-0.066451, 0.083928),
}


def seeded(name: str, shape: torch.Size) -> np.ndarray:
    """The parity kit's value of the tensor called `name`."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("magnitude_ema"):
        return rng.uniform(0.5, 1.5)
    if name.endswith("w_avg"):
        return 0.1 * rng.randn(*shape)
    if name.endswith("phases"):
        return rng.uniform(-0.5, 0.5, shape)
    if name.endswith("freqs"):
        r, a = 2 * np.sqrt(rng.uniform(0, 1, shape[0])), 2 * np.pi * rng.uniform(0, 1, shape[0])
        return np.stack([r * np.cos(a), r * np.sin(a)], axis=1)
    if name.endswith("transform"):
        cos, sin = math.cos(math.radians(17)), math.sin(math.radians(17))
        return np.linalg.inv(np.array([[cos, sin, 0.05], [-sin, cos, -0.03], [0, 0, 1]]))
    scale = 100 if name.startswith("mapping.fc") else 1
    if name.endswith(".bias"):
        offset = [1, 0, 0, 0] if name == "synthesis.input.affine.bias" else name.endswith(".affine.bias")
        return scale * 0.1 * rng.randn(*shape) + np.array(offset, float)
    return (0.1 if name == "synthesis.input.affine.weight" else scale) * rng.randn(*shape)


@pytest.mark.parametrize("rotation", [False, True])
def test_parity_kit(rotation):
    g = Generator(img_resolution=64, channel_base=2048, channel_max=64, **(R if rotation else {}))
    assert sum(p.numel() for p in g.parameters()) == (1_621_819 if rotation else 1_410_133)
    for name, tensor in g.state_dict().items():
        if not name.endswith("_filter"):
            tensor.copy_(torch.from_numpy(np.asarray(seeded(name, tensor.shape), dtype=np.float32)))
    stages = {}

    def note(stage):
        return lambda module, inputs, output: stages.__setitem__(stage, output)

    g.synthesis.input.register_forward_hook(note("input"))
    for layer in g.synthesis.layers():
        layer.register_forward_hook(note(f"L{layer.design.index}"))
    z = torch.from_numpy(np.random.RandomState(0).randn(2, 512)).float()
    with torch.no_grad():
        ws = g.mapping(z, None, truncation_psi=0.7, truncation_cutoff=8)
        img = g.synthesis(ws)
    assert ws.mean().item() == pytest.approx(0.3582369, abs=1e-5)
    assert ws[1, 15, :3].tolist() == pytest.approx([-0.059858, 0.865207, 1.486767], abs=1e-5)
    for stage, both in EXPECTED.items():
        std, mean = torch.std_mean(stages[stage], correction=0)
        assert (mean.item(), std.item()) == pytest.approx(both[rotation], abs=2e-5), stage
    for place, both in PIXELS.items():
        assert img[place].item() == pytest.approx(both[rotation], abs=1e-4)
