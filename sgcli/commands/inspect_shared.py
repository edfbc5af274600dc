"""What the commands of `sg inspect` share: options, latents, where numbers come from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgcli.commands import classes
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model

Picture = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE.png", help="Draw the result into this file.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line, also on a terminal.")]


def ws_of_seeds(G: Generator, model: Model, seeds: list[int], trunc: float, chosen: str | None) -> torch.Tensor:
    """ws `[N, num_ws, W]` of seeds."""
    import torch

    from sgcli.latents.draw import to_ws
    from sgcli.latents.seeds import latents_of_seeds

    device = next(G.parameters()).device
    label = classes.label_of(model, chosen)
    c = None if label is None else label.expand(len(seeds), -1).to(device)
    return to_ws(G, torch.from_numpy(latents_of_seeds(seeds, G.z_dim)).to(device), c, trunc)


def origin(model: Model) -> dict[str, Any]:
    """Which model the numbers are about."""
    from sgcli import __version__
    from sgcli.files import sha256_of_file

    return {
        "model": str(model.path),
        "model_sha256": sha256_of_file(model.path),
        "arch": model.arch,
        "kimg": model.header.get("kimg"),
        "version": __version__,
    }


def check_png(output: Path | None) -> None:
    if output is not None and output.suffix.lower() != ".png":
        raise UsageError(f"-o {output}: is drawn as a PNG", f"-o {output.with_suffix('.png')}")


def report(facts: dict[str, Any], words: str, as_json: bool) -> None:
    """`words` on a terminal, else one line of JSON."""
    print(json.dumps(facts) if as_json or not sys.stdout.isatty() else words, flush=True)
