"""Model files: one `.safetensors` with tensors under `G_ema/`, `G/`, `D/` and everything else as JSON in its header.

    header["sg"] = {"kind": "model", "format_version": 1, "arch": …, "networks": {"G": {"class": …}, "D": …}, "kimg": …}

Opening a file reads data only; nothing in it is ever executed.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from sgcli import __version__, provenance
from sgcli.errors import FormatError, SgError, UsageError
from sgcli.files import atomic_path, explain_os_error
from sgcli.models.base import Generator
from sgcli.models.memory import place
from sgcli.models.registry import build_network
from sgcli.progress import notice

FORMAT_VERSION = 1
OS_ERROR = re.compile(r"os error (\d+)")  # how safetensors tells what the system said
HEADER_KEY = "sg"
MAX_HEADER_BYTES = 64 << 20  # a network of ten thousand tensors takes one
NETWORK_OF = {"G_ema": "G", "G": "G", "D": "D"}  # tensor prefix -> entry of header["networks"]


@dataclass
class Model:
    """A model file: its header, and on demand its networks."""

    path: Path
    header: dict[str, Any] = field(repr=False)

    @property
    def arch(self) -> str:
        return self.header["arch"]

    def load(self, prefix: str = "G_ema", device: str | torch.device = "cpu") -> nn.Module:
        """Build the network stored under `prefix` (G_ema, G or D), in eval mode without gradients."""
        tensors = self.tensors(prefix)
        if not tensors:
            raise SgError(f"{self.path}: holds no {prefix}", f"sg info {self.path} lists what it holds")
        try:
            specification = self.header["networks"][NETWORK_OF[prefix]]
            check_fits(specification, tensors)
            network = build_network(specification)
            network.load_state_dict(tensors, strict=True)
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            hint = "the file is damaged or was tampered with: get it again from where it came"
            raise FormatError(f"{self.path}: header and tensors do not fit together ({reason})", hint) from error
        return place(network.eval().requires_grad_(False), device)

    def tensors(self, prefix: str) -> dict[str, torch.Tensor]:
        """State of the network stored under `prefix`; empty where there is none."""
        return read_tensors(self.path, prefix)

    def sizes(self) -> dict[str, int]:
        """Number of values of every tensor, by name with prefix, without reading them."""
        return read_shapes(self.path)

    def prefixes(self) -> list[str]:
        """Which networks the file holds."""
        found = {name.partition("/")[0] for name in self.sizes()}
        return [prefix for prefix in NETWORK_OF if prefix in found]

    def load_generator(self, device: str | torch.device = "cpu") -> Generator:
        """G_ema, the network that pictures are drawn from."""
        network = self.load("G_ema", device)
        assert isinstance(network, Generator)
        return network


def save_model(path: str | os.PathLike, networks: Mapping[str, nn.Module], header: Mapping[str, Any]) -> None:
    """Write `networks` (keys G_ema, G, D) with `header` to `path`, whole or not at all."""
    tensors = {
        f"{prefix}/{name}": tensor
        for prefix, network in networks.items()
        for name, tensor in network.state_dict().items()
    }  # fmt: skip
    save_tensors(path, tensors, {"kind": "model", **header})


def save_tensors(path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON header (which must hold `kind`) as safetensors, whole or not at all."""
    header = {"format_version": FORMAT_VERSION, "sg_version": __version__, **header}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(tensors, temporary, metadata={HEADER_KEY: json.dumps(header)})
        except safetensors.SafetensorError as error:
            if (refused := OS_ERROR.search(str(error))) is None:
                raise
            number = int(refused[1])
            raise OSError(number, os.strerror(number)) from error  # a full disk, which atomic_path explains


def check_fits(specification: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError unless a network of `specification` has just these tensors.

    A header may ask for a network that no machine can hold, so this is found out without memory for its weights.
    """
    from sgcli.models.foreign.contents import check_sizes

    check_sizes(specification)
    with torch.device("meta"):
        wanted = {name: tensor.shape for name, tensor in build_network(specification).state_dict().items()}
    given = {name: tensor.shape for name, tensor in tensors.items()}
    if different := sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name)):
        name = different[0]
        sizes = [list(shapes[name]) if name in shapes else "absent" for shapes in (given, wanted)]
        raise ValueError(f"{name} is {sizes[0]}, the header wants {sizes[1]}")


def read_header(path: str | os.PathLike, kind: str = "model") -> dict[str, Any]:
    """The JSON header of a file written by `save_tensors`. Raises FormatError if it is not one, or of another kind."""
    if not Path(path).is_file():
        raise SgError(f"{path}: no such file", "check the spelling of the path")
    try:
        check_header_length(path)
        with explain_os_error(path), safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, ValueError) as error:
        raise FormatError(
            f"{path}: is not a model file ({str(error)[:100]})",
            "a model is a .safetensors file written by sg, a run folder, or a .pkl, .pt or .npz that sg import takes",
        ) from error
    try:
        header = json.loads(metadata[HEADER_KEY])
        found, version = header["kind"], header["format_version"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        hint = "a model is a .safetensors file that sg train wrote"
        raise FormatError(f"{path}: a safetensors file, but not one written by sg", hint) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FormatError(
            f"{path}: written by a newer sg ({header.get('sg_version')})", "update sg: pip install -U sgcli"
        )
    if found != kind:
        raise FormatError(f"{path}: holds a {found}, a {kind} was wanted", f"sg info {path}")
    return header


def check_header_length(path: str | os.PathLike) -> None:
    """Raise ValueError where a safetensors file announces a header that it cannot hold, or that nobody needs."""
    with explain_os_error(path), open(path, "rb") as file:
        length, room = int.from_bytes(file.read(8), "little"), os.fstat(file.fileno()).st_size - 8
    if length > min(room, MAX_HEADER_BYTES):
        raise ValueError(f"a header of {length} bytes in a file of {room + 8}")


def read_tensors(path: str | os.PathLike, prefix: str | None = None) -> dict[str, torch.Tensor]:
    """The tensors under `prefix/` (None: all), names without it."""
    start = "" if prefix is None else f"{prefix}/"
    with safetensors.safe_open(path, framework="pt") as file:
        return {name.removeprefix(start): file.get_tensor(name) for name in file.keys() if name.startswith(start)}  # noqa: SIM118 (not a dict)


def open_model(path: str | os.PathLike) -> Model:
    """Open a model file, the newest model of a run folder, or another project's checkpoint."""
    from sgcli.models.foreign.formats import is_foreign, open_foreign

    path = Path(path)
    if path.is_dir():
        path = newest_model(path)
    provenance.used_model(path)
    if path.is_file() and is_foreign(path):
        model = open_foreign(path)
        notice(f"{path}: {model.contents.format}, converted in memory")
        return model
    return Model(path, read_header(path))


def newest_model(run: str | os.PathLike) -> Path:
    """The model of a run folder with the most images seen."""
    models = sorted(Path(run).glob("model-*.safetensors"), key=kimg_of)
    if not models:
        raise SgError(f"{run}: a folder without model-*.safetensors", "name a run folder or a .safetensors file")
    return models[-1]


def kimg_of(path: Path) -> float:
    """How far a run was when it wrote this file: 'model-000001.500.safetensors' -> 1.5. Files sort by it."""
    try:
        return float(path.name.removeprefix("model-").removesuffix(".safetensors"))
    except ValueError:
        return -1.0  # a name that a person gave


def find_model(path: str | None) -> Model:
    """What -m/--model means: the file or run, else $SG_MODEL, else the newest model of the only run under ./runs."""
    if path is None and (path := os.environ.get("SG_MODEL")):
        notice(f"model: {path} (from $SG_MODEL)")
    if path is not None:
        return open_model(path)
    runs = sorted(run for run in Path("runs").glob("*/") if any(run.glob("model-*.safetensors")))
    if len(runs) == 1:
        model = open_model(runs[0])
        notice(f"model: {model.path} (the only run here)")
        return model
    if runs:
        raise UsageError(
            f"no model named, and ./runs holds several: {', '.join(run.name for run in runs)}", f"-m {runs[-1]}"
        )
    raise UsageError(
        "no model named, and there is no run under ./runs", "-m FILE.safetensors or -m RUN, or set SG_MODEL"
    )


def read_shapes(path: str | os.PathLike) -> dict[str, int]:
    """Number of values of every tensor in a file, by name, without reading them."""
    with safetensors.safe_open(path, framework="pt") as file:
        return {name: math.prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
