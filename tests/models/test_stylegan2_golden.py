"""StyleGAN2 networks against the published implementation: forward, path-length and R1 gradients."""

from __future__ import annotations

import pytest
import torch

from sgcli.models.discriminator import Discriminator
from sgcli.models.stylegan2 import Generator
from tests.golden_files import Golden, assert_close

GENERATORS = ["sg2-g-skip-c0", "sg2-g-skip-c5", "sg2-g-resnet-c0", "sg2-g-orig-c0"]
DISCRIMINATORS = ["sg2-d-skip-c0", "sg2-d-skip-c5", "sg2-d-resnet-c0", "sg2-d-orig-c0"]


def flatten_options(kwargs: dict) -> dict:
    """The published constructors nest their options; ours are flat."""
    kwargs = dict(kwargs)
    mapping, epilogue = kwargs.pop("mapping_kwargs"), kwargs.pop("epilogue_kwargs", {})
    return {**kwargs, **epilogue, "mapping_layers": mapping["num_layers"]}


def load(network: torch.nn.Module, golden: Golden) -> torch.nn.Module:
    network.load_state_dict({**golden.under("param"), **golden.under("buffer")}, strict=True)
    return network


@pytest.fixture(params=GENERATORS)
def generator(request):
    golden = Golden(request.param)
    return load(Generator(**flatten_options(golden.info["kwargs"]), conv_clamp=None), golden), golden


@pytest.fixture(params=DISCRIMINATORS)
def discriminator(request):
    golden = Golden(request.param)
    return load(Discriminator(**flatten_options(golden.info["kwargs"]), conv_clamp=None), golden), golden


def test_generator_forward(generator):
    g, golden = generator
    c = golden.get("c")
    assert_close(g.mapping(golden["z"], c), golden["ws"])
    assert_close(g.mapping(golden["z"], c, truncation_psi=0.6, truncation_cutoff=4), golden["ws_trunc"])
    assert_close(g.synthesis(golden["ws"], noise="const"), golden["img_const"])
    assert_close(g.synthesis(golden["ws"], noise="none"), golden["img_none"])
    assert_close(g(golden["z"], c, 0.6, 4, noise="const"), golden["img_trunc_const"])


def test_path_length_gradients(generator):
    g, golden = generator
    ws = golden["ws"].clone().requires_grad_(True)
    img = g.synthesis(ws, noise="const")
    (gradient,) = torch.autograd.grad([(img * golden["pl_noise"]).sum()], [ws], create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    assert_close(lengths, golden["pl_lengths"])
    penalty = (lengths - golden["pl_mean"]).square().mean()
    assert_close(penalty, golden["pl_penalty"])
    penalty.backward()
    check_gradient_norms(g.synthesis, golden.under("pl_grad_norm"))


def test_discriminator_and_r1(discriminator):
    d, golden = discriminator
    c = golden.get("c")
    img = golden["img"].clone().requires_grad_(True)
    logits = d(img, c)
    assert_close(logits, golden["logits"])
    (gradient,) = torch.autograd.grad([logits.sum()], [img], create_graph=True)
    assert_close(gradient, golden["img_grad"])
    penalty = gradient.square().sum(dim=[1, 2, 3])
    assert_close(penalty, golden["r1_penalty"])
    (0.5 * penalty).mean().backward()
    check_gradient_norms(d, golden.under("r1_grad_norm"))
    d.zero_grad()
    torch.nn.functional.softplus(-d(golden["img"], c)).mean().backward()
    check_gradient_norms(d, golden.under("logit_grad_norm"))


def check_gradient_norms(network: torch.nn.Module, expected: dict[str, torch.Tensor]) -> None:
    """Second-order terms agree to 2e-3 (golden README); a parameter without gradient counts as 0."""
    assert expected
    largest = max(float(norm) for norm in expected.values())
    parameters = dict(network.named_parameters())
    for name, norm in expected.items():
        gradient = parameters[name].grad
        actual = 0.0 if gradient is None else gradient.norm().item()
        assert abs(actual - float(norm)) <= 2e-3 * float(norm) + 1e-6 * largest, (
            f"{name}: {actual} against {float(norm)}"
        )
