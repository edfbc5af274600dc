"""`sg directions pca`: directions in which w varies most."""

from __future__ import annotations

from sgcli.commands import classes, latent_inputs, options
from sgcli.commands import directions_shared as shared
from sgcli.progress import notice


def pca(
    num: shared.Num = 10,
    layers: latent_inputs.Layers = None,
    model: options.ModelFile = None,
    output: options.Output = None,
    sheet: shared.Sheet = None,
    samples: shared.Samples = 10_000,
    seed: shared.FirstSeed = 0,
    class_: classes.Class = None,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """Principal components of sampled W: the directions in which it varies most, strongest first.

    sg directions pca -o dirs.npy --sheet dirs.png

    sg directions pca --num 20 --samples 100000 --layers fine > colours.npy
    """
    shared.check_output(output, sheet)
    seeds = shared.seed_range(seed, samples)
    from sgcli.latents import directions
    from sgcli.models.checkpoint import find_model

    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    shared.check_num(num, G.w_dim)
    chosen = shared.chosen_layers(layers, G)
    w = directions.w_of_seeds(G, seeds, classes.label_of(opened, class_))
    axes, shares = directions.principal_axes(w, num)
    notice(f"{len(axes)} directions, which hold {shares.sum():.0%} of the variance of w")
    found = directions.on_layers(directions.along(axes, w), G.num_ws, chosen)
    shared.deliver(G, found, output, sheet, w[0])
