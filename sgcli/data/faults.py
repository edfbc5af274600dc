"""What can be wrong with a data set: the kinds of fault, what repairs each, and the report that lists them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sgcli.data.shard_names import is_sharded, name_of
from sgcli.errors import FormatError

DATASET_JSON = "dataset.json"


@dataclass(frozen=True)
class Kind:
    """One kind of fault: how it is headed in a report, whether `train` refuses it, and the `sg data pack` options that
    repair it."""

    title: str
    options: str
    fatal: bool = True


KINDS = {
    "unreadable": Kind("cannot be read", "--skip-faulty"),
    "wrong-size": Kind("wrong size", "--crop center"),
    "channels": Kind("mixed numbers of channels", ""),
    "16-bit": Kind("16 bits per channel", ""),
    "cmyk": Kind("CMYK colours", ""),
    "palette": Kind("palette colours", ""),
    "animated": Kind("animated", ""),
    "unsafe-name": Kind("names or links that lead out of the archive", "--skip-faulty"),
    "outside-link": Kind("links that lead out of the folder", "--skip-faulty"),
    "missing-label": Kind("no label", "--skip-faulty"),
    "bad-label": Kind("labels that cannot be used", "--skip-faulty"),
    "missing-attributes": Kind("no attributes", "--skip-faulty"),
    "bad-annotations": Kind(f"damaged {DATASET_JSON}", "--labels none"),
    "duplicate": Kind("same picture as another", "--drop-duplicates", fatal=False),
    "extra-label": Kind("labels without a picture", "", fatal=False),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one file of a data set. `kind` is a key of KINDS, `file` the name inside the data set."""

    kind: str
    file: str
    detail: str = ""

    @property
    def fatal(self) -> bool:
        """Whether `train` refuses a data set with this fault."""
        return KINDS[self.kind].fatal

    def describe(self) -> dict:
        """The fault as plain data, for --json."""
        return asdict(self) | {"fatal": self.fatal}


class UnreadableFile(FormatError):
    """A file of a data set that cannot be read or decoded. `reason` is the message without the file's name."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{printable(name)}: {reason}", "sg data check lists every such file of a data set")
        self.reason = reason


def repair_command(path: str | os.PathLike, size: int, kinds: Iterable[str], labels: str = "auto") -> str:
    """The `sg data pack` command that repairs faults of all these `kinds`. `labels` is what --labels was."""
    options = [] if labels == "auto" else [f"--labels {labels}"]
    if "bad-annotations" in (kinds := set(kinds)):
        options = []  # the option that drops the annotations takes its place
    options += [kind.options for name, kind in KINDS.items() if name in kinds and kind.options]
    target = f"{dataset_name(path)}-{size}.zip"
    words = ["sg data pack", quote(path), quote(target), f"--size {size}", *dict.fromkeys(options)]
    return " ".join(words)


def report_lines(
    faults: Sequence[Fault], path: str | os.PathLike, size: int, labels: str = "auto", limit: int | None = None
) -> list[str]:
    """A paragraph per kind of fault: how many, which files (at most `limit`), and the command that repairs them.

    With a `limit` the repair commands are left to the caller, whose hint names one for all kinds.
    """
    lines = []
    for kind in KINDS:
        of_kind = [fault for fault in faults if fault.kind == kind]
        if not of_kind:
            continue
        lines.append(f"{KINDS[kind].title}: {len(of_kind)}")
        lines += [f"  {_file_line(fault)}" for fault in of_kind[:limit]]
        if limit is None:
            lines.append(f"  repair: {repair_command(path, size, [kind], labels)}")
        elif len(of_kind) > limit:
            lines.append(f"  ... and {len(of_kind) - limit} more: {check_command(path, labels)}")
    if limit is None and len(kinds := {fault.kind for fault in faults}) > 1:
        lines.append(f"repair everything: {repair_command(path, size, kinds, labels)}")
    return lines


def dataset_name(path: str | os.PathLike) -> str:
    """What a data set is called: the name of its folder, or of its archive or shards without the suffix."""
    if is_sharded(path):
        return name_of(path)
    return Path(path).resolve().name.removesuffix(".zip").removesuffix(".tar") or "data"


def check_command(path: str | os.PathLike, labels: str = "auto") -> str:
    """The command that lists every fault of a data set."""
    return f"sg data check {quote(path)}" + ("" if labels == "auto" else f" --labels {labels}")


def quote(path: str | os.PathLike) -> str:
    """A path as it is typed in a shell, on one line and safe after a command's name."""
    text = printable(os.fspath(path))
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def printable(name: str) -> str:
    """A file's name as one line of valid text: control characters and undecodable bytes are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _file_line(fault: Fault) -> str:
    return printable(fault.file) + (f" ({fault.detail})" if fault.detail else "")
