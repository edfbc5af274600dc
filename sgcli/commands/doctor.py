"""`sg doctor`: what this machine has, which operators it uses and why, and whether they compute the right thing."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import typer

from sgcli import __version__
from sgcli.commands import options

if TYPE_CHECKING:
    import torch


def doctor(quiet: options.Quiet = False) -> None:
    """Check this installation. Exit status 1 if something fails.

    sg doctor
    """
    for name, fact in machine_facts():
        print(f"{name:<16} {fact}")
    print()
    import torch

    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    healthy = True
    for device in devices:
        healthy &= report_choices(device)
    for device in devices:
        healthy &= report_checks(device)
    if not healthy:
        raise typer.Exit(1)
    print("all is well")


def machine_facts() -> list[tuple[str, str]]:
    import torch

    from sgcli import files
    from sgcli.ops import build

    cuda = "none"
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        cuda = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    cache = files.cache_folder()
    return [
        ("sg", f"{__version__}, Python {platform.python_version()} at {sys.executable}"),
        ("PyTorch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        ("CPU", build.cpu_name()),
        ("C++ compiler", build.compiler_version() or "none: install g++, or name one in CXX"),
        ("CUDA compiler", nvcc_version()),
        ("GPU", cuda),
        ("cache", str(cache) if cache else "none can be written: set SG_CACHE_DIR"),
    ]


def nvcc_version() -> str:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return "none"
    output = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout.split("\n")
    return next((line.strip() for line in output if "release" in line), nvcc)


def report_choices(device: torch.device) -> bool:
    """Print which implementation each operator uses and why; False where native code was wanted and is missing."""
    from sgcli.ops import native

    healthy = True
    for choice in native.status(device.type):  # type: ignore[arg-type]
        print(f"{choice.operator:<18} {choice.implementation} on {choice.device}: {choice.reason}")
        healthy &= not choice.missing
    return healthy


def report_checks(device: torch.device) -> bool:
    """Print forward, first and second derivative of every operator against the reference."""
    from sgcli.ops import native
    from sgcli.ops.selfcheck import TOLERANCE, check_operators

    if native.mode() == "reference" or not native.available():
        return True
    healthy = True
    for dtype in TOLERANCE:
        for check in check_operators(device, dtype):
            verdict = "ok" if check.passed else "WRONG"
            name = str(dtype).removeprefix("torch.")
            print(
                f"{check.operator:<18} {check.what:<16} {name:<9} on {device.type}: error {check.error:.1e}  {verdict}"
            )
            healthy &= check.passed
    if not healthy:
        print(
            "hint: compute with the reference, SG_OPS=reference, and report the lines above with your CPU and compiler"
        )
    return healthy
