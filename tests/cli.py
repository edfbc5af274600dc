"""Running `sg` in process, as a shell would: exit status, stdout, stderr."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass

from sgcli.__main__ import run


@dataclass
class Result:
    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


class Pipe(io.TextIOWrapper):
    """Stands for a stdin or stdout that is not a terminal."""

    def __init__(self, content: bytes = b""):
        super().__init__(io.BytesIO(content), encoding="utf-8", write_through=True)


def sg(*arguments: object, stdin: bytes = b"") -> Result:
    """Run `sg` with `arguments`; stdin and stdout are pipes."""
    kept = sys.stdin, sys.stdout, sys.stderr
    out, err = Pipe(), io.StringIO()
    sys.stdin, sys.stdout, sys.stderr = Pipe(stdin), out, err
    try:
        status = run([str(argument) for argument in arguments])
    finally:
        sys.stdin, sys.stdout, sys.stderr = kept
    return Result(status, out.buffer.getvalue(), err.getvalue())


def assert_refused(result: Result, status: int, *words: str) -> None:
    """One `error:` line with `words`, a hint, no traceback, nothing on stdout."""
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert result.status == status, result.err
    assert len(lines) == 1, result.err
    assert "Traceback" not in result.err
    assert "unexpected" not in lines[0], result.err
    assert "hint: " in result.err
    assert result.out == b""
    for word in words:
        assert word in result.err, f"'{word}' is not in: {result.err}"


_started: list[subprocess.Popen] = []


def sg_process(*arguments: object, **options) -> subprocess.Popen:
    """Start `sg` as a process of its own. It is killed if it outlives the test."""
    command = [sys.executable, "-m", "sgcli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    _started.append(process)
    return process


def kill_processes() -> None:
    """End what a failed test has left behind: it would slow down all later ones."""
    while _started:
        with _started.pop() as process:
            process.kill()
