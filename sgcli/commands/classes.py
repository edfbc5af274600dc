"""--class: which class a conditional model draws."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from sgcli.errors import UsageError
from sgcli.progress import notice

if TYPE_CHECKING:
    import torch

    from sgcli.models.checkpoint import Model

Class = Annotated[
    str | None,
    typer.Option("--class", metavar="K|NAME", help="Class to draw, by number or name. Default: 0."),
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


def find_class(chosen: str, names: list[str], c_dim: int) -> int:
    """The number of a class given by name or number; a name wins."""
    if chosen in names:
        return names.index(chosen)
    if chosen.isdecimal() and int(chosen) < c_dim:
        return int(chosen)
    known = f"0 to {c_dim - 1}" + (f", or one of {', '.join(names)}" if names else "")
    close = difflib.get_close_matches(chosen, names, n=1)
    raise UsageError(f"--class {chosen}: this model's classes are {known}", f"--class {close[0] if close else 0}")
