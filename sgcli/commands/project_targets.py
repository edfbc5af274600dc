"""The pictures that `sg project` is given, fitted to the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sgcli.data.fit import CROPS, fit_picture
from sgcli.data.source import open_source
from sgcli.errors import UsageError
from sgcli.media.streams import open_input
from sgcli.models.base import Generator
from sgcli.progress import notice


@dataclass(frozen=True)
class Targets:
    """N pictures of the model's size."""

    names: list[str]
    pixels: torch.Tensor  # uint8 [N, C, R, R]

    def tensor(self, device: torch.device) -> torch.Tensor:
        """Float in [-1, 1], as networks see them."""
        return self.pixels.to(device).float() / 127.5 - 1


def read_targets(images: Sequence[str], G: Generator, crop: str, limit: int | None = None) -> Targets:
    """Read the files, folders and zips in `images`, at most `limit` pictures; tells what was done to them.

    Raises UsageError for fewer than `limit`, FormatError for what cannot be used.
    """
    if crop not in CROPS:
        raise UsageError(f"--crop {crop}: one of {', '.join(CROPS)}", "--crop center")
    if list(images).count("-") > 1:
        raise UsageError("- was named twice, and there is one standard input", "name a file in one of the places")
    names, pixels, done = [], [], Counter[str]()
    for name, data in _contents(images):
        fitted, changes = fit_picture(data, name, G.img_resolution, G.img_channels, crop)
        names.append(name)
        pixels.append(fitted)
        done.update(changes)
        if len(names) == limit:
            break
    if limit is not None and len(names) < limit:
        raise UsageError(
            f"--study {limit}: {len(names)} pictures were given", f"--study {len(names)}, or more pictures"
        )
    for change, count in done.items():
        notice(f"{names[0] if len(names) == 1 else f'{count} of {len(names)} pictures'}: {change}")
    return Targets(names, torch.from_numpy(np.stack(pixels)))


def _contents(images: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of every picture."""
    for image in images:
        path = Path(image)
        if image != "-" and (path.is_dir() or path.suffix.lower() == ".zip"):
            source = open_source(path)
            for name in source.names:
                yield f"{image}/{name}".replace("//", "/"), source.read(name)
        else:
            with open_input(image) as (stream, name):
                yield name, stream.read()
