"""A discriminator block's two convolutions in one go: the same numbers as one layer after the other."""

from __future__ import annotations

import pytest
import torch

from sgcli.models.layers import Conv2dLayer, convolve_and_halve


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(8, 8), (2, 2), (10, 6)])
def test_value_and_derivatives(size, memory_format):
    torch.manual_seed(0)
    first = Conv2dLayer(5, 18, 3, conv_clamp=1.0).double()
    second = Conv2dLayer(18, 7, 3, down=2, conv_clamp=1.0).double()
    for layer in (first, second):
        torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, *size, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    inputs = [x, *first.parameters(), *second.parameters()]

    def results(y: torch.Tensor) -> list[torch.Tensor]:
        """y, its gradients, and those of the R1 penalty."""
        gradients = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        penalty = torch.autograd.grad(gradients[0].square().sum(), inputs)
        return [y, *gradients, *penalty]

    together, apart = convolve_and_halve(first, second, x, 0.7), second(first(x), 0.7)
    assert together.shape == (2, 7, size[0] // 2, size[1] // 2)
    for actual, expected in zip(results(together), results(apart), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
def test_half_types(dtype, tolerance):
    torch.manual_seed(0)
    first, second = Conv2dLayer(16, 16, 3, conv_clamp=256), Conv2dLayer(16, 32, 3, down=2, conv_clamp=256)
    x = torch.randn(2, 16, 12, 12)
    expected = second(first(x))
    actual = convolve_and_halve(first, second, x.to(dtype))
    assert actual.dtype == dtype
    assert (actual.float() - expected).abs().max() <= tolerance * expected.abs().max()
