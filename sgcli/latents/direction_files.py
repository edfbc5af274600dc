"""Direction files: `.npy` `[K, num_ws, w_dim]`, and beside it, where rows have names, a text file with a name a line.

`dirs.npy` goes with `dirs.names.txt`; row 1 is `dirs.npy:1` or `dirs.npy:smiling` on a command line.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sgcli import files
from sgcli.media import streams


def names_path(path: str | os.PathLike) -> Path:
    """Where the names of the rows of `path` are kept."""
    return Path(path).with_suffix(".names.txt")


def write_directions(directions: np.ndarray, out: str | os.PathLike | None, names: Sequence[str] = ()) -> None:
    """Write `[K, num_ws, w_dim]` to a file with the rows' names, or without them to stdout (None or `-`)."""
    streams.write_array(directions, out)
    if out is None or str(out) == "-":
        return
    if names:
        files.write_text(names_path(out), "".join(f"{name}\n" for name in names))
    else:
        names_path(out).unlink(missing_ok=True)  # they belonged to what was overwritten


def read_names(path: str | os.PathLike) -> list[str]:
    """The names of the rows of a direction file; empty where it has none."""
    try:
        return names_path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
