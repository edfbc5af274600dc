"""The keys of `sg video`: latents of a file, of seeds, or of classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sgcli.commands import classes, options
from sgcli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from sgcli.commands.video_scenes import Request
    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model


@dataclass(frozen=True)
class Keys:
    """Key latents, Z `[N, z_dim]` or W `[N, num_ws, w_dim]`, and what maps them to ws."""

    G: Generator
    latents: torch.Tensor
    c: torch.Tensor | None  # labels [N, c_dim]; None: a model without classes, or W
    psi: float
    cutoff: int | None
    centre: torch.Tensor | None

    def ws(self, psi: float | None = None) -> torch.Tensor:
        """`[N, num_ws, w_dim]`, truncated as was asked for, or by `psi`."""
        from sgcli.latents.draw import to_ws

        return to_ws(self.G, self.latents, self.c, self.psi if psi is None else psi, self.cutoff, self.centre)

    def ws_of(self, z: torch.Tensor) -> torch.Tensor:
        """ws of other Z `[B, z_dim]`, of the first key's class."""
        from sgcli.latents.draw import to_ws

        c = None if self.c is None else self.c[:1].expand(len(z), -1)
        return to_ws(self.G, z, c, self.psi, self.cutoff, self.centre)


def names_seeds(text: str) -> bool:
    """Whether `text` is '3' or '0-4,9', and no file of that name."""
    return text != "-" and not set(text) - set("0123456789,- ") and not Path(text).exists()


def read_keys(request: Request, file: str | None, seeds: str | None, model: Model, G: Generator) -> Keys:
    """The keys of a file or of seeds; with --classes every seed once for each class."""
    import torch

    from sgcli.latents.draw import to_ws
    from sgcli.latents.seeds import latents_of_seeds
    from sgcli.media.streams import read_latents

    if seeds is not None:
        arrays = [latents_of_seeds(options.parse_seeds(seeds), G.z_dim)]
    else:
        assert file is not None
        arrays = read_latents(file, G.z_dim, G.num_ws, G.w_dim)
    device = next(G.parameters()).device
    parts = [torch.from_numpy(array).to(device) for array in arrays]
    if request.class_walk is not None:
        return class_keys(request, torch.cat(parts), model, G)
    label = classes.label_for(model, request.class_, arrays, file)
    centre = classes.truncation_centre(G, label, request.trunc_centre)
    label = None if label is None else label.to(device)
    if len({part.ndim for part in parts}) > 1:
        parts = [to_ws(G, part, None if label is None else label.expand(len(part), -1)) for part in parts]
    latents = torch.cat(parts)
    c = label.expand(len(latents), -1) if label is not None and latents.ndim == 2 else None
    return Keys(G, latents, c, request.trunc, request.trunc_cutoff, centre)


def class_keys(request: Request, z: torch.Tensor, model: Model, G: Generator) -> Keys:
    """Every z with every class of --classes, in that order. Raises UsageError where there are no such classes."""
    import torch

    assert request.class_walk is not None
    option = f"--classes {request.class_walk}"
    if G.c_dim == 0:
        raise UsageError(f"{option}: this model has no classes", "leave --classes out")
    if request.class_ is not None or request.trunc_centre != "all":
        other = "--class" if request.class_ is not None else "--trunc-centre class"
        raise UsageError(f"{option} walks through classes, {other} means one", "leave one of the two out")
    names = model.header.get("class_names") or []
    chosen = torch.tensor(parse_classes(request.class_walk, names, G.c_dim))
    labels = torch.nn.functional.one_hot(chosen, G.c_dim).float().to(z.device)
    latents, c = z.repeat_interleave(len(labels), dim=0), labels.repeat(len(z), 1)
    return Keys(G, latents, c, request.trunc, request.trunc_cutoff, None)


def parse_classes(text: str, names: list[str], c_dim: int) -> list[int]:
    """'0-3,cat' or 'all' -> numbers of classes. Raises UsageError."""
    if text == "all":
        return list(range(c_dim))
    found: list[int] = []
    for part in (part.strip() for part in text.split(",")):
        is_range = "-" in part and part not in names and part.replace("-", "").isdecimal()
        several = options.parse_integers(part, "--classes") if is_range else [part]
        found += [classes.find_class(str(one), names, c_dim, "--classes") for one in several]
    return found


def deal(keys: Keys, cells: int, seeds: str | None, option: str = "--grid") -> int:
    """How many keys each cell of the grid gets. Raises UsageError where they cannot be dealt out evenly."""
    num_keys = len(keys.latents)
    per_cell, rest = divmod(num_keys, cells)
    if rest or per_cell == 0:
        wanted = cells * max(per_cell + bool(rest), 2)
        hint = f"give {wanted} keys, {wanted // cells} for each cell"
        raise UsageError(
            f"{option}: {num_keys} keys cannot be dealt out evenly to {cells} cells",
            hint if seeds is None else f"--seeds 0-{wanted - 1}, {wanted // cells} keys for each cell",
        )
    return per_cell
