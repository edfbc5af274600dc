"""Find out what shards without an index hold: each is fetched and checked once, and remembered in the cache.

What is remembered is named by the shard's address, size and time (or ETag), so a shard that has changed is looked at
again, and a scan that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sgcli.data.check import CHANNEL_WORDS, RULES, inspect_images, refuse_faults
from sgcli.data.labels import Annotations, read_annotations
from sgcli.data.parallel import map_in_threads
from sgcli.data.remote import cache_for, fetch_unknown, version_of
from sgcli.data.shards import Index, Shard, open_fetched
from sgcli.errors import SgError
from sgcli.files import only_process, write_text


@dataclass(frozen=True)
class Scanned:
    """What a shard holds."""

    name: str  # its address
    count: int
    bytes: int
    sha256: str
    resolution: int
    num_channels: int
    labels: list | None  # class numbers or vectors, in the order of the images
    class_names: list[str] | None

    def describe(self, with_labels: bool) -> str:
        """What all shards of a data set have in common: '32x32 RGB, labels: class numbers of cat, dog'."""
        text = f"{self.resolution}x{self.resolution} {CHANNEL_WORDS[self.num_channels]}"
        if not with_labels:
            return text
        if not self.labels:
            return f"{text}, no labels"
        vector = self.labels[0] if isinstance(self.labels[0], list) else None
        names = f" of {', '.join(self.class_names)}" if self.class_names else ""
        return f"{text}, labels: {f'lists of {len(vector)}' if vector else 'class numbers'}{names}"


def scan_shards(addresses: Sequence[str], with_labels: bool = True) -> Index:
    """What an index would say. Raises SgError where a shard cannot be trained on, or differs from the others."""
    shards = [_scan_once(*task) for task in _tasks(addresses)]
    first = shards[0].describe(with_labels)
    for shard in shards:
        if (other := shard.describe(with_labels)) != first:
            raise SgError(
                f"{shard.name}: {other}; {shards[0].name}: {first}",
                f"sg data pack makes them alike: --size {shards[0].resolution}; --labels none leaves labels out",
            )
    annotations = _join_labels(shards) if with_labels else Annotations()
    return Index(
        root="",
        resolution=shards[0].resolution,
        num_channels=shards[0].num_channels,
        shards=[Shard(shard.name, shard.count, shard.bytes, shard.sha256) for shard in shards],
        labels=annotations.label_array([str(number) for number in range(sum(shard.count for shard in shards))]),
        label_dim=annotations.label_dim,
        class_names=annotations.class_names,
        fingerprint=hashlib.sha256(repr([shard.sha256 for shard in shards]).encode()).hexdigest(),
    )


def _join_labels(shards: Sequence[Scanned]) -> Annotations:
    """Of the images '0', '1', …, counted through all shards."""
    labels = [label for shard in shards for label in shard.labels or ()]
    named = {str(number): label for number, label in enumerate(labels)}
    return Annotations(labels=named or None, class_names=shards[0].class_names)


def _tasks(addresses: Sequence[str]) -> list[tuple[str, Path, str]]:
    """(address, where it is remembered, what it is called in a bar) of each shard."""
    folder = cache_for("shards")
    tasks = []
    for number, (address, version) in enumerate(zip(addresses, map_in_threads(version_of, addresses), strict=True), 1):
        key = hashlib.sha256(f"{address}\n{version}".encode()).hexdigest()
        tasks.append((address, folder / f"{RULES}-{key[:32]}.json", f"{address} ({number} of {len(addresses)})"))
    return tasks


def _scan_once(address: str, memory: Path, title: str) -> Scanned:
    """Of several processes that want it, one does it."""
    if (found := _recall(memory)) is not None:
        return found
    with only_process(memory.with_name("lock")):
        if (found := _recall(memory)) is None:
            found = _scan(address, title)
            write_text(memory, json.dumps(asdict(found)))
    return found


def _recall(memory: Path) -> Scanned | None:
    try:
        return Scanned(**json.loads(memory.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None  # not seen before, or written by another version


def _scan(address: str, title: str) -> Scanned:
    path, size, sha256 = fetch_unknown(address)
    source = open_fetched(path, address)
    annotations = read_annotations(source)
    findings = inspect_images(source, title=title)
    findings.faults += annotations.faults
    refuse_faults(findings, address)
    assert findings.resolution is not None and findings.num_channels is not None
    labels = [annotations.labels[name] for name in source.names] if annotations.labels else None
    return Scanned(
        address,
        len(source.names),
        size,
        sha256,
        findings.resolution,
        findings.num_channels,
        labels,
        annotations.class_names,
    )
