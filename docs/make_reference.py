"""Write docs/commands.md from `--help` of every command. `make docs` runs it; a test fails when the page is stale."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

PAGE = Path(__file__).parent / "commands.md"
HEAD = """# Command reference

What `--help` says of every command, as of this version. `make docs` writes this page. The [guide](guide.md) shows them at work.
"""


def reference() -> str:
    """The whole page."""
    os.environ.update({"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"})
    import typer

    from sgcli.app import app

    def walk(command, path: list[str]):
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, [*path, name])

    sections = [HEAD]
    for path in walk(typer.main.get_command(app), []):
        sections.append(f"## {' '.join(['sg', *path])}\n\n```text\n{help_of(path)}\n```\n")
    return "\n".join(sections)


def help_of(path: list[str]) -> str:
    from sgcli.__main__ import run

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run([*path, "--help"]) == 0
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


if __name__ == "__main__":
    PAGE.write_text(reference())
    print(PAGE)
