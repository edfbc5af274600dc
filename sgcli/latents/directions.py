"""Directions in W along which pictures change in one way: from the style weights, from samples, from labels.

Whatever finds them, one step along a direction is one standard deviation of w, so that the same steps mean the same for
all of them, and for every model: something is found, made a step (`along`, `across`), and put `on_layers`.
Legend: N samples, K directions, W w_dim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sgcli.latents.seeds import latents_of_seeds
from sgcli.latents.svm import fit_linear_svm
from sgcli.models.base import Generator
from sgcli.models.fourier_input import FourierInput

SEEDS_AT_A_TIME = 1024
HELD_OUT_SHARE = 5  # every 5th latent tests the hyperplane that the others gave


@torch.inference_mode()
def w_of_seeds(G: Generator, seeds: Sequence[int], c: torch.Tensor | None = None) -> np.ndarray:
    """w of each seed (not truncated), `[N, W]` float32; all with the label c `[1, c_dim]`, None: zeros."""
    device = next(G.parameters()).device
    label = torch.zeros(1, G.c_dim, device=device) if c is None else c.to(device)
    parts = []
    for start in range(0, len(seeds), SEEDS_AT_A_TIME):
        z = torch.from_numpy(latents_of_seeds(seeds[start : start + SEEDS_AT_A_TIME], G.z_dim)).to(device)
        parts.append(G.mapping(z, label.expand(len(z), -1))[:, 0].cpu().numpy())
    return np.concatenate(parts)


def factorize_styles(G: Generator, layers: Sequence[int], num: int) -> tuple[np.ndarray, np.ndarray]:
    """Closed-form factorisation (Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs").

    A stacks the weights of the affine maps that turn w into the styles of `layers`. A step n in W changes the styles by
    A·n; the unit vectors that change them most are the eigenvectors of AᵀA. Of a w that several maps share, the first
    counts; the motion of StyleGAN3's input is no style and does not. Returns `num` unit vectors `[K, W]` and the share
    of all change that each accounts for `[K]`. Raises ValueError where none of `layers` has a style.
    """
    names = [layer.name for layer in G.synthesis.style_layers()]
    modules = [G.synthesis.get_submodule(names[layer]) for layer in layers]
    affines: list[Any] = [module.affine for module in modules if not isinstance(module, FourierInput)]
    if not affines:
        raise ValueError("none of these layers has a style")
    # As stored: in use they are all scaled alike, by 1/√W.
    A = torch.cat([affine.weight for affine in affines]).detach().double().cpu().numpy()
    return _leading_eigenvectors(A.T @ A, num)


def principal_axes(w: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """The axes along which w `[N, W]` varies most (Härkönen et al. 2020, "GANSpace: Discovering Interpretable GAN
    Controls"): `num` unit vectors `[K, W]`, and the share of the variance that each holds `[K]`.
    """
    centred = w.astype(np.float64) - w.mean(axis=0, dtype=np.float64)
    return _leading_eigenvectors(centred.T @ centred, num)


def attribute_normal(w: np.ndarray, has: np.ndarray) -> tuple[np.ndarray, float | None]:
    """The normal of the hyperplane between the w `[N, W]` with an attribute (`has`, `[N]` bool) and those without.

    Returns a unit vector `[W]` towards "with", and how well the hyperplane of four fifths of the latents sorts the
    others: the mean of both kinds' shares, 0.5 being chance; None where too few are left of either kind.
    Raises ValueError where all are of one kind.
    """
    w = w - w.mean(axis=0)  # the penalty on the bias favours planes near the origin, which means nothing here
    weights, _ = fit_linear_svm(w, has)
    normal = weights / max(np.linalg.norm(weights), np.finfo(np.float32).tiny)
    held_out = np.arange(len(w)) % HELD_OUT_SHARE == 0
    try:
        weights, bias = fit_linear_svm(w[~held_out], has[~held_out])
    except ValueError:
        return normal, None
    says = w[held_out] @ weights + bias > 0
    kinds = [says[has[held_out]], ~says[~has[held_out]]]
    return normal, float(np.mean([kind.mean() for kind in kinds])) if all(map(len, kinds)) else None


def along(axes: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Steps along unit vectors `[K, W]`: as long as the standard deviation of w `[N, W]` along each. `[K, W]`."""
    return axes * (w @ axes.T).std(axis=0)[:, None]


def across(normals: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Steps across hyperplanes with these unit normals `[K, W]`, on the way that w `[N, W]` itself takes. `[K, W]`.

    A step moves the distance from the hyperplane by one standard deviation, and everything else as it moves with that
    distance on average: Σn / √(nᵀΣn), Σ the covariance of w. It is the likeliest way across. The normal itself leads to
    places where no latents are, because W is far from round, and changes pictures little on the way there.
    """
    distances = w @ normals.T
    distances -= distances.mean(axis=0)
    spread = distances.std(axis=0).clip(np.finfo(np.float32).tiny)
    return (distances / spread).T @ (w - w.mean(axis=0)) / len(w)


def on_layers(steps: np.ndarray, num_ws: int, layers: Sequence[int]) -> np.ndarray:
    """Steps in W `[K, W]` as directions `[K, num_ws, W]` float32 in `layers`, zero in the others."""
    directions = np.zeros([len(steps), num_ws, steps.shape[1]], np.float32)
    directions[:, list(layers)] = steps[:, None]
    return directions


def _leading_eigenvectors(matrix: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a symmetric matrix: the `num` of largest eigenvalue `[K, W]`, largest component positive; shares `[K]`."""
    values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1].clip(0), vectors.T[::-1]
    strongest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return (vectors * np.sign(strongest))[:num], (values / max(values.sum(), np.finfo(float).tiny))[:num]
