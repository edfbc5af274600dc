"""What the metrics on pictures (not on features) share: checks of their input, colours, a filter."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def check_pictures(images: torch.Tensor) -> None:
    """Raise ValueError unless `images` is `[N, C, H, W]` with N at least 1 and C from 1 to 4."""
    if images.ndim != 4 or len(images) == 0 or not 1 <= images.shape[1] <= 4:
        raise ValueError(f"pictures must be [N, C, H, W] with C from 1 to 4, got {list(images.shape)}")


def check_same_shape(a: torch.Tensor, b: torch.Tensor) -> None:
    """Raise ValueError that names both shapes where they differ in anything but the channels."""
    check_pictures(a)
    check_pictures(b)
    if (len(a), a.shape[2:]) != (len(b), b.shape[2:]):
        raise ValueError(f"both sets must have as many pictures of one size, got {list(a.shape)} and {list(b.shape)}")


def as_rgb(images: torch.Tensor) -> torch.Tensor:
    """Pictures `[N, C, H, W]`, uint8 or float in 0…255 -> float32 `[N, 3, H, W]`: alpha dropped, greyscale repeated."""
    num_colours = 3 if images.shape[1] >= 3 else 1
    return images[:, :num_colours].float().expand(-1, 3, -1, -1)


def filter_separably(images: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Filter rows and columns of `[N, C, H, W]` with symmetric `taps` `[K]` -> `[N, C, H - K + 1, W - K + 1]`."""
    # As N·C channels of one picture: a depthwise convolution is many times faster this way on a CPU.
    planes = images.reshape(1, -1, *images.shape[2:])
    num_planes = planes.shape[1]
    planes = F.conv2d(planes, taps.expand(num_planes, 1, 1, -1), groups=num_planes)
    planes = F.conv2d(planes, taps.unsqueeze(1).expand(num_planes, 1, -1, 1), groups=num_planes)
    return planes.view(*images.shape[:2], *planes.shape[2:])
