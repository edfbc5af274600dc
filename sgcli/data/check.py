"""Find every fault of a data set in one pass, and remember which unchanged sets have passed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from sgcli import progress
from sgcli.data import images
from sgcli.data.faults import KINDS, Fault, UnreadableFile, check_command, repair_command, report_lines
from sgcli.data.labels import read_annotations
from sgcli.data.parallel import map_in_threads
from sgcli.data.source import Source, open_source
from sgcli.errors import SgError
from sgcli.files import cache_folder, write_text

MIN_RESOLUTION, MAX_RESOLUTION = 4, 8192
NUM_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
RULES = 1  # raise it when a rule of this file changes: what passed before is then looked at again
LISTED_PER_KIND = 10  # files that the refusal to train names; `sg data check` names them all
CHANNEL_WORDS = {1: "greyscale", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}


@dataclass
class Findings:
    """What a check found out about a data set."""

    num_images: int
    resolution: int | None  # of most images; None where none has a size that can be trained
    num_channels: int | None  # of most images; None where none has channels that can be trained
    repair_size: int  # the --size that suits the images
    faults: list[Fault] = field(default_factory=list)

    @property
    def fatal(self) -> list[Fault]:
        """The faults with which `train` refuses the data set."""
        return [fault for fault in self.faults if fault.fatal]


class Look(NamedTuple):
    """What one image file turned out to be."""

    size: tuple[int, int]  # width, height
    num_channels: int | None  # None for pixels that are not plain 8-bit
    oddities: tuple[str, ...]
    digest: bytes  # of the decoded pixels


def check_dataset(path: str | os.PathLike, labels: str = "auto") -> Findings:
    """Look at every image and label of a folder or zip; `labels` as in `read_annotations`.

    Raises SgError where `path` is not a data set at all (missing, empty, a damaged zip).
    """
    source = open_source(path)
    annotations = read_annotations(source, labels)
    findings = inspect_images(source)
    order = list(KINDS)
    findings.faults = sorted(findings.faults + annotations.faults, key=lambda f: (order.index(f.kind), f.file))
    return findings


def inspect_images(source: Source, use_memory: bool = False, title: str | None = None) -> Findings:
    """Decode every image of `source` and list what is wrong with them.

    With `use_memory`, a source that has passed before and has not been touched since is not looked at again. `title` is
    what a bar calls it, other than by its path.
    """
    if use_memory and (remembered := _recall(source)):
        return remembered
    looks: dict[str, Look] = {}
    faults = list(source.faults)
    results = map_in_threads(lambda name: _look(source, name), source.names, batch=16)
    watched = progress.track(results, f"checking {title or source.path}", total=len(source.names), unit="images")
    for name, look in zip(source.names, watched, strict=True):
        if isinstance(look, Look):
            looks[name] = look
        else:
            faults.append(look)
    findings = _judge(looks, faults, len(source.names))
    if not findings.fatal:
        _remember(source, findings)
    return findings


def refuse_faults(findings: Findings, path: str | os.PathLike, labels: str = "auto") -> None:
    """Raise SgError with the list of fatal faults, if there are any; warn of the others."""
    if findings.fatal:
        num_files = len({fault.file for fault in findings.fatal})
        lines = report_lines(findings.fatal, path, findings.repair_size, labels, limit=LISTED_PER_KIND)
        raise SgError(
            "\n".join([f"{path}: {num_files} of its files cannot be trained on as they are", *lines]),
            repair_command(path, findings.repair_size, {fault.kind for fault in findings.fatal}, labels),
        )
    for kind, count in Counter(fault.kind for fault in findings.faults).items():
        progress.warn(f"{path}: {KINDS[kind].title}: {count}; {check_command(path, labels)} lists them")


def describe_images(findings: Findings) -> str:
    """'1200 images, 64x64 RGB'."""
    count = f"{findings.num_images} image{'' if findings.num_images == 1 else 's'}"
    if findings.resolution is None or findings.num_channels is None:
        return count
    return f"{count}, {findings.resolution}x{findings.resolution} {CHANNEL_WORDS[findings.num_channels]}"


def is_resolution(size: int) -> bool:
    """Whether networks of this family come in this size: a power of two from 4 to 8192."""
    return MIN_RESOLUTION <= size <= MAX_RESOLUTION and size & (size - 1) == 0


def _look(source: Source, name: str) -> Look | Fault:
    try:
        image, oddities = images.read_image(source.read(name), name)
    except UnreadableFile as error:
        return Fault("unreadable", name, error.reason)
    digest = hashlib.blake2b(repr((image.mode, image.size)).encode(), digest_size=16)
    digest.update(image.tobytes())
    num_channels = None if oddities else images.CHANNELS.get(image.mode)
    return Look(image.size, num_channels, oddities, digest.digest())


def _judge(looks: dict[str, Look], faults: list[Fault], num_images: int) -> Findings:
    """Compare the images with one another: the size and the channels that most of them have are the right ones."""
    sizes = Counter(look.size[0] for look in looks.values() if look.size[0] == look.size[1])
    resolution = _most_common({size: count for size, count in sizes.items() if is_resolution(size)})
    counts = Counter(look.num_channels for look in looks.values())
    num_channels = _most_common({number: counts[number] for number in NUM_CHANNELS if counts[number]})
    first_with: dict[bytes, str] = {}
    for name, look in looks.items():
        faults += [Fault(kind, name) for kind in look.oddities]
        compared = _size_fault(name, look, resolution), _channel_fault(name, look, num_channels)
        faults += [fault for fault in compared if fault]
        original = first_with.setdefault(look.digest, name)
        if original != name:
            faults.append(Fault("duplicate", name, f"same as {original}"))
    return Findings(num_images, resolution, num_channels, resolution or _advise_size(looks), faults)


def _size_fault(name: str, look: Look, resolution: int | None) -> Fault | None:
    width, height = look.size
    if width != height:
        reason = "not square"
    elif not is_resolution(width):
        reason = f"not a power of two from {MIN_RESOLUTION} to {MAX_RESOLUTION}"
    elif width != resolution:
        reason = f"most are {resolution}x{resolution}"
    else:
        return None
    return Fault("wrong-size", name, f"{width}x{height}, {reason}")


def _channel_fault(name: str, look: Look, num_channels: int | None) -> Fault | None:
    if look.num_channels in (None, num_channels):
        return None
    rule = f"most are {CHANNEL_WORDS[num_channels]}" if num_channels else "1, 3 or 4 channels can be trained"
    return Fault("channels", name, f"{CHANNEL_WORDS[look.num_channels]}; {rule}")


def _most_common(counts: dict[int, int]) -> int | None:
    """The key with the largest count; of equal counts the largest key."""
    return max(counts, key=lambda key: (counts[key], key), default=None)


def _advise_size(looks: dict[str, Look]) -> int:
    """The largest resolution to which at least half of the images need not be enlarged, at most 1024."""
    shorter = sorted(min(look.size) for look in looks.values()) or [256]
    return min(max(1 << (shorter[(len(shorter) - 1) // 2].bit_length() - 1), MIN_RESOLUTION), 1024)


def _memory_file(source: Source) -> Path | None:
    folder = cache_folder()
    return folder and folder / "checks" / f"{RULES}-{source.state()}.json"


def _recall(source: Source) -> Findings | None:
    if not (path := _memory_file(source)):
        return None
    try:
        content = json.loads(path.read_bytes())
        return Findings(**content | {"faults": [Fault(**fault) for fault in content["faults"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # not seen before, or written by another version


def _remember(source: Source, findings: Findings) -> None:
    if path := _memory_file(source):
        with contextlib.suppress(SgError, OSError):  # a full disk only means looking again next time
            write_text(path, json.dumps(asdict(findings)))
