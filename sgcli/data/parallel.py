"""Work on many images in threads: Pillow and zlib release the interpreter while they decode and encode."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
MAX_THREADS = 8


def map_in_threads(function: Callable[[A], B], items: Iterable[A], batch: int = 1) -> Iterator[B]:
    """Yield `function(item)` for each item, in order. `batch` items make one task, for work that is short.

    Only a few tasks run ahead of the reader, so results do not pile up; when the reader stops, the rest is dropped.
    """
    num_threads = min(MAX_THREADS, os.cpu_count() or 1)
    remaining = iter(items)
    tasks: deque[Future[list[B]]] = deque()
    pool = ThreadPoolExecutor(num_threads)
    try:
        while True:
            while len(tasks) < 4 * num_threads and (group := list(itertools.islice(remaining, batch))):
                tasks.append(pool.submit(lambda group: [function(item) for item in group], group))
            if not tasks:
                return
            yield from tasks.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
