"""`sg demo`: invent faces, train on them, and look at what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import options
from sgcli.files import write_text
from sgcli.progress import notice

if TYPE_CHECKING:
    import numpy as np

    from sgcli.training.run import Run

RESOLUTION = 32
NUM_TRAIN, NUM_HELD_OUT = 8000, 2000
# Small and quick: narrow layers, a small batch, and a high learning rate with an R1 weight to match.
SETTINGS = {
    "arch": "sg2",
    "tiny": True,
    "channels_base": 512,
    "channels_max": 64,
    "batch": 16,
    "lr": 0.005,
    "gamma": 1.0,
    "ema_kimg": 2.0,
    "kimg": 52.0,
    "snap": 10.0,
}
NAME = "faces"
TRAIN_SET, HELD_OUT = "toyfaces.zip", "held-out.zip"
ENLARGE = 3  # 32 pixels are few on today's screens
PSIS = (0.0, 0.25, 0.5, 0.75, 1.0)


def demo(
    outdir: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("demo"),
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Invent faces, train a small StyleGAN2 on them, draw from it. A few minutes on two CPU cores.

    Called again, it goes on where it stopped.
    """
    train_set, held_out = outdir / TRAIN_SET, outdir / HELD_OUT
    invent_faces(train_set, NUM_TRAIN, seed=0)
    invent_faces(held_out, NUM_HELD_OUT, seed=1)
    run = train_or_go_on(train_set, outdir, device)
    draw_results(run, outdir)
    report_distances(run, held_out, outdir)
    notice(f"look at {outdir}/progress.png, fakes.png, truncation.png, and beside them reals.png")
    print(outdir)


def invent_faces(path: Path, count: int, seed: int) -> None:
    from sgcli.data.toyfaces import synthesize

    if not path.exists():
        notice(f"inventing {count} faces: {path}")
        synthesize(path, count, RESOLUTION, seed)


def train_or_go_on(train_set: Path, outdir: Path, device: str) -> Run:
    from sgcli.commands.train import introduce
    from sgcli.commands.train_settings import resolve
    from sgcli.training.launch import find_resumable, launch

    dataset, _, config = resolve(str(train_set), SETTINGS)
    earlier = find_resumable(outdir, NAME)
    if earlier is not None and earlier.is_finished():
        notice(f"{earlier.run.path}: is trained already; delete {outdir} to start over")
        return earlier.run
    torch_device = options.resolve_device(device)
    return launch(config, dataset, torch_device, outdir=outdir, name=NAME, resume=earlier, on_start=introduce)


def draw_results(run: Run, outdir: Path) -> None:
    """fakes.png, progress.png and truncation.png; and copies of reals.png, the model and the log."""
    import shutil

    from sgcli.media.grid import make_grid, make_table
    from sgcli.media.pictures import write_png
    from sgcli.models.checkpoint import kimg_of

    models = run.models()
    for source, name in (
        (run.path / "reals.png", "reals.png"),
        (models[-1], "model.safetensors"),
        (run.path / "log.txt", "log.txt"),
    ):
        shutil.copyfile(source, outdir / name)
    write_png(outdir / "fakes.png", make_grid(enlarge(draw_seeds(models[-1], 96)), 12, 8))

    columns = [list(enlarge(draw_seeds(model, 8))) for model in models]
    captions = [f"{kimg_of(model):g}" for model in models]
    progress = make_table(list(zip(*columns, strict=True)), captions, title="The same seeds, kimg after kimg")
    write_png(outdir / "progress.png", progress)

    columns = [list(enlarge(draw_seeds(models[-1], 8, psi))) for psi in PSIS]
    captions = [f"{psi:g}" for psi in PSIS]
    write_png(outdir / "truncation.png", make_table(list(zip(*columns, strict=True)), captions, title="Truncation psi"))


def draw_seeds(model: Path, count: int, psi: float = 1.0) -> np.ndarray:
    """Pictures of the first seeds, uint8 `[count, C, H, W]`."""
    import torch

    from sgcli.latents.draw import draw_pictures
    from sgcli.latents.seeds import latents_of_seeds
    from sgcli.media.pictures import to_uint8
    from sgcli.models.checkpoint import open_model

    G = open_model(model).load_generator()
    seeds = range(count)
    z = torch.from_numpy(latents_of_seeds(seeds, G.z_dim))
    return torch.stack([to_uint8(picture) for picture in draw_pictures(G, z, seeds, psi=psi, batch=64)]).numpy()


def enlarge(pictures: np.ndarray) -> np.ndarray:
    """Repeat every pixel of `[N, C, H, W]`."""
    return pictures.repeat(ENLARGE, axis=2).repeat(ENLARGE, axis=3)


def report_distances(run: Run, held_out: Path, outdir: Path) -> None:
    """Print and keep the sliced Wasserstein distance to held-out faces before and after, and the noise floor."""
    import torch

    from sgcli.data.dataset import open_dataset
    from sgcli.metrics.swd import noise_floor, sliced_wasserstein

    notice("measuring the sliced Wasserstein distance to faces that were not trained on")
    reals = torch.from_numpy(open_dataset(held_out).images(range(NUM_HELD_OUT)))
    others = torch.from_numpy(open_dataset(outdir / TRAIN_SET).images(range(NUM_HELD_OUT)))
    floor = noise_floor(torch.cat([reals, others]), seed=0)[1]
    before, after = (
        sliced_wasserstein(reals, torch.from_numpy(draw_seeds(model, NUM_HELD_OUT)), seed=0)[1]
        for model in (run.models()[0], run.models()[-1])
    )
    share = (after - floor) / (before - floor)
    lines = [
        "sliced Wasserstein distance x 1000, mean over the pyramid's levels (lower is better)",
        f"  before training      {before:7.2f}",
        f"  after training       {after:7.2f}",
        f"  two halves of reals  {floor:7.2f}  (the noise floor)",
        f"  above the floor, after is {share:.3f} of before",
    ]
    write_text(outdir / "swd.txt", "\n".join(lines) + "\n")
    for line in lines:
        notice(line)
