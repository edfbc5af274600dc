"""Compare every native operator with its reference on this machine: forward, first and second derivative.

The reference always computes in float32, from the same numbers: the error of a half type is that of native code alone;
were the reference rounded too, both would disagree about which values lie at a kink or a clamp.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sgcli.ops import native
from sgcli.ops.bias_act import bias_act
from sgcli.ops.conv2d import conv2d
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.modulated_bias_act import modulated_bias_act
from sgcli.ops.upfirdn2d import setup_filter, upfirdn2d
from sgcli.ops.warp2d import warp2d

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 4e-3}  # of the largest magnitude

ORDERS = ("forward", "1st derivative", "2nd derivative")


@dataclass
class Check:
    """One comparison; `error` is relative to the largest magnitude."""

    operator: str
    what: str  # forward, first derivative, second derivative
    dtype: torch.dtype
    error: float

    @property
    def passed(self) -> bool:
        return self.error <= TOLERANCE[self.dtype]


def check_operators(device: torch.device, dtype: torch.dtype = torch.float32) -> list[Check]:
    """Run every operator that has code for the device both ways. Raises what the native operator raises."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device)

    f, taps = setup_filter([1, 3, 3, 1]), setup_filter(torch.hann_window(14, periodic=False)[1:-1].tolist())
    assert f is not None and taps is not None
    f, taps, bias = f.to(device), taps.to(device), draw(16).to(dtype)
    styles, noise = draw(2, 16).exp(), draw(2, 1, 21, 18)
    clamp = 2.0 if dtype == torch.float32 else 256.0  # half types round onto the edge of a small one
    x, kernels = draw(2, 16, 21, 18).to(dtype), draw(16, 16, 3, 3)
    maps = torch.tensor([[[0.8, -0.6, 2.5], [0.6, 0.8, -1.0]], [[-1.2, 0, 0], [0.1, 0.9, 3]]], dtype=torch.float64)
    margins = torch.tensor([[5, 6, 8, 7], [0, 3, 2, 11]])
    cases: dict[str, Callable[..., torch.Tensor]] = {
        "bias_act": lambda x, impl: bias_act(x, bias.to(x.dtype), act="lrelu", clamp=clamp, impl=impl),
        "upfirdn2d": lambda x, impl: upfirdn2d(x, f, up=2, padding=[2, 1, 2, 1], gain=4, impl=impl),
        "filtered_lrelu": lambda x, impl: filtered_lrelu(
            x, taps, taps, bias.to(x.dtype), 2, 2, padding=10, clamp=clamp, scale=styles, impl=impl
        ),
        "modulated_bias_act": lambda x, impl: modulated_bias_act(
            x.contiguous(memory_format=torch.channels_last), bias, styles, noise, styles, clamp=clamp, impl=impl
        ),
        "conv3x3": lambda x, impl: conv2d(x, kernels.to(x.dtype) * x[0, :, :3, :3], padding=1, impl=impl),
        "warp2d": lambda x, impl: warp2d(x, maps, margins, taps, impl=impl),
    }
    checks = []
    for name, function in cases.items():
        if device.type not in native.OPERATORS[name]:
            continue
        natives = derivatives(functools.partial(function, impl="native"), x, x.dtype)
        references = derivatives(functools.partial(function, impl="reference"), x.float(), x.dtype)
        for what, actual, expected in zip(ORDERS, natives, references, strict=True):
            error = (actual - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
            checks.append(Check(name, what, dtype, float(error)))
    return checks


def derivatives(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, dtype: torch.dtype) -> list:
    """y, d⟨y, u⟩/dx, and d⟨that, v⟩/du, the terms that R1 and path length use. u and v are rounded to `dtype`."""
    x = x.detach().requires_grad_(True)
    y = function(x)
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(y.shape, generator=generator).to(dtype).to(y).requires_grad_(True)
    (first,) = torch.autograd.grad([y], [x], [u], create_graph=True)
    v = torch.randn(x.shape, generator=generator).to(dtype).to(x)
    (second,) = torch.autograd.grad([first], [u], [v])
    return [tensor.detach().float() for tensor in (y, first, second)]
