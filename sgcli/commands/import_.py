"""`sg import`: another project's checkpoint to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgcli.commands import options
from sgcli.errors import SgError, UsageError


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .pkl of ProGAN to StyleGAN3, a rosinality .pt, or a .npz.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.safetensors", help="The model to write.")],
    quiet: options.Quiet = False,
) -> None:
    """Convert another project's checkpoint to a model file. Nothing in it is executed.

    sg import stylegan3-r-ffhq-1024x1024.pkl -o ffhq.safetensors

    sg import 550000.pt -o ffhq.safetensors
    """
    if output.suffix != ".safetensors":
        raise UsageError(f"-o {output}: models are .safetensors files", f"-o {output.with_suffix('.safetensors')}")
    if not file.is_file():
        raise SgError(f"{file}: no such file", "check the spelling of the path")

    from sgcli.models.checkpoint import save_tensors
    from sgcli.models.foreign.formats import is_foreign, open_foreign
    from sgcli.progress import notice

    if not is_foreign(file):
        raise SgError(f"{file}: is no checkpoint of another project", f"sg info {file}")
    model = open_foreign(file)
    save_tensors(output, model.all_tensors(), model.header_for_import())
    notice(f"licence: {model.header['license_note']}")
