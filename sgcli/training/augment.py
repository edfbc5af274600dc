"""Adaptive discriminator augmentation: the pipeline of transforms (Karras et al. 2020; spec stylegan2-ada §6).

Each transform has a multiplier m; an image gets it with probability m·p, independently of the others. Geometric
transforms are collected in one matrix per image and carried out together, colour transforms likewise. Everything is
batched, and differentiable in the pictures to second order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F

from sgcli.ops.grid_sample import grid_sample
from sgcli.ops.upfirdn2d import downsample2d, upsample2d
from sgcli.training import matrices as mat
from sgcli.training.draws import Draws

GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
PRESETS = {
    **{group: (group,) for group in GROUPS},
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
    "bgcf": ("blit", "geom", "color", "filter"),
    "bgcfn": ("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "color", "filter", "noise", "cutout"),
}
TRANSFORMS = tuple(name for group in GROUPS.values() for name in group)

XINT_MAX = 0.125  # of the width
SCALE_STD = 0.2  # octaves
ROTATE_MAX = 1.0  # half turns
ANISO_STD = 0.2  # octaves
XFRAC_STD = 0.125  # of the width
BRIGHTNESS_STD = 0.2
CONTRAST_STD = 0.5  # octaves
HUE_MAX = 1.0  # half turns
SATURATION_STD = 1.0  # octaves
IMGFILTER_STD = 1.0  # octaves, of each band's gain
NOISE_STD = 0.1
CUTOUT_SIZE = 0.5  # of the width

# Wavelet filters: sym6 for resampling, sym2 for splitting a picture into frequency bands.
SYM6 = (0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
        0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
        0.0017677118642428036, -0.007800708325034148)  # fmt: skip
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
BAND_POWERS = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # expected share of each band in a natural picture's power


def names_of(preset: str) -> tuple[str, ...]:
    """The transforms of a preset such as "bgc". Raises ValueError for an unknown one."""
    if preset not in PRESETS:
        raise ValueError(f"augmentations '{preset}' are unknown; one of {', '.join(PRESETS)}")
    return tuple(name for group in PRESETS[preset] for name in GROUPS[group])


class AugmentPipe:
    """The transforms `names`, at strength p."""

    def __init__(self, names: Iterable[str], device: torch.device | str = "cpu"):
        self.names = frozenset(names)
        assert self.names <= set(TRANSFORMS), f"unknown transforms: {self.names - set(TRANSFORMS)}"
        self.sym6 = torch.tensor(SYM6, device=device) / sum(SYM6)
        self.bands = torch.tensor(band_filters(), dtype=torch.float32, device=device)

    def __call__(self, images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
        """`[N, K, H, W]`, about [-1, 1], K 1 or 3 -> the same shape, not clamped."""
        if self.names & {*GROUPS["blit"], *GROUPS["geom"]}:
            images = self.transform_geometry(images, self.geometry(images, p, draws))
        if self.names & {*GROUPS["color"]}:
            images = transform_color(images, self.color(images, p, draws))
        if "imgfilter" in self.names:
            images = self.filter_bands(images, p, draws)
        if "noise" in self.names:
            images = add_noise(images, p, draws)
        if "cutout" in self.names:
            images = cut_out(images, p, draws)
        return images

    def geometry(self, images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
        """The inverse transform of each image, `[N, 3, 3]`: from places of the output to places of the input, in pixels
        from the middle (spec §6.2)."""
        n, _, height, width = images.shape
        inverse = torch.eye(3, device=images.device).expand(n, 3, 3)
        if "xflip" in self.names:
            flip = gated(draws.integer(2), p, draws)
            inverse = inverse @ mat.scale(1 - 2 * flip, 1)
        if "rotate90" in self.names:
            turns = gated(draws.integer(4), p, draws)
            inverse = inverse @ mat.rotate(math.pi / 2 * turns)
        if "xint" in self.names:
            tx, ty = (draws.signed_uniform() * XINT_MAX for _ in range(2))
            gate = draws.gate(p)
            inverse = inverse @ mat.translate(-(tx * gate * width).round(), -(ty * gate * height).round())
        if "scale" in self.names:
            s = gated(draws.normal() * SCALE_STD, p, draws).exp2()
            inverse = inverse @ mat.scale(1 / s, 1 / s)
        # An image is turned before or after the anisotropic scaling, or both: with probability p in all.
        p_rotate = 1 - math.sqrt(min(max(1 - p, 0), 1))
        if "rotate" in self.names:
            angle = gated(draws.signed_uniform() * math.pi * ROTATE_MAX, p_rotate, draws)
            inverse = inverse @ mat.rotate(angle)
        if "aniso" in self.names:
            s = gated(draws.normal() * ANISO_STD, p, draws).exp2()
            inverse = inverse @ mat.scale(1 / s, s)
        if "rotate" in self.names:
            angle = gated(draws.signed_uniform(fixed=0) * math.pi * ROTATE_MAX, p_rotate, draws)
            inverse = inverse @ mat.rotate(angle)
        if "xfrac" in self.names:
            tx, ty = (draws.normal() * XFRAC_STD for _ in range(2))
            gate = draws.gate(p)
            inverse = inverse @ mat.translate(-tx * gate * width, -ty * gate * height)
        return inverse

    def transform_geometry(self, images: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
        """Carry out `inverse` on the images that it moves; the others, most of them at a low p, stay as they are."""
        stays = torch.eye(3, device=inverse.device)
        moved = (inverse != stays).flatten(1).any(dim=1).nonzero()[:, 0]
        if len(moved) == len(images):
            return self.resample(images, inverse)
        return images.index_copy(0, moved, self.resample(images[moved], inverse[moved])) if len(moved) else images

    def resample(self, images: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
        """Carry out `inverse` with a mirrored border, at twice the resolution between low-pass filters (spec §6.2)."""
        _, _, height, width = images.shape
        quarter = len(SYM6) // 4
        x0, y0, x1, y1 = self.margins(inverse, height, width)
        images = upsample2d(F.pad(images, [x0, x1, y0, y1], mode="reflect"), self.sym6, up=2)

        # From a place of the output, -1 to 1 from edge to edge, to pixels from its middle at twice the resolution, to
        # pixels at the original one; and the way back, with the border and the half pixel that upsampling shifts by.
        out_height, out_width = (height + 2 * quarter) * 2, (width + 2 * quarter) * 2
        to_pixels = mat.affine(out_width / 4, out_height / 4, 0.25, 0.25, like=inverse)
        x_per_pixel, y_per_pixel = 4 / images.shape[3], 4 / images.shape[2]
        x_shift, y_shift = ((x0 - x1) / 2 - 0.25) * x_per_pixel, ((y0 - y1) / 2 - 0.25) * y_per_pixel
        from_pixels = mat.affine(x_per_pixel, y_per_pixel, x_shift, y_shift, like=inverse)
        inverse = from_pixels @ inverse @ to_pixels
        size = [len(images), images.shape[1], out_height, out_width]
        images = grid_sample(images, F.affine_grid(inverse[:, :2], size, align_corners=False))
        return downsample2d(images, self.sym6, down=2, padding=-2 * quarter, flip_filter=True)

    def margins(self, inverse: torch.Tensor, height: int, width: int) -> list[int]:
        """How much border (left, top, right, bottom) the farthest-reaching image of the batch needs, in pixels."""
        half_width, half_height = (width - 1) / 2, (height - 1) / 2
        corners = torch.tensor(
            [[-half_width, -half_height, 1], [half_width, -half_height, 1],
             [half_width, half_height, 1], [-half_width, half_height, 1]],
            device=inverse.device,
        )  # fmt: skip
        reached = (inverse @ corners.T)[:, :2].permute(1, 0, 2).flatten(1)  # [2, N·4]: x and y
        beyond = torch.cat([-reached, reached]).amax(dim=1)  # -x, -y, x, y
        quarter = len(SYM6) // 4
        half = torch.tensor([half_width, half_height] * 2, device=inverse.device)
        limit = torch.tensor([width - 1.0, height - 1.0] * 2, device=inverse.device)
        margin = (beyond + 2 * quarter - half).clamp_min(0).minimum(limit).ceil()
        return [int(value) for value in margin.tolist()]

    def color(self, images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
        """The colour transform of each image, `[N, 4, 4]`, of homogeneous RGB (spec §6.1, rows 9 to 13)."""
        n, channels = images.shape[:2]
        matrix = torch.eye(4, device=images.device).expand(n, 4, 4)
        v = torch.tensor([1, 1, 1, 0], device=images.device) / math.sqrt(3)  # the axis of grey
        along = torch.outer(v, v)
        across = torch.eye(4, device=images.device) - along
        if "brightness" in self.names:
            b = gated(draws.normal() * BRIGHTNESS_STD, p, draws)
            matrix = mat.translate3(b, b, b) @ matrix
        if "contrast" in self.names:
            c = gated(draws.normal() * CONTRAST_STD, p, draws).exp2()
            matrix = mat.scale3(c, c, c) @ matrix
        if "lumaflip" in self.names:
            flip = gated(draws.integer(2), p, draws)[:, None, None]
            matrix = (torch.eye(4, device=images.device) - 2 * along * flip) @ matrix
        if "hue" in self.names and channels > 1:
            angle = gated(draws.signed_uniform() * math.pi * HUE_MAX, p, draws)
            matrix = mat.rotate3(v, angle) @ matrix
        if "saturation" in self.names and channels > 1:
            s = gated(draws.normal() * SATURATION_STD, p, draws).exp2()[:, None, None]
            matrix = (along + across * s) @ matrix
        return matrix

    def filter_bands(self, images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
        """Amplify and damp four frequency bands, keeping the expected power (spec §6.4)."""
        n, channels, height, width = images.shape
        num_bands, taps = self.bands.shape
        powers = torch.tensor(BAND_POWERS, device=images.device)
        gains = torch.ones(n, num_bands, device=images.device)
        for band in range(num_bands):
            t = torch.ones(n, num_bands, device=images.device)
            t[:, band] = gated(draws.normal() * IMGFILTER_STD, p, draws).exp2()
            gains = gains * t / (powers * t.square()).sum(dim=1, keepdim=True).sqrt()
        f = (gains @ self.bands).repeat_interleave(channels, dim=0)[:, None]  # [N·K, 1, taps]
        pad = taps // 2
        images = reflect_far(images, pad).reshape(1, n * channels, height + 2 * pad, width + 2 * pad)
        images = F.conv2d(images, f[:, :, None], groups=n * channels)
        images = F.conv2d(images, f[:, :, :, None], groups=n * channels)
        return images.reshape(n, channels, height, width)


def gated(value: torch.Tensor, probability: float, draws: Draws) -> torch.Tensor:
    """`value` with this probability, else 0. The parameter is drawn first, the gate second (spec §6)."""
    return draws.gate(probability) * value


def transform_color(images: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Apply `[N, 4, 4]` to RGB; grey becomes the mean of what three equal channels would become (spec §6.3)."""
    n, channels, height, width = images.shape
    if channels == 3:
        flat = images.reshape(n, 3, height * width)
        return (matrix[:, :3, :3] @ flat + matrix[:, :3, 3:]).reshape(images.shape)
    if channels == 1:
        row = matrix[:, :3].mean(dim=1)  # [N, 4]
        return images * row[:, :3].sum(dim=1)[:, None, None, None] + row[:, 3][:, None, None, None]
    raise ValueError(f"colour augmentations take 1 or 3 channels, not {channels}")


def add_noise(images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
    """Gaussian noise whose strength is itself half-normal."""
    sigma = gated(draws.half_normal() * NOISE_STD, p, draws)
    return images + draws.pixels(images.shape[1:]) * sigma[:, None, None, None]


def cut_out(images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
    """Set a square to zero (spec §6.5)."""
    _, _, height, width = images.shape
    size = draws.gate(p) * CUTOUT_SIZE
    center_x, center_y = draws.uniform(), draws.uniform()
    x = (torch.arange(width, device=images.device) + 0.5) / width
    y = (torch.arange(height, device=images.device) + 0.5) / height
    outside_x = (x[None] - center_x[:, None]).abs() >= size[:, None] / 2  # [N, W]
    outside_y = (y[None] - center_y[:, None]).abs() >= size[:, None] / 2  # [N, H]
    return images * (outside_x[:, None, None, :] | outside_y[:, None, :, None])


def reflect_far(images: torch.Tensor, pad: int) -> torch.Tensor:
    """Mirror the border by `pad` pixels; several times over where the image is smaller than that."""
    while pad > 0:
        step = min(pad, images.shape[2] - 1, images.shape[3] - 1)
        images = F.pad(images, [step] * 4, mode="reflect")
        pad -= step
    return images


def band_filters() -> np.ndarray:
    """Four filters `[4, 43]` that split a signal into octaves and add up to it (spec §6.4)."""
    low = np.asarray(SYM2)
    high = low * (-1) ** np.arange(len(low))
    low2 = np.convolve(low, low[::-1]) / 2
    high2 = np.convolve(high, high[::-1]) / 2
    bands = np.eye(4, 1)
    for i in range(1, 4):
        spread = np.zeros([4, 2 * bands.shape[1] - 1])
        spread[:, ::2] = bands
        bands = np.stack([np.convolve(row, low2) for row in spread])
        start = (bands.shape[1] - len(high2)) // 2
        bands[i, start : start + len(high2)] += high2
    return bands
