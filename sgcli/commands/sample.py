"""`sg sample`: seeds to latents."""

from __future__ import annotations

from typing import Annotated

import typer

from sgcli.commands import classes, options
from sgcli.errors import UsageError

SPACES = ("z", "w")


def sample(
    seeds: Annotated[str, typer.Option("--seeds", metavar="0-9", help="One latent for each seed.")],
    space: Annotated[str, typer.Option("--space", metavar="z|w", help="z: [N, z_dim]; w: [N, num_ws, w_dim].")] = "w",
    model: options.ModelFile = None,
    output: options.Output = None,
    trunc: options.Truncation = 1.0,
    trunc_cutoff: options.TruncationCutoff = None,
    trunc_centre: classes.TruncationCentre = "all",
    class_: classes.Class = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Write the latents of seeds as .npy.

    sg sample --seeds 0-9 -o w.npy

    sg sample --seeds 0-9 --space z | sg generate - -o out/
    """
    if space not in SPACES:
        raise UsageError(f"--space {space}: one of {', '.join(SPACES)}", "--space w")
    if space == "z" and (trunc != 1 or trunc_cutoff is not None or trunc_centre != "all"):
        raise UsageError(
            "truncation works in W, and --space z was asked for", "--space w, or truncate in sg generate --trunc"
        )
    if space == "z" and class_ is not None:
        raise UsageError(f"--class {class_}: has a meaning in W only, and --space z was asked for", "--space w")
    seed_list = options.parse_seeds(seeds)

    import torch

    from sgcli.latents.draw import to_ws
    from sgcli.latents.seeds import latents_of_seeds
    from sgcli.media import streams
    from sgcli.models.checkpoint import find_model

    streams.check_output(output, "arrays", "latents.npy")
    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    options.check_cutoff(trunc_cutoff, G.num_ws)
    codes = latents_of_seeds(seed_list, G.z_dim)
    if space == "w":
        with torch.inference_mode():
            z = torch.from_numpy(codes).to(next(G.parameters()).device)
            label = classes.label_of(opened, class_)
            c = None if label is None else label.expand(len(z), -1).to(z.device)
            centre = classes.truncation_centre(G, label, trunc_centre)
            codes = to_ws(G, z, c, psi=trunc, cutoff=trunc_cutoff, centre=centre).cpu().numpy()
    streams.write_array(codes, output)
