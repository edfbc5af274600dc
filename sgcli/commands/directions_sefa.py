"""`sg directions sefa`: directions that change the styles most."""

from __future__ import annotations

from sgcli.commands import classes, latent_inputs, options
from sgcli.commands import directions_shared as shared
from sgcli.errors import UsageError
from sgcli.progress import notice


def sefa(
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
    """Closed-form factorisation of the style weights: the directions that change the styles most, strongest first.

    Needs no pictures and no labels. The samples set the length of a step: a standard deviation of w along it.

    sg directions sefa -o dirs.npy --sheet dirs.png

    sg directions sefa --layers coarse --num 5 -o shapes.npy
    """
    shared.check_output(output, sheet)
    seeds = shared.seed_range(seed, samples)
    from sgcli.latents import directions
    from sgcli.models.checkpoint import find_model

    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    latent_inputs.require_styles(G, "sg directions sefa")
    shared.check_num(num, G.w_dim)
    chosen = shared.chosen_layers(layers, G)
    try:
        axes, shares = directions.factorize_styles(G, chosen, num)
    except ValueError as error:
        raise UsageError(f"--layers {layers}: {error}, only the motion of the input", "--layers 1-4") from error
    w = directions.w_of_seeds(G, seeds, classes.label_of(opened, class_))
    notice(f"{len(axes)} directions, which account for {shares.sum():.0%} of what w can change in the styles")
    found = directions.on_layers(directions.along(axes, w), G.num_ws, chosen)
    shared.deliver(G, found, output, sheet, w[0])
