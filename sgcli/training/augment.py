"""Adaptive discriminator augmentation: the pipeline of transforms (Karras et al. 2020; spec stylegan2-ada §6).

Each transform has a multiplier m; an image gets it with probability m·p, independently of the others. Geometric
transforms are collected in one matrix per image and carried out together, colour transforms likewise. Everything is
batched, and differentiable in the pictures to second order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from sgcli.ops.warp2d import BORDER, warp2d
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
        self.bands = band_filters()

    def __call__(self, images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
        """`[N, K, H, W]`, about [-1, 1], K 1 or 3 -> the same shape, not clamped."""
        if self.names & {*GROUPS["blit"], *GROUPS["geom"]}:
            images = self.transform_geometry(images, self.geometry(images.shape, p, draws))
        if self.names & {*GROUPS["color"]}:
            images = transform_color(images, self.color(images.shape, p, draws))
        if "imgfilter" in self.names:
            images = self.filter_bands(images, p, draws)
        if "noise" in self.names:
            images = add_noise(images, p, draws)
        if "cutout" in self.names:
            images = cut_out(images, p, draws)
        return images

    def geometry(self, shape: Sequence[int], p: float, draws: Draws) -> np.ndarray:
        """The inverse transform of each image, `[N, 3, 3]`: from places of the output to places of the input, in pixels
        from the middle (spec §6.2)."""
        n, _, height, width = shape
        inverse = np.tile(np.eye(3), [n, 1, 1])
        if "xflip" in self.names:
            flip = gated(draws.integer(2), p, draws)
            inverse = inverse @ mat.scale(1 - 2 * flip, 1)
        if "rotate90" in self.names:
            turns = gated(draws.integer(4), p, draws)
            inverse = inverse @ mat.rotate(math.pi / 2 * turns)
        if "xint" in self.names:
            tx, ty = (draws.signed_uniform() * XINT_MAX for _ in range(2))
            gate = draws.gate(p)
            inverse = inverse @ mat.translate(-np.round(tx * gate * width), -np.round(ty * gate * height))
        if "scale" in self.names:
            s = np.exp2(gated(draws.normal() * SCALE_STD, p, draws))
            inverse = inverse @ mat.scale(1 / s, 1 / s)
        # An image is turned before or after the anisotropic scaling, or both: with probability p in all.
        p_rotate = 1 - math.sqrt(min(max(1 - p, 0), 1))
        if "rotate" in self.names:
            angle = gated(draws.signed_uniform() * math.pi * ROTATE_MAX, p_rotate, draws)
            inverse = inverse @ mat.rotate(angle)
        if "aniso" in self.names:
            s = np.exp2(gated(draws.normal() * ANISO_STD, p, draws))
            inverse = inverse @ mat.scale(1 / s, s)
        if "rotate" in self.names:
            angle = gated(draws.signed_uniform(fixed=0) * math.pi * ROTATE_MAX, p_rotate, draws)
            inverse = inverse @ mat.rotate(angle)
        if "xfrac" in self.names:
            tx, ty = (draws.normal() * XFRAC_STD for _ in range(2))
            gate = draws.gate(p)
            inverse = inverse @ mat.translate(-tx * gate * width, -ty * gate * height)
        return inverse

    def transform_geometry(self, images: torch.Tensor, inverse: np.ndarray) -> torch.Tensor:
        """Carry out `inverse` on the images that it moves; the others, most of them at a low p, stay as they are."""
        moved = np.flatnonzero((inverse != np.eye(3)).any(axis=(1, 2)))
        if len(moved) == 0:
            return images
        maps = torch.from_numpy(inverse[moved, :2])
        borders = torch.from_numpy(margins(inverse[moved], *images.shape[2:]))
        if len(moved) == len(images):
            return warp2d(images, maps, borders, self.sym6)
        places = torch.from_numpy(moved).to(images.device)
        return images.index_copy(0, places, warp2d(images[places], maps, borders, self.sym6))

    def color(self, shape: Sequence[int], p: float, draws: Draws) -> np.ndarray:
        """The colour transform of each image, `[N, 4, 4]`, of homogeneous RGB (spec §6.1, rows 9 to 13)."""
        n, channels = shape[:2]
        matrix = np.tile(np.eye(4), [n, 1, 1])
        v = np.array([1, 1, 1, 0]) / math.sqrt(3)  # the axis of grey
        along = np.outer(v, v)
        across = np.eye(4) - along
        if "brightness" in self.names:
            b = gated(draws.normal() * BRIGHTNESS_STD, p, draws)
            matrix = mat.translate3(b, b, b) @ matrix
        if "contrast" in self.names:
            c = np.exp2(gated(draws.normal() * CONTRAST_STD, p, draws))
            matrix = mat.scale3(c, c, c) @ matrix
        if "lumaflip" in self.names:
            flip = gated(draws.integer(2), p, draws)[:, None, None]
            matrix = (np.eye(4) - 2 * along * flip) @ matrix
        if "hue" in self.names and channels > 1:
            angle = gated(draws.signed_uniform() * math.pi * HUE_MAX, p, draws)
            matrix = mat.rotate3(v, angle) @ matrix
        if "saturation" in self.names and channels > 1:
            s = np.exp2(gated(draws.normal() * SATURATION_STD, p, draws))[:, None, None]
            matrix = (along + across * s) @ matrix
        return matrix

    def filter_bands(self, images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
        """Amplify and damp four frequency bands, keeping the expected power (spec §6.4)."""
        n, channels, height, width = images.shape
        num_bands, taps = self.bands.shape
        gains = np.ones([n, num_bands])
        for band in range(num_bands):
            t = np.ones([n, num_bands])
            t[:, band] = np.exp2(gated(draws.normal() * IMGFILTER_STD, p, draws))
            gains *= t / np.sqrt(t**2 @ BAND_POWERS)[:, None]
        f = images.new_tensor(gains @ self.bands).repeat_interleave(channels, dim=0)[:, None]  # [N·K, 1, taps]
        pad = taps // 2
        images = reflect_far(images, pad).reshape(1, n * channels, height + 2 * pad, width + 2 * pad)
        images = F.conv2d(images, f[:, :, None], groups=n * channels)
        images = F.conv2d(images, f[:, :, :, None], groups=n * channels)
        return images.reshape(n, channels, height, width)


def gated(value: np.ndarray, probability: float, draws: Draws) -> np.ndarray:
    """`value` with this probability, else 0. The parameter is drawn first, the gate second (spec §6)."""
    return draws.gate(probability) * value


def margins(inverse: np.ndarray, height: int, width: int) -> np.ndarray:
    """How much border (left, top, right, bottom) each image needs, in pixels, `[N, 4]` int64 (spec §6.2).

    Of each image by itself, where the published code goes by the farthest-reaching one of the batch: what becomes of an
    image does not depend on the others.
    """
    half = np.array([width - 1, height - 1]) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    reached = corners @ inverse[:, :2, :2].transpose(0, 2, 1) + inverse[:, None, :2, 2]  # [N, 4, 2]
    beyond = np.concatenate([-reached.min(axis=1), reached.max(axis=1)], axis=1)  # -x, -y, x, y
    needed = np.ceil(beyond + 2 * BORDER - np.tile(half, 2))
    return np.clip(needed, 0, np.tile(2 * half, 2)).astype(np.int64)


def transform_color(images: torch.Tensor, matrix: np.ndarray) -> torch.Tensor:
    """Apply `[N, 4, 4]` to RGB; grey becomes the mean of what three equal channels would become (spec §6.3)."""
    n, channels, height, width = images.shape
    if channels == 3:
        rows = images.new_tensor(matrix[:, :3])
        return torch.baddbmm(rows[:, :, 3:], rows[:, :, :3], images.reshape(n, 3, height * width)).reshape(images.shape)
    if channels == 1:
        row = matrix[:, :3].mean(axis=1)  # [N, 4]
        gain, bias = images.new_tensor(np.stack([row[:, :3].sum(axis=1), row[:, 3]]))[:, :, None, None, None]
        return images * gain + bias
    raise ValueError(f"colour augmentations take 1 or 3 channels, not {channels}")


def add_noise(images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
    """Gaussian noise whose strength is itself half-normal."""
    sigma = images.new_tensor(gated(draws.half_normal() * NOISE_STD, p, draws))
    return images + draws.pixels(images.shape[1:], images.device) * sigma[:, None, None, None]


def cut_out(images: torch.Tensor, p: float, draws: Draws) -> torch.Tensor:
    """Set a square to zero (spec §6.5)."""
    _, _, height, width = images.shape
    half = draws.gate(p)[:, None] * CUTOUT_SIZE / 2
    outside = [
        torch.from_numpy(np.abs((np.arange(size) + 0.5) / size - center[:, None]) >= half).to(images.device)
        for size, center in ((width, draws.uniform()), (height, draws.uniform()))
    ]  # [N, W], [N, H]
    return images * (outside[0][:, None, None, :] | outside[1][:, None, :, None])


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
