"""Reading `tests/golden/*.npz`: numbers computed once with the published implementations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"


class Golden(dict[str, torch.Tensor]):
    """Arrays of one golden file as tensors; JSON strings are decoded into `info`."""

    def __init__(self, name: str):
        super().__init__()
        self.info: dict = {}
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
            for key in arrays.files:
                value = arrays[key]
                if value.dtype.kind in "US":
                    self.info[key] = json.loads(str(value))
                else:
                    self[key] = torch.from_numpy(np.array(value))

    def under(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors whose key starts with `prefix/`, without it."""
        return {key.removeprefix(f"{prefix}/"): value for key, value in self.items() if key.startswith(f"{prefix}/")}


def assert_close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    """Largest difference within `tolerance` of the largest magnitude expected."""
    assert actual.shape == expected.shape, f"{tuple(actual.shape)} against {tuple(expected.shape)}"
    scale = expected.abs().max().item()
    error = (actual.detach() - expected).abs().max().item()
    assert error <= tolerance * max(scale, 1e-12), f"differs by {error:.3g} of {scale:.3g}"
