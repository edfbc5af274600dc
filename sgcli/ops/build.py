"""Compile sgcli/csrc at first use, for this machine, into the user's cache.

The library's name holds a hash of everything that it depends on: sources, flags, compiler, PyTorch and CPU. Processes
that come at the same time wait for the first one's build. A failed build is remembered under the same name, so that it
is tried and reported once.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from sgcli import files, progress

SOURCES = Path(__file__).parents[1] / "csrc"
FLAGS = [
    "-O3",
    "-march=native" if platform.machine() in ("x86_64", "AMD64") else "-mcpu=native",
    "-ffp-contract=fast",
    "-fopenmp-simd",
    "-fvisibility=hidden",
    "-DTORCH_TARGET_VERSION=0x020a000000000000",  # the stable ABI of PyTorch 2.10, which every later one keeps
]


class Problem(Exception):
    """Why there is no native library: what is wrong, and what to do about it."""

    def __init__(self, what: str, repair: str):
        super().__init__(what)
        self.what = what
        self.repair = repair


def library() -> Path:
    """The compiled library, built if it is not in the cache yet. Raises Problem."""
    cache = files.cache_folder()
    if cache is None:
        raise _report(Problem("no cache folder can be written", "set SG_CACHE_DIR to a folder that you may write to"))
    path = cache / f"operators-{_key()}.so"
    if path.exists():
        return path
    with _locked(path.with_suffix(".lock")):
        if path.exists():  # another process was faster
            return path
        failure = path.with_suffix(".failed")
        if failure.exists():
            raise _problem_of(failure)
        try:
            _compile(path)
        except Exception as error:  # whatever goes wrong in compiler, linker or loader, the reference takes over
            files.write_text(failure, str(error))
            raise _report(_problem_of(failure)) from error
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
def cpu_name() -> str:
    """The CPU's name and instruction set, for which -march=native compiles."""
    return _cpu_field("model name") or platform.machine()


def _key() -> str:
    digest = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    instructions = _cpu_field("flags") or _cpu_field("Features")  # the field's name on x86 and on ARM
    for part in (*FLAGS, compiler_version(), torch.__version__, cpu_name(), instructions):
        digest.update(f"\0{part}".encode())
    return digest.hexdigest()[:16]


def _cpu_field(name: str) -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        for line in file:
            if line.partition(":")[0].strip() == name:
                return line.partition(":")[2].strip()
    return ""


def _compiler() -> str:
    return os.environ.get("CXX", "c++")


def _compile(path: Path) -> None:
    """Build in a folder of our own, then move the library into place whole."""
    if compiler_version() is None:
        raise FileNotFoundError(f"no C++ compiler: '{_compiler()}' cannot be run")
    import ninja
    from torch.utils import cpp_extension

    with tempfile.TemporaryDirectory(prefix="build-", dir=path.parent) as folder, _spinner(), _on_path(ninja.BIN_DIR):
        cpp_extension.load(
            name="operators",
            sources=[str(source) for source in sorted(SOURCES.glob("*.cpp"))],
            extra_cflags=FLAGS,
            build_directory=folder,
            is_python_module=False,
        )
        os.replace(Path(folder) / "operators.so", path)


def _problem_of(failure: Path) -> Problem:
    text = failure.read_text()
    first = next((line.strip() for line in text.splitlines() if "error:" in line), text.partition("\n")[0])
    if compiler_version() is None:
        return Problem(first, "install a C++ compiler (Debian, Ubuntu: apt install g++), or name one in CXX")
    return Problem(f"they do not compile: {first}", f"see {failure}, delete it to try again")


def _report(problem: Problem) -> Problem:
    progress.warn(
        f"native operators: {problem.what}; using PyTorch's own, many times slower. To repair: {problem.repair}"
    )
    return problem


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The kernel lets go of the lock when a process dies, however it does.
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _spinner() -> Iterator[None]:
    if progress.is_quiet() or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status("compiling the native operators (once for this machine, some ten seconds)"):
        yield


@contextlib.contextmanager
def _on_path(folder: str) -> Iterator[None]:
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([folder, before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
