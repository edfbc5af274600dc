"""Convolution with FIR-filtered up- or downsampling around it (spec stylegan2-ada §1.6 and §4.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sgcli.ops import native
from sgcli.ops.conv2d import conv2d, in_fast_type
from sgcli.ops.upfirdn2d import Pair, filter_size, parse_padding, upfirdn2d


def conv2d_resample(
    x: torch.Tensor,
    w: torch.Tensor,
    f: torch.Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Pair = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
    impl: native.Impl = "auto",
) -> torch.Tensor:
    """Upsample by `up`, convolve with `w`, downsample by `down`, each with the FIR filter `f`.

    x            `[N, C, H, W]`.
    w            `[out, C / groups, k, k]`.
    padding      relative to the upsampled image: int, (x, y) or (x0, x1, y0, y1).
    flip_weight  True correlates (what `conv2d` computes), False convolves.
    impl         of `upfirdn2d`.
    Returns `[N, out, H', W']`, equal to the three steps done one after the other, by the cheapest equivalent order.
    """
    kh, kw = w.shape[2:]
    fw, fh = filter_size(f)
    x0, x1, y0, y1 = parse_padding(padding)
    if up > 1:
        x0, x1 = x0 + (fw + up - 1) // 2, x1 + (fw - up) // 2
        y0, y1 = y0 + (fh + up - 1) // 2, y1 + (fh - up) // 2
    x0, x1, y0, y1 = pads = low_pass_padding(f, down, (x0, x1, y0, y1))
    if kh == kw == 1 and up == 1 and down > 1:  # fewer pixels to convolve after decimation
        x = upfirdn2d(x, f, down=down, padding=pads, flip_filter=flip_filter, impl=impl)
        return _conv2d(x, w, groups=groups, flip_weight=flip_weight)
    if kh == kw == 1 and down == 1 and up > 1:  # ... and before interpolation
        x = _conv2d(x, w, groups=groups, flip_weight=flip_weight)
        return upfirdn2d(x, f, up=up, padding=pads, gain=up**2, flip_filter=flip_filter, impl=impl)
    if up == 1 and down > 1:  # decimation rides on the convolution's stride
        x = upfirdn2d(x, f, padding=pads, flip_filter=flip_filter, impl=impl)
        return _conv2d(x, w, stride=down, groups=groups, flip_weight=flip_weight)
    if up > 1:  # zero-insertion rides on the transposed convolution's stride
        x0, x1, y0, y1 = x0 - (kw - 1), x1 - (kw - up), y0 - (kh - 1), y1 - (kh - up)
        trim_x, trim_y = max(min(-x0, -x1), 0), max(min(-y0, -y1), 0)
        x = _conv_transpose2d(x, w, stride=up, padding=(trim_y, trim_x), groups=groups, flip_weight=flip_weight)
        pads = [x0 + trim_x, x1 + trim_x, y0 + trim_y, y1 + trim_y]
        x = upfirdn2d(x, f, padding=pads, gain=up**2, flip_filter=flip_filter, impl=impl)
        return upfirdn2d(x, f, down=down, flip_filter=flip_filter, impl=impl) if down > 1 else x
    if x0 == x1 >= 0 and y0 == y1 >= 0:
        return _conv2d(x, w, padding=(y0, x0), groups=groups, flip_weight=flip_weight)
    return _conv2d(F.pad(x, pads), w, groups=groups, flip_weight=flip_weight)


def low_pass_padding(f: torch.Tensor | None, down: int, padding: Pair = 0) -> list[int]:
    """(x0, x1, y0, y1) of the filter before a convolution with stride `down`, whose own padding is `padding`."""
    fw, fh = filter_size(f)
    x0, x1, y0, y1 = parse_padding(padding)
    if down == 1:
        return [x0, x1, y0, y1]
    return [
        x0 + (fw - down + 1) // 2,
        x1 + (fw - down) // 2,
        y0 + (fh - down + 1) // 2,
        y1 + (fh - down) // 2,
    ]


def _conv2d(x, w, stride=1, padding=(0, 0), groups=1, flip_weight=True) -> torch.Tensor:
    if not flip_weight and w.shape[2:] != (1, 1):
        w = w.flip([2, 3])
    return conv2d(x, w, stride=stride, padding=padding, groups=groups)


def _conv_transpose2d(x, w, stride, padding, groups, flip_weight) -> torch.Tensor:
    # A transposed convolution applies its kernel as a true convolution, so the meaning of the flip is reversed, and it
    # wants [in, out/groups, k, k].
    if flip_weight and w.shape[2:] != (1, 1):
        w = w.flip([2, 3])
    if groups == 1:
        w = w.transpose(0, 1)  # no copy
    else:
        out_channels, in_per_group, kh, kw = w.shape
        w = w.reshape(groups, out_channels // groups, in_per_group, kh, kw).transpose(1, 2)
        w = w.reshape(groups * in_per_group, out_channels // groups, kh, kw)
    return in_fast_type(F.conv_transpose2d, x, w, stride=stride, padding=padding, groups=groups)
