"""All images of a data set in shards as one source, for what looks at every one of them: checking and packing."""

from __future__ import annotations

import json
import os
from typing import Any

from sgcli.data.faults import DATASET_JSON, Fault, UnreadableFile
from sgcli.data.remote import fetch_unknown
from sgcli.data.shards import OpenShards, Shard, addresses_of, open_fetched
from sgcli.data.source import Source, digest


class ShardsSource(Source):
    """Shards one after the other; the images of each are called 'faces-000.tar/00012.png'."""

    root_parts = 1

    def __init__(self, path: str | os.PathLike):
        self._addresses = addresses_of(path)
        super().__init__(os.fspath(path))  # type: ignore[arg-type]  # a Path would swallow a slash of s3://

    def _list(self) -> None:
        names = [address.rpartition("/")[2] for address in self._addresses]
        if len(set(names)) < len(names):
            names = [f"{number:05d}-{name}" for number, name in enumerate(names)]
        self._numbers = {name: number for number, name in enumerate(names)}
        self._annotations: dict[str, bytes] = {}  # dataset.json, by the shard's name
        shards = []
        for name, address in zip(names, self._addresses, strict=True):
            path, size, sha256 = fetch_unknown(address)
            source = open_fetched(path, address)
            shards.append(Shard(address, len(source.names), size, sha256))
            self._add_shard(name, source)
        self._open = OpenShards(shards)

    def _add_shard(self, shard: str, source: Source) -> None:
        self.faults += [Fault(fault.kind, f"{shard}/{fault.file}", fault.detail) for fault in source.faults]
        for name, entry in source.entries.items():
            if name != DATASET_JSON:
                self._add(f"{shard}/{name}", entry)
        if (annotations := source.read_annotations()) is not None:
            self._annotations[shard] = annotations

    def read(self, name: str) -> bytes:
        shard, _, inner = name.partition("/")
        return self._open[self._numbers[shard]].read(inner)

    def read_annotations(self) -> bytes | None:
        """What the dataset.json of all shards say together. Raises UnreadableFile where they contradict each other."""
        if not self._annotations:
            return None
        content: dict[str, Any] = {}
        for shard, data in self._annotations.items():
            try:
                _merge(content, shard, json.loads(data))
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                raise UnreadableFile(f"{shard}/{DATASET_JSON}", f"does not fit the other shards' ({error})") from error
        return json.dumps(content).encode()

    def state(self) -> str:
        return digest(list(self._open.shards))


def _merge(content: dict[str, Any], shard: str, more: dict[str, Any]) -> None:
    """Add a shard's annotations, with the names that its images have here. Raises many kinds of error."""
    if more.get("labels") is not None:
        content.setdefault("labels", []).extend([f"{shard}/{name}", label] for name, label in more["labels"])
    if content.setdefault("class_names", more.get("class_names")) != more.get("class_names"):
        raise ValueError("other class_names")
    if more.get("attributes") is not None:
        names, values = more["attributes"]["names"], more["attributes"]["values"]
        merged = content.setdefault("attributes", {"names": names, "values": {}})
        if merged["names"] != names:
            raise ValueError("other attributes")
        merged["values"].update({f"{shard}/{name}": value for name, value in values.items()})
