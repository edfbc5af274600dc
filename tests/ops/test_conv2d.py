"""Convolution by minimal filtering: against PyTorch's, its derivatives to second order, and where it is chosen."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from sgcli.ops import build, native
from sgcli.ops.conv2d import conv2d
from tests.ops.conftest import skip_without_native

TOLERANCE = {torch.float32: 1e-5, torch.float64: 2e-14, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def draw(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def error(actual, expected) -> float:
    """Relative to the largest magnitude."""
    assert actual.shape == expected.shape
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def is_native(y: torch.Tensor) -> bool:
    return "sg_conv3x3" in y.grad_fn.name()


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels_in=st.integers(1, 40),
    channels_out=st.integers(1, 70),
    height=st.integers(3, 20),
    width=st.integers(3, 20),
    padding=st.integers(0, 2),
    dtype=st.sampled_from(list(TOLERANCE)),
    image_format=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    kernel_order=st.sampled_from(["out first", "in first", "contiguous", "strided"]),
)
def test_agrees_with_pytorch(
    batch, channels_in, channels_out, height, width, padding, dtype, image_format, kernel_order
):
    skip_without_native()
    x = draw([batch, channels_in, height, width], 1, dtype).contiguous(memory_format=image_format).requires_grad_()
    w = draw([channels_out, channels_in, 3, 3], 2, dtype)
    if kernel_order == "out first":
        w = w.contiguous(memory_format=torch.channels_last)
    elif kernel_order == "in first":
        w = w.transpose(0, 1).contiguous(memory_format=torch.channels_last).transpose(0, 1)
    elif kernel_order == "strided":
        w = torch.stack([w, w], dim=-1)[..., 0]
    w = w.requires_grad_()
    y = conv2d(x, w, padding=padding, impl="native")
    dy = draw(y.shape, 3, dtype)
    found = [y, *torch.autograd.grad(y, [x, w], dy)]
    x, w, dy = (t.detach().double().requires_grad_() for t in (x, w, dy))
    y = F.conv2d(x, w, padding=padding)
    for actual, expected in zip(found, [y, *torch.autograd.grad(y, [x, w], dy)], strict=True):
        assert actual.dtype == dtype
        assert error(actual, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("channels", [(512, 512), (128, 64), (33, 100)])
@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.usefixtures("only_native")
def test_wide_layers(channels, padding):
    """Several strips of tiles, more channels than a cache holds: errors grow with the root of their number."""
    x = draw([2, channels[0], 41, 38], 1, torch.float32).contiguous(memory_format=torch.channels_last).requires_grad_()
    w = draw([channels[1], channels[0], 3, 3], 2, torch.float32).requires_grad_()
    y = conv2d(x, w, padding=padding)
    assert is_native(y) and y.is_contiguous(memory_format=torch.channels_last)
    dy = draw(y.shape, 3, torch.float32)
    found = [y, *torch.autograd.grad(y, [x, w], dy)]
    x, w = (t.detach().double().requires_grad_() for t in (x, w))
    y = F.conv2d(x, w, padding=padding)
    for actual, expected in zip(found, [y, *torch.autograd.grad(y, [x, w], dy.double())], strict=True):
        assert error(actual, expected) < TOLERANCE[torch.float32]


@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.usefixtures("only_native")
def test_derivatives(padding):
    x, w = draw([2, 3, 5, 6]).requires_grad_(), draw([2, 3, 3, 3], 1).requires_grad_()
    function = lambda x, w: conv2d(x, w, padding=padding, impl="native")  # noqa: E731
    assert gradcheck(function, [x, w])
    assert gradgradcheck(function, [x, w])


@pytest.mark.usefixtures("only_native")
def test_opcheck():
    x = draw([2, 20, 9, 6], 0, torch.float32).contiguous(memory_format=torch.channels_last).requires_grad_()
    w, dy = draw([17, 20, 3, 3], 1, torch.float32).requires_grad_(), draw([2, 17, 11, 8], 2, torch.float32)
    torch.library.opcheck(torch.ops.sg.conv3x3.default, (x, w, 2, False))
    torch.library.opcheck(torch.ops.sg.conv3x3.default, (x, w, 0, True))
    torch.library.opcheck(torch.ops.sg.conv3x3_weight_grad.default, (x, dy.requires_grad_(), 2))


@pytest.mark.usefixtures("only_native")
def test_the_same_on_any_number_of_threads_and_for_any_batch():
    x = draw([5, 48, 21, 21], 0, torch.float32).contiguous(memory_format=torch.channels_last)
    w = draw([40, 48, 3, 3], 1, torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y = torch.ops.sg.conv3x3(x, w, 1, False)
            results.append((y, torch.ops.sg.conv3x3_weight_grad(x, y, 1)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
    one = torch.ops.sg.conv3x3(x[3:4], w, 1, False)
    assert torch.equal(one[0], results[0][0][3])


@pytest.mark.usefixtures("only_native")
def test_empty():
    w = draw([17, 16, 3, 3], 0, torch.float32).requires_grad_()
    y = conv2d(torch.empty(0, 16, 20, 20), w, padding=1, impl="native")
    assert y.shape == (0, 17, 20, 20)
    (dw,) = torch.autograd.grad(y.sum(), [w])
    assert not dw.any()


@pytest.mark.usefixtures("only_native")
def test_chosen_where_it_pays():
    def chosen(shape=(1, 16, 24, 24), kernel=3, out=16, dtype=torch.float32, channels_last=True, **options) -> bool:
        x = torch.ones(shape, dtype=dtype, requires_grad=True)
        x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
        w = torch.ones(out, shape[1] // options.get("groups", 1), kernel, kernel, dtype=dtype)
        return is_native(conv2d(x, w.requires_grad_(options.pop("trains", False)), **{"padding": 1, **options}))

    assert chosen() and chosen(padding=(2, 2)) and chosen((5, 512, 24, 24))
    assert not chosen(channels_last=False)
    assert not chosen((9, 16, 16, 16)), "small, whatever the batch"
    assert chosen((9, 16, 16, 16), trains=True)
    assert not chosen(out=15) and not chosen((1, 15, 24, 24))
    assert not chosen(dtype=torch.float64)
    assert not chosen(kernel=1) and not chosen(stride=2) and not chosen(groups=2, out=32) and not chosen(padding=(1, 2))
    assert chosen(dtype=torch.bfloat16) == (not build.multiplies(torch.bfloat16))
    with native.switched_off():
        assert not chosen()


@pytest.mark.parametrize("multiplies", [False, True])
def test_half_types_are_multiplied_in_what_is_fast(monkeypatch, multiplies):
    monkeypatch.setattr("sgcli.ops.conv2d.multiplies", lambda dtype: multiplies)
    seen = []
    monkeypatch.setattr(F, "conv2d", lambda x, w, **options: seen.append(x.dtype) or x)
    x = torch.ones(1, 4, 4, 4, dtype=torch.bfloat16)
    assert conv2d(x, torch.ones(4, 4, 1, 1, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert seen == [torch.bfloat16 if multiplies else torch.float32]


@pytest.mark.usefixtures("only_native")
def test_wrong_arguments():
    x, w = torch.ones(1, 16, 8, 8), torch.ones(16, 16, 3, 3)
    with pytest.raises(ValueError, match="3x3 kernels, stride 1"):
        conv2d(x, w, stride=2, impl="native")
    with pytest.raises(ValueError, match="3x3 kernels, stride 1"):
        conv2d(x, w, padding=3, impl="native")
    with pytest.raises(RuntimeError, match=r"\[out, 16, 3, 3\]"):
        conv2d(x, w[:, :8], padding=1, impl="native")
