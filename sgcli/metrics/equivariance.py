"""EQ-T and EQ-R: how well a picture moves and turns with its generator's input, in dB (spec stylegan3 §7.1).

StyleGAN3 paper, section 2.1 and appendix E. A reference is made by moving or turning the finished picture, with a mask
of where that is possible; it is compared with what the generator draws from a moved or turned input. Pictures are
`[N, C, R, R]` in about [-1, 1], translations in picture widths (right, down), angles in radians counter-clockwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from sgcli.errors import SgError
from sgcli.latents.draw import to_ws
from sgcli.latents.seeds import latents_of_seeds
from sgcli.metrics.results import Value
from sgcli.metrics.rows import Rows, at_once
from sgcli.metrics.sources import DrawnPictures
from sgcli.models.base import Generator
from sgcli.models.fourier_input import movable_input, place
from sgcli.models.precision import fixed_precision
from sgcli.ops.upfirdn2d import filter2d, upsample2d

if TYPE_CHECKING:
    from sgcli.metrics.job import Job

LANCZOS = 3  # lobes of the interpolation window, to either side
FILTER_REACH = 6  # pixels to either side of a rotation's filter
GRID_REACH = 64  # pixels to either side of the grid that the filter is computed on
ROTATION_UPSAMPLING = 4
MAX_SHIFT = 0.125  # of EQ-T, in picture widths
PEAK = 2.0  # range of pixel values
SHARING = 4  # pictures that share a transform, as published
BLOCK = 16  # pictures, a multiple of SHARING: few, since StyleGAN3 takes its time on a CPU
STUCK = "its input cannot be moved or turned"
MOVABLE_HINT = "EQ-T and EQ-R are for --arch sg3-b to sg3-r"

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


def squared_error(reference: torch.Tensor, test: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Of each picture: the sum of squared differences where `mask` is 1, and the sum of the mask. `[N, 2]`, float64."""
    error = ((reference - test).double().square() * mask).sum(dim=(1, 2, 3))
    return torch.stack([error, mask.double().sum(dim=(1, 2, 3))], dim=1)


def psnr(errors: np.ndarray) -> float:
    """20 log10(2) - 10 log10(mean squared difference), in dB, pooled over pictures: `[N, 2]` from `squared_error`."""
    error, weight = errors.sum(axis=0)
    return float(20 * math.log10(PEAK) - 10 * math.log10(max(error / weight, 1e-30)))


@torch.no_grad()
def draw(G: Generator, ws: torch.Tensor, transform: torch.Tensor | None = None) -> torch.Tensor:
    """Pictures of `ws` with the input transformed (None: as it is). Raises SgError where it cannot be."""
    movable = movable_input(G.synthesis)
    if movable is None:
        raise SgError(f"this generator: {STUCK}", MOVABLE_HINT)
    kept = movable.transform.clone()
    try:
        movable.transform.copy_(torch.eye(3) if transform is None else transform)
        return G.synthesis(ws, noise="const")
    finally:
        movable.transform.copy_(kept)


def eq_t(G: Generator, ws: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """EQ-T of pictures whose input is moved by (x, y), as from `squared_error`. ws `[N, num_ws, w_dim]`."""
    reference, mask = translate(draw(G, ws), x, y)
    return squared_error(reference, draw(G, ws, place((x, y))), mask)


def eq_r(G: Generator, ws: torch.Tensor, angle: float) -> torch.Tensor:
    """EQ-R of pictures whose input is turned by `angle`, as from `squared_error`. ws `[N, num_ws, w_dim]`."""
    reference, mask = rotate(draw(G, ws), angle)
    test, test_mask = pseudo_rotate(draw(G, ws, place(rotate=angle)), angle)
    return squared_error(reference, test, mask * test_mask)


def measure_equivariance(
    G: Generator,
    kind: str,                  # a key of KINDS
    seeds: Sequence[int],       # one per picture; the paper takes 50 000
    labels: Callable[[list[int]], torch.Tensor | None] = lambda seeds: None,  # [N, c_dim] of each seed; None: zeros
    rows: Rows = at_once,
) -> float:  # fmt: skip
    """EQ-T (whole pixels, "eqt_int"; any shift, "eqt_frac") or EQ-R ("eqr") of a generator, in dB.

    Four pictures in a row share a transform, which follows from the seed of the first. The squared difference is pooled
    over all pictures, computed in fp32, as the protocol wants. Raises SgError for a generator whose input cannot be
    moved, or that draws NaN.
    """
    device = next(G.parameters()).device

    @torch.no_grad()
    def compute(start: int, stop: int) -> np.ndarray:
        errors = []
        with fixed_precision(G, "fp32"):
            for first in range(start, stop, SHARING):
                some = list(seeds[first : min(first + SHARING, stop)])
                c = labels(some)
                z = torch.from_numpy(latents_of_seeds(some, G.z_dim)).to(device)
                ws = to_ws(G, z, None if c is None else c.to(device))
                errors.append(KINDS[kind](G, ws, np.random.default_rng(some[0])).cpu())
        found = torch.cat(errors).numpy()
        if not np.isfinite(found).all():
            raise SgError("the model draws NaN or infinite values", "take an earlier snapshot of its run")
        return found

    return psnr(rows(WORDS[kind], len(seeds), compute, BLOCK))


def measure(job: Job, num: int, *, kind: str) -> list[Value]:
    """Equivariance of a model over `num` pictures."""
    G, drawn = job.G, job.fake
    assert isinstance(drawn, DrawnPictures)
    if not is_movable(job):
        raise SgError(f"{drawn.name}: {STUCK}", MOVABLE_HINT)
    decibels = measure_equivariance(G, kind, drawn.seeds(range(num)), drawn.labels, job.rows())
    return [Value(decibels, {"unit": "dB", "num_fake": num})]


def is_movable(job: Job) -> bool:
    """Whether the measured model's input can be moved, so that there is something to measure."""
    return isinstance(job.fake, DrawnPictures) and movable_input(job.fake.G.synthesis) is not None


def _eqt_int(G: Generator, ws: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    x, y = np.round(rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * G.img_resolution) / G.img_resolution
    return eq_t(G, ws, x, y)


def _eqt_frac(G: Generator, ws: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    x, y = rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2)
    return eq_t(G, ws, x, y)


def _eqr(G: Generator, ws: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    return eq_r(G, ws, rng.uniform(-math.pi, math.pi))


WORDS = {"eqt_int": "EQ-T", "eqt_frac": "EQ-T of any shift", "eqr": "EQ-R"}
KINDS = {"eqt_int": _eqt_int, "eqt_frac": _eqt_frac, "eqr": _eqr}
