"""Models as NumPy archives: one array per tensor under the official names, and the header as JSON text.

    G_ema/synthesis.b8.conv0.weight, D/b4.out.bias, …, header

For code without PyTorch. Reading one back gives the same model.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from typing import Any

import numpy as np
import torch

from sgcli.files import atomic_path
from sgcli.models.checkpoint import NETWORK_OF, Model
from sgcli.models.foreign.contents import Contents, make_network
from sgcli.models.foreign.pickles import PickleError
from sgcli.models.foreign.torch_files import read_stored

HEADER = "header"
NOT_STATE = {"networks", "license_note", "arch", "kind", "format_version", "sg_version"}


def write_npz(model: Model, path: str | os.PathLike) -> list[str]:
    """Write every network of `model`. Returns what the file cannot say: nothing."""
    arrays: dict[str, Any] = {HEADER: np.array(json.dumps(model.header))}
    for prefix in model.prefixes():
        arrays |= {f"{prefix}/{name}": tensor.numpy() for name, tensor in model.tensors(prefix).items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
    return []


def is_npz(archive: zipfile.ZipFile) -> bool:
    return f"{HEADER}.npy" in archive.namelist()


def read_npz(archive: zipfile.ZipFile) -> Contents:
    """Read what `write_npz` wrote. Raises PickleError for anything else."""
    header = json.loads(str(read_array(archive, HEADER)))
    networks = {}
    for prefix, kind in NETWORK_OF.items():
        start = f"{prefix}/"
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.startswith(start)]
        if names:
            arguments = dict(header["networks"][kind])
            tensors = {name.removeprefix(start): torch.from_numpy(read_array(archive, name).copy()) for name in names}
            networks[prefix] = make_network(arguments.pop("class"), arguments, tensors)
    if "G_ema" not in networks:
        raise PickleError("holds no generator (G_ema)")
    facts = {key: value for key, value in header.items() if key not in NOT_STATE}
    note = header.get("license_note") or "the weights keep the licence of their source"
    return Contents("NumPy archive of sg", header["arch"], networks, note, facts)


def read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One `.npy` of the archive: numbers or text, exactly as many as it has bytes for."""
    stream = io.BytesIO(read_stored(archive, f"{name}.npy"))
    major, _ = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(stream)
    data = stream.read()
    if dtype.kind not in "fiubU" or len(data) != math.prod(shape) * dtype.itemsize:
        raise PickleError(f"is damaged (the array {name} does not fit its content)")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
