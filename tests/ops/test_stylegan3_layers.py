"""filtered_lrelu at the factors and filters of StyleGAN3's layers, for which there are kernels of their own.

Every phase of the padding, both memory formats, images of several tiles; outputs, gradients and second derivatives.
"""

from __future__ import annotations

import pytest
import torch

from sgcli.ops.filtered_lrelu import filtered_lrelu

pytestmark = pytest.mark.usefixtures("only_native")
FACTORS = [(2, 2), (4, 2), (2, 4)]  # the last is the gradient of the one before
FILTERS = [("separable", "separable"), ("separable", "radial"), ("radial", "separable")]
FORMATS = [torch.contiguous_format, torch.channels_last]


def make_filter(kind: str, factor: int) -> torch.Tensor:
    f = torch.rand(6 * factor, dtype=torch.float64) / (3 * factor)
    return (f if kind == "separable" else torch.outer(f, f.roll(2)).roll(1, 0)).float()


def derivatives(x, b, v, w, arguments, impl) -> list[torch.Tensor]:
    """y, the gradients of y·v in x and b, and the gradient in v of (gradient in x)·w."""
    x, b, v = (t.detach().requires_grad_() for t in (x, b, v))
    y = filtered_lrelu(x, b=b, **arguments, impl=impl)
    dx, db = torch.autograd.grad(y, [x, b], v, create_graph=True)
    (ddv,) = torch.autograd.grad(dx, [v], w)
    return [y, dx, db, ddv]


def compare(x, arguments, tolerance: float) -> None:
    size = filtered_lrelu(x, **arguments, impl="native").shape
    b, v, w = torch.randn(x.shape[1]), torch.randn(size), torch.randn(x.shape)
    b, v, w = (t.to(x) for t in (b, v, w))
    actual = derivatives(x, b, v, w, arguments, "native")
    expected = derivatives(x.double(), b.double(), v.double(), w.double(), arguments, "reference")
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == x.dtype
        assert (a.double() - e).abs().max() <= tolerance * e.abs().max()


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("kinds", FILTERS)
@pytest.mark.parametrize("factors", FACTORS)
def test_layer(factors, kinds, memory_format, phase):
    compare(*make_layer(factors, kinds, memory_format, phase), 2e-6)


def make_layer(factors, kinds, memory_format, phase) -> tuple[torch.Tensor, dict]:
    """An input and the operator's arguments."""
    up, down = factors
    torch.manual_seed(phase)
    fu, fd = make_filter(kinds[0], up), make_filter(kinds[1], down)
    x = torch.randn(1, 11, 27, 35).contiguous(memory_format=memory_format)
    padding = [7 + phase, 13 - phase, -9 - phase, 25]
    return x, {"fu": fu, "fd": fd, "up": up, "down": down, "padding": padding, "clamp": 0.9}


@pytest.mark.parametrize("factors", FACTORS)
def test_layer_of_several_tiles(factors):
    up, down = factors
    torch.manual_seed(0)
    fu, fd = make_filter("separable", up), make_filter("separable", down)
    x = torch.randn(1, 2, 150 // up * 2, 140 // up * 2)
    compare(x, {"fu": fu, "fd": fd, "up": up, "down": down, "padding": [11, 10, 9, 12]}, 2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("kinds", FILTERS)
def test_layer_in_reduced_precision(kinds, memory_format, dtype):
    torch.manual_seed(0)
    fu, fd = make_filter(kinds[0], 2), make_filter(kinds[1], 2)
    x = torch.randn(2, 11, 20, 23).to(dtype).contiguous(memory_format=memory_format)
    compare(
        x, {"fu": fu, "fd": fd, "up": 2, "down": 2, "padding": [9, 8, 9, 8], "clamp": 256}, 2 * torch.finfo(dtype).eps
    )
