"""`sg directions svm`: the direction of an attribute, from labels of generated pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.commands import classes, latent_inputs, options
from sgcli.commands import directions_shared as shared
from sgcli.commands.metrics_shared import Trust
from sgcli.errors import SgError, UsageError
from sgcli.progress import notice, track, warn

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sgcli.data.attribute_table import AttributeTable
    from sgcli.features.classifier import Panel
    from sgcli.models.base import Generator


def svm(
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="FILE.csv", help="Rows of seed,attribute,…; - is stdin."),
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option("--classifier", metavar="FILE", help="Judges the pictures of the samples. Repeatable."),
    ] = None,
    attributes: Annotated[
        list[str] | None, typer.Option("--attribute", metavar="NAME", help="Only this attribute. Repeatable.")
    ] = None,
    layers: latent_inputs.Layers = None,
    model: options.ModelFile = None,
    output: options.Output = None,
    sheet: shared.Sheet = None,
    samples: shared.Samples = 10_000,
    seed: shared.FirstSeed = 0,
    class_: classes.Class = None,
    trust: Trust = False,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
) -> None:
    """The direction of each attribute: the way across the hyperplane in W between latents with it and without.

    Draw pictures, look at them, and write down which show the attribute:

    sg generate --seeds 0-199 -o look/

    sg directions svm --labels smiling.csv -o dirs.npy --sheet dirs.png

    Or let a classifier look:

    sg directions svm --classifier clf.safetensors --attribute smiling -o dirs.npy

    sg edit w.npy --direction dirs.npy:smiling --by 2 -o happy.npy
    """
    shared.check_output(output, sheet)
    seeds = shared.seed_range(seed, samples)
    if (labels is None) == (not classifier):
        given = "neither was given" if labels is None else "both were given"
        raise UsageError(f"labels come from --labels or from --classifier, and {given}", "--labels smiling.csv")
    wanted = attributes or []

    from sgcli.features.classifier import open_panel
    from sgcli.latents import directions
    from sgcli.models.checkpoint import find_model

    opened = find_model(model)
    G = options.load_generator(opened, device, "auto")
    chosen = shared.chosen_layers(layers, G)
    label = classes.label_of(opened, class_)
    w = directions.w_of_seeds(G, seeds, label)
    if labels is not None:
        table = read_labels(labels, wanted)
    else:
        panel = open_panel(classifier or [], next(G.parameters()).device, trust)
        table = judge_samples(G, panel, wanted, seeds, w, batch)
    names, normals = find_normals(directions.w_of_seeds(G, table.seeds, label), table, wanted or table.names)
    found = directions.on_layers(directions.across(normals, w), G.num_ws, chosen)
    shared.deliver(G, found, output, sheet, w[0], names)


def read_labels(file: str, wanted: Sequence[str]) -> AttributeTable:
    """The table in a file. Raises UsageError where a wanted attribute is not in it."""
    from sgcli.data.attribute_table import read_attribute_table
    from sgcli.media.streams import open_input

    with open_input(file) as (stream, name):
        table = read_attribute_table(stream.read(), name)
    check_attributes(wanted, table.names)
    return table


def judge_samples(
    G: Generator, panel: Panel, wanted: Sequence[str], seeds: Sequence[int], w: np.ndarray, batch: int
) -> AttributeTable:
    """What classifiers say of the pictures of `w`. Of either answer, the half that is less sure counts as not labelled.

    Raises UsageError where they do not judge a wanted attribute, or such pictures.
    """
    import numpy as np
    import torch

    from sgcli.data.attribute_table import AttributeTable
    from sgcli.latents.draw import draw_pictures

    check_attributes(wanted, panel.names)
    for one in panel.classifiers:
        one.check_fits(G.img_resolution, G.img_channels)
    device = next(G.parameters()).device
    parts = []
    for start in track(range(0, len(w), batch), "judge", unit=f"batches of {batch}"):
        ws = torch.from_numpy(w[start : start + batch])[:, None].expand(-1, G.num_ws, -1)
        pictures: torch.Tensor = torch.stack(list(draw_pictures(G, ws, range(len(ws)), batch=batch)))
        parts.append(panel.judge(pictures.to(device)).cpu().numpy())
    logits = np.concatenate(parts)
    values = np.full(logits.shape, np.nan)
    for column, answers in enumerate(logits.T):
        for value, kind in ((1.0, answers > 0), (0.0, answers <= 0)):
            if kind.any():
                sure = np.abs(answers) >= np.median(np.abs(answers[kind]))
                values[kind & sure, column] = value
    return AttributeTable(list(seeds), panel.names, values)


def check_attributes(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Raise UsageError for an attribute without labels."""
    for attribute in wanted:
        if attribute not in known:
            raise UsageError(
                f"--attribute {attribute}: there are labels for {', '.join(known)}", f"--attribute {known[0]}"
            )


def find_normals(w: np.ndarray, table: AttributeTable, wanted: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Those of the wanted attributes that can be separated, and their unit normals `[K, w_dim]`.

    w `[N, w_dim]` belongs to the table's seeds.
    """
    import numpy as np

    from sgcli.latents.directions import attribute_normal

    found = {}
    for name in dict.fromkeys(wanted):
        values = table.values[:, table.names.index(name)]
        known = ~np.isnan(values)
        has = values[known] > 0.5
        if has.all() or not has.any():
            warn(f"{name}: left out, of {len(has)} labels {has.sum()} say yes; some of either kind are needed")
            continue
        found[name], sorted_right = attribute_normal(w[known], has)
        quality = "too few to test" if sorted_right is None else f"{sorted_right:.0%} of held-out latents sorted right"
        notice(f"row {len(found) - 1}, {name}: {has.sum()} with, {(~has).sum()} without; {quality}")
    if not found:
        raise SgError("no attribute has labels of both kinds", "label some pictures with it and some without")
    return list(found), np.stack(list(found.values()))
