"""`sg generate`: latents or seeds to pictures."""

from __future__ import annotations

import collections
import itertools
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from sgcli.commands import classes, motion, noise_inputs, options
from sgcli.errors import UsageError

FORMATS = ("png", "npy")


def generate(
    context: typer.Context,
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
    trunc_centre: classes.TruncationCentre = "all",
    class_: classes.Class = None,
    noise: noise_inputs.Mode = "const",
    noise_layers: noise_inputs.Layers = "all",
    noise_strength: noise_inputs.Strength = 1.0,
    noise_file: noise_inputs.File = None,
    delta: Annotated[
        str | None, typer.Option(metavar="FILE", help="Change the generator as sg project --tune found it.")
    ] = None,
    translate: motion.Translate = None,
    rotate: motion.Rotate = 0.0,
    stabilise: motion.Stabilise = False,
    grid: Annotated[str | None, typer.Option("--grid", metavar="8x4", help="One picture of COLUMNSxROWS.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Preview in the terminal, in half-block colours.")] = False,
    file_format: Annotated[
        str, typer.Option("--format", metavar="png|npy", help="npy: float32 [N, C, H, W] in [-1, 1], unclamped.")
    ] = "png",
    batch: options.Batch = 16,
    procs: options.Procs = 1,
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

    sg generate --seeds 0-3 --show

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

    if show and procs > 1:
        raise UsageError(f"--show with --procs {procs}: one worker alone can show pictures", "leave one of the two out")

    import torch

    from sgcli.distributed.workers import is_worker, run_workers
    from sgcli.files import sha256_of_file
    from sgcli.latents.draw import draw_pictures
    from sgcli.latents.seeds import latents_of_seeds
    from sgcli.latents.tuning import add_delta
    from sgcli.media import preview, streams
    from sgcli.media.grid import make_grid, parse_grid
    from sgcli.media.pictures import to_uint8
    from sgcli.models.checkpoint import find_model
    from sgcli.progress import track

    seed_list = options.parse_seeds(seeds) if seeds is not None else None
    shape = parse_grid(grid) if grid else None
    what, example = ("arrays", "pictures.npy") if file_format == "npy" else ("pictures", "grid.png" if grid else "out/")
    if show:
        preview.check_terminal()
    is_for_eyes_only = show and output is None and sys.stdout.isatty()
    if not is_for_eyes_only:
        streams.check_output(output, what, example)
    opened = find_model(model)
    if procs > 1 and not is_worker():
        options.prepare_workers(device, procs)
        run_workers(procs, context.find_root().obj)
        return
    group = options.join_group(device)
    G = options.load_generator(opened, device, precision)
    if delta is not None:
        add_delta(G, delta, sha256_of_file(opened.path))
    options.check_cutoff(trunc_cutoff, G.num_ws)
    motion.move(G, translate, rotate, stabilise)
    noise_weights = noise_inputs.noise_weights(G, noise, noise_layers, noise_strength)
    if seed_list is not None:
        codes = [latents_of_seeds(seed_list, G.z_dim)]
        noise_seeds, names = seed_list, [f"seed{number:04d}" for number in seed_list]
    else:
        assert latents is not None
        reads = group.leads or latents != "-"  # worker 0 alone has stdin
        codes = group.from_leader(streams.read_latents(latents, G.z_dim, G.num_ws, G.w_dim) if reads else [])
        count = sum(len(part) for part in codes)
        noise_seeds, names = list(range(seed, seed + count)), [f"{index:04d}" for index in range(count)]
    label = classes.label_for(opened, class_, codes, latents)
    centre = classes.truncation_centre(G, label, trunc_centre)
    count = len(names)
    inputs = noise_inputs.read_file(noise_file, G, noise, count)
    if shape is not None and count > shape[0] * shape[1]:
        raise UsageError(
            f"--grid {grid} has room for {shape[0] * shape[1]} pictures, not {count}", f"--grid {squarest(count)}"
        )
    one_by_one = file_format == "png" and shape is None and not is_for_eyes_only
    write = streams.picture_writer(output, count) if one_by_one else None

    firsts = itertools.accumulate((len(part) for part in codes), initial=0)
    parts = list(zip(firsts, codes, strict=False))
    # What this worker draws of each part: the pictures with these numbers.
    own = [[n for n in group.deal(range(count)) if first <= n < first + len(part)] for first, part in parts]
    pictures: Iterator[torch.Tensor] = itertools.chain.from_iterable(
        draw_pictures(
            G,
            torch.from_numpy(part[[number - first for number in numbers]]),
            [noise_seeds[number] for number in numbers],
            c=None if label is None else label.expand(len(numbers), -1),
            psi=trunc,
            cutoff=trunc_cutoff,
            centre=centre,
            noise=noise,
            noise_weights=noise_weights,
            inputs=None if inputs is None else inputs.rows(numbers),
            batch=batch,
        )
        for (first, part), numbers in zip(parts, own, strict=True)
    )
    own_names, own_seeds = group.deal(names), group.deal(noise_seeds)
    pictures = track(pictures, "generate", total=len(own_names), unit="pictures")
    if show:
        pictures = preview.showing(pictures, count)
    if is_for_eyes_only:
        collections.deque(pictures, maxlen=0)
    elif write is not None:
        for name, number, picture in zip(own_names, own_seeds, pictures, strict=True):
            write(name, to_uint8(picture), {"Seeds": str(number)} if seed_list is not None else None)
    elif file_format == "npy":
        drawn = group.collect([picture.float().cpu() for picture in pictures])
        if group.leads:
            streams.write_array(torch.stack(drawn).numpy(), output)
    else:
        assert shape is not None
        drawn = group.collect([to_uint8(picture).cpu() for picture in pictures])
        if group.leads:
            sheet = make_grid(torch.stack(drawn), *shape)
            streams.write_picture(sheet, output, {"Seeds": seeds} if seeds is not None else None)
    group.close()


def squarest(count: int) -> str:
    """The COLUMNSxROWS nearest to a square that holds `count` pictures."""
    columns = int(count**0.5)
    columns += columns**2 < count
    return f"{columns}x{-(-count // columns)}"
