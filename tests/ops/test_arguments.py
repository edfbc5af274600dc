"""Wrong arguments raise one sentence that names the argument, whichever implementation would run."""

from __future__ import annotations

import pytest
import torch

from sgcli.ops.bias_act import bias_act
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.upfirdn2d import setup_filter, upfirdn2d

X = torch.zeros(1, 2, 8, 8)
F = torch.ones(4)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("x: rank 3 given", lambda impl: upfirdn2d(X[0], F, impl=impl)),
        ("x: torch.int64 given", lambda impl: upfirdn2d(X.long(), F, impl=impl)),
        ("f: shape", lambda impl: upfirdn2d(X, torch.ones(2, 2, 2), impl=impl)),
        ("f: 65 taps given, at most 64", lambda impl: upfirdn2d(X, torch.ones(65), padding=40, impl=impl)),
        ("up: 0 given", lambda impl: upfirdn2d(X, F, up=0, impl=impl)),
        ("down: ", lambda impl: upfirdn2d(X, F, down=(1, 2, 3), impl=impl)),
        ("padding: ", lambda impl: upfirdn2d(X, F, padding=(1, 2, 3), impl=impl)),
        ("padding: .* leaves less", lambda impl: upfirdn2d(X, F, padding=-3, impl=impl)),
        ("x: rank 2 given", lambda impl: filtered_lrelu(X[0, 0], F, F, impl=impl)),
        ("b: shape", lambda impl: filtered_lrelu(X, F, F, torch.zeros(3), impl=impl)),
        ("up: 0 given", lambda impl: filtered_lrelu(X, F, F, up=0, impl=impl)),
        ("down: -1 given", lambda impl: filtered_lrelu(X, F, F, down=-1, impl=impl)),
        ("padding: .* leaves less", lambda impl: filtered_lrelu(X, F, F, padding=[-2, -3, 0, 0], impl=impl)),
        ("slope, gain", lambda impl: filtered_lrelu(X, F, F, slope=-1, impl=impl)),
        ("act: 'gelu' is unknown; one of linear, relu", lambda impl: bias_act(X, act="gelu", impl=impl)),
        ("b: shape", lambda impl: bias_act(X, torch.zeros(3), impl=impl)),
        ("dim: 4 given", lambda impl: bias_act(X, dim=4, impl=impl)),
        ("x: torch.int64 given", lambda impl: bias_act(X.long(), impl=impl)),
    ],
)
def test_wrong_argument(message, call, impl):
    with pytest.raises(ValueError, match=f"^{message}"):
        call(impl)


def test_unknown_implementation():
    with pytest.raises(ValueError, match="impl: 'cuda' is unknown; one of auto, native, reference"):
        upfirdn2d(X, F, impl="cuda")


def test_native_where_it_cannot_run(only_native):
    with pytest.raises(ValueError, match=r"x: torch.float32 on meta given; native operators take float32, .* on cpu"):
        upfirdn2d(X.to("meta"), F, impl="native")


def test_setup_filter():
    f = setup_filter([1, 3, 3, 1])
    assert f.shape == (4, 4) and f.sum() == 1 and f[0, 0] == 1 / 64
    assert setup_filter(range(1, 9), gain=4).sum() == 2  # separable: the gain is shared between the directions
    assert setup_filter(None) is None
    with pytest.raises(ValueError, match="taps"):
        setup_filter([])
