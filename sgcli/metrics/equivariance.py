"""EQ-T and EQ-R: how well a picture moves and turns with its generator's input, in dB (spec stylegan3 §7.1).

StyleGAN3 paper, section 2.1 and appendix E. A reference is made by moving or turning the finished picture, with a mask
of where that is possible; it is compared with what the generator draws from a moved or turned input. Pictures are
`[N, C, R, R]` in about [-1, 1], translations in picture widths (right, down), angles in radians counter-clockwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.errors import SgError
from sgcli.metrics.results import Value
from sgcli.metrics.sources import DrawnPictures
from sgcli.models.base import Generator
from sgcli.models.fourier_input import movable_input, place
from sgcli.models.precision import fixed_precision
from sgcli.ops.upfirdn2d import filter2d, upsample2d
from sgcli.progress import track

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

LANCZOS = 3  # lobes of the interpolation window, to either side
FILTER_REACH = 6  # pixels to either side of a rotation's filter
GRID_REACH = 64  # pixels to either side of the grid that the filter is computed on
ROTATION_UPSAMPLING = 4
MAX_SHIFT = 0.125  # of EQ-T, in picture widths
PEAK = 2.0  # range of pixel values

Masked = tuple[torch.Tensor, torch.Tensor]  # a picture, and 1 where it is valid


# ----- references


def translate(img: torch.Tensor, x: float, y: float) -> Masked:
    """The picture moved by (x, y), interpolated with a Lanczos window; whole pixels are moved as they are."""
    size = img.shape[-1]
    across, valid_across = _shift_matrix(size, x * size)
    down, valid_down = _shift_matrix(size, y * size)
    across, down = across.to(img), down.to(img)
    mask = (valid_down[:, None] & valid_across).to(img)
    return down @ img @ across.T, mask.expand_as(img)


def rotate(img: torch.Tensor, angle: float) -> Masked:
    """The picture turned by `angle`: band-limited to what both grids can hold, upsampled, looked up bilinearly."""
    size, u = img.shape[-1], ROTATION_UPSAMPLING
    f = rotation_filter(angle, u).to(img.device)
    pad = f.shape[0] // 2
    fine = upsample2d(img, f, up=u, padding=pad)
    border = 2 * pad + 1
    fine_mask = torch.zeros_like(fine[:1, :1])
    fine_mask[:, :, border:-border, border:-border] = 1

    theta = torch.linalg.inv(rotation_matrix(angle))
    theta = torch.cat([theta, torch.full((2, 1), 1 / (u * size), dtype=torch.float64)], dim=1)
    theta = (theta * (size / (size + 2 * pad / u)))[None].to(img)
    grid = torch.nn.functional.affine_grid(theta, [1, 1, size, size], align_corners=False)
    turned = _look_up(fine, grid, "bilinear")
    return turned, _look_up(fine_mask, grid, "nearest").expand_as(turned)


def pseudo_rotate(img: torch.Tensor, angle: float) -> Masked:
    """The picture at rest, with only those frequencies that would survive a rotation back by `angle`."""
    f = rotation_filter(-angle, 1).to(img.device)
    border = f.shape[0] // 2
    mask = torch.zeros_like(img)
    mask[:, :, border:-border, border:-border] = 1
    return filter2d(img, f), mask


def _shift_matrix(size: int, shift: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`[size, size]` that moves a row of pixels by `shift` of them, and where the result is valid."""
    whole = math.floor(shift)
    if math.isclose(shift, round(shift), abs_tol=1e-6):
        whole, part, reach = round(shift), 0.0, (0, 0)
    else:
        part, reach = shift - whole, (LANCZOS, 1 - LANCZOS)
    place = torch.arange(size)
    distance = (place[:, None] - place - whole).double() - part
    taps = torch.arange(1 - LANCZOS, LANCZOS + 1).double() - part
    matrix = _lanczos_sinc(distance) / _lanczos_sinc(taps).sum()
    return matrix, (place >= whole + reach[0]) & (place < size + min(whole + reach[1], 0))


def rotation_matrix(angle: float) -> torch.Tensor:
    """`[2, 2]`, float64, in the convention of `FourierInput.transform`: what it maps is turned back."""
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)


def rotation_filter(angle: float, up: int) -> torch.Tensor:
    """Low-pass filter of what both the pixel grid and the grid turned by `angle` can hold, at `up` samples per pixel.

    `[K, K]`, fp32, K = 12·up - 1; sum 1/up² in each of its up² phases.
    """
    n = 2 * GRID_REACH * up - 1
    x = (torch.arange(n, dtype=torch.float64) - n // 2) / up
    grid = torch.stack(torch.meshgrid(x, x, indexing="xy"))  # x across, y down
    turned = torch.einsum("ij,jab->iab", rotation_matrix(angle), grid)

    def both(kernel: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        spectra = [torch.fft.fft2(torch.fft.ifftshift(kernel(g).prod(dim=0))) for g in (grid, turned)]
        return torch.fft.fftshift(torch.fft.ifft2(spectra[0] * spectra[1]).real)

    f = both(torch.sinc) * both(_lanczos_window)
    middle, reach = n // 2, FILTER_REACH * up - 1
    f = f[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
    phases = torch.nn.functional.pad(f, (0, 1, 0, 1)).reshape(2 * FILTER_REACH, up, 2 * FILTER_REACH, up)
    phases = phases / phases.sum(dim=(0, 2), keepdim=True) / up**2
    return phases.reshape(2 * FILTER_REACH * up, -1)[:-1, :-1].float()


def _lanczos_window(x: torch.Tensor) -> torch.Tensor:
    return torch.sinc(x / LANCZOS) * (x.abs() < LANCZOS)


def _lanczos_sinc(x: torch.Tensor) -> torch.Tensor:
    return torch.sinc(x) * _lanczos_window(x)


def _look_up(img: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    grid = grid.expand(len(img), -1, -1, -1)
    return torch.nn.functional.grid_sample(img, grid, mode=mode, padding_mode="zeros", align_corners=False)


# ----- the metrics


@dataclass
class Agreement:
    """Squared differences of references and tests, pooled over many pictures."""

    error: float = 0.0
    weight: float = 0.0

    def add(self, reference: torch.Tensor, test: torch.Tensor, mask: torch.Tensor) -> None:
        self.error += float(((reference - test).double().square() * mask).sum())
        self.weight += float(mask.double().sum())

    def psnr(self) -> float:
        """20 log10(2) - 10 log10(mean squared difference), in dB."""
        return 20 * math.log10(PEAK) - 10 * math.log10(max(self.error / self.weight, 1e-30))


@torch.no_grad()
def draw(G: Generator, ws: torch.Tensor, transform: torch.Tensor | None = None) -> torch.Tensor:
    """Pictures of `ws` with the input transformed (None: as it is). Raises SgError where it cannot be."""
    movable = movable_input(G.synthesis)
    if movable is None:
        raise SgError("this generator's input cannot be moved or turned", "EQ-T and EQ-R are for --arch sg3-b to sg3-r")
    kept = movable.transform.clone()
    try:
        movable.transform.copy_(torch.eye(3) if transform is None else transform)
        return G.synthesis(ws, noise="const")
    finally:
        movable.transform.copy_(kept)


def eq_t(G: Generator, ws: torch.Tensor, x: float, y: float, agreement: Agreement) -> None:
    """Add one batch of EQ-T: the input moved by (x, y). ws `[N, num_ws, w_dim]`."""
    reference, mask = translate(draw(G, ws), x, y)
    agreement.add(reference, draw(G, ws, place((x, y))), mask)


def eq_r(G: Generator, ws: torch.Tensor, angle: float, agreement: Agreement) -> None:
    """Add one batch of EQ-R: the input turned by `angle`. ws `[N, num_ws, w_dim]`."""
    reference, mask = rotate(draw(G, ws), angle)
    test, test_mask = pseudo_rotate(draw(G, ws, place(rotate=angle)), angle)
    agreement.add(reference, test, mask * test_mask)


@torch.no_grad()
def measure_equivariance(
    G: Generator,
    kind: str,                           # a key of KINDS
    *,
    num_samples: int,                    # the paper takes 50 000
    seed: int,
    batch: int = 4,                      # pictures that share one transform, and that are computed at a time
    labels: torch.Tensor | None = None,  # [M, c_dim] to draw from, where G is conditional
) -> float:  # fmt: skip
    """EQ-T (whole pixels, "eqt_int"; any shift, "eqt_frac") or EQ-R ("eqr") of a generator, in dB.

    One squared difference is pooled over all pictures, computed in fp32, as the protocol wants. Raises SgError for a
    generator whose input cannot be moved.
    """
    rng = np.random.default_rng(seed)
    device = next(G.parameters()).device
    agreement = Agreement()
    sizes = [min(batch, num_samples - start) for start in range(0, num_samples, batch)]
    with fixed_precision(G, "fp32"):
        for n in track(sizes, WORDS[kind], total=num_samples, unit="pictures", size=int):
            z = torch.from_numpy(rng.standard_normal([n, G.z_dim], dtype=np.float32)).to(device)
            c = torch.zeros(n, 0) if labels is None else labels[rng.integers(len(labels), size=n)]
            KINDS[kind](G, G.mapping(z, c.to(device)), rng, agreement)
    return agreement.psnr()


def measure(job: Job, num: int, *, kind: str) -> list[Value]:
    """Equivariance of a model over `num` pictures, four of which share a transform, as published."""
    G, drawn = job.G, job.fake
    assert isinstance(drawn, DrawnPictures)
    if drawn.labels_from is not None:
        labels: torch.Tensor | None = torch.from_numpy(drawn.labels_from.labels(range(drawn.labels_from.num_images)))
    else:
        labels = torch.eye(G.c_dim) if G.c_dim else None
    decibels = measure_equivariance(G, kind, num_samples=num, seed=job.seed, labels=labels)
    if not math.isfinite(decibels):
        raise SgError(f"{drawn.name}: draws NaN or infinite values", "take an earlier snapshot of its run")
    return [Value(decibels, {"unit": "dB", "num_fake": num})]


def is_movable(job: Job) -> bool:
    """Whether the measured model's input can be moved, so that there is something to measure."""
    return isinstance(job.fake, DrawnPictures) and movable_input(job.fake.G.synthesis) is not None


def _eqt_int(G: Generator, ws: torch.Tensor, rng: np.random.Generator, agreement: Agreement) -> None:
    x, y = np.round(rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * G.img_resolution) / G.img_resolution
    eq_t(G, ws, x, y, agreement)


def _eqt_frac(G: Generator, ws: torch.Tensor, rng: np.random.Generator, agreement: Agreement) -> None:
    x, y = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2)
    eq_t(G, ws, x, y, agreement)


def _eqr(G: Generator, ws: torch.Tensor, rng: np.random.Generator, agreement: Agreement) -> None:
    eq_r(G, ws, rng.uniform(-math.pi, math.pi), agreement)


WORDS = {"eqt_int": "EQ-T", "eqt_frac": "EQ-T of any shift", "eqr": "EQ-R"}
KINDS = {"eqt_int": _eqt_int, "eqt_frac": _eqt_frac, "eqr": _eqr}
