"""Train, write a snapshot, measure it, draw from it, resume, for half an hour in one process: do memory and files leak?

    python docs/soak.py --minutes 30        prints a table, and ends with status 1 where either has grown

Not part of the tests. docs/reliability.md has the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from sgcli.__main__ import run

SMALL = [
    "--channels-base", 128, "--channels-max", 8, "--z-dim", 8, "--w-dim", 8, "--batch", 8, "--map-depth", 2,
    "--keep-last", 2,
]  # fmt: skip
WARM_UP = 10  # rounds in which caches fill
MAY_GROW_MB = 0.1  # a round: safetensors 0.8.0 keeps 57 bytes of every tensor that it has read


def sg(*arguments: object) -> str:
    """Run `sg` in this process; its stdout."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as err:
        status = run([str(argument) for argument in arguments])
    if status:
        sys.exit(f"sg {' '.join(map(str, arguments))}: status {status}\n{err.getvalue()}")
    return out.getvalue().strip()


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    end = time.monotonic() + 60 * parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        data, place = f"{folder}/faces.zip", f"{folder}/runs"
        sg("data", "synth", data, "--count", 64, "--size", 32)
        rounds: list[tuple[float, int, int]] = []
        print("round  kimg  resident MB  open files  threads", flush=True)
        while time.monotonic() < end or len(rounds) <= WARM_UP:
            kimg = 0.032 * (len(rounds) + 1)
            path = sg("train", data, *SMALL, "--outdir", place, "--name", "soak", "--resume", "auto", "--kimg", kimg)
            sg("metrics", "spectrum", data, path, "--num", 16)
            sg("generate", "--seeds", "0-7", "-m", path, "-o", f"{folder}/out")
            rounds.append((resident_mb(), open_files(), threading.active_count()))
            print(
                f"{len(rounds):5}  {kimg:.3f}  {rounds[-1][0]:11.0f}  {rounds[-1][1]:10}  {rounds[-1][2]:7}", flush=True
            )
        left = [str(path) for path in Path(folder).rglob("*.tmp")]
    (mb, *counts), (last_mb, *last_counts) = rounds[WARM_UP - 1], rounds[-1]
    print(f"from round {WARM_UP} to {len(rounds)}: {mb:.0f} to {last_mb:.0f} MB; leftovers: {left or 'none'}")
    growth = (last_mb - mb) / max(len(rounds) - WARM_UP, 1)
    sys.exit(int(growth > MAY_GROW_MB or last_counts > counts or bool(left)))


if __name__ == "__main__":
    main()
