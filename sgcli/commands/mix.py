"""`sg mix`: the coarse, middle or fine styles of one latent with the rest of another."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from sgcli.commands import classes, latent_inputs, options
from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    from sgcli.models.base import Generator

LETTERS = string.ascii_lowercase
From = Annotated[str | None, typer.Option(metavar="NAME", help="Source of these styles.")]


class Request(NamedTuple):
    """Layers that are to come from a source, as typed."""

    option: str
    layers: str  # 'coarse', '4-7'
    source: str  # 'b', 'smile'


def mix(
    latents: Annotated[
        list[str],
        typer.Argument(metavar="A B…", help=".npy files of Z or W; - is stdin. Their arrays are the sources."),
    ],
    coarse_from: From = None,
    middle_from: From = None,
    fine_from: From = None,
    layers: Annotated[
        list[str] | None,
        typer.Option("--layers", metavar="4-7=NAME", help="Source of some layers; repeatable, later ones win."),
    ] = None,
    blend: Annotated[float, typer.Option("--blend", metavar="X", help="1: take the styles; 0.5: go half way.")] = 1.0,
    table: Annotated[
        bool, typer.Option("--table", help="Draw every latent of A (rows) mixed with every one of B (columns).")
    ] = False,
    model: options.ModelFile = None,
    output: options.Output = None,
    trunc: options.Truncation = 1.0,
    trunc_cutoff: options.TruncationCutoff = None,
    class_: classes.Class = None,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Mix styles: the first source, with some layers of others.

    The NAME of a source is its letter in order (a, b, c), or its file's name: smile for smile.npy.

    sg mix a.npy b.npy --fine-from b | sg generate - > mixed.png

    sg mix me.npy you.npy --coarse-from you --layers 5-7=you --blend 0.5 -o mixed.npy

    sg mix rows.npy columns.npy --coarse-from b --table -o table.png
    """
    requests = parse_requests(coarse_from, middle_from, fine_from, layers or [])
    latent_inputs.check_finite(blend, "--blend")

    from sgcli.latents.arithmetic import mix_styles
    from sgcli.latents.sheets import mixing_table
    from sgcli.media import streams
    from sgcli.models.checkpoint import find_model
    from sgcli.models.layers import truncate

    streams.check_output(output, *(("pictures", "table.png") if table else ("arrays", "mixed.npy")))
    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    latent_inputs.require_styles(G, "sg mix")
    options.check_cutoff(trunc_cutoff, G.num_ws)
    read = latent_inputs.read_all(latents, opened, G, class_)
    files = [file for file, arrays in zip(latents, read, strict=True) for _ in arrays]
    sources = [ws for arrays in read for ws in arrays]
    chosen = assign_layers(requests, files, G)
    if table:
        check_table(files)
        latent_inputs.check_drawable(len(sources[0]), len(sources[1]), "--table")
        from_columns = [layer for layer, source in chosen.items() if source == 1]
        title = f"From the columns: {', '.join(request.layers for request in requests)}"
        rows, columns = sources
        picture = mixing_table(G, rows, columns, from_columns, blend, title, trunc, trunc_cutoff, batch)
        streams.write_picture(picture, output)
        return
    latent_inputs.check_batches(files, sources, "give as many of each, or draw all pairs: --table -o table.png")
    mixed = mix_styles(sources, chosen, blend)
    streams.write_array(mixed if trunc == 1 else truncate(mixed, G.mapping.w_avg, trunc, trunc_cutoff), output)


def parse_requests(coarse: str | None, middle: str | None, fine: str | None, layers: Sequence[str]) -> list[Request]:
    """What is to come from where. Raises UsageError where nothing is, or --layers names no source."""
    bands = {"coarse": coarse, "middle": middle, "fine": fine}
    requests = [Request(f"--{band}-from", band, source) for band, source in bands.items() if source is not None]
    for text in layers:
        numbers, _, source = text.rpartition("=")
        if not numbers or not source:
            raise UsageError(f"--layers {text}: layers, =, and the source that gives them", "--layers 4-7=b")
        requests.append(Request("--layers", numbers, source))
    if not requests:
        raise UsageError(
            "nothing to mix: name a source with --coarse-from, --middle-from, --fine-from or --layers", "--fine-from b"
        )
    return requests


def assign_layers(requests: Sequence[Request], files: Sequence[str], G: Generator) -> dict[int, int]:
    """The number of the source that each requested layer comes from. Says what will have no effect."""
    chosen: dict[int, int] = {}
    for option, layers, source in requests:
        number = find_source(source, files, option)
        chosen |= dict.fromkeys(latent_inputs.choose_layers(layers, G, option), number)
    unused = set(range(1, len(files))) - set(chosen.values())
    if unused:
        notice(f"sources that give no layer: {describe(sorted(unused), files)}")
    active = G.synthesis.num_active_ws
    if max(chosen) >= active:
        notice(f"this model was saved while it grew: only its layers 0 to {active - 1} are in use so far")
    return dict(sorted(chosen.items()))


def find_source(name: str, files: Sequence[str], option: str) -> int:
    """The number of the source that `name` means: that of a file, else a letter. Raises UsageError."""
    named = [number for number, file in enumerate(files) if name in (file, Path(file).name, Path(file).stem)]
    letter = LETTERS.find(name) if len(name) == 1 else -1
    by_letter = [letter] if 0 <= letter < len(files) else []
    if len(named) > 1:
        raise UsageError(
            f"{option} {name}: several sources have this name: {describe(named, files)}",
            f"{option} {LETTERS[named[-1]]}" if named[-1] < len(LETTERS) else "give the files different names",
        )
    if named and by_letter and named != by_letter:
        notice(f"{option} {name}: taken as a name; by letters, {name} would be {files[letter]}")
    if not named and not by_letter:
        raise UsageError(
            f"{option} {name}: no source has this name; there are {describe(range(len(files)), files)}",
            f"{option} {LETTERS[min(len(files), len(LETTERS)) - 1]}",
        )
    return (named or by_letter)[0]


def describe(numbers: Iterable[int], files: Sequence[str]) -> str:
    """'a (smile.npy), b (standard input)'."""
    places = [latent_inputs.place(file) for file in files]
    return ", ".join(f"{LETTERS[n]} ({places[n]})" if n < len(LETTERS) else places[n] for n in numbers)


def check_table(files: Sequence[str]) -> None:
    """Raise UsageError for anything but two sources."""
    if len(files) != 2:
        raise UsageError(
            f"--table takes the latents of the rows and of the columns, not {len(files)} arrays: "
            f"{describe(range(len(files)), files)}",
            "sg mix rows.npy columns.npy --coarse-from b --table -o table.png",
        )
