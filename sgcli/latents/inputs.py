"""What a picture may start from besides w: noise maps of its own, and for StyleGAN3 a transform of the input.

A projection finds them; `sg generate --noise-file` draws with them. The file is a safetensors of kind "noise":
`noise0`, `noise1`, … `[N, r, r]` from the coarsest noise layer to the finest, and `transform` `[N, 3, 3]`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch.func import functional_call

from sgcli.errors import FormatError
from sgcli.models.base import Generator
from sgcli.models.checkpoint import read_header, read_tensors, save_tensors
from sgcli.models.fourier_input import movable_input
from sgcli.models.noise import NoiseChoice

KIND = "noise"


@dataclass(frozen=True)
class Inputs:
    """Of N pictures: a map per noise layer `[N, 1, r, r]`, and the input's transform `[N, 3, 3]` if it has one."""

    noise: list[torch.Tensor]
    transform: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.tensors()[0])

    def tensors(self) -> list[torch.Tensor]:
        return self.noise if self.transform is None else [*self.noise, self.transform]

    def rows(self, rows: slice | list[int]) -> Inputs:
        """Those of some of the pictures."""
        return Inputs([maps[rows] for maps in self.noise], None if self.transform is None else self.transform[rows])

    def to(self, device: torch.device | str) -> Inputs:
        return Inputs(
            [maps.to(device) for maps in self.noise], None if self.transform is None else self.transform.to(device)
        )

    @staticmethod
    def cat(parts: list[Inputs]) -> Inputs:
        """The pictures of all `parts`, in order."""
        transforms = [part.transform for part in parts if part.transform is not None]
        noise = [torch.cat(maps) for maps in zip(*(part.noise for part in parts), strict=True)]
        return Inputs(noise, torch.cat(transforms) if transforms else None)


def synthesize(G: Generator, ws: torch.Tensor, noise: NoiseChoice, transform: torch.Tensor | None) -> torch.Tensor:
    """Pictures `[N, C, R, R]` of ws `[N, num_ws, W]`; `transform` `[N, 3, 3]` comes on top of the generator's own."""
    if transform is None:
        return G.synthesis(ws, noise=noise)
    movable = movable_input(G.synthesis)
    assert movable is not None
    moved = {"input.transform": transform @ movable.transform}
    return functional_call(G.synthesis, moved, (ws,), {"noise": noise})


def draw_with(G: Generator, ws: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Pictures `[N, C, R, R]` with the noise maps and transforms of `inputs`."""
    return synthesize(G, ws, inputs.noise or "const", inputs.transform)


def save_inputs(path: str | os.PathLike, inputs: Inputs) -> None:
    """Write `inputs` as safetensors, whole or not at all."""
    tensors = {f"noise{number}": maps[:, 0] for number, maps in enumerate(inputs.noise)}
    if inputs.transform is not None:
        tensors["transform"] = inputs.transform
    save_tensors(path, tensors, {"kind": KIND})


def load_inputs(path: str | os.PathLike, G: Generator) -> Inputs:
    """Read what `save_inputs` wrote, on the CPU. Raises FormatError where it does not fit `G`."""
    read_header(path, KIND)
    tensors = read_tensors(path)
    found = {name: list(tensor.shape[1:]) for name, tensor in tensors.items()}
    resolutions = [layer.resolution for layer in G.synthesis.noise_layers()]
    wanted = {f"noise{number}": [r, r] for number, r in enumerate(resolutions)}
    if movable_input(G.synthesis) is not None:
        wanted["transform"] = [3, 3]
    if found != wanted or len({len(tensor) for tensor in tensors.values()}) != 1:
        raise FormatError(
            f"{path}: holds {_describe(found)}, this generator takes {_describe(wanted)}",
            "use it with the model that the pictures were projected into",
        )
    noise = [tensors[f"noise{number}"][:, None] for number in range(len(resolutions))]
    return Inputs(noise, tensors.get("transform"))


def _describe(shapes: dict[str, list[int]]) -> str:
    sizes = [f"{shape[0]}x{shape[0]}" for name, shape in sorted(shapes.items()) if name != "transform"]
    parts = [f"noise maps of {', '.join(sizes)}"] if sizes else []
    parts += ["transforms of the input"] * ("transform" in shapes)
    return " and ".join(parts) or "nothing of the kind"
