"""`sg inspect feature-maps`: what a layer draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import classes, options
from sgcli.commands.inspect_shared import Json, Picture, check_png, origin, report, ws_of_seeds
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import torch

COLUMNS = 8
CELL_SIZE = 96  # pixels, at least


def feature_maps(
    layer: Annotated[str, typer.Option("--layer", metavar="NAME", help="`sg info MODEL --layers` lists them.")],
    model: options.ModelFile = None,
    seeds: Annotated[str, typer.Option("--seeds", metavar="0-3", help="Pictures to look into.")] = "0",
    output: Picture = None,
    channels: Annotated[int, typer.Option("--channels", min=1, help="Draw this many, the strongest.")] = 24,
    trunc: options.Truncation = 1.0,
    class_: classes.Class = None,
    device: options.Device = "auto",
    as_json: Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show what a layer draws, and how far single peaks dominate its channels (droplets).

    sg inspect feature-maps -m runs/00000-sg1 --seeds 0-3 --layer b64.conv1 -o maps.png
    """
    check_png(output)
    from sgcli.metrics import feature_maps as library
    from sgcli.models.checkpoint import find_model

    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    names = library.layer_names(G)
    if layer not in names:
        raise UsageError(f"--layer {layer}: this model's layers are {', '.join(names)}", f"--layer {names[-2]}")
    numbers = options.parse_seeds(seeds)
    ws = ws_of_seeds(G, opened, numbers, trunc, class_)
    maps = library.feature_maps(G, layer, ws)
    shares = library.peak_shares(maps)
    facts = {
        "name": "peak_share",
        "value": round(float(shares.amax(dim=1).mean()), 4),
        "median_channel": round(float(shares.median(dim=1).values.mean()), 4),
        "dominated_channels": int((shares.mean(dim=0) > 0.5).sum()),
        "layer": layer,
        "shape": list(maps.shape[1:]),
        "seeds": numbers,
        **origin(opened),
    }
    channels_and_size = f"{maps.shape[1]} channels of {maps.shape[2]}x{maps.shape[3]}"
    words = (
        f"{layer}, {channels_and_size}: 3x3 pixels hold up to {facts['value']:.1%} of a channel's variance, "
        f"{facts['median_channel']:.1%} in the median channel, more than half in {facts['dominated_channels']} channels"
    )
    report(facts, words, as_json)
    if output is not None:
        draw_feature_maps(maps, numbers, layer, channels, output)


def draw_feature_maps(maps: torch.Tensor, seeds: list[int], layer: str, count: int, path: Path) -> None:
    """The strongest channels: in rows of eight for one seed, else a row for each seed."""
    from sgcli.media.grid import make_table
    from sgcli.media.pictures import as_array, enlarge, write_png
    from sgcli.metrics.feature_maps import as_pictures, strongest_channels

    chosen = strongest_channels(maps, count)
    cells = [[enlarge(as_array(picture), CELL_SIZE) for picture in row] for row in as_pictures(maps[:, chosen])]
    title = f"{layer}: the {len(chosen)} strongest of {maps.shape[1]} channels"
    if len(seeds) == 1:
        rows = [cells[0][start : start + COLUMNS] for start in range(0, len(chosen), COLUMNS)]
        write_png(path, make_table(rows, title=title))
    else:
        captions = [f"{channel}" for channel in chosen.tolist()]
        write_png(path, make_table(cells, captions, [f"seed {seed}" for seed in seeds], title))
