"""TorchScript files: networks that bring their own code, and so run only for a user who says --trust."""

from __future__ import annotations

import os

import torch

from sgcli.errors import FormatError, UsageError
from sgcli.files import explain_os_error


def load_torchscript(path: str | os.PathLike, trust: bool, device: torch.device) -> torch.jit.ScriptModule:
    """The network in a file, frozen. Raises UsageError without `trust`, FormatError for what is no TorchScript."""
    if not trust:
        raise UsageError(
            f"{path}: a TorchScript file executes code of whoever made it",
            "if you trust where it comes from, add --trust",
        )
    try:
        with explain_os_error(path):
            with open(path, "rb"):
                pass
            module = torch.jit.load(os.fspath(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise FormatError(f"{path}: not a TorchScript file ({reason})", "torch.jit.save writes such files") from error
    for parameter in module.parameters():  # a ScriptModule refuses requires_grad_ as a whole
        parameter.requires_grad_(False)
    return module.eval()
