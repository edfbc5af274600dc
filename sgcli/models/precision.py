"""Which number type a block computes in. Parameters, styles and the picture itself always stay fp32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def set_precision(network: nn.Module, precision: str) -> None:
    """Set every block of `network` to one of PRECISIONS.

    auto  fp16 in the blocks that the architecture marks (its highest resolutions), on a GPU; fp32 elsewhere.
    fp32  everywhere.
    bf16, fp16  in every block that is marked or lies above 4², also on a CPU.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: '{precision}' is unknown; one of {', '.join(PRECISIONS)}")
    for module in network.modules():
        if hasattr(module, "low_precision"):
            module.precision = precision  # type: ignore[assignment]


def block_dtype(precision: str, low_precision: bool, device: torch.device) -> torch.dtype:
    """The type in which a block with these settings computes on `device`."""
    if precision == "bf16":
        return torch.bfloat16
    if precision == "fp16":
        return torch.float16
    if precision == "auto" and low_precision and device.type == "cuda":
        return torch.float16
    return torch.float32


@contextlib.contextmanager
def fixed_precision(network: nn.Module, precision: str) -> Iterator[None]:
    """`set_precision` for a while."""
    kept = {module: module.precision for module in network.modules() if hasattr(module, "low_precision")}
    set_precision(network, precision)
    try:
        yield
    finally:
        for module, usual in kept.items():
            module.precision = usual
