"""`sg figure noise`: what noise at which layers does (figure 5 of the StyleGAN paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sgcli.commands import classes, noise_inputs, options
from sgcli.commands.figure_shared import Seeds, draw, latents_of, legible, seed_list
from sgcli.errors import UsageError

if TYPE_CHECKING:
    from sgcli.models.base import Generator

COLUMNS = {"all layers": "all", "no noise": None, "fine layers": "fine", "coarse layers": "coarse"}


def noise(
    seeds: Seeds = "0-2",
    noise_strength: noise_inputs.Strength = 1.0,
    model: options.ModelFile = None,
    output: options.Output = None,
    trunc: options.Truncation = 1.0,
    class_: classes.Class = None,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Rows of seeds: noise in all layers, in none, in the fine ones only, in the coarse ones only.

    sg figure noise --seeds 0-2 -o noise.png
    """
    rows = seed_list(seeds, len(COLUMNS))

    from sgcli.media import streams
    from sgcli.media.grid import make_table
    from sgcli.models.checkpoint import find_model

    streams.check_output(output, "pictures", "noise.png")
    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    if not G.synthesis.noise_layers():
        raise UsageError(
            "this generator has no noise inputs", "draw one that has: sg arch lists sg1-e, sg1-f and the sg2 ladder"
        )
    z, c = latents_of(G, opened, rows, class_)
    drawn = [
        legible(draw(G, z, c, batch, psi=trunc, noise_weights=weights(G, layers, noise_strength)))
        for layers in COLUMNS.values()
    ]
    table = make_table(list(zip(*drawn, strict=True)), list(COLUMNS), [f"seed {seed}" for seed in rows])
    streams.write_picture(table, output, {"Seeds": seeds})


def weights(G: Generator, layers: str | None, strength: float) -> list[float] | None:
    """The factor of each layer's noise map, where only `layers` (None: none of them) draw noise."""
    return noise_inputs.noise_weights(G, "const", layers or "all", strength if layers else 0.0)
