"""Bias, activation, gain and clamp in one operator (spec stylegan2-ada §4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from sgcli.ops import native


class Activation(NamedTuple):
    """What `bias_act` knows of an activation: the function of (x, alpha) and its defaults."""

    function: Callable[[torch.Tensor, float], torch.Tensor]
    default_alpha: float
    default_gain: float


ACTIVATIONS: dict[str, Activation] = {
    "linear":   Activation(lambda x, alpha: x, 0.0, 1.0),
    "relu":     Activation(lambda x, alpha: F.relu(x), 0.0, math.sqrt(2)),
    "lrelu":    Activation(lambda x, alpha: F.leaky_relu(x, alpha), 0.2, math.sqrt(2)),
    "tanh":     Activation(lambda x, alpha: torch.tanh(x), 0.0, 1.0),
    "sigmoid":  Activation(lambda x, alpha: torch.sigmoid(x), 0.0, 1.0),
    "elu":      Activation(lambda x, alpha: F.elu(x), 0.0, 1.0),
    "selu":     Activation(lambda x, alpha: F.selu(x), 0.0, 1.0),
    "softplus": Activation(lambda x, alpha: F.softplus(x), 0.0, 1.0),
    "swish":    Activation(lambda x, alpha: x * torch.sigmoid(x), 0.0, math.sqrt(2)),
}  # fmt: skip


def bias_act(
    x: torch.Tensor,
    b: torch.Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    impl: native.Impl = "auto",
) -> torch.Tensor:
    """Add bias, apply an activation, multiply by a gain, clamp to ±clamp, in this order.

    x      any shape, floating point.
    b      `[x.shape[dim]]`, added along `dim`; None adds nothing.
    act    a key of ACTIVATIONS.
    alpha  slope of `lrelu` for negative input; None: 0.2.
    gain   None: the activation's own (√2 for relu, lrelu and swish, else 1).
    clamp  None: no clamp.
    impl   see `sgcli.ops.native.use_native`; native code knows linear, relu and lrelu, the others are always PyTorch's.
    Returns a tensor of x's shape and dtype; differentiable to second order.
    Raises ValueError for an unknown activation or a bias that does not fit.
    """
    activation = ACTIVATIONS.get(act)
    if activation is None:
        raise ValueError(f"act: '{act}' is unknown; one of {', '.join(ACTIVATIONS)}")
    if not x.is_floating_point():
        raise ValueError(f"x: {x.dtype} given, floating-point numbers wanted")
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"dim: {dim} given, x has rank {x.ndim}")
    dim %= x.ndim
    if b is not None and (b.ndim != 1 or b.shape[0] != x.shape[dim]):
        raise ValueError(f"b: shape {list(b.shape)} does not fit dimension {dim} of x {list(x.shape)}")
    alpha = activation.default_alpha if alpha is None else alpha
    gain = activation.default_gain if gain is None else gain
    slope = {"linear": 1.0, "relu": 0.0, "lrelu": alpha}.get(act)
    if slope is not None and gain > 0 and native.use_native(impl, x, "bias_act"):
        return torch.ops.sg.bias_act.default(x, b, dim, slope, gain, clamp)
    return _reference(x, b, dim, activation, alpha, gain, clamp)


def _reference(x, b, dim, activation, alpha, gain, clamp) -> torch.Tensor:
    if b is not None:
        x = x + b.reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    x = activation.function(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x


@native.when_loaded
def _register() -> None:
    @torch.library.register_fake("sg::bias_act")
    def fake(x, b, dim, slope, gain, clamp):
        return torch.empty_like(x)

    @torch.library.register_fake("sg::bias_act_grad")
    def fake_grad(v, b, y, dim, slope, gain, clamp, sum):
        return torch.empty_like(y), v.new_empty(y.shape[dim] if sum else 0)

    def setup_context(ctx, inputs, output):
        _, _, *ctx.rest = inputs
        ctx.save_for_backward(output)

    def backward(ctx, dy):
        dx, db = torch.ops.sg.bias_act_grad(dy, None, *ctx.saved_tensors, *ctx.rest, ctx.needs_input_grad[1])
        return dx, db if ctx.needs_input_grad[1] else None, None, None, None, None

    # The derivative is linear in v and b, with factors that y tells: differentiating it again is the same operator.
    def setup_context_grad(ctx, inputs, output):
        _, _, y, *ctx.rest, _ = inputs
        ctx.save_for_backward(y)

    def backward_grad(ctx, ddx, ddb):
        bias = ddb if ddb is not None and ddb.numel() else None
        dv, db = torch.ops.sg.bias_act_grad(ddx, bias, *ctx.saved_tensors, *ctx.rest, ctx.needs_input_grad[1])
        return dv, db if ctx.needs_input_grad[1] else None, None, None, None, None, None, None

    torch.library.register_autograd("sg::bias_act", backward, setup_context=setup_context)
    torch.library.register_autograd("sg::bias_act_grad", backward_grad, setup_context=setup_context_grad)
