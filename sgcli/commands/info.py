"""`sg info`: what is in a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sgcli.commands import options
from sgcli.errors import FormatError, SgError


def info(
    file: Annotated[Path, typer.Argument(help="A model, a run folder, a training state, latents, or a data set.")],
    layers: Annotated[bool, typer.Option("--layers", help="List the style layers of a model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, also on a terminal.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell what is in a file.

    sg info runs/00000-faces

    sg info model.safetensors --layers
    """
    if not file.exists():
        raise SgError(f"{file}: no such file or folder", "check the spelling of the path")
    facts = describe(file)
    if layers:
        facts["layers"] = layer_table(file)
    if as_json or not sys.stdout.isatty():
        print(json.dumps(facts))
        return
    for key, value in facts.items():
        if key != "layers":
            print(f"{key:<14} {value}")
    for layer in facts.get("layers", []):
        print(f"{layer['index']:>4}  {layer['name']:<12} {layer['resolution']:>5}²  {layer['band']}")


def describe(file: Path) -> dict[str, Any]:
    """Facts about `file`, by what it turns out to be. Raises FormatError if it is nothing that sg knows."""
    if file.is_dir() and any(file.glob("model-*.safetensors")):
        return describe_model(file)
    if file.is_dir() or file.suffix.lower() == ".zip":
        return describe_dataset(file)
    if file.suffix.lower() == ".npy":
        return describe_latents(file)
    if file.suffix.lower() == ".safetensors":
        return describe_model(file)
    raise FormatError(f"{file}: not a model, run, latents or data set", "sg data check FOLDER looks into pictures")


def describe_model(file: Path) -> dict[str, Any]:
    from sgcli.models.checkpoint import open_model, read_shapes

    model = open_model(file)
    G = model.header["networks"]["G"]
    shapes = read_shapes(model.path)
    facts = {
        "file": str(model.path),
        "kind": model.header["kind"],
        "arch": model.arch,
        "resolution": G["img_resolution"],
        "channels": G["img_channels"],
        "z_dim": G["z_dim"],
        "w_dim": G["w_dim"],
        "classes": model.header.get("class_names") or G["c_dim"] or None,
        "kimg": model.header.get("kimg"),
        "data": (model.header.get("data") or {}).get("name"),
        "networks": {prefix: sum(size for name, size in shapes.items() if name.startswith(prefix + "/"))
                     for prefix in ("G_ema", "G", "D")},
        "license": model.header.get("license_note"),
        "written by": f"sg {model.header.get('sg_version')}",
    }  # fmt: skip
    return {key: value for key, value in facts.items() if value is not None}


def layer_table(file: Path) -> list[dict[str, Any]]:
    """Index, name, resolution and band (coarse, middle, fine) of each style layer."""
    from sgcli.models.checkpoint import open_model
    from sgcli.models.style_layers import band_of

    G = open_model(file).load_generator()
    return [
        {"index": index, "name": layer.name, "resolution": layer.resolution, "band": band_of(layer, G.img_resolution)}
        for index, layer in enumerate(G.synthesis.style_layers())
    ]


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
