"""`sg project --report`: how near the projections came, in numbers and side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sgcli import files
from sgcli.commands.project_search import Found, device_of
from sgcli.commands.project_targets import Targets
from sgcli.features.embeddings import Embedding
from sgcli.latents.inputs import Inputs, draw_with
from sgcli.latents.projection import Projected
from sgcli.media.grid import make_table
from sgcli.media.pictures import to_uint8, write_png
from sgcli.media.plots import Series, line_plot
from sgcli.models.base import Generator
from sgcli.models.growing import enlarge
from sgcli.progress import notice

BATCH = 16
MAX_ROWS = 24  # of the table
MAX_LINES = 6  # of the plot; more pictures are summed up
W_ALONE = "w alone"  # what sg generate draws
SHOWN_SIDE = 128  # pixels, of small pictures


@dataclass(frozen=True)
class Drawn:
    """What latents draw in one way, and how far that is from the targets."""

    caption: str
    pixels: torch.Tensor  # uint8 [N, C, R, R]
    distances: np.ndarray  # [N]


def measure_all(
    G: Generator, targets: Targets, embed: Embedding, start: torch.Tensor, found: Projected, tuned: Generator | None
) -> list[Drawn]:
    """The start, what w alone draws, with the noise maps or transforms that were found, and by the tuned generator."""
    drawn = [_draw("start", G, start, None, targets, embed), _draw(W_ALONE, G, found.ws, None, targets, embed)]
    if found.inputs is not None:
        caption = "w + noise" if found.inputs.noise else "w + move"
        drawn.append(_draw(caption, G, found.ws, found.inputs, targets, embed))
    if tuned is not None:
        drawn.append(_draw("w + delta", tuned, found.ws, None, targets, embed))
    return drawn


@torch.inference_mode()
def _draw(
    caption: str, G: Generator, ws: torch.Tensor, inputs: Inputs | None, targets: Targets, embed: Embedding
) -> Drawn:
    device = device_of(G)
    wanted = targets.tensor(device)
    pixels, distances = [], []
    for first in range(0, len(ws), BATCH):
        rows = slice(first, first + BATCH)
        given = Inputs([]) if inputs is None else inputs.rows(rows).to(device)
        images = draw_with(G, ws[rows].to(device), given)
        pixels.append(to_uint8(images).cpu())
        distances.append((embed(images) - embed(wanted[rows])).square().sum(dim=1).cpu())
    return Drawn(caption, torch.cat(pixels), torch.cat(distances).numpy())


def announce(drawn: list[Drawn], loss: str) -> None:
    """'lpips distance, mean of 4 pictures: start 0.61, w alone 0.22, w + noise 0.2'."""
    count = len(drawn[0].distances)
    whose = f", mean of {count} pictures" if count > 1 else ""
    notice(f"{loss} distance{whose}: " + ", ".join(f"{one.caption} {one.distances.mean():.4g}" for one in drawn))


def write(folder: Path, targets: Targets, found: Found, drawn: list[Drawn], loss: str, prefix: str = "") -> None:
    """pictures.png, convergence.png and distances.jsonl into `folder`."""
    write_png(folder / f"{prefix}pictures.png", side_by_side(targets, drawn))
    write_png(folder / f"{prefix}convergence.png", convergence(targets.names, found.distances, loss))
    lines = [
        {"picture": name, "loss": loss, **{one.caption: float(one.distances[row]) for one in drawn}}
        for row, name in enumerate(targets.names)
    ]
    files.write_text(folder / f"{prefix}distances.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def side_by_side(targets: Targets, drawn: list[Drawn]) -> np.ndarray:
    """A row per picture: the target, and every way of drawing it."""
    factor = max(1, SHOWN_SIDE // targets.pixels.shape[2])
    columns = [enlarge(pixels[:MAX_ROWS], factor) for pixels in (targets.pixels, *(one.pixels for one in drawn))]
    names = [Path(name).name for name in targets.names[:MAX_ROWS]]
    more = len(targets.names) - len(names)
    title = f"the first {MAX_ROWS} of {len(targets.names)} pictures" if more else ""
    return make_table(list(zip(*columns, strict=True)), ["target", *(one.caption for one in drawn)], names, title)


def convergence(names: list[str], distances: np.ndarray, loss: str) -> np.ndarray:
    """Distances `[steps, N]` over the steps."""
    steps = range(1, len(distances) + 1)
    if distances.shape[1] > MAX_LINES:
        lines = {"farthest": distances.max(axis=1), "mean": distances.mean(axis=1), "nearest": distances.min(axis=1)}
    else:
        lines = {Path(name).name: distances[:, row] for row, name in enumerate(names)}
    series = [Series(label, steps, y.tolist()) for label, y in lines.items()]
    positive = bool((distances > 0).any())
    return line_plot(series, title="Projection", x_label="step", y_label=f"{loss} distance", log_y=positive)
