"""Feature maps of a layer, and how far single peaks dominate them: the droplets of StyleGAN (Karras et al. 2020,
"Analyzing and Improving the Image Quality of StyleGAN", section 2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from sgcli.models.base import Generator

PEAK_WINDOW = 3  # pixels


def layer_names(G: Generator) -> list[str]:
    """The layers that styles drive, from coarse to fine, without those that a growing network does not use yet."""
    largest = getattr(G.synthesis, "current_resolution", G.img_resolution)
    return [layer.name for layer in G.synthesis.style_layers() if layer.resolution <= largest]


@torch.inference_mode()
def feature_maps(G: Generator, layer: str, ws: torch.Tensor) -> torch.Tensor:
    """What `layer` (one of `layer_names`) gives for ws `[N, num_ws, W]`, with the model's own noise: `[N, C, H, W]`."""
    seen: list[torch.Tensor] = []
    hook = G.synthesis.get_submodule(layer).register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        G.synthesis(ws, noise="const")
    finally:
        hook.remove()
    return seen[0].to(torch.float32)


def peak_shares(maps: torch.Tensor) -> torch.Tensor:
    """`[N, C, H, W] -> [N, C]`: the largest share of a map's variance that lies within 3x3 pixels.

    1 is a single droplet on a flat map; where nothing stands out it is some times 9 / (H·W). A flat map has 0.
    """
    energy = (maps - maps.mean(dim=(2, 3), keepdim=True)).square()
    window = F.avg_pool2d(energy, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2) * PEAK_WINDOW**2
    return window.amax(dim=(2, 3)) / energy.sum(dim=(2, 3)).clamp(min=1e-12)


def strongest_channels(maps: torch.Tensor, count: int) -> torch.Tensor:
    """The channels of `[N, C, H, W]` with the largest norm over all samples, from strong to weak."""
    return maps.square().sum(dim=(0, 2, 3)).topk(min(count, maps.shape[1])).indices


def as_pictures(maps: torch.Tensor) -> torch.Tensor:
    """`[N, C, H, W] -> [N, C, 1, H, W]` uint8: each map by itself, 0 mid-grey, its largest magnitude black or white."""
    largest = maps.abs().amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)
    return (maps / largest * 127.5 + 128).clamp(0, 255).to(torch.uint8)[:, :, None]
