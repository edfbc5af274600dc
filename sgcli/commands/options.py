"""Options that mean the same in every command, and the values that are typed as text (ranges, pairs)."""

from __future__ import annotations

from typing import Annotated

import typer

from sgcli import progress
from sgcli.errors import UsageError


def _set_quiet(quiet: bool) -> bool:
    progress.set_quiet(quiet)
    return quiet


Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_set_quiet, help="No progress or notices on stderr.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]


def parse_integers(text: str, option: str) -> list[int]:
    """'0-3,10' -> [0, 1, 2, 3, 10]. Raises UsageError that names `option`."""
    values: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"{option} {text}: '{part}' is not a number or a range", f"{option} 0-35,40")
        start, end = int(first), int(last) if dash else int(first)
        if end < start:
            raise UsageError(f"{option} {text}: the range {part} runs backwards", f"{option} {end}-{start}")
        if end - start >= 10_000_000:
            raise UsageError(f"{option} {text}: the range {part} holds more than ten million numbers", f"{option} 0-999")
        values.extend(range(start, end + 1))
    return values
