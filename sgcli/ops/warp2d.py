"""Pictures moved by affine maps, at twice the resolution between low-pass filters (spec stylegan2-ada §6.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sgcli.ops import native
from sgcli.ops.grid_sample import grid_sample
from sgcli.ops.upfirdn2d import check_image, downsample2d, upsample2d

TAPS = 12  # of the filter
BORDER = TAPS // 4  # pixels around the result that are computed for the filter after it


def warp2d(
    x: torch.Tensor, map: torch.Tensor, margins: torch.Tensor, f: torch.Tensor, impl: native.Impl = "auto"
) -> torch.Tensor:
    """Mirror the border, upsample by 2, look up bilinearly where the map leads, downsample by 2.

    x        `[N, C, H, W]`.
    map      `[N, 2, 3]` float64 on the CPU: from a place of the result, (x, y, 1) in pixels from the middle, to the
             place of x that is seen there.
    margins  `[N, 4]` int64 on the CPU: how many pixels each picture is mirrored by at its left, top, right and bottom,
             fewer than it has. Beyond them it is zero.
    f        `[12]`, the low-pass filter of both resamplings.
    impl     see `sgcli.ops.native.use_native`.
    Returns a tensor of x's shape and dtype; differentiable to any order in x. Raises ValueError where shapes do not
    fit.
    """
    check_image(x)
    for name, given, shape in (("map", map, [len(x), 2, 3]), ("margins", margins, [len(x), 4]), ("f", f, [TAPS])):
        if list(given.shape) != shape:
            raise ValueError(f"{name}: shape {list(given.shape)} given, {shape} wanted")
    if len(x) == 0:
        return x
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    f = f.to(wide)
    if native.use_native(impl, wide, "warp2d"):
        return torch.ops.sg.warp2d.default(wide, map.contiguous(), margins.contiguous(), f, False).to(x.dtype)
    return _reference(wide, map, margins, f).to(x.dtype)


def _reference(x, map, margins, f) -> torch.Tensor:
    n, channels, height, width = x.shape
    x0, y0, x1, y1 = margins.amax(dim=0).tolist()
    # The border is as wide as the farthest-reaching picture needs; each of the others is cut off at its own.
    left, top, right, bottom = margins.T[:, :, None]
    columns, rows = torch.arange(-x0, width + x1), torch.arange(-y0, height + y1)
    in_x, in_y = (columns >= -left) & (columns < width + right), (rows >= -top) & (rows < height + bottom)
    inside = (in_y[:, None, :, None] & in_x[:, None, None, :]).to(x)
    x = upsample2d(F.pad(x, [x0, x1, y0, y1], mode="reflect") * inside, f, up=2)
    x = x * inside.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    # From a place of the output, -1 to 1 from edge to edge, to pixels from its middle at twice the resolution, to
    # pixels at the original one; and the way back, with the border and the half pixel that upsampling shifts by.
    out_height, out_width = 2 * (height + 2 * BORDER), 2 * (width + 2 * BORDER)
    x_per_pixel, y_per_pixel = 4 / x.shape[3], 4 / x.shape[2]
    x_shift, y_shift = ((x0 - x1) / 2 - 0.25) * x_per_pixel, ((y0 - y1) / 2 - 0.25) * y_per_pixel
    last = torch.tensor([0.0, 0.0, 1.0], dtype=map.dtype).expand(n, 1, 3)
    to_pixels = map.new_tensor([[out_width / 4, 0, 0.25], [0, out_height / 4, 0.25], [0, 0, 1]])
    from_pixels = map.new_tensor([[x_per_pixel, 0, x_shift], [0, y_per_pixel, y_shift]])
    map = (from_pixels @ torch.cat([map, last], dim=1) @ to_pixels).to(x)
    x = grid_sample(x, F.affine_grid(map, [n, channels, out_height, out_width], align_corners=False))
    return downsample2d(x, f, down=2, padding=-2 * BORDER, flip_filter=True)


@native.when_loaded
def _register() -> None:
    @torch.library.register_fake("sg::warp2d")
    def fake(x, map, margins, f, transposed):
        return torch.empty_like(x)

    def setup_context(ctx, inputs, output):
        _, *tensors, ctx.transposed = inputs
        ctx.save_for_backward(*tensors)

    def backward(ctx, dy):
        return torch.ops.sg.warp2d(dy, *ctx.saved_tensors, not ctx.transposed), None, None, None, None

    torch.library.register_autograd("sg::warp2d", backward, setup_context=setup_context)
