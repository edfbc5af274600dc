"""The CUDA sources compile with nvcc and link, on machines without a GPU too."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import subprocess
from pathlib import Path

import pytest

from sgcli.ops import build, nvcc

pytestmark = pytest.mark.skipif(nvcc.version() is None, reason="no CUDA compiler: nvcc is not installed")


def test_one_file_compiles(tmp_path):
    sources = [build.SOURCES / "resample.cu", build.SOURCES / "format.cpp"]
    nvcc.compile_library(sources, tmp_path / "operators.so", ["90"])


@pytest.mark.slow
def test_all_compile_and_nothing_is_undefined(tmp_path):
    library = tmp_path / "operators.so"
    nvcc.compile_library(build.sources("cuda"), library, ["80", "90", "120"])
    assert unknown_symbols(library) == set()


def unknown_symbols(library: Path) -> set[str]:
    """Undefined symbols that neither a library on this machine nor PyTorch's C interface (whose CUDA half a build of
    PyTorch for the CPU lacks) defines."""
    output = subprocess.run(
        ["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True
    ).stdout
    symbols = {line.split()[-1].partition("@")[0] for line in output.splitlines() if " U " in line}
    interface = "".join(path.read_text() for path in (nvcc.TORCH / "include/torch/csrc").rglob("c/shim*.h"))
    symbols -= set(re.findall(r"\b(?:aoti_)?torch_\w+", interface))
    toolkit = Path(nvcc.find() or "").resolve().parents[1]
    runtimes = [Path("/usr/local/cuda/lib64/libcudart.so"), *toolkit.rglob("libcudart.so")]
    libraries = [ctypes.CDLL(None), *(ctypes.CDLL(str(path)) for path in runtimes if path.exists())]
    libraries += [ctypes.CDLL(str(nvcc.TORCH / f"lib/lib{name}.so")) for name in ("c10", "torch_cpu")]
    libraries += [ctypes.CDLL(ctypes.util.find_library(name)) for name in ("stdc++", "gcc_s", "m")]
    return {symbol for symbol in symbols if not any(hasattr(library, symbol) for library in libraries)}
