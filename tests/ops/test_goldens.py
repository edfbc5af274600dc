"""Every operator against numbers computed once in fp64, to second order (tests/golden/op-*.npz)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sgcli.ops.bias_act import bias_act
from sgcli.ops.conv2d_resample import conv2d_resample
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.upfirdn2d import upfirdn2d

GOLDEN = Path(__file__).parents[1] / "golden"
OPERATORS = {  # golden file -> operator, differentiable inputs, other inputs
    "op-bias-act": (bias_act, ["x", "b"], []),
    "op-upfirdn2d": (upfirdn2d, ["x"], ["f"]),
    "op-filtered-lrelu": (filtered_lrelu, ["x", "b"], ["fu", "fd"]),
    "op-conv2d-resample": (conv2d_resample, ["x", "w"], ["f"]),
}


def load_cases(name: str) -> list:
    cases = json.loads(str(np.load(GOLDEN / f"{name}.npz")["cases"]))
    return [pytest.param(name, case, id=f"{name}-{case['i']}") for case in cases]


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * max(expected.abs().max().item(), 1e-30))


@pytest.mark.parametrize(("name", "case"), [case for name in OPERATORS for case in load_cases(name)])
def test_golden(name, case, impl):
    check_golden(name, case, impl, torch.device("cpu"))


def check_golden(name: str, case: dict, impl: str, device: torch.device) -> None:
    operator, variables, constants = OPERATORS[name]
    with np.load(GOLDEN / f"{name}.npz") as file:
        i = f"{case['i']}/"
        data = {key[len(i) :]: torch.from_numpy(file[key]).to(device) for key in file.files if key.startswith(i)}
    inputs = [data[key].requires_grad_() for key in variables]
    filters = {key: data.get(key) for key in constants}

    arguments = {key: value for key, value in case.items() if key != "i"}

    y = operator(**dict(zip(variables, inputs, strict=True)), **filters, **arguments, impl=impl)
    assert_close(y, data["y"])
    if "dy" not in data:
        return

    dy = data["dy"].requires_grad_()
    gradients = torch.autograd.grad(y, inputs, dy, create_graph=True)
    for k, gradient in enumerate(gradients):
        assert_close(gradient, data[f"grad{k}"])

    total = sum((gradient * data[f"ggv{k}"]).sum() for k, gradient in enumerate(gradients))
    second = torch.autograd.grad(total, [dy, *inputs], allow_unused=True, materialize_grads=True)
    assert_close(second[0], data["grad2_dy"])
    for k, gradient in enumerate(second[1:]):
        assert_close(gradient, data.get(f"grad2_{k}", torch.zeros_like(gradient)))
