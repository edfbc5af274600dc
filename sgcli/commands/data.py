"""`sg data`: build, inspect and invent data sets."""

from __future__ import annotations

import enum
import json
from typing import Annotated

import typer

from sgcli.commands.data_augment import augment_preview
from sgcli.commands.data_synth import synth
from sgcli.commands.options import Quiet
from sgcli.progress import notice

app = typer.Typer(help="Build, inspect and invent data sets.", no_args_is_help=True)


class Labels(enum.Enum):
    auto = "auto"
    none = "none"
    json = "json"
    subfolders = "subfolders"


class Crop(enum.Enum):
    center = "center"
    wide = "wide"
    none = "none"


class Filter(enum.Enum):
    lanczos = "lanczos"
    box = "box"
    bilinear = "bilinear"
    bicubic = "bicubic"


LABELS_HELP = "Where labels come from: dataset.json if it has some, the first folder of each name, or nowhere."
Src = Annotated[str, typer.Argument(metavar="SRC", help="Folder (any depth) or zip of PNG, JPEG, WebP or BMP.")]
LabelsOption = Annotated[Labels, typer.Option("--labels", help=LABELS_HELP)]


@app.callback()
def data() -> None:
    """Build, inspect and invent data sets."""


@app.command()
def pack(
    src: Src,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Zip to write if it ends in .zip, else a new folder.")],
    size: Annotated[int, typer.Option("--size", metavar="PIXELS", help="Width and height: a power of two.")],
    crop: Annotated[
        Crop,
        typer.Option("--crop", help="Largest square; largest 4:3 picture between black bars; or nothing cut off."),
    ] = Crop.center,
    filter: Annotated[Filter, typer.Option("--filter", help="How pictures are resized.")] = Filter.lanczos,
    labels: LabelsOption = Labels.auto,
    skip_faulty: Annotated[bool, typer.Option("--skip-faulty", help="Leave out what cannot be used.")] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Leave out pictures that come out the same as an earlier one.")
    ] = False,
    shard_size: Annotated[
        int | None,
        typer.Option(
            "--shard-size", min=1, metavar="PICTURES", help="OUT: a folder of zips with so many pictures each."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Convert pictures of any size and colour format into a data set to train on.

    \b
    sg data pack photos/ photos-256.zip --size 256
    sg data pack cars/ cars-512.zip --size 512 --crop wide
    sg data pack animals/ animals-64.zip --size 64 --labels subfolders
    sg data pack celeba.zip celeba-128.zip --size 128 --filter box --skip-faulty
    sg data pack huge/ shards/ --size 256 --shard-size 10000
    """
    from sgcli.data.pack import pack as pack_dataset

    num_images = pack_dataset(
        src, out, size, crop.value, filter.value, labels.value, skip_faulty, drop_duplicates, shard_size
    )
    notice(f"{num_images} images of {size}x{size}")
    print(out)


@app.command()
def check(
    src: Src,
    labels: LabelsOption = Labels.auto,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per fault and line.")] = False,
    quiet: Quiet = False,
) -> None:
    """List every fault of a data set, and the command that repairs it. Exit status 1 if there is any.

    \b
    sg data check photos/
    sg data check animals.zip --labels subfolders
    sg data check photos/ --json | jq -r .file | sort -u
    """
    from sgcli.data.check import check_dataset, describe_images
    from sgcli.data.faults import report_lines

    findings = check_dataset(src, labels.value)
    if as_json:
        for fault in findings.faults:
            print(json.dumps(fault.describe()))
    else:
        num_faults = len(findings.faults)
        print(f"{src}: {describe_images(findings)}, {num_faults or 'no'} fault{'' if num_faults == 1 else 's'}")
        for line in report_lines(findings.faults, src, findings.repair_size, labels.value):
            print(line)
    if findings.faults:
        raise typer.Exit(1)


app.command()(synth)
app.command()(augment_preview)
