"""The architectures: ladders of one difference a rung, and presets that must not move."""

from __future__ import annotations

import itertools

import pytest
import torch

from sgcli.errors import UsageError
from sgcli.models import registry
from sgcli.models.registry import ARCHITECTURES, ROWS, build_network, resolve

LADDERS = {"sg1": "abcdef", "sg2": "abcdef", "sg3": "abcdefgh"}


def test_stylegan2_stays_what_it_is():
    """Merged from fourteen rows, the preset that most runs start from is still this one."""
    preset = resolve("sg2-f")
    sizes = {"channel_base": 32768, "channel_max": 512, "num_fp16_res": 4, "conv_clamp": 256}
    latents = {"z_dim": 512, "w_dim": 512, "mapping_layers": 8, "w_avg_beta": 0.998}
    expected_g = {"class": "stylegan2-g", "architecture": "skip", **latents, **sizes}
    expected_d = {"class": "stylegan2-d", "architecture": "resnet", **sizes}
    assert (expected_g, expected_d) == (preset.G, preset.D)
    assert preset.training == {
        "loss": "logistic",
        "r1_interval": 16,
        "pl_weight": 2.0,
        "pl_interval": 4,
        "style_mixing_prob": 0.9,
    }


@pytest.mark.parametrize("family", LADDERS)
def test_each_rung_builds_on_the_one_below(family):
    rungs = [f"{family}-{letter}" for letter in LADDERS[family]]
    assert [ARCHITECTURES[rung].below for rung in rungs[1:]] == rungs[:-1]
    presets = [resolve(rung) for rung in rungs]
    for below, above in itertools.pairwise(presets):
        assert (below.G, below.D, below.training) != (above.G, above.D, above.training), above.name


def test_what_the_rungs_of_stylegan_change():
    b, c, d, e, f = (resolve(f"sg1-{letter}") for letter in "bcdef")
    assert (b.G["class"], c.G["class"]) == ("progan-g", "stylegan1-g")
    assert [(p.G["constant_input"], p.G["use_noise"], p.training["style_mixing_prob"]) for p in (c, d, e, f)] == [
        (False, False, 0.0),
        (True, False, 0.0),
        (True, True, 0.0),
        (True, True, 0.9),
    ]
    assert resolve("sg1-a").training["loss"] == "wgan-gp"
    assert b.training["loss"] == "logistic" and "r1_gamma" not in b.training


def test_what_the_rungs_of_stylegan2_change():
    a, b, c, d, e = (resolve(f"sg2-{letter}") for letter in "abcde")
    assert (a.G, a.D, a.training) == (resolve("sg1").G, resolve("sg1").D, resolve("sg1").training)
    assert b.G["class"] == "stylegan2-growing-g" and b.training == a.training
    assert (b.training["r1_interval"], c.training["r1_interval"]) == (1, 16)
    assert (c.training["pl_weight"], d.training["pl_weight"]) == (0.0, 2.0)
    assert "growing" in d.training and "growing" not in e.training
    assert (e.G["channel_base"], resolve("sg2-f").G["channel_base"]) == (16384, 32768)
    large = resolve("sg2-a-large")
    assert {**large.G, "channel_base": 16384} == a.G and large.training == a.training


@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_every_architecture_can_be_built_in_its_published_size(name):
    preset = resolve(name)
    with torch.device("meta"):
        G, D = (build_network({**part, "img_resolution": 256}) for part in (preset.G, preset.D))
    assert sum(p.numel() for p in G.parameters()) > 1e7
    assert sum(p.numel() for p in D.parameters()) > 1e7


def test_tiny_keeps_large_networks_larger():
    assert resolve("sg2-f", tiny=True).G["channel_base"] == 1024
    assert resolve("sg2-e", tiny=True).G["channel_base"] == 512
    assert resolve("sg2-a-large", tiny=True).D["channel_base"] == 1024


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UsageError) as refusal:
        resolve("sg2-aa-large")
    assert refusal.value.hint == "--arch sg2-a-large"
    assert registry.names() == sorted(registry.names())
