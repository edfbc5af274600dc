"""The 2015 Inception against its golden, and its weights read from a file."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sgcli.errors import FormatError, SgError
from sgcli.features.extractors import Protocol, load_extractor
from sgcli.features.inception import Inception, load_inception
from tests.golden_files import Golden, assert_close


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("inception-seeded")


@pytest.fixture(scope="module")
def weights(golden) -> dict[str, torch.Tensor]:
    """The seeded weights of the golden's recipe, under the published names."""
    rng = np.random.RandomState(4321)
    tensors = {}
    for name, shape in golden.info["cases"]["names_and_shapes"]:
        x = rng.standard_normal(shape)
        if name.endswith("conv.weight"):
            x *= math.sqrt(2 / math.prod(shape[1:]))
        elif name == "fc.weight":
            x *= math.sqrt(1 / shape[1])
        elif name.endswith("running_var"):
            x = 0.5 + 0.5 * abs(x)
        else:
            x = 0.1 * x + name.endswith("bn.weight")
        tensors[name] = torch.from_numpy(x.astype(np.float32))
    return tensors


@pytest.fixture(scope="module")
def weights_file(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(weights, path)
    return path


def test_golden(golden, weights_file, capsys):
    network = load_inception(weights_file)
    assert "not the published" in capsys.readouterr().err
    depths = {}
    for name, key in (("Conv2d_2b_3x3", "pool1_mean"), ("Conv2d_4a_3x3", "pool2_mean"), ("Mixed_6e", "pre_aux_mean")):
        network.get_submodule(name).register_forward_hook(lambda _m, _i, out, key=key: depths.update({key: out}))
    features = network((golden["images_uint8"].float() - 128) / 128)
    assert_close(features, golden["features"])
    assert_close(network.fc(features), golden["logits"])
    for key, x in depths.items():
        pooled = x if key == "pre_aux_mean" else torch.nn.functional.max_pool2d(x, 3, stride=2)
        assert_close(pooled.mean(dim=(2, 3)), golden[key])


def test_names_are_those_of_the_published_file(golden):
    names = {name for name in Inception().state_dict() if not name.endswith("num_batches_tracked")}
    assert names == {name for name, _ in golden.info["cases"]["names_and_shapes"]}


def test_extractor_takes_grey_and_transparent_pictures(golden, weights_file):
    extractor = load_extractor("inception", Protocol.named("nvidia"), torch.device("cpu"), str(weights_file))
    grey = golden["images_uint8"][:1, :1]
    as_colour = extractor(grey.expand(-1, 3, -1, -1))
    assert torch.equal(extractor(grey), as_colour)
    assert torch.equal(extractor(torch.cat([grey.expand(-1, 3, -1, -1), grey], dim=1)), as_colour)
    probabilities = extractor.class_probabilities(as_colour)
    assert probabilities.shape == (1, 1008)
    assert probabilities.sum() == pytest.approx(1)


def test_refuses_other_weights(tmp_path, weights):
    torch.save({**weights, "fc.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(FormatError, match=r"fc.weight is \[3\]"):
        load_inception(tmp_path / "other.pth")
    torch.save({"x": torch.zeros(3)}, tmp_path / "more.pth")
    with pytest.raises(FormatError, match="missing"):
        load_inception(tmp_path / "more.pth")
    with pytest.raises(SgError, match="no such file"):
        load_inception(tmp_path / "none.pth")
