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


def make_generator(golden: Golden) -> torch.nn.Module:
    kwargs = golden.info["kwargs"]
    sizes = {
        "z_dim": kwargs["z_dim"],
        "img_resolution": kwargs["resolution"],
        "channel_base": kwargs["fmaps_base"],
        "channel_max": kwargs["fmaps_max"],
    }
    if "w_dim" in kwargs:
        G = stylegan1.Generator(w_dim=kwargs["w_dim"], layer_features=kwargs["mapping_fmaps"], **sizes)
    else:
        G = progan.Generator(**sizes)
    state = generator_state(golden.under("tf"), kwargs["fused_scale"], fused_out_in="w_dim" not in kwargs)
    G.load_state_dict(state, strict=True)
    return G


def make_discriminator(golden: Golden, styled: bool) -> torch.nn.Module:
    kwargs = golden.info["kwargs"]
    D = progan.Discriminator(
        img_resolution=kwargs["resolution"],
        channel_base=kwargs["fmaps_base"],
        channel_max=kwargs["fmaps_max"],
        blur=styled,
        shrink_last=not styled and not kwargs["fused_scale"],
    )
    D.load_state_dict(discriminator_state(golden.under("tf")), strict=True)
    return D


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
    for lod, logits in by_lod(golden, "logits").items():
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
