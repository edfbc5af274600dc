"""Generators as ONNX graphs, for runtimes without PyTorch.

One graph: `z [N, z_dim]` (and `c [N, c_dim]`) and `truncation_psi []` to `ws [N, num_ws, w_dim]` and `img
[N, K, R, R]`, N free, noise fixed to the model's own maps. `ws` stands between its two halves, so
`onnx.utils.extract_model` takes the mapping or the synthesis out of it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import warnings
from typing import Any

import torch
from torch import nn

from sgcli.errors import SgError
from sgcli.files import atomic_path
from sgcli.models.base import Generator
from sgcli.models.checkpoint import Model
from sgcli.models.growing import Growing
from sgcli.ops import native

OPSET = 18
BATCH_WHILE_TRACING = 2  # any number above 1: the graph keeps it free


class _Graph(nn.Module):
    def __init__(self, G: Generator):
        super().__init__()
        self.G = G

    def forward(
        self, z: torch.Tensor, truncation_psi: torch.Tensor, c: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ws = self.G.mapping.w_avg.lerp(self.G.mapping(z, c), truncation_psi)
        return ws, self.G.synthesis(ws, noise="const")


def write_onnx(model: Model, path: str | os.PathLike) -> list[str]:
    """Write G_ema. Returns what the file cannot say, in words. Raises SgError where a package is missing."""
    for package in ("onnx", "onnxscript"):  # torch.onnx needs both
        if importlib.util.find_spec(package) is None:
            raise SgError(f"--format onnx: the package {package} is not installed", "pip install 'sgcli[onnx]'")
    G = model.load_generator()
    exported = trace(G)
    described = {key: value for key, value in model.header.items() if key != "networks"}
    exported.model.metadata_props["sg"] = json.dumps(described)
    with atomic_path(path) as temporary:
        exported.save(temporary)
    return ["G and D"] + (["noise other than the model's own maps"] if G.synthesis.noise_layers() else [])


def trace(G: Generator) -> Any:
    """The graph of G, as `torch.onnx` gives it."""
    for module in G.modules():
        if isinstance(module, Growing):  # the level of detail decides which blocks run: it cannot be a tensor here
            lod = float(module.lod)
            del module.lod
            module.lod = lod  # type: ignore[assignment]
    inputs = [torch.randn(BATCH_WHILE_TRACING, G.z_dim), torch.tensor(1.0)]
    names = ["z", "truncation_psi"]
    batch = torch.export.Dim("N")
    shapes: list[Any] = [{0: batch}, None]
    if G.c_dim > 0:
        inputs.append(torch.zeros(BATCH_WHILE_TRACING, G.c_dim))
        names.append("c")
        shapes.append({0: batch})
    with native.switched_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        return torch.onnx.export(
            _Graph(G),
            tuple(inputs),
            dynamo=True,
            input_names=names,
            output_names=["ws", "img"],
            dynamic_shapes=tuple(shapes),
            opset_version=OPSET,
            verbose=False,
        )
