"""The command line as a whole: help without torch, version, usage errors, the twin names."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from sgcli import __version__
from tests.cli import assert_refused, sg

HEAVY = ("torch", "numpy", "PIL", "scipy", "safetensors")


def command_paths() -> list[list[str]]:
    """Every command and group: [], ["train"], ["data", "pack"], …"""
    import typer

    from sgcli.app import app

    def walk(command, path):
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, [*path, name])

    return list(walk(typer.main.get_command(app), []))


@pytest.mark.parametrize("path", command_paths(), ids=" ".join)
def test_help_of_every_command(path):
    for flag in ("--help", "-h"):
        result = sg(*path, flag)
        assert result.status == 0 and "Usage: sg" in result.text
    assert_refused(sg(*path, "--no-such-option"), 2, "--no-such-option", "--help")


def test_help_imports_nothing_heavy():
    code = (
        f"import sys; from sgcli.__main__ import run; run(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_version_and_names():
    assert sg("--version").text == f"sg {__version__}\n"
    output = subprocess.run([sys.executable, "-m", "sgcli", "--version"], capture_output=True, text=True).stdout
    assert output == f"sg {__version__}\n"
    scripts = {script.name: script.value for script in entry_points(group="console_scripts")}
    assert scripts["sg"] == scripts["sgcli"] == "sgcli.__main__:main"


def test_unknown_command():
    assert_refused(sg("trian"), 2, "trian")


def test_unexpected_errors_are_one_line_unless_asked(monkeypatch, capsys):
    from sgcli.commands import arch
    from sgcli.models import registry

    monkeypatch.setattr(registry, "ROWS", None)
    assert arch is not None
    result = sg("arch")
    assert result.status == 1 and "Traceback" not in result.err and "--traceback" in result.err
    assert "Traceback" in sg("arch", "--traceback").err
