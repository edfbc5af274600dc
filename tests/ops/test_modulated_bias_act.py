"""The style layer's operator after its convolution: against plain arithmetic, and its derivatives to second order."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sgcli.ops.modulated_bias_act import modulated_bias_act


def make_inputs(shape, dtype=torch.float64, noise_samples=1, memory_format=torch.contiguous_format):
    generator = torch.Generator().manual_seed(0)
    n, c, h, w = shape
    shapes = [shape, [c], [n, c], [noise_samples, 1, h, w], [n, c]]
    x, *rest = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]
    return [t.requires_grad_() for t in (x.to(memory_format=memory_format), *rest)]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("noise_samples", [1, 2])
def test_definition(impl, memory_format, noise_samples):
    x, b, scale, noise, out_scale = make_inputs((2, 21, 5, 7), torch.float32, noise_samples, memory_format)
    actual = modulated_bias_act(x, b, scale, noise, out_scale, gain=1.5, clamp=2.0, impl=impl)
    v = x * scale[:, :, None, None] + noise + b[:, None, None]
    expected = (torch.where(v > 0, v, 0.2 * v) * 1.5).clamp(-2, 2) * out_scale[:, :, None, None]
    torch.testing.assert_close(actual, expected)
    assert actual.is_contiguous(memory_format=memory_format)
    dy = torch.randn(actual.shape)
    inputs = [x, b, scale, noise, out_scale]
    for a, e in zip(torch.autograd.grad(actual, inputs, dy), torch.autograd.grad(expected, inputs, dy), strict=True):
        torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 3, 2, 2), (1, 1, 1, 1), (3, 40, 33, 20), (1, 512, 4, 4), (2, 3, 64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("only_native")
def test_native_agrees(shape, dtype):
    tensors = make_inputs(shape, dtype, memory_format=torch.channels_last)
    actual = modulated_bias_act(*tensors, impl="native")
    expected = modulated_bias_act(*[t.double() for t in tensors], impl="reference")
    tolerance = {"rtol": 0, "atol": {torch.float32: 1e-5, torch.bfloat16: 0.15, torch.float16: 0.02}[dtype]}
    torch.testing.assert_close(actual.double(), expected, **tolerance)


@pytest.mark.parametrize("shape", [(2, 21, 5, 7), (1, 512, 4, 4), (3, 40, 33, 20), (2, 4, 64, 80)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.usefixtures("only_native")
def test_native_operators_on_both_layouts(shape, dtype, memory_format):
    """The function chooses among implementations by layout; here is what each layout would give."""
    tensors = [t.detach() for t in make_inputs(shape, dtype, shape[0], memory_format)]
    dy = torch.randn(shape).to(dtype).contiguous(memory_format=memory_format)
    settings = 0.2, 1.4, 2.0
    y = torch.ops.sg.modulated_bias_act(*tensors, *settings)
    dx, sums, dnoise = torch.ops.sg.modulated_bias_act_grad(dy, *tensors, *settings)
    assert y.is_contiguous(memory_format=memory_format) and dx.is_contiguous(memory_format=memory_format)
    actual = y, dx, sums[0].sum(0), sums[1], dnoise, sums[2]

    full = [t.double().requires_grad_() for t in tensors]
    reference = modulated_bias_act(*full, *settings, impl="reference")
    expected = reference, *torch.autograd.grad(reference, full, dy.double())
    unit = {torch.float32: 1e-5, torch.bfloat16: 0.02}[dtype]
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a.double(), e, rtol=unit, atol=unit * float(e.detach().abs().max()))


@pytest.mark.parametrize("absent", list(itertools.product([False, True], repeat=2)))
@pytest.mark.usefixtures("only_native")
def test_gradcheck_to_second_order(absent):
    inputs = make_inputs((2, 3, 3, 2), memory_format=torch.channels_last)
    if absent[0]:
        inputs[1] = inputs[3] = None
    if absent[1]:
        inputs[2] = inputs[4] = None
    given = [t for t in inputs if t is not None]

    def operator(*tensors):
        remaining = iter(tensors)
        return modulated_bias_act(*[None if t is None else next(remaining) for t in inputs], clamp=1.9, impl="native")

    assert gradcheck(operator, given)
    assert gradgradcheck(operator, given)


@pytest.mark.usefixtures("only_native")
def test_opcheck():
    tensors = make_inputs((2, 18, 3, 4))
    torch.library.opcheck(torch.ops.sg.modulated_bias_act.default, (*tensors, 0.2, 1.4, 2.0))
    dy, plain = torch.randn(2, 18, 3, 4, dtype=torch.float64), [t.detach() for t in tensors]
    torch.library.opcheck(torch.ops.sg.modulated_bias_act_grad.default, (dy, *plain, 0.2, 1.4, 2.0))


@pytest.mark.parametrize(("name", "shape"), [("b", [2]), ("scale", [3]), ("noise", [4, 4]), ("out_scale", [1, 3])])
def test_wrong_shapes(impl, name, shape):
    with pytest.raises(ValueError, match=f"^{name}: shape"):
        modulated_bias_act(torch.zeros(2, 3, 4, 4), **{name: torch.zeros(shape)}, impl=impl)
