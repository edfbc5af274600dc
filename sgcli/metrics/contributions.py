"""How much each resolution adds to the picture (Karras et al. 2020, "Analyzing and Improving the Image Quality of
StyleGAN", figure 8): the standard deviation of what its ToRGB layer gives.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sgcli.models.base import Generator
from sgcli.models.growing import GrowingSynthesis


def torgb_layers(G: Generator) -> dict[int, tuple[nn.Module, float]]:
    """By resolution: the layers whose pictures are added up, and the factor of each; none for StyleGAN3."""
    synthesis = G.synthesis
    blocks = {r: getattr(synthesis, f"b{r}") for r in getattr(synthesis, "block_resolutions", [])}
    if isinstance(synthesis, GrowingSynthesis):
        newest = synthesis.current_resolution
        shares = {newest // 2: synthesis.fade, newest: 1 - synthesis.fade}
        return {r: (blocks[r].torgb, share) for r, share in shares.items() if share > 0}
    return {r: (block.torgb, 1.0) for r, block in blocks.items() if hasattr(block, "torgb")}


@torch.inference_mode()
def contributions(G: Generator, ws: Iterable[torch.Tensor]) -> dict[int, float]:
    """Standard deviation of each ToRGB's pixels, by resolution, over batches of ws `[N, num_ws, W]`.

    Pixels of all samples are taken together, channels apart; the mean over channels of their variance gives the value.
    """
    layers = torgb_layers(G)
    pixels: dict[int, list[torch.Tensor]] = {r: [] for r in layers}
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output, r=r: pixels[r].append(moments(output)))
        for r, (layer, _) in layers.items()
    ]
    try:
        for batch in ws:
            G.synthesis(batch, noise="const")
    finally:
        for hook in hooks:
            hook.remove()
    deviations = {}
    for r, (_, factor) in layers.items():
        count, total, squares = torch.stack(pixels[r]).sum(dim=0).unbind()
        variance = squares / count - (total / count).square()
        deviations[r] = factor * float(variance.clamp(min=0).mean().sqrt())
    return deviations


def moments(img: torch.Tensor) -> torch.Tensor:
    """`[N, K, H, W] -> [3, K]`: number of pixels, their sum, the sum of their squares; float64."""
    img = img.to(torch.float64)
    count = torch.full([img.shape[1]], img[:, 0].numel(), dtype=torch.float64, device=img.device)
    return torch.stack([count, img.sum(dim=(0, 2, 3)), img.square().sum(dim=(0, 2, 3))])
