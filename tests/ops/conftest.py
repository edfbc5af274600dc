"""The operators' two implementations as a fixture; native tests are skipped where nothing can be compiled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sgcli.ops import build, native

if library := os.environ.get("SG_TEST_OPERATORS"):  # test_cuda_on_cpu.py puts its library in the place of the CPU's
    build.library = lambda device="cpu": Path(library)
    native.OPERATORS.update({name: () for name, devices in native.OPERATORS.items() if "cuda" not in devices})


def skip_without_native() -> None:
    if not native.available():
        pytest.skip("; ".join({choice.reason for choice in native.status()}))


@pytest.fixture(params=["reference", "native"])
def impl(request) -> str:
    if request.param == "native":
        skip_without_native()
    return request.param


@pytest.fixture
def only_native() -> None:
    skip_without_native()
