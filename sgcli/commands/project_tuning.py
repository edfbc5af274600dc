"""`sg project --tune`: the generator follows the pictures, and what changed is saved."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sgcli.commands.project_search import device_of, until_stopped
from sgcli.commands.project_targets import Targets
from sgcli.features.embeddings import Embedding
from sgcli.files import sha256_of_file
from sgcli.latents.tuning import Tuning, save_delta
from sgcli.models.base import Generator
from sgcli.models.checkpoint import Model
from sgcli.progress import track

STEPS = 350


@dataclass(frozen=True)
class Tuned:
    """A tuned copy of the generator."""

    G: Generator
    delta: dict[str, torch.Tensor]
    stopped_by: int  # signal; 0: went to the end


def tune(G: Generator, ws: torch.Tensor, targets: Targets, embed: Embedding, steps: int | None, batch: int) -> Tuned:
    """Tune to all pictures at once. Ctrl-C and SIGTERM end it early, with what was reached."""
    device = device_of(G)
    tuning = Tuning(G, ws.to(device), targets.tensor(device), embed, batch)
    with until_stopped() as stop:
        for _ in track(range(steps or STEPS), "tune", unit="steps", note=lambda: f"loss {tuning.loss.item():.4g}"):
            tuning.step()
    return Tuned(tuning.G.requires_grad_(False), tuning.delta(), stop.signal)


def save(tuned: Tuned, model: Model, path: str) -> None:
    """Write the delta, with what it belongs to."""
    save_delta(path, tuned.delta, {"arch": model.arch, "model_sha256": sha256_of_file(model.path)})
