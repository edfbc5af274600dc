"""Bias, activation, gain and clamp in one operator (spec stylegan2-ada §4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F


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
) -> torch.Tensor:
    """Add bias, apply an activation, multiply by a gain, clamp to ±clamp, in this order.

    x      any shape, floating point.
    b      `[x.shape[dim]]`, added along `dim`; None adds nothing.
    act    a key of ACTIVATIONS.
    alpha  slope of `lrelu` for negative input; None: 0.2.
    gain   None: the activation's own (√2 for relu, lrelu and swish, else 1).
    clamp  None: no clamp.
    Returns a tensor of x's shape and dtype; differentiable to second order.
    Raises ValueError for an unknown activation or a bias that does not fit.
    """
    activation = ACTIVATIONS.get(act)
    if activation is None:
        raise ValueError(f"act: '{act}' is unknown; one of {', '.join(ACTIVATIONS)}")
    if b is not None:
        if b.ndim != 1 or b.shape[0] != x.shape[dim]:
            raise ValueError(f"b: shape {list(b.shape)} does not fit dimension {dim} of x {list(x.shape)}")
        x = x + b.reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    alpha = activation.default_alpha if alpha is None else alpha
    gain = activation.default_gain if gain is None else gain
    x = activation.function(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x
