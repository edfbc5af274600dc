"""`sg project`: pictures to latents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgcli.commands import classes, options
from sgcli.errors import UsageError

PANEL_SEARCH, PANEL_FILES = "The search", "What else is written"


def project(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Pictures, folders or zips of them; - is stdin.")
    ],
    model: options.ModelFile = None,
    output: options.Output = None,
    method: Annotated[
        str, typer.Option(metavar="sg2|im2sg", help="StyleGAN2's projector, or Image2StyleGAN.")
    ] = "sg2",
    space: Annotated[
        str | None, typer.Option(metavar="w|w+", help="One w for all layers, or one for each. Default: w; im2sg: w+.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the optimiser. Default: 1000; im2sg: 5000.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="lpips|vgg|pyramid|l2|features:FILE",
            rich_help_panel=PANEL_SEARCH,
            help="What is minimised; pyramid and l2 need no network. Default: lpips; im2sg: vgg.",
        ),
    ] = None,
    mse_weight: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="X", rich_help_panel=PANEL_SEARCH,
            help="Weight of the mean squared pixel difference beside the loss. Default: 0; im2sg: 1.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", rich_help_panel=PANEL_SEARCH, help="VGG-16 for lpips and vgg, not fetched."),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", rich_help_panel=PANEL_SEARCH, help="Run the TorchScript of features:FILE.")
    ] = False,
    init: Annotated[
        str,
        typer.Option(metavar="mean|uniform|seed:N|W.npy", rich_help_panel=PANEL_SEARCH, help="Where to start."),
    ] = "mean",
    freeze_noise: Annotated[
        bool,
        typer.Option(
            "--freeze-noise", rich_help_panel=PANEL_SEARCH,
            help="Leave noise maps (StyleGAN3: the input's transform) as the model has them.",
        ),
    ] = False,
    class_: classes.Class = None,
    crop: Annotated[
        str, typer.Option(metavar="center|none", help="Cut the middle square, or squeeze what is not square.")
    ] = "center",
    save_noise: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", rich_help_panel=PANEL_FILES,
            help="Noise maps (StyleGAN3: transforms) that were found, for sg generate --noise-file.",
        ),
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", rich_help_panel=PANEL_FILES,
            help="Then tune the generator to the pictures (pivotal tuning): a delta for sg generate --delta.",
        ),
    ] = None,
    tune_steps: Annotated[int | None, typer.Option(min=1, rich_help_panel=PANEL_FILES, help="Default: 350.")] = None,
    project_log: Annotated[
        str | None,
        typer.Option(metavar="FILE.npy", rich_help_panel=PANEL_FILES, help="Its way, for sg video --project-log."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(metavar="DIR", rich_help_panel=PANEL_FILES, help="Pictures side by side, convergence, distances."),
    ] = None,
    study: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", rich_help_panel=PANEL_FILES,
            help="Project N of the pictures and N of the model's own; print the distances of both as JSON.",
        ),
    ] = None,
    batch: options.Batch = 8,
    seed: options.Seed = 303,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Find the latents that draw given pictures.

    sg project photo.png --steps 1000 > w.npy

    sg project photo.png | sg generate - -o again.png

    sg project photos/ --space w+ --report report/ -o ws.npy

    sg project photo.png --save-noise maps.safetensors | sg generate - --noise-file maps.safetensors -o again.png

    sg project photo.png --tune delta.safetensors -o w.npy; sg generate w.npy --delta delta.safetensors -o again.png
    """
    from sgcli.commands import project_report, project_search, project_study, project_tuning
    from sgcli.commands.project_targets import read_targets
    from sgcli.errors import Interrupted
    from sgcli.features.embeddings import load_embedding
    from sgcli.files import check_writable_folder
    from sgcli.latents.inputs import save_inputs
    from sgcli.media import streams
    from sgcli.models.checkpoint import find_model

    if study is not None and (given := [name for name, file in files_of(save_noise, tune, project_log) if file]):
        raise UsageError(
            f"--study prints distances and writes no latents, {given[0]} was given", f"leave {given[0]} out"
        )
    if tune is None and tune_steps is not None:
        raise UsageError("--tune-steps has no meaning without --tune", "--tune delta.safetensors")
    settings = project_search.resolve(method, space, steps, loss, mse_weight, not freeze_noise, seed, batch)
    if study is None:
        streams.check_output(output, "arrays", "w.npy")
    for _, file in files_of(save_noise, tune, project_log):
        if file is not None:
            check_writable_folder(Path(file).parent)
    if report is not None:
        check_writable_folder(report)

    opened = find_model(model)
    G = options.load_generator(opened, device, precision)
    settings = project_search.fit_to_model(settings, G, save_noise)
    embed = load_embedding(settings.loss, project_search.device_of(G), weights, trust)
    targets = read_targets(images, G, crop, limit=study)
    if project_log is not None and len(targets.names) > 1:
        raise UsageError(
            f"--project-log keeps the way of one picture, {len(targets.names)} were given", "give one, or leave it out"
        )
    start = project_search.starting_point(init, opened, G, class_, len(targets.names), seed)
    if study is not None:
        project_study.study(G, targets, embed, start, settings, report)
        return

    found = project_search.search(G, targets, embed, start, settings)
    streams.write_array(found.projected.ws, output)
    if save_noise is not None:
        assert found.projected.inputs is not None
        save_inputs(save_noise, found.projected.inputs)
    if project_log is not None:
        streams.write_array(found.log(), project_log)
    tuned = None
    if tune is not None and not found.stopped_by:
        tuned = project_tuning.tune(G, found.projected.ws, targets, embed, tune_steps, batch)
        project_tuning.save(tuned, opened, tune)
    stopped_by = found.stopped_by or (tuned.stopped_by if tuned else 0)
    if stopped_by:
        raise Interrupted(stopped_by, *project_search.describe_stop(found, tuned is not None))
    measured = project_report.measure_all(G, targets, embed, start.ws, found.projected, tuned.G if tuned else None)
    project_report.announce(measured, settings.loss)
    if report is not None:
        project_report.write(Path(report), targets, found, measured, settings.loss)


def files_of(save_noise: str | None, tune: str | None, project_log: str | None) -> list[tuple[str, str | None]]:
    """The files beside the latents, by option."""
    return [("--save-noise", save_noise), ("--tune", tune), ("--project-log", project_log)]
