"""Style mixing and editing: arithmetic on ws `[N, num_ws, w_dim]`, float32 throughout.

Style mixing is that of the StyleGAN paper (section 3.1; spec progan-stylegan1 §3.1); `w1 + by·(w3 - w2)` that of
Image2StyleGAN (spec stylegan2-ada §8.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from sgcli.latents.interpolate import lerp


def mix_styles(sources: Sequence[torch.Tensor], layers: Mapping[int, int], blend: float = 1.0) -> torch.Tensor:
    """The first source, but in each of `layers` (layer -> number of a source) a share `blend` of that source's style.

    Sources are `[N|1, num_ws, w_dim]`; with `blend` 1 a layer holds exactly what its source holds.
    """
    sources = torch.broadcast_tensors(*sources)
    mixed = sources[0].clone()
    for layer, source in layers.items():
        mixed[:, layer] = lerp(mixed[:, layer], sources[source][:, layer], blend)
    return mixed


def move(ws: torch.Tensor, offset: torch.Tensor, by: float = 1.0, layers: Sequence[int] | None = None) -> torch.Tensor:
    """ws + by·offset in `layers` (None: all), the others untouched. Both `[N|1, num_ws, w_dim]`."""
    ws, offset = torch.broadcast_tensors(ws, offset)
    moved = ws.clone()
    chosen = list(range(ws.shape[1])) if layers is None else list(layers)
    moved[:, chosen] += by * offset[:, chosen]
    return moved
