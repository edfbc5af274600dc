"""Train small StyleGAN3-T and -R on invented faces, and draw and measure what docs/sg3.md shows.

    python docs/make_sg3.py                             # both, about half an hour on two CPU cores
    python docs/make_sg3.py --kimg 3 --only sg3-r       # a taste

Called again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch

from sgcli.__main__ import run as sg
from sgcli.data.dataset import open_dataset
from sgcli.data.toyfaces import synthesize
from sgcli.latents.draw import draw_pictures
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.grid import make_grid, make_table
from sgcli.media.pictures import to_uint8, write_png
from sgcli.metrics.equivariance import KINDS, measure_equivariance
from sgcli.metrics.swd import noise_floor, sliced_wasserstein
from sgcli.models.base import Generator
from sgcli.models.checkpoint import open_model
from sgcli.models.fourier_input import movable_input, place
from sgcli.training.run import STATS, find_runs

IMAGES = Path(__file__).parent / "images"
ARCHS = ("sg3-t", "sg3-r")
RESOLUTION, NUM_TRAIN, NUM_MEASURED = 32, 8000, 2000
RECIPE = (
    "--tiny --channels-base 512 --channels-max 32 --batch 8 --lr 0.005 --gamma 1 --ema-kimg 2 --snap 5 --keep-last 3"
)
PLACES = {
    "still": place(),
    "right": place((0.15, 0)),
    "up": place((0, -0.15)),
    "30": place(rotate=math.radians(30)),
    "60": place(rotate=math.radians(60)),
    "90": place(rotate=math.radians(90)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Small StyleGAN3s on invented faces.")
    parser.add_argument("--outdir", type=Path, default=Path("sg3-faces"))
    parser.add_argument("--kimg", type=float, default=40)
    parser.add_argument("--only", choices=ARCHS)
    options = parser.parse_args()
    train_set, held_out = options.outdir / "toyfaces.zip", options.outdir / "held-out.zip"
    for path, count, seed in ((train_set, NUM_TRAIN, 0), (held_out, NUM_MEASURED, 1)):
        if not path.exists():
            synthesize(path, count, RESOLUTION, seed)
    for arch in [options.only] if options.only else ARCHS:
        common = f"--arch {arch} --name {arch} --outdir {options.outdir} --kimg {options.kimg} --resume auto"
        if sg(["train", str(train_set), *common.split(), *RECIPE.split()]) != 0:
            raise SystemExit(1)
        report(arch, options.outdir, train_set, held_out)


def report(arch: str, outdir: Path, train_set: Path, held_out: Path) -> None:
    """Pictures of the newest model, and a row of docs/sg3.md's table."""
    run = find_runs(outdir, arch)[-1]
    model = open_model(run.path)
    G = model.load_generator()
    write_png(IMAGES / f"{arch}-faces.png", make_grid(draw(G, 64), 16, 4))
    write_png(IMAGES / f"{arch}-motion.png", motion_table(G))
    reals, others = (torch.from_numpy(open_dataset(p).images(range(NUM_MEASURED))) for p in (held_out, train_set))
    distance = sliced_wasserstein(reals, draw(G, NUM_MEASURED), seed=0)[1]
    floor = noise_floor(torch.cat([reals, others]), seed=0)[1]
    equivariance = [f"{measure_equivariance(G, kind, range(200)):.1f}" for kind in KINDS]
    last_line = json.loads((run.path / STATS).read_text().splitlines()[-1])
    minutes = last_line["Timing/total_sec"]["mean"] / 60
    cells = [arch, f"{model.header['kimg']:g}", f"{minutes:.0f}", f"{distance:.1f}", f"{floor:.1f}", *equivariance]
    print(f"| {' | '.join(cells)} |")


def draw(G: Generator, count: int) -> torch.Tensor:
    """Pictures of the first seeds, uint8 `[count, C, H, W]`."""
    z = torch.from_numpy(latents_of_seeds(range(count), G.z_dim))
    return torch.stack([to_uint8(picture) for picture in draw_pictures(G, z, range(count), batch=64)])


def motion_table(G: Generator, count: int = 6) -> np.ndarray:
    """A row for each seed, a column for each place."""
    movable = movable_input(G.synthesis)
    assert movable is not None
    columns = []
    for transform in PLACES.values():
        movable.transform.copy_(transform)
        columns.append(draw(G, count).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    movable.transform.copy_(place())
    return make_table(list(zip(*columns, strict=True)), list(PLACES))


if __name__ == "__main__":
    main()
