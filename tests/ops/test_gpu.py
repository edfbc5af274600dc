"""Native operators on a GPU: the CPU's tests with tensors there, and what only a GPU has."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from sgcli.ops import native
from sgcli.ops.bias_act import bias_act
from sgcli.ops.filtered_lrelu import filtered_lrelu
from sgcli.ops.modulated_bias_act import modulated_bias_act
from sgcli.ops.upfirdn2d import upfirdn2d
from tests.ops import test_agreement as agreement
from tests.ops import test_derivatives as derivatives
from tests.ops import test_goldens as goldens
from tests.ops import test_stylegan3_layers as layers

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """Native operators there, and convolutions in full precision."""
    if not native.available("cuda"):
        pytest.fail("; ".join({choice.reason for choice in native.status("cuda")}))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


def everywhere(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.cuda()


@pytest.mark.parametrize("impl", ["reference", "native"])
@pytest.mark.parametrize(("name", "case"), [case for name in goldens.OPERATORS for case in goldens.load_cases(name)])
def test_golden(name, case, impl):
    if name == "op-conv2d-resample" and impl == "native":
        impl = "auto"
    goldens.check_golden(name, case, impl, torch.device("cuda"))


@pytest.mark.parametrize("operator", derivatives.CASES.values(), ids=derivatives.CASES.keys())
def test_gradcheck_to_second_order(operator):
    assert gradcheck(operator, derivatives.inputs(device="cuda"))
    assert gradgradcheck(operator, derivatives.inputs(device="cuda"))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_opcheck(memory_format):
    derivatives.check_registrations(memory_format, "cuda")


@agreement.several
@given(
    agreement.images(),
    agreement.filters(),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    agreement.paddings,
    st.booleans(),
)
def test_upfirdn2d(x, f, up, down, padding, flip_filter):
    try:
        arguments = {"f": everywhere(f), "up": up, "down": down, "padding": padding, "flip_filter": flip_filter}
        agreement.run_both(upfirdn2d, x.cuda(), **arguments)
    except ValueError as error:
        assume("padding" not in str(error))
        raise


@agreement.several
@given(
    agreement.images(),
    agreement.filters(),
    agreement.filters(),
    st.integers(1, 4),
    st.integers(1, 4),
    agreement.paddings,
    st.booleans(),
)
def test_filtered_lrelu(x, fu, fd, up, down, padding, with_clamp):
    x = x.double().cuda()  # reduced precision moves values across zero and the clamp, where the derivative jumps
    b = torch.randn(x.shape[1]).to(x)
    arguments = {"fu": everywhere(fu), "fd": everywhere(fd), "up": up, "down": down, "padding": padding}
    try:
        agreement.run_both(filtered_lrelu, x, b, **arguments, clamp=0.9 if with_clamp else None)
    except ValueError as error:
        assume("padding" not in str(error))
        raise


@agreement.several
@given(agreement.images(), st.sampled_from([0, 1, 2, 3, -1]), st.sampled_from(["linear", "relu", "lrelu"]))
def test_bias_act(x, dim, act):
    x = torch.where(x.abs() < 1e-2, x + 0.1, x).cuda()  # away from the kink
    b = torch.randn(x.shape[dim], dtype=x.dtype).cuda() if x.dtype == torch.float64 else None
    agreement.run_both(bias_act, x, b, dim=dim, act=act)


@pytest.mark.parametrize("shape", [(5, 40), (3, 7, 5), (700_000,), (2, 3, 300, 301), (64, 512), (8, 512, 4, 4)])
@pytest.mark.parametrize("memory_format", layers.FORMATS)
def test_bias_gradient(shape, memory_format):
    torch.manual_seed(0)
    dim = 1 if len(shape) > 1 else 0
    x, b = torch.randn(shape).cuda(), torch.randn(shape[dim]).cuda()
    x = x.contiguous(memory_format=memory_format) if x.ndim == 4 else x
    agreement.run_both(bias_act, x, b, dim=dim, act="lrelu", clamp=2.0)


@pytest.mark.parametrize("shape", [(2, 21, 5, 7), (1, 512, 4, 4), (3, 40, 33, 20), (2, 64, 256, 256), (0, 3, 2, 2)])
@pytest.mark.parametrize("memory_format", layers.FORMATS)
def test_modulated_bias_act(shape, memory_format):
    torch.manual_seed(0)
    n, c, h, w = shape
    x, *factors = (torch.randn(s, device="cuda").double() for s in (shape, [c], [n, c], [n, 1, h, w], [n, c]))
    inputs = [t.requires_grad_() for t in (x.contiguous(memory_format=memory_format), *factors)]
    ys = [modulated_bias_act(*inputs, clamp=2.0, impl=impl) for impl in ("native", "reference")]
    torch.testing.assert_close(*ys)
    dy = torch.randn_like(x)
    for actual, expected in zip(*(torch.autograd.grad(y, inputs, dy) for y in ys), strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("memory_format", layers.FORMATS)
@pytest.mark.parametrize("kinds", layers.FILTERS)
@pytest.mark.parametrize("factors", layers.FACTORS)
def test_layer(factors, kinds, memory_format, phase):
    x, arguments = layers.make_layer(factors, kinds, memory_format, phase)
    layers.compare(x.cuda(), {**arguments, "fu": arguments["fu"].cuda(), "fd": arguments["fd"].cuda()}, 5e-6)


def test_bias_gradient_is_the_same_on_every_run():
    torch.manual_seed(0)
    x, b = torch.randn(16, 64, 64, 64).cuda(), torch.randn(64).cuda().requires_grad_()
    y = bias_act(x, b, act="lrelu")
    first, second = (torch.autograd.grad(y.square().sum(), b, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_runs_on_the_current_stream_and_in_graphs():
    f = torch.rand(12).cuda() / 6
    x = torch.randn(2, 8, 36, 36).cuda()
    arguments = {"fu": f, "fd": f, "up": 2, "down": 2, "padding": [9, 10, 9, 10]}
    filtered_lrelu(x, **arguments)  # loaded before the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = filtered_lrelu(x, **arguments)
    x.normal_()
    graph.replay()
    torch.testing.assert_close(y, filtered_lrelu(x, **arguments))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_runs_where_the_tensor_is():
    x = torch.randn(2, 8, 5, 5, device="cuda:1")
    torch.testing.assert_close(bias_act(x, act="lrelu", impl="native"), bias_act(x, act="lrelu", impl="reference"))


@pytest.mark.slow
def test_more_than_2_to_31_values():
    x = torch.randn(1, 33, 1, 1, dtype=torch.float16, device="cuda").expand(1, 33, 8192, 8192).contiguous()
    f = torch.ones(4, 4, device="cuda") / 16
    assert x.numel() > 2**31
    expected = bias_act(x[..., :1, :1], act="lrelu", impl="reference")
    torch.testing.assert_close(bias_act(x, act="lrelu", impl="native")[..., -1:, -1:], expected)
    torch.testing.assert_close(upfirdn2d(x, f, impl="native")[..., -1:, -1:], x[..., :1, :1], rtol=2e-3, atol=1e-3)


def test_filter_on_the_cpu_is_named():
    with pytest.raises(RuntimeError, match="f: on another device than x"):
        upfirdn2d(torch.ones(1, 1, 4, 4).cuda(), torch.ones(4), impl="native")
