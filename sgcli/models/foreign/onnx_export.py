"""Generators as ONNX graphs, for runtimes without PyTorch. N is free, noise fixed to the model's own maps.

whole      z [N, z_dim], truncation_psi [], for conditional models c [N, c_dim]
           -> ws [N, num_ws, w_dim], img [N, K, R, R]
synthesis  ws -> img
"""

from __future__ import annotations

import importlib.util
import json
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


class _Whole(nn.Module):
    def __init__(self, G: Generator):
        super().__init__()
        self.G = G

    def forward(
        self, z: torch.Tensor, truncation_psi: torch.Tensor, c: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ws = self.G.mapping.w_avg.lerp(self.G.mapping(z, c), truncation_psi)
        return ws, self.G.synthesis(ws, noise="const")


class _Synthesis(nn.Module):
    def __init__(self, G: Generator):
        super().__init__()
        self.synthesis = G.synthesis

    def forward(self, ws: torch.Tensor) -> torch.Tensor:
        return self.synthesis(ws, noise="const")


def write_onnx(model: Model, path: str | os.PathLike, synthesis_only: bool = False) -> list[str]:
    """Write G_ema. Returns what the file cannot say, in words. Raises SgError where a package is missing."""
    for package in ("onnx", "onnxscript"):  # torch.onnx needs both
        if importlib.util.find_spec(package) is None:
            raise SgError(f"--format onnx: the package {package} is not installed", "pip install 'sgcli[onnx]'")
    G = model.load_generator()
    exported = trace(G, synthesis_only)
    described = {key: value for key, value in model.header.items() if key != "networks"}
    exported.model.metadata_props["sg"] = json.dumps(described)
    with atomic_path(path) as temporary:
        exported.save(temporary)
    return ["G and D"] + (["noise other than the model's own maps"] if G.synthesis.noise_layers() else [])


def trace(G: Generator, synthesis_only: bool) -> Any:
    """The graph of G, as `torch.onnx` gives it."""
    for module in G.modules():
        if isinstance(module, Growing):  # the level of detail decides which blocks run: it cannot be a tensor here
            lod = float(module.lod)
            del module.lod
            module.lod = lod  # type: ignore[assignment]
    n = BATCH_WHILE_TRACING
    if synthesis_only:
        inputs, outputs = {"ws": torch.randn(n, G.num_ws, G.w_dim)}, ["img"]
    else:
        inputs, outputs = {"z": torch.randn(n, G.z_dim), "truncation_psi": torch.tensor(1.0)}, ["ws", "img"]
        if G.c_dim > 0:
            inputs["c"] = torch.zeros(n, G.c_dim)
    free = torch.export.Dim("N")
    shapes = {name: {0: free} if value.ndim else None for name, value in inputs.items()}
    with native.switched_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        # Exported beforehand: given a module, torch.onnx would fix N without a word where the code fixes it.
        program = torch.export.export(_Synthesis(G) if synthesis_only else _Whole(G), (), inputs, dynamic_shapes=shapes)
        return torch.onnx.export(
            program,
            dynamic_shapes=shapes,  # for the name N
            input_names=list(inputs),
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
