"""Compile sgcli/csrc at first use, for this machine, into the user's cache: one library for the CPU, one for GPUs.

A library's name holds a hash of everything that it depends on: sources, flags, compiler, PyTorch and CPU or GPUs.
Processes that come at the same time wait for the first one's build. A failed build is remembered under the same name,
so that it is tried and reported once.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

from sgcli import files, progress
from sgcli.ops import nvcc

Device = Literal["cpu", "cuda"]
SOURCES = Path(__file__).parents[1] / "csrc"
FLAGS = [
    "-O3",
    "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native",
    "-ffp-contract=fast",
    "-fopenmp-simd",
    "-fvisibility=hidden",
    "-DTORCH_TARGET_VERSION=0x020a000000000000",  # the stable ABI of PyTorch 2.10, which every later one keeps
]
SIXTEEN_BIT_INSTRUCTIONS = {  # as /proc/cpuinfo calls them, on x86 and on ARM
    torch.bfloat16: {"avx512_bf16", "amx_bf16", "bf16"},
    torch.float16: {"avx512_fp16", "amx_fp16", "fphp"},
}


class Problem(Exception):
    """Why there is no native library: what is wrong, and what to do about it."""

    def __init__(self, what: str, repair: str):
        super().__init__(what)
        self.what = what
        self.repair = repair


def library(device: Device = "cpu") -> Path:
    """The compiled library for a kind of device, built if it is not in the cache yet. Raises Problem."""
    cache = files.cache_folder()
    if cache is None:
        problem = Problem("no cache folder can be written", "set SG_CACHE_DIR to a folder that you may write to")
        raise _report(problem, device)
    path = cache / f"operators-{device}-{_key(device)}.so"
    if path.exists():
        return path
    with files.only_process(path.with_suffix(".lock")):
        if path.exists():  # another process was faster
            return path
        failure = path.with_suffix(".failed")
        if failure.exists():
            raise _problem_of(failure, device)
        try:
            _compile(path, device)
        except Exception as error:  # whatever goes wrong in compiler, linker or loader, the reference takes over
            files.write_text(failure, str(error))
            raise _report(_problem_of(failure, device), device) from error
    return path


@functools.cache
def compiler_version() -> str | None:
    """First line of `$CXX --version` (default: c++), or None where there is no compiler."""
    try:
        process = subprocess.run([_compiler(), "--version"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.partition("\n")[0]


@functools.cache
def multiplies(dtype: torch.dtype) -> bool:
    """Whether the CPU has instructions for products of 16-bit numbers of type `dtype`, else converts to float32."""
    return not SIXTEEN_BIT_INSTRUCTIONS[dtype].isdisjoint(_instructions().split())


@functools.cache
def cpu_name() -> str:
    """The CPU's name and instruction set, for which -march=native compiles."""
    return _cpu_field("model name") or platform.machine()


def sources(device: Device) -> list[Path]:
    """What is compiled for a kind of device. format.cpp knows nothing of devices, and each library has it."""
    patterns = ["*.cpp"] if device == "cpu" else ["*.cu", "format.cpp"]
    return [path for pattern in patterns for path in sorted(SOURCES.glob(pattern))]


def _key(device: Device) -> str:
    machine: list[str | None]
    if device == "cpu":
        machine = [*FLAGS, cpu_name(), _instructions()]
    else:
        machine = [*nvcc.FLAGS, nvcc.version(), *nvcc.architectures()]
    digest = hashlib.sha256()
    for source in [*sources(device), *sorted(SOURCES.glob("*.h")), *sorted(SOURCES.glob("*.cuh"))]:
        digest.update(source.name.encode() + source.read_bytes())
    for part in (*machine, compiler_version(), torch.__version__):
        digest.update(f"\0{part}".encode())
    return digest.hexdigest()[:16]


def _instructions() -> str:
    return _cpu_field("flags") or _cpu_field("Features")  # the field's name on x86 and on ARM


def _cpu_field(name: str) -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.partition(":")[0].strip() == name:
                return line.partition(":")[2].strip()
    return ""


def _compiler() -> str:
    return os.environ.get("CXX", "c++")


def _compile(path: Path, device: Device) -> None:
    """Build in a folder of our own, then move the library into place whole."""
    if compiler_version() is None:
        raise FileNotFoundError(f"no C++ compiler: '{_compiler()}' cannot be run")
    with tempfile.TemporaryDirectory(prefix="build-", dir=path.parent) as folder, _spinner(device):
        built = Path(folder) / "operators.so"
        if device == "cuda":
            nvcc.compile_library(sources(device), built, nvcc.architectures())
        else:
            _compile_for_cpu(built)
        os.replace(built, path)


def _compile_for_cpu(path: Path) -> None:
    import ninja
    from torch.utils import cpp_extension

    with _on_path(ninja.BIN_DIR):
        cpp_extension.load(
            name=path.stem,
            sources=[str(source) for source in sources("cpu")],
            extra_cflags=FLAGS,
            build_directory=str(path.parent),
            is_python_module=False,
        )


def _problem_of(failure: Path, device: Device) -> Problem:
    text = failure.read_text()
    first = next((line.strip() for line in text.splitlines() if "error:" in line), text.partition("\n")[0])
    if compiler_version() is None:
        return Problem(first, "install a C++ compiler (Debian, Ubuntu: apt install g++), or name one in CXX")
    if device == "cuda" and nvcc.version() is None:
        return Problem(first, f"install the CUDA toolkit {torch.version.cuda}, or name its folder in CUDA_HOME")
    return Problem(f"they do not compile: {first}", f"see {failure}, delete it to try again")


def _report(problem: Problem, device: Device) -> Problem:
    what = "native operators" if device == "cpu" else "native operators for the GPU"
    progress.warn(f"{what}: {problem.what}; using PyTorch's own, many times slower. To repair: {problem.repair}")
    return problem


@contextlib.contextmanager
def _spinner(device: Device) -> Iterator[None]:
    if progress.is_quiet() or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    operators, seconds = ("native operators", "twenty") if device == "cpu" else ("CUDA operators", "thirty")
    with Console(stderr=True).status(f"compiling the {operators} (once for this machine, some {seconds} seconds)"):
        yield


@contextlib.contextmanager
def _on_path(folder: str) -> Iterator[None]:
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([folder, before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
