"""Walks, sweeps and camera moves to frames: what of all latents each frame shows, and drawing them in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from sgcli.latents.arithmetic import mix_styles
from sgcli.latents.camera import Camera
from sgcli.latents.draw import draw_pictures
from sgcli.latents.walks import Walk, shares_of_way
from sgcli.media.grid import make_grid
from sgcli.media.pictures import as_array, to_uint8
from sgcli.models.base import Generator
from sgcli.models.fourier_input import movable_input

Scene = Callable[
    [np.ndarray], torch.Tensor
]  # shares of the film [B] -> ws of a frame's cells [B, cells, num_ws, w_dim]


def walking(walks: Sequence[Walk], length: float, rhythm: Callable[[np.ndarray], np.ndarray] | None = None) -> Scene:
    """Each cell on a walk of its own, from time 0 to `length`; `rhythm` bends the times."""

    def scene(shares: np.ndarray) -> torch.Tensor:
        times = shares * length if rhythm is None else rhythm(shares * length)
        return torch.stack([walk(times) for walk in walks], dim=1)

    return scene


def sweeping(
    keys: torch.Tensor,      # ws where each sweep starts, [cells, K, num_ws, w_dim]
    offsets: torch.Tensor,   # what it moves along, [cells, K, num_ws, w_dim] or as broadcasts to that
    start: float,            # multiple of the offset
    end: float,
    closed: bool,            # back to the start, as a pendulum swings; else once, evenly
) -> Scene:  # fmt: skip
    """Key after key, key + s·offset while s goes from `start` to `end`."""
    offsets = offsets.expand_as(keys)
    num_keys = keys.shape[1]

    def scene(shares: np.ndarray) -> torch.Tensor:
        times = shares * num_keys
        whole = np.minimum(np.floor(times), num_keys - 1)
        swing = (1 - np.cos(2 * np.pi * (times - whole))) / 2 if closed else times - whole
        number = torch.from_numpy(whole.astype(np.int64)).to(keys.device)
        by = torch.from_numpy(start + (end - start) * swing).to(keys)[:, None, None, None]
        return keys[:, number].transpose(0, 1) + by * offsets[:, number].transpose(0, 1)

    return scene


def mixing(coarse: Scene, fine: Scene, layers: Sequence[int]) -> Scene:
    """One scene with some layers of another."""

    def scene(shares: np.ndarray) -> torch.Tensor:
        sources = [coarse(shares), fine(shares)]
        mixed = mix_styles([source.flatten(0, 1) for source in sources], dict.fromkeys(layers, 1))
        return mixed.view_as(sources[0])

    return scene


def draw_frames(
    G: Generator,
    scene: Scene,
    num_frames: int,
    closed: bool,
    columns: int = 1,
    rows: int = 1,
    camera: Camera | None = None,
    noise: str = "const",
    noise_weights: Sequence[float] | None = None,
    batch: int = 16,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Yield frames, uint8 `[C, rows·R, columns·R]`; `batch` pictures are drawn at a time, and no more are kept."""
    movable = movable_input(G.synthesis)
    still = None if movable is None else movable.transform.clone()
    cells = columns * rows
    frames_at_a_time = max(batch // cells, 1)
    for first in range(0, num_frames, frames_at_a_time):
        numbers = np.arange(first, min(first + frames_at_a_time, num_frames))
        shares = shares_of_way(numbers, num_frames, closed)
        with torch.inference_mode():
            ws = scene(shares).flatten(0, 1)
        if camera is not None:
            assert movable is not None and still is not None
            moved = camera(shares).to(still) @ still
            movable.transform = moved.repeat_interleave(cells, dim=0) if len(moved) > 1 else moved
        seeds = range(first * cells, first * cells + len(ws))
        drawn = draw_pictures(G, ws, seeds, noise=noise, noise_weights=noise_weights, batch=batch)
        pictures = as_array(to_uint8(torch.stack(list(drawn))))
        for frame in pictures.reshape(len(numbers), cells, *pictures.shape[1:]):
            yield make_grid(frame, columns, rows)
