"""What a person reads while a command works: notices, warnings and bars, all on stderr.

`notice` and `warn` print one line. `track` shows a bar with rate and time left on a terminal, and a plain line now and
then elsewhere. `set_quiet(True)` (the option --quiet) silences notices and bars, never warnings.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
_quiet = False
PLAIN_LINE_SECONDS = 15.0  # spacing of progress lines where stderr is not a terminal


def set_quiet(quiet: bool) -> None:
    """Silence notices and progress for the rest of the process."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    return _quiet


def notice(text: str) -> None:
    """Say something that the user may want to know. One line on stderr."""
    if not _quiet:
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Say something that the user should know. One line on stderr, also with --quiet."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def track(items: Iterable[T], description: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield from `items` while showing how far the work is. `unit` names what is counted ("images")."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _quiet:
        yield from items
    elif sys.stderr.isatty():
        yield from _track_with_bar(items, description, total, unit)
    else:
        yield from _track_with_lines(items, description, total, unit)


def _track_with_bar(items: Iterable[T], description: str, total: int | None, unit: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, rate="")
        for done, item in enumerate(items, start=1):
            yield item
            rate = done / max(time.monotonic() - start, 1e-9)
            progress.update(task, completed=done, rate=f"{rate:.3g}/s")


def _track_with_lines(items: Iterable[T], description: str, total: int | None, unit: str) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= PLAIN_LINE_SECONDS:
            last = now
            rate = done / (now - start)
            of_total = f"/{total}" if total else ""
            left = f", {format_seconds((total - done) / rate)} left" if total else ""
            notice(f"{description}: {done}{of_total} {unit}{' ' if unit else ''}({rate:.3g}/s{left})")


def format_seconds(seconds: float) -> str:
    """3 -> '3s', 125 -> '2m05s', 7300 -> '2h01m'."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600:02d}h"


class LiveLine:
    """One line on a terminal that is rewritten as work goes on; nothing where stderr is not a terminal."""

    SPACING_SECONDS = 0.5

    def __init__(self) -> None:
        self._enabled = sys.stderr.isatty() and not _quiet
        self._last = 0.0
        self._shown = False

    def show(self, describe: Callable[[], str]) -> None:
        """Rewrite the line, at most twice a second; `describe` is called only then."""
        now = time.monotonic()
        if self._enabled and now - self._last >= self.SPACING_SECONDS:
            self._last, self._shown = now, True
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{describe()[:width]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line, before something else is printed."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._shown = False
