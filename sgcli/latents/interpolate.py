"""Ways from one latent to another: straight in W, along the sphere in Z (spec progan-stylegan1 §6.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def lerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """A share t of the straight way from a to b; exactly a at 0 and b at 1. All broadcast; t may lie outside 0…1."""
    return a.lerp(b, t)


def slerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """A share t (`[N, 1]` or a number) of the way along the great circle from a to b, `[N, dim]`; of length 1. For Z.

    Opposite ends have no one way between them: the result is then an end.
    """
    a, b = F.normalize(a), F.normalize(b)
    cosine = (a * b).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = t * torch.acos(cosine)
    across = F.normalize(b - cosine * a)
    return F.normalize(a * torch.cos(angle) + across * torch.sin(angle))
