"""Where a result came from: the command that runs, and the model files it opened. Every picture written tells it.

`begin` is called once for each command; from Python, without it, pictures tell nothing.
"""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from sgcli import __version__
from sgcli.files import sha256_of_file

_command: list[str] = []
_models: dict[Path, None] = {}  # in the order in which they were opened


def begin(arguments: Sequence[str]) -> None:
    """A command begins: `sg` with these arguments."""
    _command[:] = ["sg", *arguments]
    _models.clear()


def used_model(path: str | os.PathLike) -> None:
    """A model file was opened."""
    _models[Path(path)] = None


def notes() -> dict[str, str]:
    """Software, Command and Model (name and SHA-256 of each file, a line each), as far as they are known."""
    if not _command:
        return {}
    told = {"Software": f"sg {__version__}", "Command": shlex.join(_command)}
    models = [f"{path.name} sha256:{_hash(path, path.stat().st_mtime_ns)}" for path in _models if path.is_file()]
    return told | ({"Model": "\n".join(models)} if models else {})


@functools.cache
def _hash(path: Path, _written: int) -> str:
    return sha256_of_file(path)
