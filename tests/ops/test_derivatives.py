"""Native operators under autograd, the dispatcher's own checks and torch.compile."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sgcli.ops.bias_act import bias_act
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.upfirdn2d import setup_filter, upfirdn2d

pytestmark = pytest.mark.usefixtures("only_native")

F12 = torch.linspace(0.1, 1, 12) / 6
F4 = setup_filter([1, 3, 3, 1])
F12_2D = torch.outer(F12, F12).roll(3)
CASES = {
    "upfirdn2d": lambda x, b: upfirdn2d(x, F4.to(x.device), 2, 3, padding=[3, 2, 1, 4], gain=4, impl="native"),
    "upfirdn2d, 2-D": lambda x, b: upfirdn2d(x, F12_2D.to(x.device), padding=6, impl="native"),
    "bias_act": lambda x, b: bias_act(x, b, act="lrelu", clamp=1.2, impl="native"),
    "filtered_lrelu": lambda x, b: filtered_lrelu(
        x, F12.to(x.device), F12.to(x.device), b, 2, 2, [10, 9, 8, 11], clamp=1.1, impl="native"
    ),
    "filtered_lrelu, scaled": lambda x, b: filtered_lrelu(
        x, F12.to(x.device), F12.to(x.device), b, 2, 2, 9, scale=torch.stack([b, 1 - b]), clamp=1.1, impl="native"
    ),
    "filtered_lrelu, 2-D": lambda x, b: filtered_lrelu(
        x, F12.to(x.device), F12_2D.to(x.device), b, 2, 4, [10, 9, 8, 11], impl="native"
    ),
}


def inputs(shape=(2, 3, 5, 4), device="cpu") -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(device)
    b = torch.randn(shape[1], generator=generator, dtype=torch.float64).to(device)
    return [x.contiguous(memory_format=torch.channels_last).requires_grad_(), b.requires_grad_()]


@pytest.mark.parametrize("operator", CASES.values(), ids=CASES.keys())
def test_gradcheck_to_second_order(operator):
    assert gradcheck(operator, inputs())
    assert gradgradcheck(operator, inputs())


@pytest.mark.parametrize("operator", CASES.values(), ids=CASES.keys())
def test_without_bias_gradient(operator):
    x, b = inputs()
    (dx,) = torch.autograd.grad(operator(x, b.detach()).sum(), [x], create_graph=True)
    assert dx.shape == x.shape


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_opcheck(memory_format):
    check_registrations(memory_format, "cpu")


def check_registrations(memory_format: torch.memory_format, device: str) -> None:
    x, b = inputs((2, 18, 5, 4), device)
    x = x.detach().to(memory_format=memory_format).requires_grad_()
    y = torch.randn_like(x.detach())
    f4, f12 = F4.to(device), F12.to(device)
    scale = torch.rand(2, 18, dtype=x.dtype, device=device).requires_grad_()
    codes = torch.ops.sg.filtered_lrelu(x, f12, f12, b, None, 2, 2, [10, 9, 10, 9], 1.0, 0.2, 1.0, False, True)[1]
    samples = {
        torch.ops.sg.upfirdn2d.default: (x, f4, [2, 2], [1, 1], [2, 1, 2, 1], False, 4.0),
        torch.ops.sg.bias_act.default: (x, b, 1, 0.2, 1.4, 1.0),
        torch.ops.sg.bias_act_grad.default: (x, b, y, 1, 0.2, 1.4, 1.0, True),
        torch.ops.sg.filtered_lrelu.default: (
            (x, f12, f12, b, scale, 2, 2, [10, 9, 10, 9], 1.0, 0.2, 1.0, False, True)
        ),
        torch.ops.sg.filtered_lrelu_replay.default: (
            (x, codes, f12, f12, 2, 2, [12, 13, 12, 13], [-1, -1], 1.0, 0.2, True)
        ),
    }  # fmt: skip
    for operator, arguments in samples.items():
        torch.library.opcheck(operator, arguments)


@pytest.mark.parametrize("backend", ["aot_eager"])
def test_compiles_whole(backend):
    def network(x, b):
        x = filtered_lrelu(x, F12, F12, b, 2, 2, [10, 9, 10, 9])
        x = upfirdn2d(x, F4, up=2, padding=[2, 1, 2, 1])
        return bias_act(x, b, act="lrelu")

    x, b = (t.detach().float().requires_grad_() for t in inputs())
    expected = network(x, b)
    actual = torch.compile(network, fullgraph=True, backend=backend)(x, b)
    torch.testing.assert_close(actual, expected)
    for a, e in zip(
        torch.autograd.grad(actual.sum(), [x, b]), torch.autograd.grad(expected.sum(), [x, b]), strict=True
    ):
        torch.testing.assert_close(a, e)
