"""Write a data set of toyfaces. Image k depends on seed, k, size and `without`: not on the count or on the workers."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from PIL import Image

from sgcli import progress
from sgcli.data.output import check_output_is_new, image_name, open_output
from sgcli.data.toyfaces.draw import draw_face
from sgcli.data.toyfaces.face import ATTRIBUTES, Combination, Face, check_combinations, sample_face
from sgcli.errors import SgError, UsageError

VERSION = 1  # of the drawing: the same version and seed give the same faces
SMALLEST, LARGEST = 8, 1024
CHUNK = 16  # images that a worker draws at a time
FEW = 128  # up to so many images, starting workers takes longer than drawing

Drawn = tuple[bytes, list[int]]  # PNG file, attribute values


def face_at(seed: int, index: int, without: Sequence[Combination] = ()) -> Face:
    """The face of image `index` of the data set of `seed`."""
    return sample_face(np.random.default_rng([seed, index]), without)


def detail_rng(seed: int, index: int) -> np.random.Generator:
    """The generator of the fine detail of image `index`, as `draw_face` takes it."""
    return np.random.default_rng([seed, index, 1])


def synthesize(
    out: str | os.PathLike,
    count: int,
    size: int,
    seed: int,
    without: Sequence[Combination] = (),
    workers: int | None = None,
) -> Path:
    """Write `count` toyfaces of `size` pixels to `out`: an uncompressed zip if it ends in .zip, else a new folder.

    Beside the images, `dataset.json` records the attributes of each. No image has all attributes of a combination in
    `without`. `workers` processes draw (default: as many as there are processors).
    Returns `out`. Raises UsageError for values out of range, SgError where `out` holds something or cannot be written.
    """
    out = Path(out)
    _check(out, count, size, workers, without)
    values = {}
    with open_output(out) as put:
        drawn = _draw_all(count, size, seed, without, workers or os.cpu_count() or 1)
        for index, (png, attributes) in enumerate(progress.track(drawn, "drawing", total=count, unit="images")):
            put(image_name(index), png)
            values[image_name(index)] = attributes
        put("dataset.json", _dataset_json(values, size, seed, without))
    return out


def _check(out: Path, count: int, size: int, workers: int | None, without: Sequence[Combination]) -> None:
    if count < 1:
        raise UsageError(f"count {count}: at least one image is needed", "--count 20000")
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(f"size {size}: {SMALLEST} to {LARGEST} pixels are possible", "--size 64")
    if workers is not None and workers < 1:
        raise UsageError(f"workers {workers}: at least one is needed", f"--workers {os.cpu_count()}")
    check_combinations(without)
    check_output_is_new(out)


def _draw_all(count: int, size: int, seed: int, without: Sequence[Combination], workers: int) -> Iterator[Drawn]:
    """Draw the images in order, in this process if they are few."""
    draw = functools.partial(_draw_chunk, size, seed, tuple(without))
    chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
    if workers == 1 or count <= FEW:
        for chunk in chunks:
            yield from draw(chunk)
        return
    context = multiprocessing.get_context("spawn")  # forking a process that runs torch's threads may hang
    pool = ProcessPoolExecutor(workers, context, _end_with_parent)
    try:
        with _blocked(signal.SIGINT):  # workers inherit this: Ctrl-C is for this process alone, which then stops them
            results = pool.map(draw, chunks)
        for drawn in results:
            yield from drawn
    except BrokenProcessPool as error:
        raise SgError(
            "a drawing process was killed", "free some memory, or draw in one process: --workers 1"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _blocked(signal_number: signal.Signals) -> Iterator[None]:
    """Hold back a signal to this thread until the end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal_number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal_number})


def _end_with_parent() -> None:
    """End this worker when its parent ends, even if that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _draw_chunk(size: int, seed: int, without: tuple[Combination, ...], indices: range) -> list[Drawn]:
    drawn = []
    for index in indices:
        face = face_at(seed, index, without)
        file = io.BytesIO()
        # Grain does not compress: more effort would cost time and save nothing.
        Image.fromarray(draw_face(face, size, detail_rng(seed, index))).save(file, "PNG", compress_level=1)
        drawn.append((file.getvalue(), face.attribute_values()))
    return drawn


def _dataset_json(values: dict[str, list[int]], size: int, seed: int, without: Sequence[Combination]) -> bytes:
    content = {
        "labels": None,
        "attributes": {"names": list(ATTRIBUTES), "values": values},
        "source": {
            "name": "toyfaces",
            "version": VERSION,
            "seed": seed,
            "count": len(values),
            "size": size,
            "without": ["+".join(combination) for combination in without],
        },
    }
    return json.dumps(content).encode()
