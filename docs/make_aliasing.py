"""Draw the pictures of docs/ideas/aliasing.md: `python docs/make_aliasing.py`. Under a minute on a CPU."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from sgcli.media.grid import make_table
from sgcli.media.pictures import to_uint8, write_png
from sgcli.media.plots import Series, line_plot
from sgcli.metrics.equivariance import draw, translate
from sgcli.models.base import Generator
from sgcli.models.fourier_input import place
from sgcli.models.registry import build_generator, resolve
from sgcli.models.stylegan3_design import low_pass_filter
from sgcli.ops.filtered_lrelu import filtered_lrelu

IMAGES = Path(__file__).parent / "images"
RATE, FREQUENCY = 16, 5  # samples and cycles per picture width
PERIODS = 4  # pictures side by side, so that no border matters
SHIFT = (0.1, -0.07)
CONTRAST = 4


def sampled_wave(offset: float) -> torch.Tensor:
    """A wave sampled with its grid moved by `offset` samples, on rows of a picture."""
    place = (torch.arange(RATE * PERIODS) + offset) / RATE
    return torch.sin(2 * math.pi * FREQUENCY * place).expand(1, 1, RATE * PERIODS, -1)


def pointwise(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.leaky_relu(x, 0.2)


def filtered(x: torch.Tensor) -> torch.Tensor:
    """At twice the sampling rate, between two filters."""
    f = low_pass_filter(12, cutoff=6, width=4, rate=2 * RATE)
    return filtered_lrelu(x, f, f, up=2, down=2, padding=[11, 10, 11, 10], gain=1)


def continuous(samples: torch.Tensor, offset: float, steps: int = 400) -> np.ndarray:
    """The only curve without frequencies above half the sampling rate that goes through the samples of one picture."""
    row = samples[0, 0, samples.shape[2] // 2]
    start = RATE * (PERIODS // 2 - 1)
    spectrum = np.fft.rfft(row[start : start + RATE].double().numpy()) / RATE
    place = np.linspace(0, 1, steps) - offset / RATE
    weights = np.where(np.isin(np.arange(len(spectrum)), [0, RATE // 2]), 1, 2)
    return (weights * spectrum * np.exp(2j * np.pi * np.arange(len(spectrum)) * place[:, None])).real.sum(axis=1)


def draw_curves() -> None:
    place = np.linspace(0, 1, 400)
    plots = []
    for title, function in (("Leaky ReLU on the samples", pointwise), ("Filtered leaky ReLU", filtered)):
        curves = [
            Series(f"grid moved by {offset:g}", place, continuous(function(sampled_wave(offset)), offset))
            for offset in (0, 0.5)
        ]
        plots.append(line_plot(curves, title=title, x_label="place in the picture", size=(560, 340)))
    write_png(IMAGES / "aliasing.png", make_table([plots]))


def fresh_generator(arch: str) -> Generator:
    """Narrow and untrained, of 64², with the magnitudes that its own pictures give it."""
    torch.manual_seed(3)
    sizes = {"img_resolution": 64, "img_channels": 3, "c_dim": 0, "z_dim": 32, "w_dim": 32, "mapping_layers": 2}
    narrow = {"channel_base": 512, "channel_max": 32}
    G = build_generator({**resolve(arch).G, **sizes, **narrow}).eval().requires_grad_(False)
    for module in G.modules():
        if hasattr(module, "magnitude_ema_kimg"):
            module.magnitude_ema_kimg = 1e-9
    G.synthesis(G.mapping(torch.randn(4, 32)), update_emas=True)
    return G


def draw_motions() -> None:
    rows = []
    for arch in ("sg3-b", "sg3-f", "sg3-t", "sg3-r"):
        G = fresh_generator(arch)
        ws = G.mapping(torch.randn(1, 32))
        still, moved, turned = (draw(G, ws, where) for where in (None, place(SHIFT), place(rotate=math.pi / 2)))
        wanted, mask = translate(still, *SHIFT)
        color, gain = still.mean(dim=(2, 3), keepdim=True), 0.5 / still.std(dim=(2, 3)).mean()
        pictures = [
            (still - color) * gain,
            (moved - color) * gain,
            (moved - wanted) * mask * gain * CONTRAST,
            (turned - color) * gain,
            (turned - still.rot90(1, (2, 3))) * gain * CONTRAST,
        ]
        rows.append([np.repeat(np.repeat(to_uint8(p)[0].numpy(), 2, axis=1), 2, axis=2) for p in pictures])
    captions = ["still", "moved", "wrong", "turned", "wrong"]
    write_png(IMAGES / "equivariance.png", make_table(rows, captions, ["sg3-b", "sg3-f", "sg3-t", "sg3-r"]))


if __name__ == "__main__":
    draw_curves()
    draw_motions()
