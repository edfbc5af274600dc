"""Options about a generator's noise inputs: which of them draw, and how strongly (StyleGAN's paper, section 3.2)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands.options import parse_integers
from sgcli.errors import UsageError

if TYPE_CHECKING:
    from sgcli.latents.inputs import Inputs
    from sgcli.models.base import Generator

MODES = ("const", "random", "none")
PANEL = "Noise"
Mode = Annotated[
    str,
    typer.Option(
        "--noise", metavar="const|random|none", rich_help_panel=PANEL, help="The model's own maps, fresh ones, or none."
    ),
]
Layers = Annotated[
    str,
    typer.Option(
        "--noise-layers",
        metavar="all|fine|coarse|A-B",
        rich_help_panel=PANEL,
        help="Layers that get noise: fine are those at 64² and above (in models under 256²: the two finest "
        "resolutions), coarse the others; or numbers from 0.",
    ),
]
Strength = Annotated[
    float,
    typer.Option("--noise-strength", metavar="X", rich_help_panel=PANEL, help="1: as learned; 2: twice as strong."),
]
File = Annotated[
    str | None,
    typer.Option(
        "--noise-file",
        metavar="FILE",
        rich_help_panel=PANEL,
        help="Maps (StyleGAN3: moves) that sg project --save-noise wrote, for each latent.",
    ),
]


def read_file(file: str | None, G: Generator, mode: str, count: int) -> Inputs | None:
    """What --noise-file holds, for `count` pictures. Raises UsageError, FormatError for a file of another model."""
    if file is None:
        return None
    if mode != "const":
        raise UsageError(f"--noise {mode}: the maps come from --noise-file {file}", "leave one of the two out")

    from sgcli.latents.inputs import load_inputs

    inputs = load_inputs(file, G)
    if len(inputs) not in (1, count):
        raise UsageError(
            f"--noise-file {file}: holds {len(inputs)} sets of maps for {count} latents",
            "give the latents that were written with it, or a file with one set for all",
        )
    return inputs if len(inputs) == count else inputs.rows([0] * count)


def noise_weights(G: Generator, mode: str, layers: str, strength: float) -> list[float] | None:
    """The factor of each noise layer's map; None where all stay as they are. Raises UsageError."""
    if mode not in MODES:
        raise UsageError(f"--noise {mode}: one of {', '.join(MODES)}", "--noise const")
    if not math.isfinite(strength):
        raise UsageError(f"--noise-strength {strength}: not a number", "--noise-strength 0.5")
    if (layers, strength) == ("all", 1.0):
        return None
    resolutions = [layer.resolution for layer in G.synthesis.noise_layers()]
    if not resolutions:
        given = f"--noise-layers {layers}" if layers != "all" else f"--noise-strength {strength:g}"
        raise UsageError(f"{given}: this generator has no noise inputs", "leave it out")
    chosen = choose_layers(layers, resolutions, G.img_resolution)
    return [strength if index in chosen else 0.0 for index in range(len(resolutions))]


def choose_layers(text: str, resolutions: list[int], img_resolution: int) -> set[int]:
    """The numbers of the layers that `text` means. Raises UsageError for layers that are not there."""
    from sgcli.models.style_layers import StyleLayer, band_of

    if text == "all":
        return set(range(len(resolutions)))
    if text in ("fine", "coarse"):
        is_fine = [band_of(StyleLayer("", resolution), img_resolution) == "fine" for resolution in resolutions]
        return {index for index, fine in enumerate(is_fine) if fine == (text == "fine")}
    if not text[:1].isdecimal():
        raise UsageError(f"--noise-layers {text}: all, fine, coarse or numbers", "--noise-layers 0-3")
    chosen = set(parse_integers(text, "--noise-layers"))
    last = len(resolutions) - 1
    if max(chosen) > last:
        raise UsageError(f"--noise-layers {text}: this model's go from 0 to {last}", f"--noise-layers 0-{last}")
    return chosen
