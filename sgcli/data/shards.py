"""A data set in many zips (shards), in a folder or behind any fsspec URL, read in order instead of at random.

    index.json            what is in it: resolution, channels, classes, and each shard's name, count, bytes and SHA-256
    labels.npy            class numbers int64 [N], or vectors float32 [N, label_dim]; where there are labels
    shard-00000.zip …     each a data set of its own, in the field's layout

Shards behind a URL are fetched whole into the cache, checked against their hash, and the oldest removed again. Training
takes the shards in random order and shuffles within a window of some thousand images (training.order), so few shards
are needed at a time, and any image number can be looked up: a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from sgcli.data.dataset import ImageDataset
from sgcli.data.faults import UnreadableFile
from sgcli.data.remote import fetch, join, read_small
from sgcli.data.source import Source, open_source
from sgcli.errors import FormatError, UsageError

INDEX, LABELS = "index.json", "labels.npy"
FORMAT, VERSION = "sg-shards", 1
SHARDS_OPEN = 64  # at a time: those of a window, of the next one, and what other readers want


@dataclass(frozen=True)
class Shard:
    """One line of the index."""

    name: str
    count: int  # images
    bytes: int
    sha256: str


def is_sharded(path: str | os.PathLike) -> bool:
    """Whether `path` names a data set in shards: a URL, an index.json, or a folder that holds one."""
    text = os.fspath(path)
    return "://" in text or os.path.basename(text) == INDEX or os.path.isfile(os.path.join(text, INDEX))


def open_shards(
    path: str | os.PathLike,
    labels: str = "auto",
    mirror: bool = False,
    max_images: int | None = None,
    hold_out: int = 0,
) -> ShardedDataset:
    """Open a data set in shards: a folder, an index.json, or the URL of either.

    Raises SgError where it cannot be read, UsageError for choices that would need all shards at once.
    """
    for option, value in (("--max-images", max_images), ("--holdout", hold_out)):
        if value:
            raise UsageError(
                f"{option} {value}: {path} is read shard by shard, no random subset of it can be taken",
                f"leave {option} out, or pack a smaller set",
            )
    if labels not in ("auto", "none"):
        raise UsageError(f"--labels {labels}: the labels of {path} are in its index", "--labels auto, or none")
    root = os.fspath(path).removesuffix(INDEX).rstrip("/")
    return ShardedDataset(root, read_index(root), labels, mirror)


class ShardedDataset(ImageDataset):
    """Images in shards. Use `open_shards` to make one.

    shard_sizes: how many images each shard holds; image numbers run through the shards in order.
    """

    def __init__(self, root: str, index: dict[str, Any], labels: str, mirror: bool):
        self.path = self.root = root  # type: ignore[assignment]  # a Path would swallow a slash of s3://
        self.name = os.path.basename(root)
        self.resolution, self.num_channels = index["resolution"], index["num_channels"]
        self.mirror = mirror
        self.shards = [Shard(**entry) for entry in index["shards"]]
        self.shard_sizes = [shard.count for shard in self.shards]
        self.num_images = sum(self.shard_sizes)
        self.num_at_hand = self.shard_sizes[0]
        self.class_names = index.get("class_names")
        self.attributes = None  # they stay in the dataset.json of each shard
        self._subset_seed = self._hold_out = self._cache = None
        self._labels_from = labels
        entry = index.get("labels") if labels == "auto" else None
        self.label_dim = entry["label_dim"] if entry else 0
        self._labels = self._read_labels(entry) if entry else np.zeros((self.num_images, 0), np.float32)
        self._index_hash = hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
        self._starts = np.cumsum([0, *self.shard_sizes])
        self._sources: OrderedDict[int, Source] = OrderedDict()  # the open shards; the last one was used last
        self._lock = threading.Lock()

    def fingerprint(self) -> str:
        parts = [self._index_hash, self._labels_from, self.mirror]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _decode_one(self, row: int) -> np.ndarray:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        source = self._opened(number)
        name = source.names[row - int(self._starts[number])]
        try:
            return self._decode_file(source, name)
        except UnreadableFile as error:
            raise UnreadableFile(f"{join(self.root, self.shards[number].name)}/{name}", error.reason) from error

    def _opened(self, number: int) -> Source:
        """A shard, fetched and opened where it is not open yet."""
        with self._lock:
            if number not in self._sources:
                shard = self.shards[number]
                source = open_source(fetch(join(self.root, shard.name), shard.bytes, shard.sha256))
                if len(source.names) != shard.count:
                    raise UnreadableFile(shard.name, f"{len(source.names)} images, the index says {shard.count}")
                self._sources[number] = source
                if len(self._sources) > SHARDS_OPEN:
                    self._sources.popitem(last=False)
            self._sources.move_to_end(number)
            return self._sources[number]

    def _read_labels(self, entry: dict[str, Any]) -> np.ndarray:
        path = fetch(join(self.root, LABELS), entry["bytes"], entry["sha256"])
        try:
            labels = np.load(path, mmap_mode="r", allow_pickle=False)
            if len(labels) != self.num_images:
                raise ValueError(f"{len(labels)} labels for {self.num_images} images")
        except ValueError as error:
            raise FormatError(f"{path}: not the labels of {self.path} ({error})", "pack the data set again") from error
        return labels


def read_index(root: str) -> dict[str, Any]:
    """The content of the index.json in `root`. Raises SgError where there is none, FormatError for a damaged one."""
    path = join(root, INDEX)
    try:
        index = json.loads(read_small(path))
        if index["format"] != FORMAT or index["version"] > VERSION:
            raise ValueError("of another kind, or of a newer sg")
        if not index["shards"] or not all(_is_shard(entry) for entry in index["shards"]):
            raise ValueError("its list of shards")
        if not all(type(index[key]) is int and index[key] > 0 for key in ("resolution", "num_channels")):
            raise ValueError("its sizes")
        return index
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise FormatError(
            f"{path}: not the index of a data set in shards ({error})",
            "sg data pack photos/ shards/ --size 256 --shard-size 10000 writes one",
        ) from error


def _is_shard(entry: Any) -> bool:
    """Whether an entry of the index names a file beside it, and nothing elsewhere."""
    return (
        isinstance(entry, dict)
        and entry.keys() == {"name", "count", "bytes", "sha256"}
        and all(type(entry[key]) is int and entry[key] > 0 for key in ("count", "bytes"))
        and all(type(entry[key]) is str for key in ("name", "sha256"))
        and not ({"/", "\\"} & {*entry["name"]} or entry["name"].startswith("."))
    )
