"""Write a data set in shards (data.shards): zips of equal counts, labels and an index, in a new folder."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sgcli.data.faults import DATASET_JSON
from sgcli.data.output import add_to_zip
from sgcli.data.shard_names import INDEX
from sgcli.data.shards import FORMAT, LABELS, VERSION
from sgcli.files import atomic_folder, sha256_of_file


@contextlib.contextmanager
def open_shard_output(out: str | os.PathLike, shard_size: int) -> Iterator[ShardWriter]:
    """Yield a ShardWriter into the new folder `out`, which appears whole or not at all."""
    with atomic_folder(out) as folder:
        writer = ShardWriter(folder, shard_size)
        try:
            yield writer
        finally:
            writer.close()


class ShardWriter:
    """Called with (name, data) of one image after the other; begins a new shard after every `shard_size` of them."""

    def __init__(self, folder: Path, shard_size: int):
        self.folder, self.shard_size = folder, shard_size
        self.names: list[list[str]] = []  # of the images in each shard
        self._zip: zipfile.ZipFile | None = None

    def __call__(self, name: str, data: bytes) -> None:
        if not self.names or len(self.names[-1]) == self.shard_size:
            self.close()
            self._zip = zipfile.ZipFile(self._path(len(self.names)), "w", zipfile.ZIP_STORED)
            self.names.append([])
        assert self._zip is not None
        add_to_zip(self._zip, name, data)
        self.names[-1].append(name)

    def close(self) -> None:
        if self._zip is not None:
            self._zip.close()
            self._zip = None

    def finish(
        self,
        dataset_json: Callable[[list[str]], bytes],  # of images with these names
        labels: np.ndarray,                          # int64 [N] or float32 [N, label_dim]; [N, 0] for none
        facts: dict[str, Any],                       # what else the index says
    ) -> None:  # fmt: skip
        """Write the labels and the index."""
        self.close()
        entries = []
        for number, names in enumerate(self.names):
            path = self._path(number)
            with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
                add_to_zip(archive, DATASET_JSON, dataset_json(names))
            entries.append({"name": path.name, "count": len(names), **_identity(path)})
        index = {"format": FORMAT, "version": VERSION, **facts, "shards": entries}
        if labels.size:
            np.save(self.folder / LABELS, labels)
            index["labels"] = {"label_dim": facts["label_dim"], **_identity(self.folder / LABELS)}
        (self.folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")

    def _path(self, number: int) -> Path:
        return self.folder / f"shard-{number:05d}.zip"


def _identity(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of_file(path)}
