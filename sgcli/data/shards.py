"""A data set in many archives (shards), in a folder or behind any fsspec URL, read in order instead of at random.

    index.json            what is in it: resolution, channels, classes, and each shard's name, count, bytes and SHA-256
    labels.npy            class numbers int64 [N], or vectors float32 [N, label_dim]; where there are labels
    shard-00000.zip …     each a data set of its own, in the field's layout

Shards that only a pattern or a list names (data.shard_names) have no index: what it would say is found out once
(data.shard_scan). Shards behind a URL are fetched whole into the cache, checked against their hash, and the oldest
removed again. Training takes the shards in random order and shuffles within a window of some thousand images
(training.order), so few shards are needed at a time, and any image number can be looked up: a resumed run goes on
exactly where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sgcli.data.dataset import ImageDataset
from sgcli.data.faults import UnreadableFile
from sgcli.data.remote import Unreachable, fetch, join, read_small
from sgcli.data.shard_names import INDEX, expand, has_index, name_of
from sgcli.data.source import Source, open_source
from sgcli.errors import FormatError, SgError, UsageError

LABELS = "labels.npy"
FORMAT, VERSION = "sg-shards", 1
SHARDS_OPEN = 64  # at a time: those of a window, of the next one, and what other readers want


@dataclass(frozen=True)
class Shard:
    """One line of the index."""

    name: str
    count: int  # images
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """What is known about all shards before any is opened."""

    root: str  # the folder that shards are named in; "" where each name is an address
    resolution: int
    num_channels: int
    shards: list[Shard]
    labels: np.ndarray  # class numbers int64 [N], or vectors float32 [N, label_dim]; [N, 0] for none
    label_dim: int
    class_names: list[str] | None
    fingerprint: str  # of all of it


def open_shards(
    path: str | os.PathLike,
    labels: str = "auto",
    mirror: bool = False,
    max_images: int | None = None,
    hold_out: int = 0,
) -> ShardedDataset:
    """Open a data set in shards, as `path` names it (data.shard_names).

    Raises SgError where it cannot be read, UsageError for choices that would need all shards at once.
    """
    for option, value in (("--max-images", max_images), ("--holdout", hold_out)):
        if value:
            raise UsageError(
                f"{option} {value}: {path} is read shard by shard, no random subset of it can be taken",
                f"leave {option} out, or pack a smaller set",
            )
    if labels not in ("auto", "none"):
        raise UsageError(f"--labels {labels}: the labels of {path} are in its shards", "--labels auto, or none")
    with_labels = labels == "auto"
    if has_index(path):
        index = read_index(_root_of(path), with_labels)
    else:
        from sgcli.data.shard_scan import scan_shards  # which builds upon this module

        index = scan_shards(expand(path), with_labels)
    return ShardedDataset(os.fspath(path), index, labels, mirror)


def addresses_of(path: str | os.PathLike) -> list[str]:
    """Where the shards of a data set lie, in order. Raises SgError."""
    if not has_index(path):
        return expand(path)
    root = _root_of(path)
    return [join(root, entry["name"]) for entry in _read_json(root)["shards"]]


def open_fetched(path: Path, address: str) -> Source:
    """Open a shard's local copy. Raises SgErrors that name its address instead."""
    try:
        return open_source(path)
    except SgError as error:
        raise type(error)(error.message.replace(str(path), address), error.hint) from error


class OpenShards:
    """Shards by number, fetched and opened where they are not open yet; the longest unused of many are closed."""

    def __init__(self, shards: Sequence[Shard], root: str = ""):
        self.shards, self.root = shards, root
        self._sources: OrderedDict[int, Source] = OrderedDict()  # the last one was used last
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Source:
        """Raises SgError, FormatError, UnreadableFile."""
        with self._lock:
            if number not in self._sources:
                shard = self.shards[number]
                address = join(self.root, shard.name)
                source = open_fetched(fetch(address, shard.bytes, shard.sha256), address)
                if len(source.names) != shard.count:
                    raise UnreadableFile(shard.name, f"{len(source.names)} images, the index says {shard.count}")
                self._sources[number] = source
                if len(self._sources) > SHARDS_OPEN:
                    self._sources.popitem(last=False)
            self._sources.move_to_end(number)
            return self._sources[number]


class ShardedDataset(ImageDataset):
    """Images in shards. Use `open_shards` to make one.

    shard_sizes: how many images each shard holds; image numbers run through the shards in order.
    """

    def __init__(self, path: str, index: Index, labels: str, mirror: bool):
        self.path = path  # type: ignore[assignment]  # a Path would swallow a slash of s3://
        self.name = name_of(path)
        self.resolution, self.num_channels = index.resolution, index.num_channels
        self.mirror = mirror
        self.shard_sizes = [shard.count for shard in index.shards]
        self.num_images = sum(self.shard_sizes)
        self.num_at_hand = self.shard_sizes[0]
        self.class_names = index.class_names
        self.attributes = None  # they stay in the dataset.json of each shard
        self._subset_seed = self._hold_out = self._cache = None
        self._labels_from = labels
        self.label_dim, self._labels = index.label_dim, index.labels
        self._index_hash = index.fingerprint
        self._starts = np.cumsum([0, *self.shard_sizes])
        self._open = OpenShards(index.shards, index.root)

    def fingerprint(self) -> str:
        parts = [self._index_hash, self._labels_from, self.mirror]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _decode_one(self, row: int) -> np.ndarray:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        source = self._open[number]
        name = source.names[row - int(self._starts[number])]
        try:
            return self._decode_file(source, name)
        except UnreadableFile as error:
            shard = join(self._open.root, self._open.shards[number].name)
            raise UnreadableFile(f"{shard}/{name}", error.reason) from error


def read_index(root: str, with_labels: bool = True) -> Index:
    """The index.json in `root`, and its labels. Raises SgError where there is none, FormatError for a damaged one."""
    content = _read_json(root)
    shards = [Shard(**entry) for entry in content["shards"]]
    count = sum(shard.count for shard in shards)
    entry = content.get("labels") if with_labels else None
    return Index(
        root,
        content["resolution"],
        content["num_channels"],
        shards,
        labels=_read_labels(root, entry, count) if entry else np.zeros((count, 0), np.float32),
        label_dim=entry["label_dim"] if entry else 0,
        class_names=content.get("class_names"),
        fingerprint=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
    )


def _root_of(path: str | os.PathLike) -> str:
    return os.fspath(path).removesuffix(INDEX).rstrip("/")


def _read_labels(root: str, entry: dict[str, Any], count: int) -> np.ndarray:
    path = fetch(join(root, LABELS), entry["bytes"], entry["sha256"])
    try:
        labels = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(labels) != count:
            raise ValueError(f"{len(labels)} labels for {count} images")
    except ValueError as error:
        raise FormatError(f"{path}: not the labels of {root} ({error})", "pack the data set again") from error
    return labels


def _read_json(root: str) -> dict[str, Any]:
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
    except Unreachable as error:
        hint = f"{error.hint}; shards without an index are named by a pattern, '{root}/*.tar'"
        raise Unreachable(error.message, hint) from error
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
