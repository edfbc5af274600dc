"""Opening a file of another project as a model: which format it is, and who reads it.

Nothing in such a file is ever executed (`models.foreign.pickles`).
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from sgcli.errors import FormatError
from sgcli.files import explain_os_error, sha256_of_file
from sgcli.models.checkpoint import FORMAT_VERSION, Model
from sgcli.models.foreign import npz, official, rosinality, tensorflow, torch_files
from sgcli.models.foreign.contents import Contents, Network
from sgcli.models.foreign.pickles import PickleError, printable, read_pickle
from sgcli.progress import notice

T = TypeVar("T")
PICKLE_START, ZIP_START = b"\x80", b"PK"
HINT = "what can be opened: .pkl of ProGAN to StyleGAN3, .pt of rosinality, .npz of sg export, .safetensors of sg"


class Format(NamedTuple):
    """A kind of unpickled content: the function that knows it, and the one that reads it."""

    knows: Callable[[Any], bool]
    read: Callable[[Any], Contents]


FORMATS = [
    Format(official.is_official, official.read_official),
    Format(tensorflow.is_tensorflow, tensorflow.read_tensorflow),
    Format(rosinality.is_rosinality, rosinality.read_rosinality),
]
NAMES = official.NAMES | tensorflow.NAMES | rosinality.NAMES


class ForeignModel(Model):
    """A file of another project, converted in memory."""

    def __init__(self, path: Path, contents: Contents):
        header = {
            "kind": "model",
            "format_version": FORMAT_VERSION,
            "arch": contents.arch,
            "networks": {
                kind: contents.networks[prefix].specification for prefix, kind in (("G_ema", "G"), ("D", "D"))
                if prefix in contents.networks
            },
            "license_note": contents.license_note,
            "source": {"format": contents.format, "file": path.name},
            **contents.facts,
        }  # fmt: skip
        super().__init__(path, header)
        self.contents = contents

    def tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        network = self.contents.networks.get(prefix)
        return {} if network is None else network.tensors

    def header_for_import(self) -> dict[str, Any]:
        """The header with the SHA-256 of the file that it was read from; an archive of ours keeps its own source."""
        return {**self.header, "source": {"sha256": sha256_of_file(self.path), **self.header["source"]}}

    def all_tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor by name with prefix, as in a model file."""
        networks = self.contents.networks.items()
        return {f"{prefix}/{name}": value for prefix, network in networks for name, value in network.tensors.items()}

    def sizes(self) -> dict[str, int]:
        return {name: tensor.numel() for name, tensor in self.all_tensors().items()}


def is_foreign(path: str | os.PathLike) -> bool:
    """Whether a file begins as a pickle or a zip does."""
    with explain_os_error(path), open(path, "rb") as file:
        start = file.read(9)
    is_safetensors = start[8:] == b"{"  # behind the header's length, whose first bytes may look like anything
    return start.startswith((PICKLE_START, ZIP_START)) and not is_safetensors


def open_foreign(path: str | os.PathLike) -> ForeignModel:
    """Read a foreign checkpoint. Raises FormatError with one line for whatever is not one, or is refused."""
    path = Path(path)
    contents = _read_file(path, read_contents, HINT)
    for what in contents.left_out:
        notice(f"{path}: left out: {what}")
    return ForeignModel(path, contents)


def open_foreign_classifier(path: str | os.PathLike) -> Network:
    """Read a published attribute classifier (spec progan-stylegan1 §6.3). Raises FormatError for anything else."""
    return _read_file(
        Path(path),
        lambda data: tensorflow.read_classifier(read_pickle(io.BytesIO(data), NAMES)),
        "a classifier is a file of sg train-classifier, or a .pkl published with StyleGAN",
    )


def _read_file(path: Path, read: Callable[[bytes], T], hint: str) -> T:
    """What `read` makes of the bytes of a file; whatever goes wrong becomes a FormatError of one line."""
    with explain_os_error(path):
        data = path.read_bytes()
    try:
        return read(data)
    except (PickleError, FormatError) as error:
        raise FormatError(f"{path}: {error}", hint) from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, EOFError,
            AssertionError, zipfile.BadZipFile) as error:  # fmt: skip
        # A file can be wrong in more ways than are worth a sentence each.
        raise FormatError(f"{path}: is damaged, or not what it should hold ({printable(str(error))})", hint) from error


def read_contents(data: bytes) -> Contents:
    """The networks in the bytes of a file. Raises PickleError or FormatError, or what damaged data leads to."""
    if data.startswith(ZIP_START):
        archive = zipfile.ZipFile(io.BytesIO(data))
        if npz.is_npz(archive):
            return npz.read_npz(archive)
        if not torch_files.is_torch_zip(archive):
            raise PickleError("is a zip, but not one of torch.save or sg export")
        content = torch_files.read_zip(archive, NAMES)
    else:
        stream = io.BytesIO(data)
        content = read_pickle(stream, NAMES)
        if content == torch_files.LEGACY_MAGIC:
            stream.seek(0)
            content = torch_files.read_legacy(stream, NAMES)
    for form in FORMATS:
        if form.knows(content):
            return form.read(content)
    raise PickleError(f"holds no network that sg knows ({describe(content)})")


def describe(content: Any) -> str:
    """What unknown content looks like, in a few words."""
    if isinstance(content, dict):
        return f"a dict of {', '.join(printable(str(key), 40) for key in list(content)[:3])}, …"
    return f"a {type(content).__name__}"
