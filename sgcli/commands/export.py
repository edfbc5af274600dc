"""`sg export`: a model in the form of another project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgcli.commands import options
from sgcli.errors import UsageError

SUFFIXES = {"rosinality": ".pt", "onnx": ".onnx", "npz": ".npz"}


def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")],
    model: options.ModelFile = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", metavar="|".join(SUFFIXES), help="Default: what FILE's ending says (.pt .onnx .npz)."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write a model for other programs.

    sg export -m model.safetensors --format rosinality -o model.pt

    sg export -m model.safetensors --format onnx -o model.onnx

    sg export -m model.safetensors --format npz -o model.npz
    """
    by_suffix = {suffix: name for name, suffix in SUFFIXES.items()}
    file_format = file_format or by_suffix.get(output.suffix)
    if file_format not in SUFFIXES:
        given = f"--format {file_format}: " if file_format else f"-o {output}: the ending tells no format; "
        raise UsageError(f"{given}one of {', '.join(SUFFIXES)}", "--format npz")

    from sgcli.models.checkpoint import find_model
    from sgcli.models.foreign.npz import write_npz
    from sgcli.models.foreign.onnx_export import write_onnx
    from sgcli.models.foreign.rosinality import write_rosinality
    from sgcli.progress import notice

    write = {"rosinality": write_rosinality, "onnx": write_onnx, "npz": write_npz}[file_format]
    for what in write(find_model(model), output):
        notice(f"{output}: left out: {what}")
