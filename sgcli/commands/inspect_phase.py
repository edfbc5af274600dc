"""`sg inspect phase`: do details move along with the picture?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import classes, options
from sgcli.commands.inspect_shared import Json, Picture, check_png, origin, report, ws_of_seeds
from sgcli.commands.latent_inputs import read_direction
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sgcli.metrics.phase import Phase

STRIP_SIZE = 384  # pixels


def phase(
    model: options.ModelFile = None,
    direction: Annotated[
        str | None,
        typer.Option("--direction", metavar="DIRS.npy:K", help="Walk along row K. Default: to the next seed's w."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Where the walk passes.")] = 0,
    walk: Annotated[
        str | None,
        typer.Option("--range", metavar="A..B", help="Ends of the walk. Default: -3..3; 0..1 to the next seed."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=8, help="Pictures along the walk.")] = 96,
    output: Picture = None,
    trunc: options.Truncation = 1.0,
    class_: classes.Class = None,
    device: options.Device = "auto",
    as_json: Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how far details stay on the pixel grid while the picture moves (phase artifacts of growing networks).

    sg inspect phase -m runs/00000-sg1 --direction dirs.npy:0 -o phase.png
    """
    check_png(output)
    import torch

    from sgcli.latents.draw import draw_pictures
    from sgcli.metrics.phase import measure_phase
    from sgcli.models.checkpoint import find_model

    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    start, end = options.parse_range(walk or ("-3..3" if direction else "0..1"), "--range")
    ws = ws_of_seeds(G, opened, [seed, seed + 1], trunc, class_)
    along = ws[1] - ws[0] if direction is None else read_direction(direction, G).to(ws.device)
    places = torch.linspace(start, end, steps, device=ws.device)
    frames = torch.stack(list(draw_pictures(G, ws[:1] + places[:, None, None] * along, range(steps))))
    try:
        found = measure_phase(frames.cpu())
    except ValueError as error:
        raise UsageError(
            f"--range {start:g}..{end:g}: {error}", "choose a longer walk, or another direction"
        ) from error
    facts = {
        "name": "locked_detail",
        "value": round(found.locked_share, 4),
        "row": found.row,
        "direction": direction,
        "range": [start, end],
        "steps": steps,
        "seed": seed,
        "truncation_psi": trunc,
        **origin(opened),
    }
    report(facts, f"{facts['value']:.1%} of the detail stays on the pixel grid where the picture moves", as_json)
    if output is not None:
        draw_phase(frames[0].cpu(), found, output)


def draw_phase(first: torch.Tensor, found: Phase, path: Path) -> None:
    """The walk's first picture with the row marked, and that row over the walk: as drawn, and its details alone."""
    from sgcli.media.grid import make_table
    from sgcli.media.pictures import as_array, to_uint8, write_png

    picture = to_uint8(first)
    marked = picture.clone()
    marked[:, found.row] = 255 - marked[:, found.row]
    detail = found.detail_strip.mean(dim=0, keepdim=True)
    loud = detail / detail.abs().amax().clamp(min=1e-12)
    cells = [marked, to_uint8(found.strip), to_uint8(loud.expand(3, -1, -1))]
    captions = ["first picture", f"row {found.row} over the walk", "its details"]
    table = make_table(
        [[fit(as_array(cell), STRIP_SIZE) for cell in cells]],
        captions,
        title=f"{found.locked_share:.1%} of the detail stays on the pixel grid",
    )
    write_png(path, table)


def fit(picture: np.ndarray, size: int) -> np.ndarray:
    """uint8 `[C, H, W]` stretched to size x size, pixels kept sharp."""
    from PIL import Image

    from sgcli.media.pictures import from_pil, to_pil

    return from_pil(to_pil(picture).resize((size, size), Image.Resampling.NEAREST))
