"""`sg info`: what is in a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sgcli.commands import info_layers, options
from sgcli.errors import FormatError, SgError


def info(
    file: Annotated[
        Path, typer.Argument(help="A model, a run folder, a training state, latents, a picture, or a data set.")
    ],
    layers: Annotated[
        bool, typer.Option("--layers", help="List the layers of a model: what each style controls, SG3's filters.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw SG3's cutoffs and sampling rates.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, also on a terminal.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell what is in a file.

    sg info runs/00000-faces

    sg info model.safetensors --layers --plot layers.png

    sg info face.png
    """
    if not file.exists():
        raise SgError(f"{file}: no such file or folder", "check the spelling of the path")
    facts = describe(file)
    rows = info_layers.describe_layers(file) if layers or plot else []
    if plot:
        info_layers.plot_layers(rows, plot)
    if layers:
        facts["layers"] = rows
    if as_json or not sys.stdout.isatty():
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        if key == "configuration":
            for network, arguments in value.items():
                print(f"{network:<14} {in_words(arguments)}")
        elif key != "layers":
            print(f"{key:<14} {in_words(value) if isinstance(value, dict) else value}")
    if layers:
        info_layers.print_layers(rows)


def in_words(pairs: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in pairs.items())


def describe(file: Path) -> dict[str, Any]:
    """Facts about `file`, by what it turns out to be. Raises FormatError if it is nothing that sg knows."""
    if file.is_dir() and any(file.glob("model-*.safetensors")):
        return describe_model(file)
    if file.is_dir() or file.suffix.lower() == ".zip":
        return describe_dataset(file)
    if file.suffix.lower() == ".npy":
        return describe_latents(file)
    if file.suffix.lower() in (".png", ".jpg", ".jpeg"):
        return describe_picture(file)
    if file.suffix.lower() == ".safetensors" or is_checkpoint(file):
        return describe_model(file)
    raise FormatError(f"{file}: not a model, run, latents or data set", "sg data check FOLDER looks into pictures")


def is_checkpoint(file: Path) -> bool:
    from sgcli.models.foreign.formats import is_foreign

    return is_foreign(file)


def describe_model(file: Path) -> dict[str, Any]:
    from sgcli.models.checkpoint import open_model

    model = open_model(file)
    G = model.header["networks"]["G"]
    data, source, sizes = model.header.get("data") or {}, model.header.get("source") or {}, model.sizes()
    facts = {
        "file": str(model.path),
        "kind": model.header["kind"],
        "arch": model.arch,
        "resolution": G["img_resolution"],
        "channels": G["img_channels"],
        "z_dim": G.get("z_dim"),
        "w_dim": G.get("w_dim"),
        "classes": model.header.get("class_names") or G["c_dim"] or None,
        "kimg": model.header.get("kimg"),
        "augment_p": model.header.get("augment_p"),
        "data": data.get("name"),
        "images": data.get("num_images"),
        "networks": {prefix: sum(size for name, size in sizes.items() if name.startswith(prefix + "/"))
                     for prefix in model.prefixes()},
        "configuration": model.header["networks"],
        "license": model.header.get("license_note"),
        "source": source.get("format"),
        "sha256": source.get("sha256"),
        "written by": f"sg {model.header['sg_version']}" if "sg_version" in model.header else None,
    }  # fmt: skip
    return {key: value for key, value in facts.items() if value is not None}


def describe_dataset(file: Path) -> dict[str, Any]:
    from sgcli.data.dataset import open_dataset

    dataset = open_dataset(file)
    facts = {"kind": "data set", **dataset.describe()}
    if dataset.attributes is not None:
        facts["attributes"] = dataset.attributes.names
    return facts


def describe_latents(file: Path) -> dict[str, Any]:
    from sgcli.media.streams import read_latents

    spaces = {2: "Z [N, z_dim]", 3: "W [N, num_ws, w_dim]"}
    arrays = [f"{spaces[array.ndim]}: {list(array.shape)}" for array in read_latents(file)]
    return {"file": str(file), "kind": "latents", "arrays": arrays}


def describe_picture(file: Path) -> dict[str, Any]:
    """Size, and what the picture tells about where it came from."""
    from sgcli.media.pictures import decode_picture, read_png_text
    from sgcli.media.streams import open_input

    with open_input(file) as (stream, _):
        data = stream.read()
    channels, height, width = decode_picture(data, str(file)).shape
    names = {1: "grey", 3: "RGB", 4: "RGBA"}
    facts = {"file": str(file), "kind": "picture", "size": f"{width}x{height}", "channels": names[channels]}
    return facts | {keyword.lower(): text for keyword, text in read_png_text(data, str(file)).items()}
