"""Pictures moved by affine maps: both implementations against each other, derivatives, moves that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from sgcli.ops.warp2d import warp2d
from sgcli.training.augment import SYM6

F = torch.tensor(SYM6, dtype=torch.float64) / sum(SYM6)
SHAPES = [(4, 3, 32, 32), (3, 1, 16, 24), (2, 7, 5, 9), (2, 3, 1, 1), (1, 2, 1, 6), (2, 3, 130, 70)]


def moves(shape, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Any turns, sizes and shifts, and any margins."""
    n, _, height, width = shape
    draw = torch.Generator().manual_seed(height)
    angle = 6 * torch.rand(n, generator=draw, dtype=torch.float64)
    size = (0.4 * spread * torch.randn(n, generator=draw, dtype=torch.float64)).exp2()
    shift = torch.randn(2, n, generator=draw, dtype=torch.float64) * spread * width / 6
    c, s = angle.cos() * size, angle.sin() * size
    maps = torch.stack([torch.stack([c, -s, shift[0]], 1), torch.stack([s, c, shift[1]], 1)], 1)
    margins = torch.stack([torch.randint(0, side, [n], generator=draw) for side in (width, height, width, height)], 1)
    return maps, margins


@pytest.mark.usefixtures("only_native")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spread", [1.0, 20.0])  # with 20, pictures are out of sight, or huge
@pytest.mark.parametrize("shape", SHAPES)
def test_native_agrees(shape, spread, dtype, memory_format):
    torch.manual_seed(0)
    x, u = (torch.randn(shape).to(dtype).to(memory_format=memory_format) for _ in range(2))
    if spread == 20:  # keep what is seen of each within memory
        shape = (*shape[:2], min(shape[2], 16), min(shape[3], 16))
        x, u = x[:, :, :16, :16], u[:, :, :16, :16]
    maps, margins = moves(shape, spread)
    maps = maps.clamp(-50, 50)
    results = []
    for picture, implementation in ((x, "native"), (x.double(), "reference")):
        leaf = picture.detach().requires_grad_()
        y = warp2d(leaf, maps, margins, F, impl=implementation)
        assert y.dtype == picture.dtype
        results.append((y.detach(), torch.autograd.grad(y, leaf, u.to(y))[0]))
    tolerance = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2}[dtype]
    for actual, expected in zip(*results, strict=True):
        scale = max(expected.abs().max().item(), 1)
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=tolerance * scale)


@pytest.mark.usefixtures("only_native")
def test_derivatives_to_second_order():
    shape = (1, 5, 3, 4)
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    maps, margins = moves(shape)
    assert gradcheck(lambda x: warp2d(x, maps, margins, F, impl="native"), [x])
    assert gradgradcheck(lambda x: warp2d(x, maps, margins, F, impl="native"), [x])
    torch.library.opcheck(torch.ops.sg.warp2d.default, (x, maps, margins, F, False))


def test_known_moves(impl):
    """A quarter turn and a shift by whole pixels; a smooth picture survives the filters."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 40), torch.linspace(0, 1, 40), indexing="ij")
    picture = (torch.cos(math.pi * x) + 0.5 * torch.cos(2 * math.pi * y))[None, None]
    turn, shift = [[0, -1, 0], [1, 0, 0]], [[1, 0, 3], [0, 1, 0]]
    maps, margins = torch.tensor([turn, shift], dtype=torch.float64), torch.full([2, 4], 9)
    turned, shifted = warp2d(picture.repeat(2, 1, 1, 1), maps, margins, F.float(), impl=impl)
    inner = slice(4, -4)
    torch.testing.assert_close(turned[0, inner, inner], picture[0, 0].rot90(1)[inner, inner], atol=1e-2, rtol=0)
    torch.testing.assert_close(shifted[0, inner, 4:-7], picture[0, 0][inner, 7:-4], atol=5e-3, rtol=0)


def test_margins_are_each_picture_s_own(impl):
    """Beyond its margin a picture is black, however far another of the batch is mirrored."""
    picture = torch.ones(2, 1, 12, 12)
    maps = torch.tensor([[1.0, 0, 16], [0, 1, 0]], dtype=torch.float64).expand(2, 2, 3)
    near, far = warp2d(picture, maps, torch.tensor([[0] * 4, [0, 0, 11, 0]]), F, impl=impl)
    assert near.abs().max() < 1e-6
    torch.testing.assert_close(far[0, 4:-4, :3], torch.ones(4, 3), atol=1e-4, rtol=0)


def test_nothing_in_nothing_out(impl):
    empty = torch.zeros(0, 3, 8, 8)
    assert warp2d(empty, torch.zeros(0, 2, 3), torch.zeros(0, 4), F, impl=impl).shape == empty.shape


@pytest.mark.parametrize(
    ("name", "given"), [("map", torch.zeros(2, 3, 3)), ("margins", torch.zeros(1, 4)), ("f", torch.ones(11))]
)
def test_wrong_shapes(impl, name, given):
    arguments = {"map": torch.zeros(2, 2, 3, dtype=torch.float64), "margins": torch.zeros(2, 4).long(), "f": F}
    with pytest.raises(ValueError, match=name):
        warp2d(torch.zeros(2, 3, 8, 8), **{**arguments, name: given}, impl=impl)


@pytest.mark.usefixtures("only_native")
def test_margins_as_wide_as_the_picture_are_refused():
    with pytest.raises(RuntimeError, match="8 of a side of 8 pixels"):
        warp2d(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 3).double(), torch.tensor([[0, 0, 0, 8]]), F, impl="native")
