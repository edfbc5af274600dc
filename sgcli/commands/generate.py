"""`sg generate`: latents or seeds to pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated

import typer

from sgcli.commands import classes, motion, noise_inputs, options
from sgcli.errors import UsageError

FORMATS = ("png", "npy")


def generate(
    latents: Annotated[
        str | None,
        typer.Argument(metavar="[LATENTS]", help="A .npy of Z [N, z_dim] or W [N, num_ws, w_dim]; - is stdin."),
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", metavar="0-35,40", help="Draw these seeds.")] = None,
    model: options.ModelFile = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE|FOLDER/", help="A .png or .npy file, or a folder; - is stdout."),
    ] = None,
    trunc: options.Truncation = 1.0,
    trunc_cutoff: options.TruncationCutoff = None,
    class_: classes.Class = None,
    noise: noise_inputs.Mode = "const",
    noise_layers: noise_inputs.Layers = "all",
    noise_strength: noise_inputs.Strength = 1.0,
    translate: motion.Translate = None,
    rotate: motion.Rotate = 0.0,
    stabilise: motion.Stabilise = False,
    grid: Annotated[str | None, typer.Option("--grid", metavar="8x4", help="One picture of COLUMNSxROWS.")] = None,
    file_format: Annotated[
        str, typer.Option("--format", metavar="png|npy", help="npy: float32 [N, C, H, W] in [-1, 1], unclamped.")
    ] = "png",
    batch: options.Batch = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="First noise seed of pictures that have no seed.")] = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Draw pictures from seeds or latents.

    sg generate --seeds 0-63 --grid 8x8 -o grid.png

    sg generate --seeds 0-99 -o out/

    sg sample --seeds 0-9 --space w | sg generate - --trunc 0.7 -o out/

    sg generate --seeds 7 --noise random --noise-layers fine -o fine.png

    sg generate --seeds 7 --translate 0.1,-0.2 --rotate 30 -o turned.png
    """
    if (latents is None) == (seeds is None):
        given = "neither was given" if seeds is None else "both were given"
        raise UsageError(
            f"pictures are drawn from LATENTS or from --seeds, and {given}", "sg generate --seeds 0-35 -o out/"
        )
    if file_format not in FORMATS:
        raise UsageError(f"--format {file_format}: one of {', '.join(FORMATS)}", "--format png")
    if grid is not None and file_format == "npy":
        raise UsageError("--grid makes one picture, --format npy keeps them apart", "leave one of the two out")

    import torch

    from sgcli.latents.draw import draw_pictures
    from sgcli.latents.seeds import latents_of_seeds
    from sgcli.media import streams
    from sgcli.media.grid import make_grid, parse_grid
    from sgcli.media.pictures import to_uint8
    from sgcli.models.checkpoint import find_model
    from sgcli.progress import track

    seed_list = options.parse_seeds(seeds) if seeds is not None else None
    shape = parse_grid(grid) if grid else None
    what, example = ("arrays", "pictures.npy") if file_format == "npy" else ("pictures", "grid.png" if grid else "out/")
    streams.check_output(output, what, example)
    opened = find_model(model)
    G = options.load_generator(opened, device, precision)
    options.check_cutoff(trunc_cutoff, G.num_ws)
    motion.move(G, translate, rotate, stabilise)
    noise_weights = noise_inputs.noise_weights(G, noise, noise_layers, noise_strength)
    if seed_list is not None:
        codes = [latents_of_seeds(seed_list, G.z_dim)]
        noise_seeds, names = seed_list, [f"seed{number:04d}" for number in seed_list]
    else:
        assert latents is not None
        codes = streams.read_latents(latents, G.z_dim, G.num_ws, G.w_dim)
        count = sum(len(part) for part in codes)
        noise_seeds, names = list(range(seed, seed + count)), [f"{index:04d}" for index in range(count)]
    holds_z = any(part.ndim == 2 for part in codes)
    if class_ is not None and not holds_z:
        raise UsageError(f"--class {class_}: {latents} holds W, where the class is settled", "leave --class out")
    label = classes.label_of(opened, class_) if holds_z else None
    count = len(names)
    if shape is not None and count > shape[0] * shape[1]:
        raise UsageError(
            f"--grid {grid} has room for {shape[0] * shape[1]} pictures, not {count}", f"--grid {squarest(count)}"
        )
    write = streams.picture_writer(output, count) if file_format == "png" and shape is None else None

    firsts = itertools.accumulate((len(part) for part in codes), initial=0)
    pictures: Iterator[torch.Tensor] = itertools.chain.from_iterable(
        draw_pictures(
            G,
            torch.from_numpy(part),
            noise_seeds[first:],
            c=None if label is None else label.expand(len(part), -1),
            psi=trunc,
            cutoff=trunc_cutoff,
            noise=noise,
            noise_weights=noise_weights,
            batch=batch,
        )
        for part, first in zip(codes, firsts, strict=False)
    )
    pictures = track(pictures, "generate", total=count, unit="pictures")
    if write is not None:
        for name, picture in zip(names, pictures, strict=True):
            write(name, to_uint8(picture))
    elif file_format == "npy":
        streams.write_array(torch.stack(list(pictures)).float().cpu().numpy(), output)
    else:
        assert shape is not None
        streams.write_picture(make_grid(torch.stack([to_uint8(picture).cpu() for picture in pictures]), *shape), output)


def squarest(count: int) -> str:
    """The COLUMNSxROWS nearest to a square that holds `count` pictures."""
    columns = int(count**0.5)
    columns += columns**2 < count
    return f"{columns}x{-(-count // columns)}"
