"""Draw the picture of docs/ideas/separability.md: steps across hyperplanes in W.

    sg metrics separability -m demo/model.safetensors --classifier clf.safetensors --directions dirs.npy
    python docs/make_separability.py demo/model.safetensors dirs.npy
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from sgcli.latents.direction_files import read_names
from sgcli.latents.directions import w_of_seeds
from sgcli.latents.draw import draw_pictures
from sgcli.media.grid import make_table
from sgcli.media.pictures import enlarge, to_uint8, write_png
from sgcli.models.checkpoint import open_model

IMAGE = Path(__file__).parent / "images" / "separability.png"
ATTRIBUTES = ("hat", "long_hair", "glasses", "beard", "scarf", "smile")
STEPS = (-3, -2, -1, 0, 1, 2, 3)
SEED, PICTURE_SIZE = 5, 64


def draw(model: Path, directions: Path) -> np.ndarray:
    """A row of steps for each attribute, all from one picture."""
    G = open_model(model).load_generator()
    axes = dict(zip(read_names(directions), torch.from_numpy(np.load(directions)), strict=True))
    w = torch.from_numpy(w_of_seeds(G, [SEED])).expand(G.num_ws, -1)
    rows = []
    for name in ATTRIBUTES:
        ws = torch.stack([w + step * axes[name] for step in STEPS])
        pictures = [to_uint8(picture).numpy() for picture in draw_pictures(G, ws, [0] * len(ws))]
        rows.append([enlarge(picture, PICTURE_SIZE) for picture in pictures])
    return make_table(rows, [f"{step:+d}" if step else "0" for step in STEPS], ATTRIBUTES)


if __name__ == "__main__":
    write_png(IMAGE, draw(Path(sys.argv[1]), Path(sys.argv[2])))
