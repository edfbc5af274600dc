"""`sg figure sticking`: does texture stick to the pixels while the picture moves? (figure 1 of the StyleGAN3 paper)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import classes, motion, options
from sgcli.commands.inspect_phase import fit
from sgcli.commands.inspect_shared import ws_of_seeds
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sgcli.models.base import Generator

WALKS = ("auto", "translate", "latent")
SIDE = 384  # of a panel, in pixels


def sticking(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL…]", help="A row for each model file or run.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The picture that moves.")] = 0,
    walk: Annotated[
        str,
        typer.Option("--walk", metavar="auto|translate|latent", help="auto: moved downwards where the model can, else "
                     "towards the next seed."),
    ] = "auto",
    reach: Annotated[
        float, typer.Option("--reach", metavar="X", help="Length of the translation, in picture widths.")
    ] = 0.25,
    steps: Annotated[int, typer.Option("--steps", min=8, max=2000, help="Pictures along the walk.")] = 96,
    output: options.Output = None,
    trunc: options.Truncation = 1.0,
    class_: classes.Class = None,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """A column of pixels over a walk, side by side: texture that moves along draws slanted lines, stuck texture level
    ones.

    sg figure sticking runs/00000-sg2 runs/00001-sg3-t -o sticking.png
    """
    if walk not in WALKS:
        raise UsageError(f"--walk {walk}: one of {', '.join(WALKS)}", "--walk auto")
    if not 0 < abs(reach) <= 1:
        raise UsageError(f"--reach {reach:g}: picture widths, more than 0 and at most 1", "--reach 0.25")

    import torch

    from sgcli.media import streams
    from sgcli.media.grid import make_table
    from sgcli.metrics.phase import measure_phase
    from sgcli.models.checkpoint import find_model

    streams.check_output(output, "pictures", "sticking.png")
    cells, captions = [], []
    named: list[str | None] = list(models) if models else [None]  # None: the model there is
    for name in named:
        opened = find_model(name)
        G = options.load_generator(opened, device, "auto")
        ws = ws_of_seeds(G, opened, [seed, seed + 1], trunc, class_)
        frames, moved = walk_frames(G, ws, walk, reach, steps, batch)
        try:
            found = measure_phase(torch.from_numpy(frames).float().transpose(2, 3) / 127.5 - 1)
        except ValueError as error:
            raise UsageError(f"{opened.path}: {error}", "choose another --seed, or a longer --reach") from error
        cells.append([fit(panel, SIDE) for panel in panels(frames, found.row)])
        captions.append(f"{opened.arch}\n{moved}\n{found.locked_share:.0%} locked")
    columns = ["the picture", "its column over the walk", "the column's details"]
    table = make_table(cells, columns, captions, "Does texture stick to the pixels?")
    streams.write_picture(table, output, {"Seeds": str(seed)})


def walk_frames(
    G: Generator, ws: torch.Tensor, walk: str, reach: float, steps: int, batch: int
) -> tuple[np.ndarray, str]:
    """Pictures along the walk, uint8 `[T, C, H, W]`, and what moves them. Raises UsageError where the model cannot."""
    import numpy as np
    import torch

    from sgcli.latents.film import draw_frames, walking
    from sgcli.latents.walks import through
    from sgcli.models.fourier_input import movable_input, place

    if walk == "translate":
        motion.require_movable(G, "--walk translate")
    if walk == "latent" or movable_input(G.synthesis) is None:
        scene = walking([through(ws, "linear", closed=False)], 1.0)
        return np.stack(list(draw_frames(G, scene, steps, closed=False, batch=batch))), "latent walk"

    def down(shares: np.ndarray) -> torch.Tensor:
        return torch.stack([place((0.0, reach * (share - 0.5))) for share in shares])

    still = walking([through(ws[:1], "linear", closed=False)], 0.0)
    return np.stack(list(draw_frames(G, still, steps, closed=False, camera=down, batch=batch))), "moved down"


def panels(frames: np.ndarray, column: int) -> list[np.ndarray]:
    """The walk's middle picture with the column marked; the column over the walk; its details, made loud."""
    import numpy as np
    import torch

    from sgcli.metrics.phase import low_pass

    marked = frames[len(frames) // 2].copy()
    marked[:, :, column] = 255 - marked[:, :, column]
    strip = frames[:, :, :, column].transpose(1, 2, 0)  # [C, H, T]
    pictures = torch.from_numpy(frames).float()
    detail = (pictures - low_pass(pictures))[:, :, :, column].mean(dim=1).T.numpy()  # [H, T]
    loud = 128 + 127 * detail / max(np.abs(detail).max(), 1e-6)
    return [marked, strip, loud.astype(np.uint8)[None]]
