"""The CUDA kernels without a GPU: csrc/*.cu compiled for the CPU (cuda_on_cpu.h), under the tests of the operators.

The library takes the place of the CPU's in a second pytest, so that goldens, derivatives and random comparisons run on
the CUDA kernels with everything around them. Not covered: what only a GPU has, such as streams, launches and speed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from sgcli import files
from sgcli.ops import build

HERE = Path(__file__).parent
TORCH = Path(torch.__file__).parent
FLAGS = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-DTORCH_TARGET_VERSION=0x020a000000000000"]
FLAGS += ["-Wall", "-Wno-unknown-pragmas", "-Werror", f"-I{TORCH / 'include'}", f"-include{HERE / 'cuda_on_cpu.h'}"]


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    """The kernels as operators of the CPU, compiled once and kept in the cache."""
    if build.compiler_version() is None:
        pytest.skip("no C++ compiler")
    sources = [*build.sources("cuda"), build.SOURCES / "library.cpp"]
    digest = hashlib.sha256(f"{FLAGS}{build.compiler_version()}{torch.__version__}".encode())
    for path in [*sources, *sorted(build.SOURCES.glob("*.cuh")), *sorted(build.SOURCES.glob("*.h")), *HERE.glob("*.h")]:
        digest.update(path.read_bytes())
    folder = files.cache_folder() or tmp_path_factory.mktemp("cuda-on-cpu")
    library = folder / f"cuda-on-cpu-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        with files.atomic_path(library) as unfinished:
            compile_library(sources, unfinished, tmp_path_factory.mktemp("objects"))
    return library


def compile_library(sources: list[Path], library: Path, folder: Path) -> None:
    def compile_one(source: Path) -> str:
        target = str(folder / f"{source.name}.o")
        run([build._compiler(), "-x", "c++", *FLAGS, "-c", str(source), "-o", target])
        return target

    with ThreadPoolExecutor(2) as workers:
        objects = list(workers.map(compile_one, sources))
    linked = [f"-L{TORCH / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"]
    run([build._compiler(), "-shared", *objects, *linked, "-o", str(library)])


def run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def run_tests(library: Path, *arguments: str) -> None:
    environment = {**os.environ, "SG_TEST_OPERATORS": str(library), "OMP_NUM_THREADS": "1"}
    environment.pop("SG_OPS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE.parents[1])
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert "skipped" not in result.stdout


def test_goldens(library):
    run_tests(library, str(HERE / "test_goldens.py"), "-k", "native and not conv2d")


def test_layers(library):
    layers = str(HERE / "test_stylegan3_layers.py")
    run_tests(library, layers, "-k", "reduced_precision or several_tiles")


def test_modulation(library):
    run_tests(library, str(HERE / "test_modulated_bias_act.py"), "-k", "native and not opcheck")


@pytest.mark.slow
def test_everything(library):
    names = ["test_goldens", "test_stylegan3_layers", "test_agreement", "test_derivatives", "test_modulated_bias_act"]
    # The fake kernels describe each device's own codes.
    run_tests(library, *(str(HERE / f"{name}.py") for name in names), "-k", "not opcheck and not compiles")
