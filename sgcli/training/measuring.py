"""Metrics during training: a callback that measures snapshots once they are written."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from types import FrameType

import torch

from sgcli.features.extractors import Extractor, Protocol, load_extractor
from sgcli.files import sha256_of_file
from sgcli.metrics.job import Job
from sgcli.metrics.registry import Request, run_request
from sgcli.metrics.rows import forget_finished
from sgcli.metrics.sources import DataPictures, DrawnPictures
from sgcli.progress import warn
from sgcli.training.loop import StopSignal, Training


class Measuring:
    """Appends to metrics.jsonl what `requests` find about the average of G, every `every_kimg` and at the end.

    every_kimg  None: at each snapshot.
    Feature networks are loaded at once, so that missing weights are found before training starts. What goes wrong
    later is a warning: no metric stops a training, and a signal stops the metric.
    """

    def __init__(self, requests: Sequence[Request], every_kimg: float | None, device: torch.device):
        self.requests, self.every_kimg = requests, every_kimg
        self.extractors: dict[str, Extractor] = {}
        for request in requests:
            if (name := request.extractor or request.metric.extractor) is not None:
                self.extractors[name] = load_extractor(name, Protocol.named("nvidia"), device)

    def __call__(self, training: Training) -> None:
        group = training.players.group
        if not group.from_leader(self.is_due(training)):  # which also waits until worker 0 has written the snapshot
            return
        # A signal must not stop the metric of one worker while the others wait for it.
        stopping = interruptible if group.world == 1 else contextlib.nullcontext
        job = self.job(training)
        for request in self.requests:
            try:
                with stopping():
                    lines = run_request(request, job)
            except Stopped:
                return
            except Exception as error:  # days of training must not end for want of a number
                warn(f"{request.name}: not measured at {training.progress.nimg / 1000:g} kimg: {error}")
                continue
            for line in lines:
                training.run.append_metrics(line)
                training.run.log(f"{line['name']} {line['value']:.4g} at {line['kimg']:g} kimg")
        forget_finished()

    def is_due(self, training: Training) -> bool:
        """Whether this snapshot is to be measured: not the untrained one, and not too soon after the last."""
        nimg = training.progress.nimg
        if nimg == 0:
            return False
        names = {name for request in self.requests for name in request.result_names()}
        measured = [line["kimg"] for line in training.run.metrics() if line["name"] in names]
        if nimg >= training.config.total_nimg:
            return nimg / 1000 not in measured
        return nimg / 1000 - max(measured, default=0.0) >= (self.every_kimg or 1e-6)

    def job(self, training: Training) -> Job:
        """What there is to measure: the average of G as it is now, and the pictures that it is trained on."""
        config, path = training.config, training.run.model_path(training.progress.nimg)
        fake = DrawnPictures(
            training.players.G_ema,
            str(path),
            batch=config.batch_gpu,
            labels_from=training.dataset,
            sha256=sha256_of_file(path),
            facts={"arch": config.arch, "kimg": training.progress.nimg / 1000},
        )
        real = DataPictures(training.dataset)
        group = training.players.group
        return Job(fake, real, group=group, device=training.device, extractors=self.extractors)


class Stopped(BaseException):
    """A signal came while something was measured."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal that the training loop only remembers also stop, by Stopped, what is done here."""
    handlers = {int(number): signal.getsignal(number) for number in StopSignal.SIGNALS}

    def stop(number: int, frame: FrameType | None) -> None:
        restore()
        handler = handlers[number]
        if callable(handler):
            handler(number, frame)
        raise Stopped

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    for number in handlers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is stop:  # else a signal came, and its handler has seen to the rest
            restore()
