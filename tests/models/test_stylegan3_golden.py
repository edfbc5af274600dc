"""StyleGAN3 networks against the published implementation: layer designs, filters, forward, gradients."""

from __future__ import annotations

import pytest

from sgcli.models.stylegan3 import Generator
from tests.golden_files import Golden, assert_close

GENERATORS = ["sg3-g-t-c0", "sg3-g-r-c0", "sg3-g-r-c4"]


@pytest.fixture(params=GENERATORS)
def golden(request):
    return Golden(request.param)


@pytest.fixture
def generator(golden):
    """Its filters are its own; everything else is the golden file's."""
    kwargs = dict(golden.info["kwargs"])
    kwargs["mapping_layers"] = kwargs.pop("mapping_kwargs")["num_layers"]
    g = Generator(**kwargs)
    tensors = {**golden.under("param"), **golden.under("buffer")}
    g.load_state_dict({**tensors, **{k: v for k, v in g.state_dict().items() if k.endswith("_filter")}}, strict=True)
    return g


def test_the_design_of_every_layer(generator, golden):
    designs, expected = generator.synthesis.designs, golden.info["layers"]
    assert len(designs) == len(expected)
    for plan, layer in zip(designs, expected, strict=True):
        assert plan.name == layer["name"]
        for end, signal in (("in", plan.source), ("out", plan.result)):
            if not (end == "in" and plan.index == 0):  # the published input's size and channels are the first layer's
                assert (signal.size, signal.channels) == (layer[f"{end}_size"], layer[f"{end}_channels"])
            assert signal.sampling_rate == layer[f"{end}_sampling_rate"]
            assert signal.cutoff == pytest.approx(layer[f"{end}_cutoff"], rel=1e-12)
            assert signal.half_width == pytest.approx(layer[f"{end}_half_width"], rel=1e-12)
        assert plan.fine_rate == layer["tmp_sampling_rate"]
        assert (plan.up, plan.down) == (layer["up_factor"], layer["down_factor"])
        assert (plan.up_taps, plan.down_taps) == (layer["up_taps"], layer["down_taps"])
        assert list(plan.padding) == layer["padding"]
        assert (plan.is_critical, plan.is_torgb) == (layer["is_critically_sampled"], layer["is_torgb"])


def test_the_filters(generator, golden):
    designed = {name: tensor for name, tensor in generator.state_dict().items() if name.endswith("_filter")}
    expected = {name: tensor for name, tensor in golden.under("buffer").items() if name.endswith("_filter")}
    assert designed.keys() == expected.keys()
    for name, tensor in expected.items():
        assert_close(designed[name], tensor, 1e-6)


def test_forward(generator, golden):
    z, c = golden["z"], golden.get("c")
    assert_close(generator.mapping(z, c), golden["ws"])
    assert_close(generator.mapping(z, c, truncation_psi=0.5), golden["ws_trunc"])
    assert_close(generator.synthesis(golden["ws"]), golden["img"])
    assert_close(generator(z, c), golden["img"])


def test_a_moved_and_turned_picture(generator, golden):
    generator.synthesis.input.transform.copy_(golden["transform"])
    assert_close(generator.synthesis(golden["ws"]), golden["img_transformed"])


def test_gradients(generator, golden):
    ws = golden["ws"].clone().requires_grad_(True)
    (generator.synthesis(ws) * golden["vjp_cotangent"]).sum().backward()
    assert_close(ws.grad, golden["vjp_ws"])
    parameters = dict(generator.synthesis.named_parameters())
    norms = golden.under("vjp_grad_norm")
    assert norms.keys() == parameters.keys()
    largest = max(float(norm) for norm in norms.values())
    for name, norm in norms.items():
        assert abs(parameters[name].grad.norm() - norm) <= 1e-4 * norm + 1e-6 * largest, name


def test_a_picture_does_not_depend_on_its_batch(generator, golden):
    assert_close(generator.synthesis(golden["ws"][1:]), golden["img"][1:])
