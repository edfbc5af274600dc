"""Writing beside computing: items go through a short queue to a thread.

The queues are the ones that are written in C: Ctrl-C at the wrong moment breaks the locks of a `queue.Queue`, and then
nobody wakes the thread for the last items.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundWriter(Generic[T]):
    """Calls `write` with each item, in order, in a thread of its own. What fails there is raised at the next call.

    `num_written` counts what was written; it is final after `finish`.
    """

    def __init__(self, write: Callable[[T], None], most_waiting: int):
        self._write = write
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[None] = queue.SimpleQueue()  # holds one None for each item that may come
        for _ in range(most_waiting):
            self._room.put(None)
        self.num_written = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item; waits while `most_waiting` are not yet written."""
        self._raise_error()
        self._room.get()
        self._queue.put(item)

    def finish(self) -> None:
        """Wait until everything is written."""
        self._queue.put(None)
        self._thread.join()
        self._raise_error()

    def abandon(self) -> None:
        """Let the thread end without writing what waits."""
        self._error = self._error or RuntimeError("abandoned")
        self._queue.put(None)
        self._thread.join()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:  # after a failure the queue is emptied, so that nobody waits for room in it
                try:
                    self._write(item)
                    self.num_written += 1
                except BaseException as error:
                    self._error = error
            self._room.put(None)
