"""`sg video`: walks through latent space, sweeps and camera moves as films."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from sgcli.commands import classes, noise_inputs, options, video_progress, video_scenes
from sgcli.commands.video_scenes import Film, Request
from sgcli.errors import UsageError
from sgcli.progress import notice, track

MAX_SECONDS = 86400
MODES, RHYTHM, FILM = "Modes", "Rhythm", "Film"


def video(
    keys: Annotated[
        str | None,
        typer.Argument(metavar="[KEYS]", help="A .npy of Z [N, z_dim] or W [N, num_ws, w_dim]; - is stdin."),
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", metavar="0-7", help="Seeds as keys.")] = None,
    model: options.ModelFile = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE|FOLDER/", help=".mp4, .gif, .webp, or a folder; - is stdout."),
    ] = None,
    interp: Annotated[
        str | None,
        typer.Option("--interp", metavar="spline|linear|slerp", help="Spline or straight in W, or along the sphere in "
                     "Z. Default: spline; slerp for ProGAN."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop/--no-loop", help="Return to the first key, or end at the last.")] = True,
    grid: Annotated[
        str | None, typer.Option("--grid", metavar="3x2", help="COLUMNSxROWS walks at once; keys are dealt out.")
    ] = None,
    trunc: options.Truncation = 1.0,
    trunc_cutoff: options.TruncationCutoff = None,
    trunc_centre: classes.TruncationCentre = "all",
    class_: classes.Class = None,
    noise: noise_inputs.Mode = "const",
    noise_layers: noise_inputs.Layers = "all",
    noise_strength: noise_inputs.Strength = 1.0,
    mix: Annotated[
        str | None,
        typer.Option("--mix", metavar="SEEDS|FILE", rich_help_panel=MODES,
                     help="Keys of a second walk, whose fine styles (or --layers) are laid over the first."),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option("--direction", metavar="DIRS.npy:K", rich_help_panel=MODES,
                     help="Move each key along a direction and back."),
    ] = None,
    truncation_sweep: Annotated[
        bool, typer.Option("--truncation-sweep", rich_help_panel=MODES, help="Move psi of each key through --range.")
    ] = False,
    sweep: Annotated[
        str | None,
        typer.Option("--range", metavar="A..B", rich_help_panel=MODES,
                     help="Of a sweep. Default: -3..3 along a direction, 0..1 for psi."),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option("--layers", metavar="4-7|fine", rich_help_panel=MODES, help="Layers for --mix or --direction."),
    ] = None,
    class_walk: Annotated[
        str | None,
        typer.Option("--classes", metavar="0-9|cat,dog|all", rich_help_panel=MODES,
                     help="Walk from class to class; every seed in turn."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="pan|rotate|zoom|orbit[:X]", rich_help_panel=MODES,
                     help="StyleGAN3: move the camera meanwhile, by X."),
    ] = None,
    project_log: Annotated[
        str | None,
        typer.Option("--project-log", metavar="FILE.npy", rich_help_panel=MODES,
                     help="How a projection converged: ws of its steps."),
    ] = None,
    progress_of: Annotated[
        str | None,
        typer.Option("--progress", metavar="RUN", rich_help_panel=MODES,
                     help="The fakes of a run, snapshot by snapshot."),
    ] = None,
    fps: Annotated[float, typer.Option("--fps", rich_help_panel=RHYTHM, help="Frames per second.")] = 30.0,
    seconds: Annotated[
        float | None, typer.Option("--seconds", rich_help_panel=RHYTHM, help="Length of the film.")
    ] = None,
    frames_per_key: Annotated[
        int | None,
        typer.Option("--frames-per-key", min=1, rich_help_panel=RHYTHM,
                     help="Length by keys. Default: 60; sweeps and camera moves 120, --progress 15."),
    ] = None,
    easing: Annotated[
        str,
        typer.Option("--easing", metavar="none|smooth|hold", rich_help_panel=RHYTHM, help="Slow down or rest at keys."),
    ] = "none",
    constant_speed: Annotated[
        bool, typer.Option("--constant-speed", rich_help_panel=RHYTHM, help="The same speed in W everywhere.")
    ] = False,
    scale: Annotated[
        int, typer.Option("--scale", min=1, max=64, rich_help_panel=FILM, help="Repeat every pixel this many times.")
    ] = 1,
    file_format: Annotated[
        str | None,
        typer.Option("--format", metavar="mp4|gif|webp|png|raw", rich_help_panel=FILM,
                     help="Default: by the ending of -o; mp4 on stdout. raw: bare RGB."),
    ] = None,
    crf: Annotated[
        int,
        typer.Option("--crf", min=0, max=51, rich_help_panel=FILM, help="mp4: 0 lossless, 18 as good as, 28 small."),
    ] = 18,
    batch: options.Batch = 16,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Film a walk through latent space.

    sg video --seeds 1-8 -o walk.mp4

    sg video --seeds 0-23 --grid 3x2 --trunc 0.7 --seconds 10 -o six.mp4

    sg sample --seeds 3,7 | sg video - --easing hold -o there-and-back.gif

    sg video --seeds 0-3 --mix 10-13 -o styles.mp4

    sg video --seeds 5 --direction dirs.npy:0 --range -2..2 -o edit.webp

    sg video --seeds 5 --path orbit:0.2 -m runs/00000-sg3-t -o orbit.mp4

    sg video --progress runs/00000-faces --grid 4x3 -o progress.mp4
    """
    request = Request(
        keys=keys,
        seeds=seeds,
        project_log=project_log,
        interp=interp,
        loop=loop,
        trunc=trunc,
        trunc_cutoff=trunc_cutoff,
        trunc_centre=trunc_centre,
        class_=class_,
        mix=mix,
        direction=direction,
        truncation_sweep=truncation_sweep,
        sweep=sweep,
        layers=layers,
        class_walk=class_walk,
        path=path,
        easing=easing,
        constant_speed=constant_speed,
    )
    video_scenes.check_request(request, progress_of)
    if seconds is not None and frames_per_key is not None:
        raise UsageError("--seconds and --frames-per-key both set the length", "leave one of the two out")
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise UsageError(f"--seconds {seconds:g}: more than 0, at most {MAX_SECONDS} (a day)", "--seconds 8")

    from sgcli.media import streams
    from sgcli.media.grid import parse_grid
    from sgcli.media.pictures import repeat_pixels
    from sgcli.media.video import check_rate, choose_format, open_video

    streams.check_output(output, "videos", "walk.mp4")
    file_format = choose_format(output, file_format)
    check_rate(file_format, fps)
    columns, rows = parse_grid(grid) if grid else (1, 1)
    if progress_of is not None:
        film = video_progress.film_of_run(progress_of, parse_grid(grid) if grid else None)
    else:
        from sgcli.latents.film import draw_frames
        from sgcli.models.checkpoint import find_model

        opened = find_model(model)
        G = options.load_generator(opened, device, precision)
        weights = noise_inputs.noise_weights(G, noise, noise_layers, noise_strength)
        draw = functools.partial(
            draw_frames, G, columns=columns, rows=rows, noise=noise, noise_weights=weights, batch=batch
        )
        film = video_scenes.make_film(request, opened, G, (columns, rows), draw)
    num_frames = count_frames(film, fps, seconds, frames_per_key)
    channels, height, width = film.shape
    with open_video(output, (channels, height * scale, width * scale), fps, file_format, crf) as write:
        for frame in track(film.frames(num_frames), "video", total=num_frames, unit="frames"):
            write(repeat_pixels(frame, scale))
    notice(f"{num_frames} frames of {width * scale}x{height * scale}, {num_frames / fps:.3g} s")


def count_frames(film: Film, fps: float, seconds: float | None, frames_per_key: int | None) -> int:
    """How many frames the film gets: of its length in seconds, or for its keys. An open film shows its last key too."""
    if seconds is not None:
        return max(round(seconds * fps), 1)
    return (frames_per_key or film.frames_per_key) * film.num_moves + (not film.closed)
