"""Building at first use: one build for all, failures remembered and reported once, the reference as the way out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sgcli.errors import SgError, UsageError
from sgcli.ops import build, native
from sgcli.ops.upfirdn2d import upfirdn2d


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """An empty cache, and nothing known of compiler and SG_OPS."""
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("SG_OPS", raising=False)
    caches = build.compiler_version, native.mode
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def fake_compiler(folder: Path, script: str) -> str:
    path = folder / "fake-c++"
    path.write_text(f'#!/bin/sh\ncase "$*" in *--version*) echo "fake-c++ 1.0"; exit;; esac\n{script}\n')
    path.chmod(0o755)
    return str(path)


def assert_reported_once(capsys, what: str, repair: str) -> None:
    with pytest.raises(build.Problem, match=what):
        build.library()
    report = capsys.readouterr().err
    assert report.startswith("warning: native operators: ") and re.search(what, report) and repair in report
    assert report.count("\n") == 1
    with pytest.raises(build.Problem, match=what):  # as another process would find it
        build.library()
    assert capsys.readouterr().err == ""


def test_compiler_that_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(
        "CXX", fake_compiler(tmp_path, f"echo run >> {tmp_path}/log\necho 'x.cpp:1: error: no luck' >&2\nexit 1")
    )
    assert_reported_once(capsys, "error: no luck", "delete it to try again")
    names = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
    assert names == [".failed", ".lock"], "no half-built folder is left"


def test_an_interrupted_build_is_not_a_failed_one(tmp_path):
    compiler = fake_compiler(tmp_path, f"touch {tmp_path}/running\nexec sleep 60")
    environment = {**os.environ, "CXX": compiler}
    process = subprocess.Popen(
        [sys.executable, "-m", "sgcli", "doctor"], env=environment, stderr=subprocess.PIPE, text=True
    )
    while not (tmp_path / "running").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.terminate()
    assert process.communicate(timeout=60)[1] == "error: terminated\n"
    assert process.returncode == 143
    assert not list((tmp_path / "cache").glob("*.failed"))


def test_no_compiler(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    assert_reported_once(capsys, "compiler: .*missing.* cannot be run", "install a C++ compiler")


def test_cache_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SG_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(build.Problem, match="no cache folder"):
        build.library()
    assert "set SG_CACHE_DIR" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_two_processes_build_once(tmp_path, monkeypatch):
    sources = tmp_path / "csrc"
    sources.mkdir()
    (sources / "one.cpp").write_text('extern "C" int one() { return 1; }\n')
    compiler = build._compiler()
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, f'echo "$@" >> {tmp_path}/log\nexec {compiler} "$@"'))
    code = f"""if True:
        from pathlib import Path
        from sgcli.ops import build
        build.SOURCES = Path({str(sources)!r})
        print(build.library())
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    results = [process.communicate(timeout=120) for process in processes]
    assert results[0] == results[1] and results[0][1] == "", "the same library, and not a word on success"
    assert Path(results[0][0].strip()).exists()
    assert (tmp_path / "log").read_text().count("one.cpp") == 1


def test_falls_back_to_the_reference(monkeypatch):
    problem = build.Problem("no C++ compiler", "install one")
    monkeypatch.setattr(native, "_load_once", lambda device: problem)
    x = torch.ones(1, 1, 2, 2)
    torch.testing.assert_close(upfirdn2d(x, torch.ones(1)), x)
    with pytest.raises(SgError, match="no C"):
        upfirdn2d(x, torch.ones(1), impl="native")
    assert {(choice.implementation, choice.reason) for choice in native.status()} == {
        ("reference", "no C++ compiler (install one)")
    }


def test_sg_ops(monkeypatch):
    monkeypatch.setenv("SG_OPS", "reference")
    assert {choice.reason for choice in native.status()} == {"SG_OPS=reference"}
    assert not native.use_native("auto", torch.ones(1), "bias_act")
    native.mode.cache_clear()
    monkeypatch.setenv("SG_OPS", "fast")
    with pytest.raises(UsageError, match="SG_OPS=fast: one of native, strict, reference wanted"):
        native.mode()


def test_strict_refuses_the_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("SG_OPS", "strict")
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    with pytest.raises(SgError, match="SG_OPS=strict"):
        native._load_once.__wrapped__("cpu")
