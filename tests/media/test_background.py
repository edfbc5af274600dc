"""Writing beside computing survives Ctrl-C at any moment."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from sgcli.media.background import BackgroundWriter


def test_order_and_failure():
    written: list[int] = []
    writer = BackgroundWriter(written.append, 2)
    for i in range(10):
        writer.put(i)
    writer.finish()
    assert written == list(range(10))

    failing = BackgroundWriter(lambda i: 1 // i, 2)
    failing.put(0)
    with pytest.raises(ZeroDivisionError):
        failing.finish()


def put_interrupted(writer: BackgroundWriter[int], line: int) -> bool:
    """Hand over a number, with Ctrl-C before the so-and-so-many-th line of Python that runs then. Whether it came."""
    left = line

    def trace(frame, event, argument):
        nonlocal left
        if event == "line":
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        writer.put(0)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_interrupted_at_any_line():
    line, interrupted = 0, True
    while interrupted:
        writer = BackgroundWriter(lambda i: None, 2)
        time.sleep(0.02)  # the thread waits for something to do
        interrupted = put_interrupted(writer, line)
        ending = threading.Thread(target=writer.finish, daemon=True)
        ending.start()
        ending.join(timeout=10)
        assert not ending.is_alive(), f"interrupted at line {line}, the thread never heard of the end"
        line += 1
    assert line > 2
