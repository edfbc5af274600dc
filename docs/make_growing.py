"""Draw the picture of docs/ideas/growing.md: `python docs/make_growing.py`. Seconds on a CPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from sgcli.data.dataset import open_dataset
from sgcli.data.toyfaces import synthesize
from sgcli.media.grid import make_table
from sgcli.media.pictures import to_uint8, write_png
from sgcli.models.growing import fade_pictures
from sgcli.training.schedule import describe_level

RESOLUTION, COUNT = 64, 3
LODS = (4.0, 3.0, 2.75, 2.5, 2.25, 2.0, 1.0, 0.5, 0.0)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        faces = open_dataset(synthesize(Path(folder) / "faces.zip", COUNT, RESOLUTION, seed=5)).images(range(COUNT))
    images = torch.from_numpy(faces).float() / 127.5 - 1
    columns = [list(to_uint8(fade_pictures(images, lod))) for lod in LODS]
    captions = [describe_level(lod, RESOLUTION).replace(" to ", "\nto ") for lod in LODS]
    write_png(Path(__file__).parent / "images" / "growing.png", make_table(list(zip(*columns, strict=True)), captions))


if __name__ == "__main__":
    main()
