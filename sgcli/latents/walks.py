"""Walks through latent space: smooth ways through key latents, as functions of time.

Time runs in keys: at t = k a walk is exactly at key k. A closed walk goes on from its last key to the first, and is
back there at t = K; an open one ends at t = K - 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sgcli.errors import UsageError
from sgcli.latents.interpolate import lerp, slerp

Walk = Callable[[np.ndarray], torch.Tensor]  # times [B], float64 -> latents [B, ...]

INTERPOLATIONS = ("spline", "linear", "slerp")
SAMPLES_PER_KEY = 64  # of a walk's length
HOLD = 0.3  # share of the time between two keys that the easing "hold" rests


def shares_of_way(frames: np.ndarray, num_frames: int, closed: bool) -> np.ndarray:
    """Frame numbers -> shares of the whole way, from 0. A closed film stops one frame before it would repeat its first;
    an open one shows both ends.
    """
    return frames / (num_frames if closed else max(num_frames - 1, 1))


# ----- easing: [B] shares of the time between two keys -> shares of the way


def smooth(share: np.ndarray) -> np.ndarray:
    """Starts and ends at rest: 3s² - 2s³."""
    return share * share * (3 - 2 * share)


def hold(share: np.ndarray) -> np.ndarray:
    """Rests at either key, and is smooth between."""
    return smooth(np.clip((share - HOLD / 2) / (1 - HOLD), 0, 1))


EASINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"none": lambda share: share, "smooth": smooth, "hold": hold}


def ease(times: np.ndarray, easing: str) -> np.ndarray:
    """Times as the walk's rhythm bends them; keys stay where they are. `easing`: a key of EASINGS."""
    whole = np.floor(times)
    return whole + EASINGS[easing](times - whole)


# ----- ways through keys


def through(keys: torch.Tensor, interpolation: str, closed: bool) -> Walk:
    """The walk through keys `[K, ...]`: "spline" (cubic, smooth at the keys), "linear", or "slerp" for Z `[K, z_dim]`.

    Raises UsageError for any other `interpolation`.
    """
    if interpolation not in INTERPOLATIONS:
        raise UsageError(f"--interp {interpolation}: one of {', '.join(INTERPOLATIONS)}", "--interp spline")
    if len(keys) == 1:
        return lambda times: keys.expand(len(times), *keys.shape[1:])
    return spline(keys, closed) if interpolation == "spline" else piecewise(keys, slerp if keys.ndim == 2 else lerp)


def piecewise(keys: torch.Tensor, between: Callable[..., torch.Tensor]) -> Walk:
    """From key to key by `between(a, b, share)`."""

    def walk(times: np.ndarray) -> torch.Tensor:
        whole = np.floor(times)
        first = torch.from_numpy(whole.astype(np.int64)).to(keys.device) % len(keys)
        share = torch.from_numpy(times - whole).to(keys)
        return between(keys[first], keys[(first + 1) % len(keys)], share.reshape(-1, *[1] * (keys.ndim - 1)))

    return walk


def spline(keys: torch.Tensor, closed: bool) -> Walk:
    """The cubic spline through W or W+ `[K, num_ws, w_dim]`: periodic where closed, else natural."""
    from scipy.interpolate import CubicSpline

    same_everywhere = bool((keys == keys[:, :1]).all())  # plain W: one layer's spline is that of all
    knots = (keys[:, :1] if same_everywhere else keys).double().cpu().numpy()
    if closed:
        knots = np.concatenate([knots, knots[:1]])
    curve = CubicSpline(np.arange(len(knots)), knots, bc_type="periodic" if closed else "natural")

    def walk(times: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(curve(times)).to(keys).expand(len(times), *keys.shape[1:])

    return walk


def mapped(walk: Walk, change: Callable[[torch.Tensor], torch.Tensor]) -> Walk:
    """The walk, with what `change` makes of its latents: Z to W."""
    return lambda times: change(walk(times))


def at_constant_speed(walk: Walk, length: float) -> Walk:
    """The same way from t = 0 to `length` at a speed that is constant by arc length; only its ends keep their times."""
    times = np.linspace(0, length, max(round(length * SAMPLES_PER_KEY), 1) + 1)
    steps: list[np.ndarray] = []
    for start in range(0, len(times) - 1, SAMPLES_PER_KEY):
        points = walk(times[start : start + SAMPLES_PER_KEY + 1]).double().flatten(1)
        steps.append(points.diff(dim=0).norm(dim=1).cpu().numpy())
    distance = np.concatenate([[0.0], *steps]).cumsum()
    if distance[-1] == 0:  # it stands still
        return walk
    return lambda asked: walk(np.interp(asked / length * distance[-1], distance, times))
