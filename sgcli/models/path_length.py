"""How strongly pictures answer to a step in W (Karras et al. 2020, "Analyzing and Improving the Image Quality of
StyleGAN", section 3.2; spec stylegan2-ada §5): the lengths that path-length regularisation evens out.
"""

from __future__ import annotations

import math

import torch


def path_lengths(img: torch.Tensor, ws: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """√(mean over layers of ‖∂Σ(img · y)/∂w‖²), `[N]`, differentiable.

    img    `[N, K, R, R]`, computed from ws `[N, num_ws, W]`.
    noise  y, `[N, K, R, R]`, N(0, 1) / √(R·R).
    """
    (gradient,) = torch.autograd.grad(outputs=[(img * noise).sum()], inputs=[ws], create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_noise(img: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    """y for `path_lengths`: N(0, 1) shaped as img, divided by √(H·W), image n drawn from generators[n]."""
    draws = [torch.randn(img.shape[1:], generator=generator, device=img.device) for generator in generators]
    return torch.stack(draws) / math.sqrt(img.shape[2] * img.shape[3])
