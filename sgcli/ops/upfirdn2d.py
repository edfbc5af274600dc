"""Upsample, FIR filter and downsample in one operator, and its three common uses (spec stylegan2-ada §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from sgcli.ops import native

MAX_TAPS = 64  # of a filter, along one axis
Pair = int | Sequence[int]


def setup_filter(taps: Sequence | float | None, normalize: bool = True, gain: float = 1.0) -> torch.Tensor | None:
    """Make the fp32 filter tensor that `upfirdn2d` takes.

    `taps`: a number, a 1-D or 2-D list, or None (no filter). 1-D filters of eight taps or more stay separable, shorter
    ones become their outer product. `normalize` scales the sum to 1; `gain` applies to the whole 2-D filter.
    """
    if taps is None:
        return None
    f = torch.as_tensor(taps, dtype=torch.float32, device="cpu")
    if f.ndim not in (0, 1, 2) or f.numel() == 0:
        raise ValueError(f"taps: shape {list(f.shape)} is neither a number, a 1-D nor a 2-D filter")
    if f.ndim == 0:
        f = f[None]
    if f.ndim == 1 and f.numel() < 8:
        f = torch.outer(f, f)
    if normalize:
        f = f / f.sum()
    return f * gain ** (f.ndim / 2)


def upfirdn2d(
    x: torch.Tensor,
    f: torch.Tensor | None,
    up: Pair = 1,
    down: Pair = 1,
    padding: Pair = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
    impl: native.Impl = "auto",
) -> torch.Tensor:
    """Insert zeros, pad, filter, keep every `down`-th pixel; for each channel alone.

    x            `[N, C, H, W]`.
    f            `[fh, fw]`, or `[taps]` for a separable filter, or None for the identity.
    up, down     int or (x, y).
    padding      int, (x, y) or (x0, x1, y0, y1) in pixels of the upsampled image; negative values crop.
    flip_filter  False convolves with f, True correlates.
    gain         multiplies once in total.
    impl         see `sgcli.ops.native.use_native`.
    Returns `[N, C, (H·up + y0 + y1 - fh) // down + 1, …]` in x's dtype and memory format; differentiable to any order
    in x. Raises ValueError where shapes do not fit or nothing would be left.
    """
    check_image(x)
    up_x, up_y = _parse_pair(up, "up")
    down_x, down_y = _parse_pair(down, "down")
    x0, x1, y0, y1 = parse_padding(padding)
    fw, fh = filter_size(f)
    h, w = x.shape[2:]
    if h * up_y + y0 + y1 < fh or w * up_x + x0 + x1 < fw:
        raise ValueError(f"padding: {[x0, x1, y0, y1]} leaves less than the {fh}x{fw} filter of the {h}x{w} image")
    if native.use_native(impl, x, "upfirdn2d"):
        f, padding = native.plain_filter(f), [x0, x1, y0, y1]
        return torch.ops.sg.upfirdn2d.default(x, f, [up_x, up_y], [down_x, down_y], padding, flip_filter, gain)
    return _reference(x, f, (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1), flip_filter, gain)


def _reference(x, f, up, down, padding, flip_filter, gain) -> torch.Tensor:
    n, c, h, w = x.shape
    up_x, up_y = up
    down_x, down_y = down
    # Zero-insert: each pixel is followed by up-1 zeros.
    x = x.reshape(n, c, h, 1, w, 1)
    x = F.pad(x, [0, up_x - 1, 0, 0, 0, up_y - 1]).reshape(n, c, h * up_y, w * up_x)
    x = F.pad(x, padding)
    if f is None:
        x = x * gain if gain != 1 else x
        return x[:, :, ::down_y, ::down_x]
    f = (f.to(torch.promote_types(f.dtype, x.dtype)) * gain ** (f.ndim / 2)).to(x.dtype)
    if not flip_filter:
        f = f.flip(list(range(f.ndim)))
    fw, fh = filter_size(f)
    if f.ndim == 2:
        return F.conv2d(x, f.expand(c, 1, fh, fw), stride=down[::-1], groups=c)
    x = F.conv2d(x, f.expand(c, 1, 1, fw), stride=(1, down_x), groups=c)
    return F.conv2d(x, f[:, None].expand(c, 1, fh, 1), stride=(down_y, 1), groups=c)


@native.when_loaded
def _register() -> None:
    @torch.library.register_fake("sg::upfirdn2d")
    def fake(x, f, up, down, padding, flip_filter, gain):
        fw, fh = filter_size(f)
        h = (x.shape[2] * up[1] + padding[2] + padding[3] - fh) // down[1] + 1
        w = (x.shape[3] * up[0] + padding[0] + padding[1] - fw) // down[0] + 1
        return native.empty_image(x, h, w)

    def setup_context(ctx, inputs, output):
        x, f, ctx.up, ctx.down, ctx.padding, ctx.flip_filter, ctx.gain = inputs
        ctx.in_size, ctx.out_size = x.shape[2:], output.shape[2:]
        ctx.save_for_backward(f)

    def backward(ctx, dy):
        (f,) = ctx.saved_tensors
        fw, fh = filter_size(f)
        padding = [
            *adjoint_padding(ctx.padding[0], fw, ctx.up[0], ctx.down[0], ctx.in_size[1], ctx.out_size[1]),
            *adjoint_padding(ctx.padding[2], fh, ctx.up[1], ctx.down[1], ctx.in_size[0], ctx.out_size[0]),
        ]
        dx = torch.ops.sg.upfirdn2d(dy, f, ctx.down, ctx.up, padding, not ctx.flip_filter, ctx.gain)
        return dx, None, None, None, None, None, None

    torch.library.register_autograd("sg::upfirdn2d", backward, setup_context=setup_context)


def adjoint_padding(before: int, taps: int, up: int, down: int, in_size: int, out_size: int) -> tuple[int, int]:
    """Padding of the transposed operator along one axis (spec stylegan2-ada §4.1)."""
    return taps - 1 - before, in_size * up - out_size * down + before - (up - 1)


def filter2d(x: torch.Tensor, f: torch.Tensor | None, flip_filter: bool = False, gain: float = 1.0) -> torch.Tensor:
    """Filter without changing the size. Shapes as in `upfirdn2d`."""
    fw, fh = filter_size(f)
    padding = [fw // 2, (fw - 1) // 2, fh // 2, (fh - 1) // 2]
    return upfirdn2d(x, f, padding=padding, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: torch.Tensor,
    f: torch.Tensor | None,
    up: Pair = 2,
    padding: Pair = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> torch.Tensor:
    """Enlarge `up` times (more with `padding`), keeping the mean brightness: the gain is up_x·up_y·gain."""
    up_x, up_y = _parse_pair(up, "up")
    x0, x1, y0, y1 = parse_padding(padding)
    fw, fh = filter_size(f)
    padding = [x0 + (fw + up_x - 1) // 2, x1 + (fw - up_x) // 2, y0 + (fh + up_y - 1) // 2, y1 + (fh - up_y) // 2]
    return upfirdn2d(x, f, up=up, padding=padding, flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: torch.Tensor,
    f: torch.Tensor | None,
    down: Pair = 2,
    padding: Pair = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> torch.Tensor:
    """Shrink `down` times after low-pass filtering with f."""
    down_x, down_y = _parse_pair(down, "down")
    x0, x1, y0, y1 = parse_padding(padding)
    fw, fh = filter_size(f)
    padding = [
        x0 + (fw - down_x + 1) // 2,
        x1 + (fw - down_x) // 2,
        y0 + (fh - down_y + 1) // 2,
        y1 + (fh - down_y) // 2,
    ]
    return upfirdn2d(x, f, down=down, padding=padding, flip_filter=flip_filter, gain=gain)


def filter_size(f: torch.Tensor | None) -> tuple[int, int]:
    """(width, height) of a filter in taps; a 1-D filter is separable and square, None is the identity."""
    if f is None:
        return 1, 1
    if f.ndim not in (1, 2) or f.numel() == 0:
        raise ValueError(f"f: shape {list(f.shape)} is neither a 1-D nor a 2-D filter")
    if max(f.shape) > MAX_TAPS:
        raise ValueError(f"f: {max(f.shape)} taps given, at most {MAX_TAPS} allowed")
    return f.shape[-1], f.shape[0]


def check_image(x: torch.Tensor) -> None:
    """Raise ValueError unless x is a floating-point `[N, C, H, W]`."""
    if x.ndim != 4:
        raise ValueError(f"x: rank {x.ndim} given, [N, C, H, W] wanted")
    if not x.is_floating_point():
        raise ValueError(f"x: {x.dtype} given, a floating-point image wanted")


def parse_padding(padding: Pair) -> tuple[int, int, int, int]:
    """int, (x, y) or (x0, x1, y0, y1) -> (x0, x1, y0, y1)."""
    values = [padding] * 4 if isinstance(padding, int) else list(padding)
    if len(values) == 2:
        values = [values[0], values[0], values[1], values[1]]
    if len(values) != 4:
        raise ValueError(f"padding: {padding} given; an int, (x, y) or (x0, x1, y0, y1) wanted")
    return values[0], values[1], values[2], values[3]


def _parse_pair(value: Pair, name: str) -> tuple[int, int]:
    values = [value, value] if isinstance(value, int) else list(value)
    if len(values) != 2 or min(values) < 1:
        raise ValueError(f"{name}: {value} given; a positive int or (x, y) wanted")
    return values[0], values[1]
