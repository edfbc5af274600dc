"""Losses and regularisers beside their formulas (spec stylegan2-ada §5, progan-stylegan1 §2.5, §5.1); all return one
value per sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

from sgcli.distributed.group import ALONE, Group

GRADIENT_PENALTY_WEIGHT = 10.0
DRIFT_WEIGHT = 0.001


def generator_logistic(fake_logits: torch.Tensor) -> torch.Tensor:
    """Non-saturating: softplus(-D(G(z))) = -log sigmoid(D(G(z))). `[N, 1]`."""
    return F.softplus(-fake_logits)


def discriminator_logistic_fake(fake_logits: torch.Tensor) -> torch.Tensor:
    """softplus(D(G(z))). `[N, 1]`."""
    return F.softplus(fake_logits)


def discriminator_logistic_real(real_logits: torch.Tensor) -> torch.Tensor:
    """softplus(-D(x)). `[N, 1]`."""
    return F.softplus(-real_logits)


def generator_wasserstein(fake_scores: torch.Tensor) -> torch.Tensor:
    """-D(G(z)). `[N, 1]`."""
    return -fake_scores


def discriminator_wasserstein_fake(fake_scores: torch.Tensor) -> torch.Tensor:
    """D(G(z)). `[N, 1]`."""
    return fake_scores


def discriminator_wasserstein_real(real_scores: torch.Tensor) -> torch.Tensor:
    """-D(x) + 0.001·D(x)²: the second term, ProGAN's, keeps the scores from drifting away together. `[N, 1]`."""
    return DRIFT_WEIGHT * real_scores.square() - real_scores


class AdversarialLoss(NamedTuple):
    """What G and D minimise, each as a function of D's output."""

    generator: Callable[[torch.Tensor], torch.Tensor]
    discriminator_fake: Callable[[torch.Tensor], torch.Tensor]
    discriminator_real: Callable[[torch.Tensor], torch.Tensor]


ADVERSARIAL_LOSSES = {
    "logistic": AdversarialLoss(generator_logistic, discriminator_logistic_fake, discriminator_logistic_real),
    "wgan-gp": AdversarialLoss(generator_wasserstein, discriminator_wasserstein_fake, discriminator_wasserstein_real),
}


def class_entropy(class_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """-Σ_k c_k log softmax(logits)_k, `[N, 1]`: what G and D both minimise where D tells classes (AC-GAN)."""
    return -(labels * class_logits.log_softmax(dim=1)).sum(dim=1, keepdim=True)


def gradient_penalty(mixed_img: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """10·(‖∂ΣD(x̂)/∂x̂‖ - 1)², `[N]`, differentiable; x̂ lies between a real and a fake (Gulrajani et al. 2017)."""
    (gradient,) = torch.autograd.grad(outputs=[scores.sum()], inputs=[mixed_img], create_graph=True)
    return GRADIENT_PENALTY_WEIGHT * (gradient.square().sum(dim=[1, 2, 3]).sqrt() - 1).square()


def r1_penalty(real_img: torch.Tensor, real_logits: torch.Tensor) -> torch.Tensor:
    """Σ_{c,h,w} (∂ΣD(x)/∂x)², `[N]`, differentiable. The loss is gamma/2 times it (Mescheder et al. 2018)."""
    (gradient,) = torch.autograd.grad(outputs=[real_logits.sum()], inputs=[real_img], create_graph=True)
    return gradient.square().sum(dim=[1, 2, 3])


def path_length_penalty(
    lengths: torch.Tensor, running_mean: torch.Tensor, decay: float = 0.01, group: Group = ALONE
) -> tuple[torch.Tensor, torch.Tensor]:
    """(‖Jᵀy‖ - a)², `[N]`, and the new running mean a, detached.

    The penalty uses the freshly updated a with its gradient: a ← lerp(a, mean(lengths), decay).
    """
    mean = running_mean.lerp(group.mean(lengths.mean()), decay)
    return (lengths - mean).square(), mean.detach()
