"""ProGAN and StyleGAN networks against the published implementation, at several levels of detail, fused and not."""

from __future__ import annotations

import pytest
import torch

from sgcli.models import progan, stylegan1
from sgcli.models.foreign.tf_names import discriminator_state, generator_state
from sgcli.models.growing import set_lod
from tests.golden_files import Golden, assert_close

CASES = ["progan", "progan-fused", "sg1", "sg1-fused"]


def golden_of(case: str, network: str) -> Golden:
    family, _, fused = case.partition("-")
    return Golden(f"{family}-{network}" + ("-fused" if fused else ""))


def make_generator(golden: Golden) -> progan.Generator | stylegan1.Generator:
    kwargs = golden.info["kwargs"]
    sizes = {
        "z_dim": kwargs["z_dim"],
        "img_resolution": kwargs["resolution"],
        "channel_base": kwargs["fmaps_base"],
        "channel_max": kwargs["fmaps_max"],
    }
    styled = "w_dim" in kwargs
    G: progan.Generator | stylegan1.Generator
    if styled:
        G = stylegan1.Generator(w_dim=kwargs["w_dim"], layer_features=kwargs["mapping_fmaps"], **sizes)
        set_blur(G.synthesis, "g", "conv0")
    else:
        G = progan.Generator(**sizes)
    state = generator_state(golden.under("tf"), kwargs["fused_scale"], fused_out_in=not styled)
    G.load_state_dict(state, strict=True)
    return G


def make_discriminator(golden: Golden, styled: bool) -> progan.Discriminator:
    kwargs = golden.info["kwargs"]
    D = progan.Discriminator(
        img_resolution=kwargs["resolution"],
        channel_base=kwargs["fmaps_base"],
        channel_max=kwargs["fmaps_max"],
        blur=styled,
        shrink_last=not styled and not kwargs["fused_scale"],
    )
    if styled:
        set_blur(D, "d", "conv1")
    D.load_state_dict(discriminator_state(golden.under("tf")), strict=True)
    return D


def set_blur(network: torch.nn.Module, which: str, layer: str) -> None:
    """The goldens were made with every number of the networks random, the [1, 2, 1] blur included, which they omit.

    `sg1-blur` holds it, as correlation kernels: found again from the generator that made the goldens' other numbers.
    """
    for key, kernel in Golden("sg1-blur").under(which).items():
        getattr(getattr(network, f"b{key}"), layer).blur_filter = kernel.flip([0, 1])


def by_lod(golden: Golden, what: str) -> dict[float, torch.Tensor]:
    found = {float(key.partition("@lod")[2]): value for key, value in golden.items() if key.startswith(f"{what}@")}
    assert len(found) == 4
    return found


@pytest.mark.parametrize("case", CASES)
def test_generator_at_every_level(case):
    golden = golden_of(case, "g")
    G = make_generator(golden)
    for lod, img in by_lod(golden, "img").items():
        set_lod(G, lod)
        assert_close(G(golden["z"], noise="const"), img)


@pytest.mark.parametrize("case", CASES)
def test_discriminator_at_every_level(case):
    golden = golden_of(case, "d")
    D = make_discriminator(golden, styled=case.startswith("sg1"))
    expected = by_lod(golden, "logits")
    if case.startswith("progan"):  # those goldens hold the logits of lod 0 under every level
        assert all(torch.equal(logits, expected[0.0]) for logits in expected.values())
        expected = {0.0: expected[0.0]}
    for lod, logits in expected.items():
        set_lod(D, lod)
        assert_close(D(golden["img"]), logits)


@pytest.mark.parametrize("case", ["sg1", "sg1-fused"])
def test_mapping_truncation_and_noise(case):
    golden = golden_of(case, "g")
    G = make_generator(golden)
    ws = G.mapping(golden["z"])
    assert_close(ws[:, 0], golden["w"])
    assert_close(G(golden["z"], noise="none"), golden["img_none"])
    assert_close(G(golden["z"], truncation_psi=0.7, truncation_cutoff=8, noise="const"), golden["img_trunc0.7_cut8"])


def test_up_convolutions_by_the_worked_example():
    """Spec §1.5, in one dimension: [1, 2] through [1, 10, 100] is [110, 211, 221, 22]; fused, [11, 112, 122, 220]."""
    from sgcli.models.equalized import conv2d

    x = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2).expand(1, 1, 2, 2)
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1] = torch.tensor([1.0, 10.0, 100.0])
    assert conv2d(x, weight, gain=3, up=True)[0, 0, 1].tolist() == pytest.approx([110, 211, 221, 22])
    assert conv2d(x, weight.flip([2, 3]), gain=3, up=True)[0, 0, 1].tolist() == pytest.approx([11, 112, 122, 220])


def test_down_convolutions_average_what_a_convolution_gives():
    from sgcli.models.equalized import conv2d

    x, weight = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3)
    assert_close(conv2d(x, weight, down=True), torch.nn.functional.avg_pool2d(conv2d(x, weight), 2), 1e-5)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("progan", 23_079_115),
        ("sg1-b", 23_079_115),
        ("sg1-c", 30_400_651),
        ("sg1-d", 26_214_539),
        ("sg1-e", 26_219_627),
        ("sg1-f", 26_219_627),
    ],
)
def test_published_numbers_of_parameters(name, count):
    from sgcli.models.registry import build_network, resolve

    preset = resolve(name)
    with torch.device("meta"):
        G, D = (build_network({**part, "img_resolution": 1024}) for part in (preset.G, preset.D))
    assert sum(p.numel() for p in G.parameters()) == count
    assert sum(p.numel() for p in D.parameters()) == 23_087_249
