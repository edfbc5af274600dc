"""Who waits for whom: every worker posts where it is, and one that waits in vain says who is missing, and ends.

A thread does it, since the worker itself hangs in a call that cannot be interrupted. A worker that others wait for may
take long, as one does that measures a snapshot, as long as it moves on from stage to stage.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

POST_SECONDS = 5.0
LISTED = 4  # workers that a message names


class Watch:
    """Of one worker."""

    def __init__(self, store: Any, rank: int, world: int, patience: float):
        """store: a torch.distributed store that all workers reach. patience: seconds without a sign of the others."""
        self.store, self.rank, self.world, self.patience = store, rank, world, patience
        self.stage = "starting"
        self._moves = 0  # from stage to stage
        self._meetings = 0  # calls in which all workers took part; who has fewer is behind
        self._waits_since: float | None = None
        self._posts: dict[int, list] = {}  # of the others, as last read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def move(self, stage: str) -> None:
        """This worker begins with something else."""
        self.stage = stage
        self._moves += 1

    def enter(self) -> None:
        """A call begins in which all workers take part."""
        self._waits_since = time.monotonic()

    def leave(self) -> None:
        self._waits_since = None
        self._meetings += 1

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(POST_SECONDS)  # unless the store hangs

    def describe_loss(self) -> str:
        """What to say when the connection to another worker breaks."""
        self._read_posts()
        return f"worker {self.rank} of {self.world} lost another one at '{self.stage}'{self._whereabouts()}"

    def _run(self) -> None:
        last_sign = 0.0
        while not self._ended.wait(min(POST_SECONDS, self.patience / 4)):
            try:
                self.store.set(f"at/{self.rank}", json.dumps([self.stage, self._meetings, self._moves]))
            except RuntimeError:
                self._stop_alone()
                return
            since, now = self._waits_since, time.monotonic()
            if since is None or now - max(since, last_sign) < self.patience / 2:
                continue
            if self._read_posts():
                last_sign = now
            elif now - max(since, last_sign) > self.patience:
                self._give_up(now - since)

    def _read_posts(self) -> bool:
        """Read what the others posted; True if any of those that are behind has moved on since the last time."""
        before, self._posts = self._posts, {}
        for rank in range(self.world):
            key = f"at/{rank}"
            try:
                if rank != self.rank:
                    self._posts[rank] = json.loads(self.store.get(key)) if self.store.check([key]) else ["", -1, -1]
            except (RuntimeError, ValueError):
                return False
        return any(post[1] <= self._meetings and before.get(rank) != post for rank, post in self._posts.items())

    def _stop_alone(self) -> None:
        """Whoever started the workers is gone, and with it the means to meet again."""
        if not self._ended.is_set():
            print(f"worker {self.rank}: the process that started it is gone", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)

    def _give_up(self, seconds: float) -> None:
        text = f"worker {self.rank} of {self.world} waited {seconds:.0f} s at '{self.stage}'{self._whereabouts()}"
        hint = "see what keeps that worker, then start again with --resume auto; SG_PATIENCE=3600 waits an hour"
        print(f"error: {text}\nhint: {hint}", file=sys.stderr, flush=True)
        os._exit(1)

    def _whereabouts(self) -> str:
        """'; worker 1 was last seen at "reading pictures"', of those that are behind this one."""
        behind = {rank: post[0] for rank, post in self._posts.items() if post[1] <= self._meetings}
        seen = [f"; worker {rank} was last seen at '{stage or 'no stage'}'" for rank, stage in behind.items()]
        more = f"; and {len(seen) - LISTED} more" if len(seen) > LISTED else ""
        return "".join(seen[:LISTED]) + more
