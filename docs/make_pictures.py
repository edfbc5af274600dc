"""Make the pictures of README and docs/ideas from the demo's folder: `python docs/make_pictures.py demo`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch

from sgcli.commands.demo import enlarge
from sgcli.latents.draw import draw_pictures
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.grid import make_table
from sgcli.media.pictures import to_uint8, write_png
from sgcli.models.checkpoint import open_model

IMAGES = Path(__file__).parent / "images"
SEEDS = range(4)
NOISE = {"const": "const", "random 1": "random", "random 2": "random", "none": "none"}


def noise_table(model: Path) -> np.ndarray:
    """Rows of seeds; columns: the model's own noise maps, two draws, none."""
    G = open_model(model).load_generator()
    z = torch.from_numpy(latents_of_seeds(SEEDS, G.z_dim))
    columns = []
    for number, mode in enumerate(NOISE.values()):
        noise_seeds = [seed + 1000 * number for seed in SEEDS]
        pictures = torch.stack([to_uint8(picture) for picture in draw_pictures(G, z, noise_seeds, noise=mode)])
        columns.append(list(enlarge(pictures.numpy())))
    return make_table(list(zip(*columns, strict=True)), list(NOISE))


if __name__ == "__main__":
    demo = Path(sys.argv[1])
    for name in ("progress", "fakes", "truncation"):
        shutil.copyfile(demo / f"{name}.png", IMAGES / f"demo-{name}.png")
    write_png(IMAGES / "demo-noise.png", noise_table(demo / "model.safetensors"))
