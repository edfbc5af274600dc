"""--class: which class a conditional model draws."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    import numpy as np
    import torch

    from sgcli.models.base import Generator
    from sgcli.models.checkpoint import Model

Class = Annotated[
    str | None,
    typer.Option("--class", metavar="K|NAME", help="Class to draw, by number or name. Default: 0."),
]
CENTRES = ("all", "class")
TruncationCentre = Annotated[
    str,
    typer.Option("--trunc-centre", metavar="all|class", help="Truncate towards the mean of all classes, or of one."),
]


def label_of(model: Model, chosen: str | None) -> torch.Tensor | None:
    """The one-hot label `[1, c_dim]` of the class that was asked for; None for a model without classes.

    Raises UsageError for a class that the model does not have.
    """
    import torch

    c_dim = model.header["networks"]["G"].get("c_dim", 0)
    names = model.header.get("class_names") or []
    if c_dim == 0:
        if chosen is not None:
            raise UsageError(f"--class {chosen}: this model has no classes", "leave --class out")
        return None
    if chosen is None:
        notice(f"--class: none given, drawing class 0{f' ({names[0]})' if names else ''} of {c_dim}")
    return torch.nn.functional.one_hot(torch.tensor([find_class(chosen or "0", names, c_dim)]), c_dim).float()


def truncation_centre(G: Generator, label: torch.Tensor | None, towards: str) -> torch.Tensor | None:
    """The centre `[w_dim]` that --trunc-centre means; None for the mean of all.

    Raises UsageError where the class is not known: for a model without classes, and for W.
    """
    if towards not in CENTRES:
        raise UsageError(f"--trunc-centre {towards}: one of {', '.join(CENTRES)}", "--trunc-centre class")
    if towards == "all":
        return None
    if label is None:
        raise UsageError(
            "--trunc-centre class: needs a class to draw, which neither W nor a model without classes has",
            "leave it out, or draw from seeds of a conditional model: --seeds 0-35 --class 0",
        )

    from sgcli.latents.centres import class_centre

    return class_centre(G, label)


def label_for(
    model: Model, chosen: str | None, latents: Sequence[np.ndarray], source: str | None = None
) -> torch.Tensor | None:
    """The label `[1, c_dim]` that maps those of `latents` that are Z; None where there is no Z, or no class.

    Raises UsageError where a class was chosen for latents (of the file `source`) that are all W.
    """
    holds_z = any(array.ndim == 2 for array in latents)
    if chosen is not None and not holds_z:
        raise UsageError(f"--class {chosen}: {source} holds W, where the class is settled", "leave --class out")
    return label_of(model, chosen) if holds_z else None


def find_class(chosen: str, names: list[str], c_dim: int, option: str = "--class") -> int:
    """The number of a class given by name or number; a name wins."""
    if chosen in names:
        return names.index(chosen)
    if chosen.isdecimal() and int(chosen) < c_dim:
        return int(chosen)
    known = f"0 to {c_dim - 1}" + (f", or one of {', '.join(names)}" if names else "")
    close = difflib.get_close_matches(chosen, names, n=1)
    raise UsageError(f"{option} {chosen}: this model's classes are {known}", f"{option} {close[0] if close else 0}")
