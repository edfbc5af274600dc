"""What the commands of `sg figure` share: seeds, drawing, a size that can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import classes, options
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model

LEAST_SIDE = 96  # of a picture in a figure, in pixels
MAX_PICTURES = 10_000
Seeds = Annotated[str, typer.Option("--seeds", metavar="0-3", help="A row for each seed.")]


def latents_of(G: Generator, model: Model, seeds: Sequence[int], class_: str | None) -> tuple[torch.Tensor, ...]:
    """Z `[N, z_dim]` and labels `[N, c_dim]` of seeds, on the device of `G`."""
    import torch

    from sgcli.latents.seeds import latents_of_seeds

    device = next(G.parameters()).device
    z = torch.from_numpy(latents_of_seeds(seeds, G.z_dim)).to(device)
    label = classes.label_of(model, class_)
    c = torch.zeros(1, G.c_dim) if label is None else label
    return z, c.to(device).expand(len(seeds), -1)


def draw(
    G: Generator, latents: torch.Tensor, c: torch.Tensor | None = None, batch: int = 16, **how: object
) -> np.ndarray:
    """Pictures of Z or W, uint8 `[N, C, R, R]`; `how` goes to latents.draw.draw_pictures."""
    import torch

    from sgcli.latents.draw import draw_pictures
    from sgcli.media.pictures import as_array, to_uint8

    drawn = draw_pictures(G, latents, range(len(latents)), c=c, batch=batch, **how)  # type: ignore[arg-type]
    return as_array(torch.stack([to_uint8(picture) for picture in drawn]))


def legible(pictures: np.ndarray) -> np.ndarray:
    """`[N, C, H, W]` with pixels repeated until a picture is at least LEAST_SIDE wide."""
    from sgcli.media.pictures import repeat_pixels

    return repeat_pixels(pictures, -(-LEAST_SIDE // pictures.shape[-1]))


def parse_numbers(text: str, option: str, example: str) -> list[float]:
    """'1,0.7,-0.5' -> [1.0, 0.7, -0.5]. Raises UsageError that names `option`."""
    import math

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f"{option} {text}: numbers with commas between them", f"{option} {example}")
    return numbers


def check_count(count: int) -> None:
    """Raise UsageError for more pictures than a figure can hold."""
    if count > MAX_PICTURES:
        raise UsageError(f"{count} pictures asked for; a figure holds at most {MAX_PICTURES}", "--seeds 0-7")


def seed_list(text: str, columns: int) -> list[int]:
    """--seeds of a figure with `columns` pictures for each."""
    seeds = options.parse_seeds(text)
    check_count(len(seeds) * columns)
    return seeds
