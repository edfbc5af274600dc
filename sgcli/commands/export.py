"""`sg export`: a model in the form of another project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgcli.commands import options
from sgcli.errors import UsageError

FORMATS = ("rosinality", "onnx", "onnx-synthesis", "npz")
FORMAT_OF = {".pt": "rosinality", ".onnx": "onnx", ".npz": "npz"}


def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
    model: options.ModelFile = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(FORMATS), help="Default: by FILE's ending, .pt, .onnx or .npz."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write a model for other programs.

    sg export -m model.safetensors --format rosinality -o model.pt

    sg export -m model.safetensors --format onnx -o model.onnx

    sg export -m model.safetensors --format npz -o model.npz
    """
    file_format = file_format or FORMAT_OF.get(output.suffix)
    if file_format not in FORMATS:
        given = f"--format {file_format}: " if file_format else f"-o {output}: the ending tells no format; "
        raise UsageError(f"{given}one of {', '.join(FORMATS)}", "--format npz")

    from sgcli.models.checkpoint import find_model
    from sgcli.models.foreign.npz import write_npz
    from sgcli.models.foreign.onnx_export import write_onnx
    from sgcli.models.foreign.rosinality import write_rosinality
    from sgcli.progress import notice

    opened = find_model(model)
    if file_format in ("onnx", "onnx-synthesis"):
        left_out = write_onnx(opened, output, synthesis_only=file_format == "onnx-synthesis")
    else:
        left_out = {"rosinality": write_rosinality, "npz": write_npz}[file_format](opened, output)
    for what in left_out:
        notice(f"{output}: left out: {what}")
