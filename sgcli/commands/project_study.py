"""`sg project --study`: are pictures of the model nearer to what it can draw than real ones? (StyleGAN2, figure 10)

A model that draws a picture can be made to draw it again; a real picture comes out less well. How far the two
histograms lie apart tells how surely a picture can be attributed to the model.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from sgcli.commands import project_report
from sgcli.commands.project_search import Settings, Start, device_of, search
from sgcli.commands.project_targets import Targets
from sgcli.errors import Interrupted
from sgcli.features.embeddings import Embedding
from sgcli.latents.draw import draw_pictures
from sgcli.latents.seeds import latents_of_seeds
from sgcli.media.pictures import to_uint8, write_png
from sgcli.media.plots import Series, line_plot
from sgcli.models.base import Generator
from sgcli.progress import notice

BINS = 20


def study(G: Generator, reals: Targets, embed: Embedding, start: Start, settings: Settings, report: str | None) -> None:
    """Project the real pictures and as many of the model's own; print one JSON line, write a report where asked."""
    sets = {"generated": own_pictures(G, len(reals.names)), "real": reals}
    result: dict = {"name": "projection-study", "loss": settings.loss, "steps": settings.steps, "num": len(reals.names)}
    ends: dict[str, np.ndarray] = {}
    for name, targets in sets.items():
        notice(f"projecting {len(targets.names)} {name} pictures")
        found = search(G, targets, embed, start, settings)
        if found.stopped_by:
            raise Interrupted(found.stopped_by, "interrupted; a study has results at its end only", "take a smaller N")
        drawn = project_report.measure_all(G, targets, embed, start.ws, found.projected, tuned=None)
        project_report.announce(drawn, settings.loss)
        result[name] = {one.caption: float(one.distances.mean()) for one in drawn}
        ends[name] = next(one.distances for one in drawn if one.caption == project_report.W_ALONE)
        if report is not None:
            project_report.write(Path(report), targets, found, drawn, settings.loss, prefix=f"{name}-")
    if report is not None:
        write_png(Path(report) / "histogram.png", histogram(ends, settings.loss))
    print(json.dumps(result), flush=True)


def own_pictures(G: Generator, count: int) -> Targets:
    """What `sg generate --seeds 0-…` draws, of all classes in turn."""
    seeds = range(count)
    c = None if G.c_dim == 0 else torch.eye(G.c_dim, device=device_of(G))[torch.arange(count) % G.c_dim]
    z = torch.from_numpy(latents_of_seeds(seeds, G.z_dim))
    pixels = [to_uint8(picture).cpu() for picture in draw_pictures(G, z, seeds, c=c)]
    return Targets([f"seed {seed}" for seed in seeds], torch.stack(pixels))


def histogram(distances: dict[str, np.ndarray], loss: str) -> np.ndarray:
    """How many pictures of each set end at which distance, as outlines."""
    edges = np.linspace(0, max(values.max() for values in distances.values()), BINS + 1)
    series = []
    for name, values in distances.items():
        counts = np.histogram(values, edges)[0]
        outline = np.concatenate([[0], counts.repeat(2), [0]])
        series.append(Series(f"{name}, mean {values.mean():.3g}", edges.repeat(2).tolist(), outline.tolist()))
    return line_plot(series, title="Distance after projection", x_label=f"{loss} distance", y_label="pictures")
