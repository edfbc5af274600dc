"""Make the pictures of README and docs/ideas from the demo's folder: `python docs/make_pictures.py demo`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch

from sgcli.commands.demo import enlarge
from sgcli.commands.latent_inputs import BANDS, choose_layers
from sgcli.latents.directions import w_of_seeds
from sgcli.latents.draw import draw_pictures
from sgcli.latents.seeds import latents_of_seeds
from sgcli.latents.sheets import mixing_table
from sgcli.media.grid import make_table, stack
from sgcli.media.pictures import to_uint8, write_png
from sgcli.models.checkpoint import open_model

IMAGES = Path(__file__).parent / "images"
SEEDS = range(4)
ROWS, COLUMNS = (5, 21), (0, 4, 8, 40, 51)  # seeds of the style-mixing tables
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


def mixing_tables(model: Path) -> np.ndarray:
    """What comes from the sources in the top row: coarse, middle, or fine styles."""
    G = open_model(model).load_generator()
    rows, columns = (
        torch.from_numpy(w_of_seeds(G, seeds))[:, None].expand(-1, G.num_ws, -1) for seeds in (ROWS, COLUMNS)
    )
    return stack(
        [mixing_table(G, rows, columns, choose_layers(band, G), title=f"From the columns: {band}") for band in BANDS]
    )


if __name__ == "__main__":
    demo = Path(sys.argv[1])
    for name in ("progress", "fakes", "truncation"):
        shutil.copyfile(demo / f"{name}.png", IMAGES / f"demo-{name}.png")
    write_png(IMAGES / "demo-noise.png", noise_table(demo / "model.safetensors"))
    write_png(IMAGES / "demo-mixing.png", mixing_tables(demo / "model.safetensors"))
