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
NOTE_SECONDS = 0.5  # spacing of the notes beside a bar
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


def track(
    items: Iterable[T],
    description: str,
    total: int | None = None,
    unit: str = "",
    size: Callable[[T], int] = lambda item: 1,
    note: Callable[[], str] = lambda: "",
) -> Iterator[T]:
    """Yield from `items` while showing how far the work is.

    `unit` names what is counted ("images"); `size` tells how many of them an item stands for (`len` of a batch); `note`
    is asked now and then for something to show beside the rate ("loss 0.12").
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _quiet:
        yield from items
    elif sys.stderr.isatty():
        yield from _track_with_bar(items, description, total, unit, size, note)
    else:
        yield from _track_with_lines(items, description, total, unit, size, note)


def _track_with_bar(
    items: Iterable[T],
    description: str,
    total: int | None,
    unit: str,
    size: Callable[[T], int],
    note: Callable[[], str],
) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    start, done, noted = time.monotonic(), 0, 0.0
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, rate="", note="")
        for item in items:
            yield item
            done += size(item)
            now = time.monotonic()
            progress.update(task, completed=done, rate=f"{done / max(now - start, 1e-9):.3g}/s")
            if now - noted >= NOTE_SECONDS:  # a note may have to wait for the device
                noted = now
                progress.update(task, note=note())


def _track_with_lines(
    items: Iterable[T],
    description: str,
    total: int | None,
    unit: str,
    size: Callable[[T], int],
    note: Callable[[], str],
) -> Iterator[T]:
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= PLAIN_LINE_SECONDS:
            last = now
            rate = done / (now - start)
            of_total = f"/{total}" if total else ""
            left = f", {format_seconds((total - done) / rate)} left" if total else ""
            beside = f", {text}" if (text := note()) else ""
            notice(f"{description}: {done}{of_total} {unit}{' ' if unit else ''}({rate:.3g}/s{left}{beside})")


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
