"""Compile the CUDA sources with nvcc.

PyTorch's own helper for this is not used: it looks for the CUDA toolkit's folder, and finds a wrong one where nvcc is
on PATH as a link or a wrapper.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

TORCH = Path(torch.__file__).parent
FLAGS = [
    "-std=c++17",
    "-O3",
    "--expt-relaxed-constexpr",
    "-Xcompiler=-fPIC,-fvisibility=hidden",
    "-DTORCH_TARGET_VERSION=0x020a000000000000",  # the stable ABI of PyTorch 2.10, which every later one keeps
    "-DUSE_CUDA",
    f"-I{TORCH / 'include'}",
]


def find() -> str | None:
    """The path of nvcc: on PATH, in $CUDA_HOME or where the toolkit is usually installed. None where there is none."""
    folders = [os.environ.get("PATH", ""), os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin")]
    return shutil.which("nvcc", path=os.pathsep.join(folders))


@functools.cache
def version() -> str | None:
    """The line of `nvcc --version` that tells the release, or None where there is no nvcc."""
    nvcc = find()
    if nvcc is None:
        return None
    try:
        output = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return next((line.strip() for line in output.splitlines() if "release" in line), None)


def architectures() -> list[str]:
    """The machine codes of this machine's GPUs, such as `["90"]`."""
    capabilities = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
    return [f"{major}{minor}" for major, minor in sorted(capabilities)]


def compile_library(sources: Iterable[Path], path: Path, architectures: list[str]) -> None:
    """Compile `sources` side by side, with their objects beside `path`, and link them to the shared library `path`.

    Raises FileNotFoundError where there is no nvcc, RuntimeError with the compiler's words where it fails.
    """
    nvcc = find()
    if nvcc is None:
        raise FileNotFoundError("no CUDA compiler: nvcc is neither on PATH nor in CUDA_HOME")
    command = [nvcc, *_host_compiler()]
    targets = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in architectures]

    def compile_one(source: Path) -> Path:
        target = path.with_name(f"{source.name}.o")
        _run([*command, *FLAGS, *targets, "-c", str(source), "-o", str(target)])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        objects = list(workers.map(compile_one, sources))
    libraries = [name for name in ("c10", "torch", "torch_cpu", "torch_cuda") if (TORCH / f"lib/lib{name}.so").exists()]
    linked = [f"-L{TORCH / 'lib'}", *(f"-l{name}" for name in libraries), "-cudart=shared"]
    _run([*command, "-shared", *map(str, objects), *linked, "-o", str(path)])


def _host_compiler() -> list[str]:
    return ["-ccbin", os.environ["CXX"]] if "CXX" in os.environ else []


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{result.stdout}{result.stderr}\nnvcc failed: {' '.join(command)}")
