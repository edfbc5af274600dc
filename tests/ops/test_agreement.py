"""Native operators against the reference in float64, on random shapes, layouts, types and arguments."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sgcli.ops.bias_act import bias_act
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.upfirdn2d import upfirdn2d

pytestmark = pytest.mark.usefixtures("only_native")
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 2e-2, torch.float16: 2e-3}
several = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

seeds = st.integers(0, 2**16)
dtypes = st.sampled_from(list(TOLERANCES))
layouts = st.sampled_from(["contiguous", "channels_last", "sliced", "transposed"])
paddings = st.lists(st.integers(-3, 9), min_size=4, max_size=4)


@st.composite
def images(draw) -> torch.Tensor:
    generator = torch.Generator().manual_seed(draw(seeds))
    n, c = draw(st.integers(0, 2)), draw(st.sampled_from([1, 3, 16, 21, 33]))
    h, w = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    x = torch.randn(n, c, h, w, generator=generator, dtype=torch.float64).to(draw(dtypes))
    match draw(layouts):
        case "channels_last":
            return x.contiguous(memory_format=torch.channels_last)
        case "sliced":
            return torch.cat([x, x], dim=3)[..., :w]
        case "transposed":
            return x.transpose(2, 3).contiguous().transpose(2, 3)
    return x


@st.composite
def filters(draw) -> torch.Tensor | None:
    generator = torch.Generator().manual_seed(draw(seeds))
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    match draw(st.sampled_from(["absent", "1-D", "2-D", "symmetric", "rank one"])):
        case "absent":
            return None
        case "1-D":
            return torch.randn(width, generator=generator)
        case "rank one":
            return torch.outer(torch.randn(height, generator=generator), torch.randn(width, generator=generator))
        case "symmetric":
            f = torch.randn(height, width, generator=generator)
            return f + f.flip(0)
    return torch.randn(height, width, generator=generator)


def assert_agrees(actual: torch.Tensor, expected: torch.Tensor, x: torch.Tensor) -> None:
    assert actual.dtype == x.dtype
    scale = max(expected.abs().max().item(), 1e-6) if expected.numel() else 1
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=TOLERANCES[x.dtype] * scale)


def run_both(operator, x, b=None, scale=None, **arguments) -> None:
    """Compare the output, and the gradients of its product with a random tensor."""
    small = {name: t for name, t in (("b", b), ("scale", scale)) if t is not None}
    wide = x.double().requires_grad_()
    wide_small = {name: t.double().requires_grad_() for name, t in small.items()}
    expected = operator(wide, **wide_small, **arguments, impl="reference")

    x = x.requires_grad_()
    small = {name: t.requires_grad_() for name, t in small.items()}
    actual = operator(x, **small, **arguments, impl="native")
    assert_agrees(actual, expected.detach(), x)
    with torch.no_grad():  # nothing is kept for a backward pass
        assert_agrees(operator(x, **small, **arguments, impl="native"), expected.detach(), x)

    dy = torch.randn(expected.shape, dtype=torch.float64).to(x)
    expected_gradients = torch.autograd.grad(expected, [wide, *wide_small.values()], dy.double())
    gradients = torch.autograd.grad(actual, [x, *small.values()], dy)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        assert_agrees(gradient, expected_gradient, x)


@several
@given(
    images(),
    filters(),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    paddings,
    st.booleans(),
)
def test_upfirdn2d(x, f, up, down, padding, flip_filter):
    try:
        run_both(upfirdn2d, x, f=f, up=up, down=down, padding=padding, flip_filter=flip_filter, gain=1.5)
    except ValueError as error:
        assume("padding" not in str(error))
        raise


@several
@given(
    images(),
    filters(),
    filters(),
    st.integers(1, 4),
    st.integers(1, 4),
    paddings,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_filtered_lrelu(x, fu, fd, up, down, padding, flip_filter, with_bias, with_clamp, with_scale):
    # Reduced precision moves values across zero and the clamp, where the derivative jumps.
    x = x.double() if x.dtype != torch.float64 else x
    b = torch.randn(x.shape[1], dtype=x.dtype) if with_bias else None
    options = {"flip_filter": flip_filter, "clamp": 0.9 if with_clamp else None}
    options["scale"] = torch.rand(x.shape[:2], dtype=x.dtype) + 0.1 if with_scale else None
    try:
        run_both(filtered_lrelu, x, b, fu=fu, fd=fd, up=up, down=down, padding=padding, **options)
    except ValueError as error:
        assume("padding" not in str(error))
        raise


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [16, 21])
def test_filtered_lrelu_in_reduced_precision(dtype, memory_format, channels):
    torch.manual_seed(0)
    x = torch.randn(2, channels, 40, 37).to(dtype).contiguous(memory_format=memory_format)
    b, f = torch.randn(channels).to(dtype), torch.rand(12) / 6
    arguments = {"fu": f, "fd": f, "up": 2, "down": 2, "padding": [9, 10, 10, 9], "clamp": 1.5}
    actual = filtered_lrelu(x, b=b, **arguments, impl="native")
    assert actual.is_contiguous(memory_format=memory_format)
    assert_agrees(actual, filtered_lrelu(x.double(), b=b.double(), **arguments, impl="reference"), x)


@several
@given(
    images(),
    st.sampled_from([0, 1, 2, 3, -1]),
    st.sampled_from(["linear", "relu", "lrelu"]),
    st.booleans(),
    st.booleans(),
)
def test_bias_act(x, dim, act, with_bias, with_clamp):
    x = torch.where(x.abs() < 1e-2, x + 0.1, x)  # away from the kink
    b = torch.randn(x.shape[dim], dtype=x.dtype) if with_bias and x.dtype == torch.float64 else None
    clamp = 0.9 if with_clamp and x.dtype in (torch.float32, torch.float64) else None  # as above
    run_both(bias_act, x, b, dim=dim, act=act, clamp=clamp)


@pytest.mark.parametrize("shape", [(5, 40), (3, 7, 5), (700_000,), (2, 3, 300, 301), (64, 512)])
def test_bias_act_of_any_rank(shape):
    torch.manual_seed(0)
    dim = 1 if len(shape) > 1 else 0
    run_both(bias_act, torch.randn(shape), torch.randn(shape[dim]), dim=dim, act="lrelu", clamp=2.0)


def test_large_images_are_cut_and_streamed():
    torch.manual_seed(0)
    x = torch.randn(1, 32, 200, 190).contiguous(memory_format=torch.channels_last)
    f = torch.rand(12) / 6
    run_both(filtered_lrelu, x, torch.randn(32), fu=f, fd=f, up=2, down=2, padding=[9, 10, 10, 9])
    run_both(filtered_lrelu, x, torch.randn(32), fu=f, fd=torch.rand(12, 12) / 72, up=2, down=2, padding=[9, 10, 10, 9])
    run_both(upfirdn2d, x, f=torch.rand(4, 4), padding=[2, 1, 2, 1])
