"""What `sg video` films: the keys, and how latents move between and around them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sgcli.commands import latent_inputs, motion, options
from sgcli.commands.video_keys import Keys, deal, names_seeds, read_keys
from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    import numpy as np

    from sgcli.latents.camera import Camera
    from sgcli.latents.film import Scene
    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model

FRAMES_PER_KEY = 60  # of a walk
FRAMES_PER_SWEEP = 120  # of a sweep, and of a camera move around one key


@dataclass(frozen=True)
class Request:
    """The options of `sg video` about what is filmed, as typed."""

    keys: str | None
    seeds: str | None
    project_log: str | None
    interp: str | None
    loop: bool
    trunc: float
    trunc_cutoff: int | None
    trunc_centre: str
    class_: str | None
    mix: str | None
    direction: str | None
    truncation_sweep: bool
    sweep: str | None
    layers: str | None
    class_walk: str | None
    path: str | None
    easing: str
    constant_speed: bool


class Film(NamedTuple):
    """A film of any length."""

    frames: Callable[[int], Iterator[np.ndarray]]  # number of frames -> the frames
    shape: tuple[int, int, int]  # of a frame, [C, H, W]
    num_moves: int
    closed: bool
    frames_per_key: int


# ----- checks that need no model


def check_request(request: Request, progress_of: str | None) -> None:
    """Raise UsageError for options that do not go together."""
    from sgcli.latents.walks import EASINGS

    given = {
        "KEYS": request.keys, "--seeds": request.seeds, "--project-log": request.project_log, "--progress": progress_of,
    }  # fmt: skip
    sources = [name for name, value in given.items() if value is not None]
    if len(sources) != 1:
        what = " and ".join(sources) + " were given" if sources else "none was given"
        raise UsageError(f"a film is made from one of {', '.join(given)}; {what}", "sg video --seeds 1-8 -o walk.mp4")
    modes = {
        "--mix": request.mix, "--direction": request.direction, "--truncation-sweep": request.truncation_sweep,
        "--classes": request.class_walk, "--path": request.path,
    }  # fmt: skip
    asked = [name for name, value in modes.items() if value]
    sweeps = [name for name in asked if name in ("--mix", "--direction", "--truncation-sweep")]
    if len(sweeps) > 1:
        raise UsageError(f"{' and '.join(sweeps)} cannot be filmed at once", "leave one of the two out")
    if sources[0] in ("--project-log", "--progress"):
        others = [name for name in asked if (sources[0], name) != ("--project-log", "--path")]
        if others:
            raise UsageError(f"{sources[0]} shows what is there, {', '.join(others)} needs a walk", "leave it out")
    if request.sweep is not None and not (request.direction or request.truncation_sweep):
        raise UsageError(
            f"--range {request.sweep}: nothing is swept", "add --direction dirs.npy:0, or --truncation-sweep"
        )
    if request.layers is not None and not (request.mix or request.direction):
        raise UsageError(f"--layers {request.layers}: for --mix and --direction", "add one of them")
    if request.truncation_sweep and request.trunc != 1:
        raise UsageError("--trunc sets psi, --truncation-sweep moves it", f"--range 0..{request.trunc:g}")
    if request.easing not in EASINGS:
        raise UsageError(f"--easing {request.easing}: one of {', '.join(EASINGS)}", "--easing smooth")
    if request.easing != "none" and request.constant_speed:
        raise UsageError("--easing changes the speed, --constant-speed keeps it", "leave one of the two out")


# ----- from options to a film


def make_film(
    request: Request,
    model: Model,
    G: Generator,
    grid: tuple[int, int],                         # columns, rows
    draw: Callable[..., Iterator[np.ndarray]],     # latents.film.draw_frames of G, in that grid
) -> Film:  # fmt: skip
    """Read the keys and set up what happens in each cell of the frames. Raises UsageError."""
    options.check_cutoff(request.trunc_cutoff, G.num_ws)
    camera = camera_of(G, request.path)
    columns, rows = grid
    cells = columns * rows
    num_moves, closed, frames_per_key = 1, request.loop, FRAMES_PER_SWEEP
    if request.project_log is not None:
        scene, closed, frames_per_key = projection(request.project_log, G, cells), False, 2 * FRAMES_PER_SWEEP
    else:
        keys = read_keys(request, request.keys, request.seeds, model, G)
        per_cell = deal(keys, cells, request.seeds)
        if request.direction or request.truncation_sweep:
            scene, num_moves = sweep(request, keys, cells), per_cell
        else:
            scene = walk(request, keys, cells)
            if request.mix is not None:
                scene, others_per_cell = mix_over(scene, request, model, G, cells)
                per_cell = max(per_cell, others_per_cell)
            elif per_cell == 1 and camera is None:
                notice("one key: the film stands still; give several, or a mode (sg video --help lists them)")
            if per_cell > 1:
                num_moves, frames_per_key = span(per_cell, closed), FRAMES_PER_KEY

    def frames(num_frames: int) -> Iterator[np.ndarray]:
        return draw(scene, num_frames, closed, camera=camera)

    shape = (G.img_channels, rows * G.img_resolution, columns * G.img_resolution)
    return Film(frames, shape, num_moves, closed, frames_per_key)


def walk(request: Request, keys: Keys, cells: int) -> Scene:
    """Each cell from key to key."""
    from sgcli.latents import walks
    from sgcli.latents.film import walking

    is_z = keys.latents.ndim == 2
    interpolation = request.interp or ("slerp" if is_z and keys.G.num_ws == 1 else "spline")
    if interpolation == "slerp" and (not is_z or request.class_walk is not None):
        why = "the keys are W" if not is_z else "there, all classes of a seed are one point"
        raise UsageError(f"--interp slerp: leads through Z; {why}", "--interp spline")
    if interpolation == "slerp":
        through_z = [walks.through(z, interpolation, request.loop) for z in keys.latents.chunk(cells)]
        paths = [walks.mapped(path, keys.ws_of) for path in through_z]
    else:
        paths = [walks.through(ws, interpolation, request.loop) for ws in keys.ws().chunk(cells)]
    length = span(len(keys.latents) // cells, request.loop)
    if request.constant_speed and length:
        paths = [walks.at_constant_speed(path, length) for path in paths]
    return walking(paths, length, functools.partial(walks.ease, easing=request.easing))


def mix_over(scene: Scene, request: Request, model: Model, G: Generator, cells: int) -> tuple[Scene, int]:
    """The scene with the fine styles (or --layers) of a second walk, and how many keys that has in each cell."""
    from sgcli.latents.film import mixing

    assert request.mix is not None
    latent_inputs.require_styles(G, "--mix")
    file, seeds = (None, request.mix) if names_seeds(request.mix) else (request.mix, None)
    others = read_keys(request, file, seeds, model, G)
    per_cell = deal(others, cells, None, "--mix")
    layers = latent_inputs.choose_layers(request.layers or "fine", G)
    return mixing(scene, walk(request, others, cells), layers), per_cell


def sweep(request: Request, keys: Keys, cells: int) -> Scene:
    """Each cell's keys one after the other, moved along a direction, or from the mean picture outwards."""
    from sgcli.latents.film import sweeping

    start, end = options.parse_range(request.sweep or ("-3..3" if request.direction else "0..1"), "--range")
    if request.direction:
        import torch

        direction = latent_inputs.read_direction(request.direction, keys.G).to(keys.latents.device)
        chosen = latent_inputs.choose_layers(request.layers, keys.G) if request.layers else range(keys.G.num_ws)
        offsets = torch.zeros_like(direction)
        offsets[list(chosen)] = direction[list(chosen)]
        return sweeping(keys.ws().unflatten(0, (cells, -1)), offsets, start, end, request.loop)
    mean = keys.ws(psi=0)
    offsets = keys.ws(psi=1) - mean
    return sweeping(mean.unflatten(0, (cells, -1)), offsets.unflatten(0, (cells, -1)), start, end, request.loop)


def projection(file: str, G: Generator, cells: int) -> Scene:
    """The ws of a projection's steps, in order."""
    import numpy as np
    import torch

    from sgcli.latents.film import walking
    from sgcli.latents.walks import through
    from sgcli.media.streams import read_latents

    if cells != 1:
        raise UsageError("--grid: a projection's log holds one picture", "leave --grid out")
    arrays = read_latents(file, None, G.num_ws, G.w_dim)
    if any(array.ndim != 3 for array in arrays):
        raise UsageError(f"--project-log {file}: holds Z, the log of a projection is W", f"sg video {file}")
    ws = torch.from_numpy(np.concatenate(arrays)).to(next(G.parameters()).device)
    return walking([through(ws, "linear", closed=False)], len(ws) - 1)


def camera_of(G: Generator, path: str | None) -> Camera | None:
    """--path: 'zoom:2' to a camera move. Raises UsageError where the input cannot be moved."""
    if path is None:
        return None

    from sgcli.latents.camera import camera, parse_camera

    name, amount = parse_camera(path)
    motion.require_movable(G, "--path")
    if name == "rotate":
        motion.notice_turning(G, "--path rotate")
    return camera(name, amount)


def span(num_keys: int, closed: bool) -> int:
    """How many times a walk goes from a key to the next."""
    return num_keys if closed else num_keys - 1
