"""Published weights of feature networks: fetched once into the cache, or named by the user with --weights FILE.

A file of the cache must have the published hash. A file that the user names is taken as it is, with a warning where its
hash differs: what was measured with it does not compare with published numbers.
"""

from __future__ import annotations

import http.client
import os
import pickle
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sgcli.errors import FormatError, SgError
from sgcli.files import atomic_path, cache_folder, explain_os_error, only_process, sha256_of_file
from sgcli.progress import notice, track, warn

if TYPE_CHECKING:
    import torch

FOLDER = "weights"  # in the cache
TIMEOUT_SECONDS = 20.0  # without any answer
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Weights:
    """A file that was published with a network (spec metrics-extra, "Weights of the feature networks")."""

    network: str  # what a person calls it
    file: str
    url: str
    sha256: str  # the digits that are known, from the first


VGG16 = Weights(
    "VGG-16", "vgg16-397923af.pth", "https://download.pytorch.org/models/vgg16-397923af.pth", sha256="397923af"
)
INCEPTION = Weights(
    "Inception 2015",
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
)


def find_weights(weights: Weights, named: str | os.PathLike | None = None) -> Path:
    """The file with `weights`: the one that the user `named`, else the one in the cache, fetched where missing.

    Raises SgError where it cannot be had: the message tells file, hash, and where to put it.
    """
    if named is not None:
        return _check_named(weights, Path(named))
    folder = cache_folder()
    if folder is None:
        raise SgError(
            f"{weights.file}: there is no cache folder to keep the weights of {weights.network} in",
            "set SG_CACHE_DIR to a folder that you may write to, or name the file with --weights FILE",
        )
    path = folder / FOLDER / weights.file
    with explain_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with only_process(path.with_suffix(".lock")):
        if not path.is_file():
            _fetch(weights, path)
        elif not sha256_of_file(path).startswith(weights.sha256):
            warn(f"{path}: damaged (its hash is not {weights.sha256}…), fetched again")
            _fetch(weights, path)
    return path


def read_weights(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Tensors by name of a .safetensors or PyTorch file, on the CPU; nothing in it is executed. Raises FormatError."""
    import safetensors.torch
    import torch

    hint = "weights are a .pth file of tensors by name, or .safetensors"
    try:
        with explain_os_error(path):
            if Path(path).suffix == ".safetensors":
                return safetensors.torch.load_file(path)
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, safetensors.SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:100]
        if isinstance(error, pickle.UnpicklingError):
            reason = "not saved by PyTorch, or with code in it"
        raise FormatError(f"{path}: not a file of weights ({reason})", hint) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise FormatError(f"{path}: holds something else than tensors by name", hint)
    return dict(tensors)


def _check_named(weights: Weights, path: Path) -> Path:
    if not path.is_file():
        raise SgError(f"--weights {path}: no such file", f"{weights.network} is published as {weights.url}")
    digest = sha256_of_file(path)
    if not digest.startswith(weights.sha256):
        warn(
            f"{path}: not the published {weights.network} (SHA-256 starts {digest[:8]}, not {weights.sha256}): "
            "distances do not compare with published ones"
        )
    return path


def _fetch(weights: Weights, path: Path) -> None:
    """Download to `path`, whole and with the right hash or not at all."""
    notice(f"fetching the weights of {weights.network}: {weights.url}")
    with atomic_path(path) as temporary:
        try:
            with urllib.request.urlopen(weights.url, timeout=TIMEOUT_SECONDS) as answer, open(temporary, "wb") as file:
                size = int(answer.headers.get("Content-Length") or 0)
                for block in track(_blocks(answer), weights.file, -(-size // BLOCK_BYTES) or None, "MiB"):
                    file.write(block)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            raise SgError(
                f"{weights.file} (SHA-256 {weights.sha256}…), the weights of {weights.network}, cannot be fetched from "
                f"{weights.url} ({str(reason)[:100]})",
                f"put the file at {path}, or name it with --weights FILE",
            ) from error
        digest = sha256_of_file(temporary)
        if not digest.startswith(weights.sha256):
            raise SgError(
                f"{weights.file}: what {weights.url} sent is not the published file (SHA-256 starts {digest[:8]}, "
                f"not {weights.sha256})",
                f"fetch it by other means to {path}, or name it with --weights FILE",
            )


def _blocks(answer: IO[bytes]) -> Iterator[bytes]:
    while block := answer.read(BLOCK_BYTES):
        yield block
