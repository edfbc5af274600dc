"""Bilinear sampling at given places, differentiable in the picture to any order (spec stylegan2-ada §4.4).

PyTorch's own grid_sample has no second derivative. Sampling is linear in the picture, so its derivative is the adjoint
(spreading), and the adjoint's derivative is sampling again. The places get no gradient.
"""

from __future__ import annotations

import torch

BILINEAR, ZEROS = 0, 0  # codes of aten.grid_sampler_2d


def grid_sample(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Sample `[N, C, H, W]` at `grid` `[N, h, w, 2]` -> `[N, C, h, w]`.

    grid  (x, y), -1 to 1 from edge to edge of the picture (align_corners=False); outside of it the picture is zero.
    """
    return _Sample.apply(x, grid)


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, grid):
        ctx.save_for_backward(x, grid)
        return torch.ops.aten.grid_sampler_2d(x, grid, BILINEAR, ZEROS, False)

    @staticmethod
    def backward(ctx, dy):
        x, grid = ctx.saved_tensors
        return _Spread.apply(dy, x, grid), None


class _Spread(torch.autograd.Function):
    """The adjoint of sampling: each value of dy is added where it was read from. Only the shape of x matters."""

    @staticmethod
    def forward(ctx, dy, x, grid):
        ctx.save_for_backward(grid)
        mask = (True, False)
        dx, _ = torch.ops.aten.grid_sampler_2d_backward(dy.contiguous(), x, grid, BILINEAR, ZEROS, False, mask)
        return dx

    @staticmethod
    def backward(ctx, ddx):
        (grid,) = ctx.saved_tensors
        return _Sample.apply(ddx, grid), None, None
