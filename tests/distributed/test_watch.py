"""Waiting for the others: how long, and what is said of them."""

from __future__ import annotations

import json
import threading
import time

import pytest

from sgcli.distributed.watch import Watch


class Store(dict):
    """What a torch.distributed store can do, as far as a watch uses it."""

    set = dict.__setitem__

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)

    def get(self, key: str) -> bytes:  # type: ignore[override]
        return self[key].encode()


@pytest.fixture
def watch(monkeypatch):
    """Worker 0 of 3 with a patience of 0.4 s; `watch.gave_up` is set instead of ending the process."""
    gave_up = threading.Event()
    monkeypatch.setattr(Watch, "_give_up", lambda self, seconds: gave_up.set())
    watch = Watch(Store(), rank=0, world=3, patience=0.4)
    watch.gave_up = gave_up
    yield watch
    watch.stop()


def test_gives_up_on_one_that_stands_still(watch):
    watch.store["at/1"] = json.dumps(["Dmain", 5, 9])
    watch.enter()
    assert watch.gave_up.wait(5)
    assert watch._whereabouts() == "; worker 2 was last seen at 'no stage'"  # worker 1 is ahead, and waits, too


def test_waits_for_one_that_moves_on(watch):
    watch.store |= {"at/1": json.dumps(["Dmain", 5, 9]), "at/2": json.dumps(["measuring", 0, 0])}
    watch.enter()
    for moves in range(12):
        watch.store["at/2"] = json.dumps(["measuring", 0, moves])
        time.sleep(0.1)
    assert not watch.gave_up.is_set()
    assert watch.gave_up.wait(5)


def test_does_not_give_up_at_work(watch):
    watch.move("Gmain")
    time.sleep(1)
    assert not watch.gave_up.is_set()
    assert json.loads(watch.store["at/0"]) == ["Gmain", 0, 1]
